"""`clawtrace top`: which agents spend now.

Upstream: a person at a terminal, or a script with --json.
Downstream: ``POST /v1/sql`` and ``GET /v1/alerts``.
Guarantee: one look is one query, so the figures of a table belong together; the spend rate is what model calls have
cost that ended within the window, also in runs that began long before. Ctrl-C ends with 0; while the API is away the
last table stays, with a word about it.
"""

import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.client import EXIT_AWAY, ApiClient, ApiError
from api.console.options import KeyOption, UrlOption
from api.console.printing import (
    SEVERITIES,
    Cell,
    asked,
    console,
    instant,
    one_line,
    print_json,
    say,
    table_of,
    text_of,
)
from api.kit.values import decimal_text
from api.repositories.command_questions import spending_question

if TYPE_CHECKING:
    from rich.console import Group

top_app = typer.Typer(help="Show which agents spend now.")

_MAX_ALERTS: Final = 200
_SHOWN_ALERTS: Final = 5
_MINUTES_PER_HOUR: Final = 60
_SHOWN_DIGITS: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent now. Money is None where no call had a price."""

    agent_id: str
    usd_per_hour: Decimal
    today_cost_usd: Decimal | None
    num_open_runs: int
    num_runs_today: int
    num_errors_today: int
    num_open_alerts: int
    last_seen_at: str


@top_app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=1, max=3600, help="Seconds between two looks.")] = 5,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="Window of the spend rate.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value a look.")] = False,
    key: KeyOption = "",
    url: UrlOption = "",
) -> None:
    """Show agents by what they spend now, with open runs, cost of today (UTC) and open alerts, until Ctrl-C."""
    with asked(url, key) as api:
        try:
            if once:
                _print(_look(api, minutes), minutes, as_json)
            elif as_json or not sys.stdout.isatty():
                _print_again_and_again(api, every_s, minutes, as_json)
            else:
                _show(api, every_s, minutes)
        except KeyboardInterrupt:
            pass


def rank_agents(rows: list[dict[str, Any]], alerts: list[dict[str, Any]], minutes: int) -> list[AgentLine]:
    """Make the lines, the fastest spender first. ``rows`` are those of the question, ``alerts`` the open ones."""
    nothing = {"recent_cost_usd": None, "today_cost_usd": None, "last_seen_at": ""}
    zeros = dict.fromkeys(("num_open_runs", "num_runs_today", "num_errors_today"), 0)
    found = {str(row["agent_id"]): row for row in rows}
    for alert in alerts:
        found.setdefault(alert["agent_id"], nothing | zeros)
    lines = [
        AgentLine(
            agent_id=agent_id,
            usd_per_hour=Decimal(row["recent_cost_usd"] or 0) * _MINUTES_PER_HOUR / minutes,
            today_cost_usd=None if row["today_cost_usd"] is None else Decimal(row["today_cost_usd"]),
            num_open_runs=row["num_open_runs"],
            num_runs_today=row["num_runs_today"],
            num_errors_today=row["num_errors_today"],
            num_open_alerts=sum(alert["agent_id"] == agent_id for alert in alerts),
            last_seen_at=row["last_seen_at"] or "",
        )
        for agent_id, row in found.items()
    ]
    return sorted(lines, key=lambda line: (-line.usd_per_hour, -(line.today_cost_usd or 0), line.agent_id))


@dataclass(frozen=True, slots=True)
class _Seen:
    lines: list[AgentLine]
    alerts: list[dict[str, Any]]
    has_more_alerts: bool


def _look(api: ApiClient, minutes: int) -> _Seen:
    page = api.get("/v1/alerts", open=True, limit=_MAX_ALERTS)
    alerts = [alert for alert in page["items"] if alert["state"] != "ok"]
    lines = rank_agents(api.sql(spending_question(minutes)), alerts, minutes)
    return _Seen(lines, alerts, page["next_cursor"] is not None)


def _print(seen: _Seen, minutes: int, as_json: bool) -> None:
    if as_json:
        print_json(_document(seen, minutes))
    else:
        console().print(_picture(seen, minutes))


def _print_again_and_again(api: ApiClient, every_s: float, minutes: int, as_json: bool) -> None:
    _print(_look(api, minutes), minutes, as_json)
    while True:
        time.sleep(every_s)
        try:
            _print(_look(api, minutes), minutes, as_json)
        except ApiError as error:
            if error.exit_code != EXIT_AWAY:
                raise
            say(str(error))


def _show(api: ApiClient, every_s: float, minutes: int) -> None:
    from rich.console import Group
    from rich.live import Live

    seen = _look(api, minutes)
    with Live(_picture(seen, minutes), console=console(), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every_s)
            try:
                seen = _look(api, minutes)
            except ApiError as error:
                if error.exit_code != EXIT_AWAY:
                    raise
                live.update(Group(text_of((f"As it was. {error}", "yellow")), _picture(seen, minutes)), refresh=True)
                continue
            live.update(_picture(seen, minutes), refresh=True)


def _document(seen: _Seen, minutes: int) -> dict[str, Any]:
    names = ("agent_id", "num_open_runs", "num_runs_today", "num_errors_today", "num_open_alerts", "last_seen_at")
    return {
        "window_minutes": minutes,
        "usd_per_hour": decimal_text(_sum(line.usd_per_hour for line in seen.lines)),
        "today_cost_usd": decimal_text(_sum(line.today_cost_usd or Decimal(0) for line in seen.lines)),
        "agents": [
            {
                "usd_per_hour": decimal_text(line.usd_per_hour),
                "today_cost_usd": None if line.today_cost_usd is None else decimal_text(line.today_cost_usd),
                **{name: getattr(line, name) for name in names},
            }
            for line in seen.lines
        ],
        "alerts": seen.alerts,
    }


def _picture(seen: _Seen, minutes: int) -> "Group":
    from rich.console import Group

    rate = _sum(line.usd_per_hour for line in seen.lines)
    today = _sum(line.today_cost_usd or Decimal(0) for line in seen.lines)
    head = (
        f"spending $ {_shown(rate)} an hour (by the last {minutes} min) · today $ {_shown(today)}"
        f" · open runs {sum(line.num_open_runs for line in seen.lines)}"
        f" · open alerts {len(seen.alerts)}{'+' if seen.has_more_alerts else ''}"
    )
    names = ("agent", "$ per hour", "$ today", "open", "runs today", "errors", "alerts", "last seen (UTC)")
    rows: list[list[Cell]] = [
        [
            line.agent_id,
            (_shown(line.usd_per_hour), "bold" if line.usd_per_hour else "dim"),
            "" if line.today_cost_usd is None else _shown(line.today_cost_usd),
            (str(line.num_open_runs), "cyan" if line.num_open_runs else "dim"),
            str(line.num_runs_today),
            (str(line.num_errors_today), "red" if line.num_errors_today else "dim"),
            (str(line.num_open_alerts), "yellow" if line.num_open_alerts else "dim"),
            instant(line.last_seen_at),
        ]
        for line in seen.lines
    ]
    table = table_of(names, rows, right=frozenset(names[1:7]))
    told = [
        text_of((f"{instant(alert['at'])}  {alert['agent_id']}  {alert['message']}", SEVERITIES[alert["severity"]]))
        for alert in seen.alerts[:_SHOWN_ALERTS]
    ]
    return Group(
        text_of((one_line(head), "bold")), table if rows else text_of("No agent was seen for two days."), *told
    )


def _sum(amounts: Any) -> Decimal:
    return sum(amounts, Decimal(0))


def _shown(amount: Decimal) -> str:
    """Dollars to a hundredth of a cent, which is what a call costs."""
    return f"{amount.quantize(_SHOWN_DIGITS):f}"
