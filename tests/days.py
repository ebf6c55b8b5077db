"""The end of a day, for tests of what begins anew at midnight UTC: budgets and figures of a day."""

import time

_DAY_S = 86_400


def wait_out_midnight(needed_s: float) -> None:
    """When the day ends within so many seconds, wait for the next one."""
    left_s = _DAY_S - time.time() % _DAY_S
    if left_s < needed_s:
        time.sleep(left_s + 1)
