"""`clawtrace tail`: what happens now, line by line.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``GET /v1/live``, through api/console/follow.py.
Guarantee: with --json each line is one JSON value with the event's name, id and data; Ctrl-C ends with 0; what was
missed is told when it is known, and summed up at the end.
"""

import json
from typing import Annotated, Any

import typer

from api.console.follow import Follower
from api.console.options import KeyOption, OnlyAgentOption, UrlOption
from api.console.printing import (
    SEVERITIES,
    STYLES,
    Cell,
    asked,
    console,
    duration,
    instant,
    print_json,
    say,
    text_of,
)
from api.live.records import EVENT_KINDS

tail_app = typer.Typer(help="Follow what happens now.")

_ACTIONS = {"abort": "red", "block": "red", "ask": "yellow"}


@tail_app.command()
def tail(
    agent: OnlyAgentOption = None,
    trace: Annotated[str | None, typer.Option(help="Only of this trace.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="span, trace, alert or verdict; several times for several.")
    ] = None,
    after: Annotated[str, typer.Option(help="Id of the last event one has, from --json; go on behind it.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events; without, never.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value a line.")] = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Follow spans, traces, alerts and verdicts as they happen, until Ctrl-C.

    A lost connection is taken up again behind the last event, without a gap.
    """
    if unknown := sorted(set(kind or ()) - set(EVENT_KINDS)):
        raise typer.BadParameter(f"there is no {unknown[0]}; there are {', '.join(EVENT_KINDS)}", param_hint="--kind")
    num_events = num_missed = 0
    with asked(url, key) as api:
        follower = Follower(api, {"agent_id": agent, "trace_id": trace, "kind": kind}, last_id=after, say=say)
        screen = console()
        try:
            for event in follower.events():
                data = json.loads(event.data)
                if event.event == "missed":
                    num_missed += data["num"] or 1
                else:
                    num_events += 1
                if as_json:
                    print_json({"event": event.event, "id": event.id, "data": data})
                else:
                    screen.print(_line(event.event, data), soft_wrap=True)
                if limit is not None and num_events >= limit:
                    break
        except KeyboardInterrupt:
            pass
    if num_missed:
        say(f"{num_events} events; at least {num_missed} were missed.")


def _line(name: str, data: dict[str, Any]) -> Any:
    """One event as a line: when, what, then what is said of it."""
    from rich.text import Text

    describe = {"span": _span, "trace": _trace, "alert": _alert, "verdict": _verdict, "missed": _missed}.get(name)
    if describe is None:
        return text_of(f"{name} {json.dumps(data, ensure_ascii=False)}")
    at, style, *cells = describe(data)
    line = Text.assemble((instant(str(at))[11:] or " " * 8, "dim"), "  ", (f"{name:7}", str(style)))
    for cell in cells:
        if text := text_of(cell):
            line.append("  ").append_text(text)
    return line


def _span(data: dict[str, Any]) -> list[Cell]:
    return [
        data["ended_at"] or data["started_at"],
        "dim",
        data["agent_id"],
        (data["status"], STYLES.get(data["status"], "")),
        data["name"],
        duration(data["duration_ms"]),
        _usd(data["cost_usd"]),
        (data["error"] or "", "red"),
        (data["trace_id"], "dim"),
    ]


def _trace(data: dict[str, Any]) -> list[Cell]:
    return [
        data["ended_at"] or data["started_at"],
        "bold",
        data["agent_id"],
        (data["status"], STYLES.get(data["status"], "")),
        data["name"],
        f"{data['num_spans']} spans",
        f"{sum(data['tokens'].values()):,} tokens",
        _usd(data["cost_usd"]),
        (data["trace_id"], "dim"),
    ]


def _alert(data: dict[str, Any]) -> list[Cell]:
    style = SEVERITIES.get(data["severity"], "") if data["state"] != "ok" else "green"
    return [
        data["at"],
        style,
        data["agent_id"],
        (f"{data['severity']} {data['state']}", style),
        data["message"],
        (data["alert_id"], "dim"),
    ]


def _verdict(data: dict[str, Any]) -> list[Cell]:
    style = _ACTIONS.get(data["action"], "")
    return [
        data["issued_at"],
        style,
        data["agent_id"],
        (f"{data['action']} {data['scope']} {data['scope_id']}", style),
        data["reason"],
    ]


def _missed(data: dict[str, Any]) -> list[Cell]:
    num = "events nobody has counted" if data["num"] is None else f"{data['num']} events"
    span = f", from {instant(data['from'])} to {instant(data['to'])}" if data["from"] else ""
    return ["", "yellow", (f"{num} were passed over{span}; read them with clawtrace traces", "yellow")]


def _usd(amount: str | None) -> str:
    return "" if amount is None else f"$ {amount}"
