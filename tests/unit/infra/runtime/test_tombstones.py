"""What one tombstone covers, asked for one thing at a time, as the live window and the stitcher ask."""

from infra.runtime.tombstones import NO_TOMBSTONES, Tombstone, Tombstones

TENANT = "acme01"


def stones(*found: Tombstone) -> Tombstones:
    return Tombstones.of(1, found)


def test_names_decide() -> None:
    known = stones(Tombstone(TENANT, "trace", "t"), Tombstone(TENANT, "run", "r", "laptop"))
    assert known.cover(TENANT, "laptop", 5, trace_id="t")
    assert known.cover(TENANT, "laptop", 5, run_id="r")
    assert not known.cover(TENANT, "desktop", 5, run_id="r")
    assert not known.cover(TENANT, "laptop", 5, trace_id="r", run_id="t")
    assert not known.cover("other0", "laptop", 5, trace_id="t")
    assert not NO_TOMBSTONES.cover(TENANT, "laptop", 5, trace_id="t")


def test_a_session_goes_on() -> None:
    known = stones(Tombstone(TENANT, "session", "s", before_us=10))
    assert known.cover(TENANT, "laptop", 9, trace_id="t", sessions=(None, "s"))
    assert not known.cover(TENANT, "laptop", 10, trace_id="t", sessions=("s",))


def test_a_window_is_for_what_has_no_name() -> None:
    known = stones(Tombstone(TENANT, "window", "s", "laptop", 3, 10))
    assert known.cover(TENANT, "laptop", 3, sessions=("s",))
    assert not known.cover(TENANT, "laptop", 2, sessions=("s",))
    assert not known.cover(TENANT, "laptop", 3, run_id="r", sessions=("s",))
    assert not known.cover(TENANT, "laptop", 3, sessions=("s",), with_windows=False)


def test_a_tenant_is_everything() -> None:
    known = stones(Tombstone(TENANT, "tenant", TENANT))
    assert known.cover(TENANT, "laptop", 10**18)
    assert known.tenants == {TENANT}


def test_news() -> None:
    first, second = Tombstone(TENANT, "trace", "t"), Tombstone(TENANT, "trace", "u")
    assert stones(first, second).news(stones(first))
    assert not stones(first).news(stones(first, second))
