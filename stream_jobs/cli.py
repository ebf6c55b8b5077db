"""The commands of the stream jobs.

Upstream: people and the supervisor, through ``clawtrace``.
Downstream: ``stream_jobs.processors``, ``stream_jobs.budgets``, ``stream_jobs.learn``.
Guarantee: nothing heavy is imported before a command runs; what a person can put right is said in plain words on stderr
with exit code 1; with --json, stdout is one JSON document.
"""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Literal, ParamSpec, TypeVar

import typer

from infra.runtime.logging import configure_logging
from infra.runtime.metrics import describe_process
from stream_jobs.contracts.budget import BudgetAction, BudgetWindow, InvalidBudget
from stream_jobs.settings import BudgetsSettings, LearnerSettings, StitcherSettings

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TenantOption = Annotated[
    str | None, typer.Option(help="Whose agent; needed when several tenants have one of the name.")
]

budget_app = typer.Typer(no_args_is_help=True, help="What tenants and agents may spend in an hour, a day, a month.")
orders_app = typer.Typer(no_args_is_help=True, help="Halt and release agents by hand.")
learner_app = typer.Typer(no_args_is_help=True, help="Learn from ended runs: score them, tell of dear and worse ones.")
stitcher_app = typer.Typer(no_args_is_help=True, help="Turn events into spans, traces and alerts.")


@stitcher_app.callback()
def _group() -> None:
    """Keep ``run`` a command of its own even while it is the only one."""


@stitcher_app.command()
def run() -> None:
    """Run the stitcher until it is told to stop."""
    configure_logging("stitcher")
    from stream_jobs.processors.compose import run as run_process

    settings = StitcherSettings()
    describe_process("stitcher", settings.home)
    raise typer.Exit(run_process(settings))


@learner_app.callback()
def _learner_group() -> None:
    """Keep ``run`` a command of its own even while it is the only one."""


@learner_app.command("run")
def run_learner() -> None:
    """Run the learner until it is told to stop."""
    configure_logging("learner")
    import structlog

    from stream_jobs.learn.process import NeedsPerson, make_learner_process

    settings = LearnerSettings()
    describe_process("learner", settings.home)
    try:
        make_learner_process(settings).run()
    except NeedsPerson as error:
        structlog.get_logger(__name__).critical("learner_stopped", reason=str(error))
        raise typer.Exit(1) from None


def _plain_errors(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    @wraps(command)
    def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        from infra.runtime.database import DatabaseAway
        from infra.runtime.kafka import KafkaAway

        try:
            return command(*args, **kwargs)
        except (DatabaseAway, KafkaAway, InvalidBudget) as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from None

    return guarded


def run_budgets() -> None:
    """Keep the budgets until told to stop."""
    configure_logging("budgets")
    import structlog

    from stream_jobs.budgets.process import NeedsPerson, make_budgets_process

    settings = BudgetsSettings()
    describe_process("budgets", settings.home)
    try:
        make_budgets_process(settings).run()
    except NeedsPerson as error:
        structlog.get_logger(__name__).critical("budgets_stopped", reason=str(error))
        raise typer.Exit(1) from None


@budget_app.command("set")
@_plain_errors
def budget_set(
    tenant: Annotated[str, typer.Option(help="Who pays.")],
    window: Annotated[BudgetWindow, typer.Option(help="day and month begin at midnight UTC; 1h and 5h look back.")],
    usd: Annotated[str | None, typer.Option(help="Limit in dollars.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Limit in tokens of all kinds, for flat subscriptions.")] = None,
    agent: Annotated[
        str | None, typer.Option(help="One OpenClaw install; without: all of the tenant together.")
    ] = None,
    openclaw_agent: Annotated[str | None, typer.Option(help="One agent inside the install, for instance main.")] = None,
    session_prefix: Annotated[str | None, typer.Option(help="Only sessions whose key begins so.")] = None,
    action: Annotated[BudgetAction | None, typer.Option(help="What agents are told at 100 %; at first: abort.")] = None,
    warn: Annotated[str | None, typer.Option(help="Percents that warn; at first: 50,80.")] = None,
    grace_percent: Annotated[
        int | None, typer.Option(help="Percent above the limit that may be spent before the action; at first: 0.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a budget, or change the one with this scope, window and unit. It acts within a second."""
    from infra.runtime.database import make_engine
    from stream_jobs.budgets.admin import say_budgets, set_budget

    standing = set_budget(
        make_engine(BudgetsSettings()),
        tenant_id=tenant,
        agent_id=agent,
        openclaw_agent_id=openclaw_agent,
        session_prefix=session_prefix,
        window=window,
        usd=usd,
        tokens=tokens,
        warn=warn,
        action=action,
        grace_percent=grace_percent,
    )
    typer.echo(say_budgets([standing], as_json=as_json))


@budget_app.command("list")
@_plain_errors
def budget_list(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, as_json: JsonOption = False
) -> None:
    """List budgets with what is spent, what is left, and when the window ends."""
    from infra.runtime.database import make_engine
    from stream_jobs.budgets.admin import list_budgets, say_budgets

    typer.echo(say_budgets(list_budgets(make_engine(BudgetsSettings()), tenant), as_json=as_json))


@budget_app.command("remove")
@_plain_errors
def budget_remove(budget_id: Annotated[str, typer.Argument(help="Its id, as budget list shows it.")]) -> None:
    """Remove a budget; whoever it stopped may go on."""
    from infra.runtime.database import make_engine
    from stream_jobs.budgets.admin import remove_budget

    removed = remove_budget(make_engine(BudgetsSettings()), budget_id)
    typer.echo(f"removed the {removed.window} budget of {removed.scope_text} of {removed.tenant_id}")


@orders_app.command("halt")
@_plain_errors
def halt(
    agent: Annotated[str, typer.Argument(help="The OpenClaw install, as its key names it.")],
    reason: Annotated[str, typer.Option(help="Plain sentence that the user may be shown.")] = "Somebody halted it.",
    tenant: TenantOption = None,
    hours: Annotated[float, typer.Option(min=0.01, max=168, help="When it lapses by itself.")] = 168,
    as_json: JsonOption = False,
) -> None:
    """Stop every run of an agent and keep it closed until a release."""
    _order(agent, tenant, "abort", reason, hours, as_json)


@orders_app.command("release")
@_plain_errors
def release(
    agent: Annotated[str, typer.Argument(help="The OpenClaw install, as its key names it.")],
    reason: Annotated[str, typer.Option(help="Plain sentence that the user may be shown.")] = "Somebody released it.",
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an agent go on, whatever stopped it; a budget that is used up lets it alone until its window has room."""
    from stream_jobs.budgets.orders import RELEASE_HOURS

    _order(agent, tenant, "release", reason, RELEASE_HOURS, as_json)


def _order(
    agent: str, tenant: str | None, action: Literal["abort", "release"], reason: str, hours: float, as_json: bool
) -> None:
    from infra.runtime.database import make_engine
    from stream_jobs.budgets.orders import order_agent

    settings = BudgetsSettings()
    sent = order_agent(
        settings, make_engine(settings), agent, tenant_id=tenant, action=action, reason=reason, hours=hours
    )
    typer.echo(sent.as_json() if as_json else sent.as_sentence())
    if sent.not_written_down:
        typer.secho(f"sent, but not written down: {sent.not_written_down}", fg="yellow", err=True)
