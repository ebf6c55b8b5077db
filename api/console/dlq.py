"""`clawtrace dlq`: the records that nobody could read, and the way back for them.

Upstream: a person on a machine that reaches Kafka and Postgres.
Downstream: infra/runtime/dead_letters.py and dead_letter_replay.py.
Guarantee: looking changes nothing; a letter goes back once. Exit code 0 when it is done, 1 when something is away or
not settled yet, 2 when the question is at fault.
"""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.printing import console, fail, one_line, print_json, print_table, say
from api.settings import ApiSettings
from api.tracy.sanitise import strip_invisible
from infra.runtime.database import DatabaseAway, lone_lock, make_engine
from infra.runtime.dead_letter_replay import Replayer, ReplayResult
from infra.runtime.dead_letters import DEAD_LETTER_SUFFIX, DeadLetterReader, Letter, LetterNotFound, Mark, Place
from infra.runtime.kafka import KafkaAway
from producers.contracts.topics import EVENTS, GUARD
from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

dlq_app = typer.Typer(no_args_is_help=True, help="Look at dead letters, and send them back.")

# Any constant: all replays must ask for the same lock.
REPLAY_LOCK_ID: Final = 4_600_009
_MAX_SHOWN_BYTES: Final = 4_000
# Readers of the other topics pass over a record that is older than what they have.
_TAKEN_AT_ANY_TIME: Final = frozenset({EVENTS.name, GUARD.name})

TopicOption = Annotated[str, typer.Option(help="Only of this topic, for instance clawtrace.events.v1.")]
StageOption = Annotated[str, typer.Option(help="Only of gateway, stitcher, sink or budgets.")]
LetterArgument = Annotated[str, typer.Argument(help="The letter, as dlq list shows it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dlq_app.command("list")
def list_letters(
    topic: TopicOption = "",
    stage: StageOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Most letters to list, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters with reason, stage, original place and size, the newest first."""
    settings = ApiSettings()
    letters: list[tuple[Letter, Mark | None]] = []
    with _reading(settings) as reader:
        for name in _dead_letter_topics(settings, topic):
            found, marks = _read_topic(reader, name)
            letters += [(letter, marks.get(letter.letter_id)) for letter in found if stage in ("", letter.stage)]
    letters.sort(key=lambda pair: (pair[0].written_at_ms, pair[0].place.offset), reverse=True)
    shown = letters[:limit]
    if as_json:
        documents = [_document(letter, mark) for letter, mark in shown]
        print_json({"num_letters": len(letters), "letters": documents})
        return
    if not letters:
        say("There are no dead letters.")
        return
    rows = [
        (
            str(letter.place),
            _instant(letter.written_at_ms),
            letter.stage,
            str(letter.original or "never in a topic"),
            f"{letter.num_bytes:,}",
            "" if mark is None else (_replay_state(mark), "green" if mark.state == "done" else "yellow"),
            letter.reason,
        )
        for letter, mark in shown
    ]
    print_table(("letter", "at (UTC)", "stage", "was", "bytes", "replay", "what"), rows, frozenset({"bytes"}))
    if len(letters) > len(shown):
        say(f"There are {len(letters) - len(shown)} older ones; raise --limit.")


@dlq_app.command("show")
def show_letter(
    letter_place: Annotated[str, typer.Argument(metavar="LETTER", help="The letter, as dlq list shows it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write nothing but the bytes, as they came.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; bytes are base64.")] = False,
) -> None:
    """Show one dead letter with its bytes."""
    from rich.text import Text

    settings = ApiSettings()
    with _reading(settings) as reader:
        letter, content = reader.letter(_place(letter_place))
        _, marks = _read_topic(reader, letter.place.topic)
    if raw:
        sys.stdout.buffer.write(content.value)
        sys.stdout.buffer.flush()
        return
    document = _document(letter, marks.get(letter.letter_id))
    if as_json:
        key = None if content.key is None else base64.b64encode(content.key).decode()
        print_json({**document, "key": key, "value": base64.b64encode(content.value).decode()})
        return
    screen = console()
    for name, value in document.items():
        if value not in (None, {}):
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            screen.print(Text.assemble((f"{name:11}", "bold"), one_line(said)), soft_wrap=True)
    if content.key is not None:
        key_text = one_line(content.key.decode(errors="replace"))
        screen.print(Text.assemble((f"{'key':11}", "bold"), key_text), soft_wrap=True)
    # Plain, not by rich: the text is whatever somebody sent.
    typer.echo(strip_invisible(content.value[:_MAX_SHOWN_BYTES].decode(errors="backslashreplace")))
    if letter.num_bytes > _MAX_SHOWN_BYTES:
        say(f"{letter.num_bytes - _MAX_SHOWN_BYTES:,} bytes more; --raw writes all of them.")


@dlq_app.command("replay")
def replay_letters(
    letter_places: Annotated[
        list[str] | None, typer.Argument(metavar="[LETTER]...", help="Letters, as dlq list shows them.")
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All letters of --topic, or of --stage in it.")] = False,
    topic: TopicOption = "",
    stage: StageOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value a letter.")] = False,
) -> None:
    """Send dead letters back, byte for byte, to the topic and partition that they were in; each at most once.

    Mend the cause first: what still cannot be read becomes a dead letter again. Marks beside the letters say which were
    sent, so a replay that was cut off can be run again.
    """
    settings = ApiSettings()
    wanted = [_place(text) for text in letter_places or ()]
    if bool(wanted) == all_of_them or (all_of_them and not topic):
        raise typer.BadParameter("name letters, or a topic with --all")
    topics = _dead_letter_topics(settings, topic) if all_of_them else sorted({place.topic for place in wanted})
    places = frozenset(wanted)

    def is_wanted(letter: Letter) -> bool:
        return letter.place in places or (all_of_them and stage in ("", letter.stage))

    with _reading(settings) as reader, lone_lock(make_engine(settings, pool_size=1), REPLAY_LOCK_ID) as check_lock:
        if check_lock is None:
            say("Another replay is running; wait for its end.")
            raise typer.Exit(EXIT_AWAY)
        results: list[ReplayResult] = []
        for place in wanted:
            reader.letter(place)
        replayer = Replayer(settings.kafka_bootstrap, reader)
        for name in topics:
            plan = replayer.plan(name, is_wanted, named=places)
            if dry_run:
                told = [
                    *plan.results,
                    *(ReplayResult(it, "would be replayed", _goal(it)) for it in plan.to_send),
                ]
            else:
                told = list(replayer.run(plan, check_lock))
            for result in told:
                _tell(result, as_json)
            results += told
    if not results:
        say("There are no such letters.")
    if not as_json and any(_is_late(settings, result) for result in results):
        say(
            "Readers pass over an output that is older than what they have. To make outputs of the stitcher anew, "
            "replay the events that they come from."
        )
    if any(result.outcome == "unsettled" for result in results):
        raise typer.Exit(EXIT_AWAY)
    if not all_of_them and any(result.outcome == "cannot be replayed" for result in results):
        raise typer.Exit(EXIT_QUESTION)


@contextmanager
def _reading(settings: ApiSettings) -> Iterator[DeadLetterReader]:
    reader = DeadLetterReader(settings.kafka_bootstrap)
    try:
        yield reader
    except (KafkaAway, DatabaseAway) as error:
        fail(str(error), EXIT_AWAY)
    except LetterNotFound as error:
        fail(str(error), EXIT_QUESTION)
    finally:
        reader.close()


def _read_topic(reader: DeadLetterReader, topic: str) -> tuple[list[Letter], dict[str, Mark]]:
    letters: list[Letter] = []
    marks: dict[str, Mark] = {}
    for found in reader.letters(topic):
        if isinstance(found, Mark):
            marks[found.letter_id] = found
        else:
            letters.append(found[0])
    return letters, marks


def _dead_letter_topics(settings: ApiSettings, topic: str) -> list[str]:
    known = [spec.name for spec in (*PRODUCER_TOPICS, *STREAM_TOPICS) if spec.name.endswith(DEAD_LETTER_SUFFIX)]
    if topic:
        name = topic.removeprefix(settings.topic_prefix).removesuffix(DEAD_LETTER_SUFFIX) + DEAD_LETTER_SUFFIX
        if name not in known:
            names = ", ".join(one.removesuffix(DEAD_LETTER_SUFFIX) for one in known)
            raise typer.BadParameter(f"there is no topic {topic}; there are {names}", param_hint="--topic")
        known = [name]
    return [settings.topic_prefix + name for name in known]


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no letter; dlq list shows them as topic/partition/offset") from None


def _is_late(settings: ApiSettings, result: ReplayResult) -> bool:
    original = result.letter.original
    return (
        result.outcome in ("replayed", "would be replayed")
        and original is not None
        and original.topic.removeprefix(settings.topic_prefix) not in _TAKEN_AT_ANY_TIME
    )


def _tell(result: ReplayResult, as_json: bool) -> None:
    if as_json:
        print_json({"letter": str(result.letter.place), "outcome": result.outcome, "note": result.note})
    else:
        typer.echo(f"{result.letter.place}  {result.outcome}: {result.note}")


def _document(letter: Letter, mark: Mark | None) -> dict[str, Any]:
    original = letter.original
    return {
        "letter": str(letter.place),
        "written_at": _instant(letter.written_at_ms),
        "stage": letter.stage,
        "reason": letter.reason,
        "original": None
        if original is None
        else {"topic": original.topic, "partition": original.partition, "offset": original.offset},
        "num_bytes": letter.num_bytes,
        "letter_id": letter.letter_id,
        "replay": None if mark is None else _replay_state(mark),
        "headers": letter.more,
    }


def _goal(letter: Letter) -> str:
    assert letter.original is not None, "the plan leaves out what has no original place"
    return f"to partition {letter.original.partition} of {letter.original.topic}"


def _replay_state(mark: Mark) -> str:
    return f"is now {mark.target}" if mark.state == "done" else "cut off"


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
