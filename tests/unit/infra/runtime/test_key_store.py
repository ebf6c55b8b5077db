"""The key store: what counts, for how long, and what happens while the database is away."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event

from infra.runtime import key_store
from infra.runtime.access_keys import _checksum, access_keys, create_key, find_key, new_key_text, revoke_key
from infra.runtime.key_store import FRESH_S, GRACE_S, RETRY_S, KeyStore
from infra.runtime.problem import Problem
from tests.unit.infra.runtime.keys_in_sqlite import PEPPER


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: Engine, clock: Clock) -> Iterator[KeyStore]:
    store = KeyStore(engine, PEPPER, clock=clock)
    yield store
    store.close()


def ingest_key(engine: Engine) -> tuple[str, str]:
    made = create_key(engine, PEPPER, tenant_id="tenant1", agent_id="a1", scope="ingest")
    return f"Bearer {made.key}", made.principal.key_id


async def refusal(store: KeyStore, header: str | None) -> Problem:
    with pytest.raises(Problem) as caught:
        await store.authenticate(header, "ingest")
    return caught.value


async def test_a_good_key_names_tenant_and_agent(store: KeyStore, engine: Engine) -> None:
    header, key_id = ingest_key(engine)
    for spelled in (header, header.replace("Bearer", "bearer"), header + " "):
        principal = await store.authenticate(spelled, "ingest")
        assert (principal.key_id, principal.tenant_id, principal.agent_id) == (key_id, "tenant1", "a1")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer abc", "Bearer ct_ingest_x_y"])
async def test_what_is_no_key_gets_401(store: KeyStore, header: str | None) -> None:
    problem = await refusal(store, header)
    assert problem.status == 401
    assert "WWW-Authenticate" in problem.headers


async def test_unknown_keys_and_wrong_secrets_get_the_same_401(store: KeyStore, engine: Engine) -> None:
    _, key_id = ingest_key(engine)
    unknown, _, _ = new_key_text("ingest")
    _, _, secret = new_key_text("ingest")
    # A well-formed key with the id of a real one and another secret.
    forged_head = f"ct_ingest_{key_id}_{secret}"
    first = await refusal(store, f"Bearer {unknown}")
    second = await refusal(store, f"Bearer {forged_head}{_checksum(forged_head)}")
    assert (first.status, first.detail) == (second.status, second.detail) == (401, first.detail)


async def test_a_key_of_another_scope_gets_403(store: KeyStore, engine: Engine) -> None:
    made = create_key(engine, PEPPER, tenant_id="tenant1", agent_id=None, scope="read")
    problem = await refusal(store, f"Bearer {made.key}")
    assert problem.status == 403
    assert "ingest" in problem.detail
    assert (await store.authenticate(f"Bearer {made.key}", "read", "admin")).scope == "read"


async def test_a_scope_cannot_be_written_into_a_key(store: KeyStore, engine: Engine) -> None:
    made = create_key(engine, PEPPER, tenant_id="tenant1", agent_id="a1", scope="ingest")
    raised = made.key.replace("ct_ingest_", "ct_admin_")[: -len("123456")]
    with pytest.raises(Problem) as caught:
        await store.authenticate(f"Bearer {raised}{_checksum(raised)}", "admin")
    assert caught.value.status == 401


async def test_a_revoked_key_stops_within_five_seconds(store: KeyStore, engine: Engine, clock: Clock) -> None:
    header, key_id = ingest_key(engine)
    await store.authenticate(header, "ingest")
    revoke_key(engine, key_id)
    await store.authenticate(header, "ingest")  # still from memory
    clock.now_s += FRESH_S + 0.1
    assert FRESH_S < 5
    assert "revoked" in (await refusal(store, header)).detail


async def test_a_key_made_after_it_was_tried_counts_within_five_seconds(
    store: KeyStore, engine: Engine, clock: Clock
) -> None:
    header, key_id = ingest_key(engine)
    with engine.begin() as connection:
        row = connection.execute(access_keys.select()).one()
        connection.execute(access_keys.delete())
    assert (await refusal(store, header)).status == 401
    with engine.begin() as connection:
        connection.execute(access_keys.insert().values(**row._mapping))
    clock.now_s += FRESH_S + 0.1
    assert (await store.authenticate(header, "ingest")).key_id == key_id


async def test_known_keys_go_on_for_a_while_without_the_database(store: KeyStore, engine: Engine, clock: Clock) -> None:
    header, _ = ingest_key(engine)
    unseen = create_key(engine, PEPPER, tenant_id="tenant1", agent_id="a2", scope="ingest")
    await store.authenticate(header, "ingest")
    with engine.begin() as connection:
        rows = [dict(row._mapping) for row in connection.execute(access_keys.select())]
    access_keys.drop(engine)
    clock.now_s += FRESH_S + 1
    await store.authenticate(header, "ingest")
    problem = await refusal(store, f"Bearer {unseen.key}")
    assert problem.status == 503
    assert problem.headers["Retry-After"]
    clock.now_s += GRACE_S
    assert (await refusal(store, header)).status == 503

    access_keys.create(engine)
    with engine.begin() as connection:
        connection.execute(access_keys.insert(), rows)
    clock.now_s += RETRY_S + 0.1
    await store.authenticate(header, "ingest")
    await store.authenticate(f"Bearer {unseen.key}", "ingest")


async def test_a_key_refused_before_is_not_let_in_while_the_database_is_away(
    store: KeyStore, engine: Engine, clock: Clock
) -> None:
    header, key_id = ingest_key(engine)
    revoke_key(engine, key_id)
    assert (await refusal(store, header)).status == 401
    access_keys.drop(engine)
    clock.now_s += FRESH_S + 1
    assert (await refusal(store, header)).status == 401


async def test_memory_is_bounded_whatever_is_tried(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "MAX_ENTRIES", 50)
    for _ in range(120):
        await refusal(store, f"Bearer {new_key_text('ingest')[0]}")
    assert len(store._entries) == 50
    assert not store._loading


async def test_many_requests_at_once_ask_the_database_once(store: KeyStore, engine: Engine) -> None:
    header, _ = ingest_key(engine)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_rest: asked.append(statement))
    await asyncio.gather(*(store.authenticate(header, "ingest") for _ in range(50)))
    assert sum(statement.startswith("SELECT") for statement in asked) == 1


async def test_use_is_noted(store: KeyStore, engine: Engine) -> None:
    header, key_id = ingest_key(engine)
    await store.authenticate(header, "ingest")
    store.close()  # waits for the note
    record = find_key(engine, key_id)
    assert record is not None
    assert record.last_used_at is not None
