"""The rubric: what a good run of an agent is, as criteria that a run meets or does not.

Upstream: people, through ``<home>/config/rubrics/<tenant>/<agent>.toml``.
Downstream: ``stream_jobs.core.learn.scoring``; the judge of the API.
Guarantee: what cannot be is refused with the criterion and field that are wrong; the version follows from what the
rubric says, not from how its file is laid out.
"""

import hashlib
import re
import tomllib
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

MAX_CRITERIA: Final = 32
MAX_WEIGHT: Final = 100
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# What the weighted mean of all criteria is stored as; a criterion cannot be called so.
TOTAL: Final = "total"

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class InvalidRubric(ValueError):
    """A rubric that cannot be; the text names the criterion and the field, and what it takes."""


class Criterion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all criteria have."""

    name: str
    weight: Annotated[float, Meta(gt=0, le=MAX_WEIGHT)] = 1.0
    about: ClassVar[str] = ""


class CostAtMost(Criterion, tag="cost_at_most", frozen=True, kw_only=True):
    """A run may cost so much; one without a price is not scored by it."""

    usd: Decimal
    about: ClassVar[str] = "The run costs at most `usd` dollars (as text)."

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        if not self.usd.is_finite() or self.usd <= 0:
            raise ValueError("usd: give an amount above 0, as text")


class DurationAtMost(Criterion, tag="duration_at_most", frozen=True, kw_only=True):
    """A run may take so long."""

    seconds: Annotated[float, Meta(gt=0)]
    about: ClassVar[str] = "It takes at most `seconds`."


class ToolCallsAtMost(Criterion, tag="tool_calls_at_most", frozen=True, kw_only=True):
    """A run may call tools so often."""

    count: Count
    about: ClassVar[str] = "It calls tools at most `count` times."


class ModelCallsAtMost(Criterion, tag="model_calls_at_most", frozen=True, kw_only=True):
    """A run may call models so often."""

    count: Count
    about: ClassVar[str] = "It calls models at most `count` times."


class FailedStepsAtMost(Criterion, tag="failed_steps_at_most", frozen=True, kw_only=True):
    """So many steps may fail."""

    count: Count = 0
    about: ClassVar[str] = "At most `count` steps fail; none when it is not given."


class RedundantCallsAtMost(Criterion, tag="redundant_calls_at_most", frozen=True, kw_only=True):
    """So many calls may ask nearly what another has asked."""

    count: Count = 0
    about: ClassVar[str] = "At most `count` tool calls are nearly the same as another one; none when it is not given."


class Ended(Criterion, tag="ended", frozen=True, kw_only=True):
    """The root run ends in one of these ways."""

    statuses: Annotated[list[Literal["ok", "error", "blocked", "incomplete"]], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["ok"]
    )
    about: ClassVar[str] = "Its end is one of `statuses`; ok when they are not given."


class ToolUsed(Criterion, tag="tool_used", frozen=True, kw_only=True):
    """A tool is used, or is not."""

    tool: Text
    used: bool = True
    about: ClassVar[str] = "The tool `tool` is used; with `used = false` it is not."


class ReplyMatches(Criterion, tag="reply_matches", frozen=True, kw_only=True):
    """The final reply fits a pattern of plain text with * and ?."""

    pattern: Text
    about: ClassVar[str] = (
        "The beginning of the final reply (400 characters) fits `pattern`: plain text in which * stands for anything "
        "and ? for one character; large and small letters are the same."
    )


class Judge(Criterion, tag="judge", frozen=True, kw_only=True):
    """A model says how well the run answers a question; only when somebody asks it to."""

    question: Text
    about: ClassVar[str] = "A model answers `question` with 0 to 1; only when it is asked to: `clawtrace rubric judge`."


AnyCriterion = (
    CostAtMost
    | DurationAtMost
    | ToolCallsAtMost
    | ModelCallsAtMost
    | FailedStepsAtMost
    | RedundantCallsAtMost
    | Ended
    | ToolUsed
    | ReplyMatches
    | Judge
)
CRITERIA: Final[tuple[type[Criterion], ...]] = (
    CostAtMost,
    DurationAtMost,
    ToolCallsAtMost,
    ModelCallsAtMost,
    FailedStepsAtMost,
    RedundantCallsAtMost,
    Ended,
    ToolUsed,
    ReplyMatches,
    Judge,
)


class Rubric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All criteria of one agent."""

    name: str = "rubric"
    criterion: Annotated[list[AnyCriterion], Meta(min_length=1, max_length=MAX_CRITERIA)]

    @property
    def version(self) -> str:
        """12 hex digits that follow from what it says."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]

    @property
    def questions(self) -> list[Judge]:
        """What only a model can say."""
        return [it for it in self.criterion if isinstance(it, Judge)]


def parse_rubric(text: str) -> Rubric:
    """Read a rubric from the text of its file.

    Raises:
        InvalidRubric: the text names the criterion and the field.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRubric(f"this is no TOML: {error}") from None
    try:
        rubric = msgspec.convert(document, Rubric, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidRubric(_in_words(str(error), document)) from None
    names = [it.name for it in rubric.criterion]
    for name in (rubric.name, *names):
        if not NAME.fullmatch(name):
            raise InvalidRubric(f"name {name!r}: use 1 to 64 small letters, digits, - and _")
    if TOTAL in names:
        raise InvalidRubric(f"criterion {TOTAL!r}: this is the name of the mean of all criteria; use another")
    for name in names:
        if names.count(name) > 1:
            raise InvalidRubric(f"criterion {name!r}: two criteria have this name")
    return rubric


def _in_words(reason: str, document: dict[str, Any]) -> str:
    """Say which criterion is meant, where the library counts from 0."""
    message, _, path = reason.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    place = re.match(r"criterion\[(\d+)\]\.?(.*)", path)
    if place is None:
        if "criterion" in message:
            return "there is no criterion; write at least one [[criterion]]"
        return f"{path}: {message}" if path else message
    number, field = int(place[1]), place[2]
    entry = document["criterion"][number]
    name = entry.get("name") if isinstance(entry, dict) else None
    where = f"criterion {number + 1}" + (f" ({name})" if isinstance(name, str) else "")
    if field == "kind" or "`kind`" in message:
        message = f"{message}; there are {', '.join(str(it.__struct_config__.tag) for it in CRITERIA)}"
    return f"{where}{', ' + field if field else ''}: {message}"
