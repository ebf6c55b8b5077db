"""Orders that are kept while pages are turned."""

from api.kit.frozen import MAX_LISTS, MAX_LISTS_PER_TENANT, FrozenLists


def test_the_rest_is_fixed_once_and_without_what_was_shown() -> None:
    lists = FrozenLists[str]()
    name = lists.begin("acme01", ["a", "b"])
    found = lists.find("acme01", name)
    assert found is not None
    assert found.rest is None
    found.fix(["c", "b", "d", "a"], is_cut=False)
    found.fix(["d", "c"], is_cut=True)
    assert (found.rest, found.is_cut) == (("c", "d"), False)


def test_a_list_is_its_tenants_alone() -> None:
    lists = FrozenLists[str]()
    name = lists.begin("acme01", ["a"])
    assert lists.find("other1", name) is None
    assert lists.find("acme01", "guessed") is None


def test_a_tenant_that_begins_many_loses_its_own_oldest() -> None:
    lists = FrozenLists[str]()
    other = lists.begin("other1", ["x"])
    names = [lists.begin("acme01", ["a"]) for _ in range(MAX_LISTS_PER_TENANT + 1)]
    assert lists.find("acme01", names[0]) is None
    assert lists.find("acme01", names[-1]) is not None
    assert lists.find("other1", other) is not None


def test_memory_is_bounded_and_what_is_read_stays() -> None:
    lists = FrozenLists[str]()
    first, second = lists.begin("first1", ["a"]), lists.begin("second", ["a"])
    for number in range(MAX_LISTS - 1):
        assert lists.find("first1", first) is not None
        lists.begin(f"tenant{number}", ["a"])
    assert lists.find("first1", first) is not None
    assert lists.find("second", second) is None
