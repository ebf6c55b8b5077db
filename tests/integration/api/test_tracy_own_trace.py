"""Tracy's own runs are recorded like those of any agent, through the real gateway into the lake."""

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import OPERATOR
from tests.integration.api.conftest import run_sql
from tests.integration.api.tracy_stack import Asker, datas, new_key, own_database, served_tracy
from tests.integration.doors import wait_until
from tests.messages_server import Say, messages_server, script

MODEL = "claude-sonnet-4-6"


def test_an_answer_becomes_a_trace(stack: StackSettings, make_key: Callable[..., str]) -> None:
    tenant_id = f"own{secrets.token_hex(6)}"
    observe_key = make_key(tenant_id, "tracy", "ingest")
    with (
        own_database(stack) as database,
        messages_server() as model,
        served_tracy(
            stack, database, tracy_base_url=model.url, tracy_model=MODEL, tracy_observe_key=observe_key
        ) as http,
    ):
        model.behaviour = script(
            Say(tools=(("run_sql", {"sql": "SELECT 1 AS num_ones"}),), input_tokens=1_000, output_tokens=50),
            Say("Done.", input_tokens=200, cache_read_tokens=900, output_tokens=10),
        )
        events = Asker(http, new_key(stack, database, tenant_id, "read")).ask("Nothing secret")
        cost_usd = datas(events, "done")[0]["cost_usd"]
        assert Decimal(cost_usd) > 0

    def trace() -> list[list[Any]]:
        columns = "status, num_model_calls, num_tool_calls, input_tokens, cache_read_tokens, output_tokens, cost_usd"
        return run_sql(
            stack, f"SELECT {columns} FROM clawtrace.traces WHERE tenant_id = '{tenant_id}'", OPERATOR
        )  # fmt: skip

    wanted = [["ok", 2, 1, 1_200, 900, 60, Decimal(cost_usd)]]
    wait_until(trace, lambda rows: rows == wanted, "Tracy's run in the lake")


def test_an_answer_does_not_need_the_gateway_to_take_its_record(stack: StackSettings) -> None:
    with (
        own_database(stack) as database,
        messages_server() as model,
        served_tracy(
            stack,
            database,
            tracy_base_url=model.url,
            tracy_observe_key=f"ct_ingest_{secrets.token_hex(6)}",
        ) as http,
    ):
        model.behaviour = script(Say("All is well."))
        events = Asker(http, new_key(stack, database, "nobodyhere", "read")).ask("Hello")
        assert events[-1][0] == "done"
