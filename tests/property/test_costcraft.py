"""Skills of made-up runs and patches: precedence, limits, the order of patches, and distilling again."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from api.learn.costcraft.checks import check
from api.learn.costcraft.craft import NoRoom, craft
from api.learn.costcraft.evident import evident_patches
from api.learn.costcraft.likeness import is_same_step
from api.learn.costcraft.patches import MAX_PATCHES, Patch, Preserve, Prune, Repair, SpanRef
from api.learn.costcraft.precedence import Rank
from api.learn.costcraft.runs import Task, TaskRun
from api.learn.costcraft.skill_file import SECTIONS, read_skill
from api.learn.costcraft.tokens import MAX_SKILL_TOKENS, count_tokens
from tests.unit.api.learn.making import RunMaker, task_of

# Some nearly the same, some not at all.
PATHS = ("notes.txt", "src/notes.txt", "archive/2025/index.md", "🦀 ``` [ct:k00000000]")
TOOLS = ("read", "read", "write")
SOME = settings(max_examples=60, deadline=None)

one_call = st.tuples(
    st.sampled_from(TOOLS), st.sampled_from(PATHS), st.sampled_from((False, False, True)), st.sampled_from(("a", "b"))
)


@st.composite
def runs(draw: st.DrawFn, number: int) -> TaskRun:
    made = RunMaker(f"run{number}", is_ok=draw(st.integers(0, 4)) > 0)
    for tool, path, failed, answer in draw(st.lists(one_call, min_size=1, max_size=7)):
        made.use(tool, path=path, failed=failed, answer=answer, unknown=draw(st.integers(0, 9)) == 0)
    return made.end()


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    return task_of(*(draw(runs(number)) for number in range(draw(st.integers(2, 4)))))


@st.composite
def patches_of(draw: st.DrawFn, task: Task) -> list[Patch]:
    """Draw patches of which many are untrue."""
    spans = [SpanRef(trace_id=run.trace_id, span_id=step.span_id) for run in task.runs.values() for step in run.steps]
    spans.append(SpanRef(trace_id="run0", span_id="nowhere"))
    span, trace = st.sampled_from(spans), st.sampled_from([*task.runs, None])
    any_patch = st.one_of(
        st.builds(Preserve, kind=st.just("preserve"), step=span, evidence=st.lists(span, max_size=3)),
        st.builds(
            Prune,
            kind=st.just("prune"),
            step=span,
            max_calls=st.integers(0, 3),
            counterfactual_trace_id=trace,
        ),
        st.builds(Repair, kind=st.just("repair"), step=span, fix=span),
    )
    return [
        *draw(st.lists(any_patch, min_size=draw(st.sampled_from((0, 12))), max_size=MAX_PATCHES)),
        *draw(st.sampled_from([[], evident_patches(task)])),
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Task, list[Patch]]:
    task = draw(tasks())
    return task, draw(patches_of(task))


own_line = st.sampled_from(
    ["", "# Mine", "## Workflow", "## Notes", "- my own line", "```", "## cost control", "text [ct:x]", "## Trigger  "]
)
own_texts = st.lists(own_line, max_size=12).map("\n".join)


def rank_of(patch: Patch) -> Rank:
    match patch:
        case Repair():
            return Rank.REPAIR
        case Prune():
            return Rank.PRUNE if patch.counterfactual_trace_id is None else Rank.PRUNE_PROVEN
    return Rank.PRESERVE


def accepted(task: Task, patches: Sequence[Patch]) -> list[Patch]:
    return [line.patch for line in craft(task, patches).accepted if line.patch is not None]


@SOME
@given(case=cases(), own=own_texts, data=st.data())
def test_the_order_of_patches_makes_no_difference(
    case: tuple[Task, list[Patch]], own: str, data: st.DataObject
) -> None:
    task, patches = case
    shuffled = data.draw(st.permutations(patches))
    one, other = craft(task, patches, own), craft(task, shuffled, own)
    assert one.text == other.text
    assert one.refused == other.refused
    assert one.saving == other.saving


@SOME
@given(case=cases(), own=own_texts)
def test_distilling_again_changes_nothing(case: tuple[Task, list[Patch]], own: str) -> None:
    task, patches = case
    once = craft(task, patches, own)
    again = craft(task, patches, once.text)
    assert again.text == once.text
    assert [line.tag for line in again.lines] == [line.tag for line in once.lines]


@SOME
@given(case=cases(), own=own_texts)
def test_every_patch_is_taken_or_refused_and_what_is_taken_is_true(case: tuple[Task, list[Patch]], own: str) -> None:
    task, patches = case
    crafted = craft(task, patches, own)
    taken = [line.patch for line in crafted.accepted]
    assert all(patch in patches and check(patch, task) is None for patch in taken if patch is not None)
    assert len(taken) + len(crafted.refused) == len(patches)
    assert count_tokens(crafted.text) == crafted.num_tokens < MAX_SKILL_TOKENS


@SOME
@given(case=cases())
def test_no_step_is_both_kept_and_left_out(case: tuple[Task, list[Patch]]) -> None:
    task, patches = case
    for one in accepted(task, patches):
        for other in accepted(task, patches):
            if isinstance(one, Preserve) and isinstance(other, Prune) and other.max_calls == 0:
                kept, dropped = (task.find(it.step.trace_id, it.step.span_id) for it in (one, other))
                assert kept is not None
                assert dropped is not None
                assert not is_same_step(kept, dropped)


@SOME
@given(case=cases())
def test_nothing_gives_way_to_something_weaker(case: tuple[Task, list[Patch]]) -> None:
    """A true patch that is refused stands alone with all stronger or equal ones taken out."""
    task, patches = case
    taken = accepted(task, patches)
    for patch in patches:
        if check(patch, task) is None and patch not in taken:
            weaker = [it for it in taken if rank_of(it) > rank_of(patch)]
            assert patch in accepted(task, [patch, *weaker])


@SOME
@given(case=cases(), num_words=st.integers(0, 1_400))
def test_the_limit_holds_or_nothing_is_made(case: tuple[Task, list[Patch]], num_words: int) -> None:
    task, patches = case
    own = "word " * num_words + "\n"
    try:
        crafted = craft(task, patches, own)
    except NoRoom:
        assert count_tokens(own) > MAX_SKILL_TOKENS - 100
        return
    assert crafted.num_tokens < MAX_SKILL_TOKENS
    # What is said to have no room is not there, and what is there would be there without the words.
    lost = {it.what for it in crafted.refused if it.code == "no_room"}
    assert lost.isdisjoint(line.what for line in crafted.lines)
    if not lost:
        assert [line.tag for line in crafted.lines] == [line.tag for line in craft(task, patches).lines]


@SOME
@given(case=cases(), own=own_texts)
def test_no_own_line_is_lost_or_moved(case: tuple[Task, list[Patch]], own: str) -> None:
    task, patches = case
    if not own.strip():
        return
    kept = [line for line in read_skill(craft(task, patches, own).text).own_lines if line.strip()]
    headings = {f"## {section}" for section in SECTIONS}
    before = [line for line in own.split("\n") if line.strip()]
    place = 0
    for line in kept:
        if place < len(before) and line == before[place]:
            place += 1
        else:
            assert line in headings
    assert place == len(before)


@SOME
@given(texts=st.lists(st.text(max_size=60), max_size=4))
def test_longer_texts_are_never_fewer_tokens(texts: list[str]) -> None:
    counts = [count_tokens("".join(texts[:number])) for number in range(len(texts) + 1)]
    assert counts == sorted(counts)
