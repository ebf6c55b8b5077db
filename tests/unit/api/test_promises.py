"""What is promised in seconds adds up, whatever the machine does: each part is bounded by a number of ours.

That the parts do what their numbers say is shown with clocks of their own (test_key_store.py) and on the real stack.
"""

from api.access import session_store
from api.kit import sse
from api.live import response
from infra.runtime import key_store
from producers.gateway import guard, guard_board
from stream_jobs import follower
from stream_jobs.processors import config_files

REVOKED_WITHIN_S = 5.0


def test_who_is_revoked_or_signs_out_is_out_within_five_seconds() -> None:
    remembered_s = max(key_store.FRESH_S, session_store.FRESH_S)
    assert remembered_s < REVOKED_WITHIN_S
    assert remembered_s + response.CHECK_EVERY_S + response.FAREWELL_S < REVOKED_WITHIN_S
    assert remembered_s + sse.CHECK_EVERY_S < REVOKED_WITHIN_S
    assert remembered_s + guard.CHECK_KEY_EVERY_S < REVOKED_WITHIN_S


def test_what_people_set_holds_within_seconds() -> None:
    assert guard_board.LOOK_EVERY_S < 2
    assert follower.LOOK_EVERY_S < 10
    assert config_files.CHECK_EVERY_S < 10
