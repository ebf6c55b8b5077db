"""One call of the Messages API, against a server that speaks it: text as it comes, one reply, or one failure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from api.tracy.budget import Budget
from api.tracy.model import Model, ModelFailed, Reply, TokenUse, price
from api.tracy.settings import TracySettings
from tests.messages_server import Cut, Fail, MessagesServer, Say, messages_server, script

MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with messages_server() as state:
        yield state


def settings(server: MessagesServer, **changes: Any) -> TracySettings:
    values: dict[str, Any] = {"tracy_base_url": server.url, "tracy_model_retries": 0, **changes}
    return TracySettings(**values)


async def ask(about: TracySettings) -> tuple[list[str], Reply]:
    model, texts, reply = Model(about), list[str](), None
    try:
        async for part in model.ask([{"type": "text", "text": "You are."}], [], MESSAGES):
            if isinstance(part, Reply):
                reply = part
            else:
                texts.append(part)
    finally:
        await model.aclose()
    assert reply is not None
    return texts, reply


async def test_text_streams_and_the_reply_holds_all(server: MessagesServer) -> None:
    said = Say("It is all there, word by word.", (("run_sql", {"sql": "SELECT 'ü'"}),), cache_read_tokens=7)
    server.behaviour = script(said)
    texts, reply = await ask(settings(server, tracy_api_key=SecretStr("sk-test")))
    assert len(texts) > 2
    assert "".join(texts) == said.text
    assert reply.content[0] == {"type": "text", "text": said.text}
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("run_sql", {"sql": "SELECT 'ü'"})]
    assert reply.stop_reason == "tool_use"
    assert reply.use == TokenUse(input=100, cache_read=7, cache_write=0, output=20)
    assert "sk-test" in " ".join(server.headers[0].values())


async def test_keys_of_other_programs_stay_here(server: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "sk-of-another-program")
    server.behaviour = script(Say("Hello."))
    await ask(settings(server))
    assert "sk-of-another-program" not in " ".join(server.headers[0].values())


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Fail(529, "overloaded_error"), "model-overloaded"),
        (Fail(200, "overloaded_error", in_stream=True), "model-overloaded"),
        (Fail(200, "api_error", in_stream=True), "model-error"),
        (Fail(503, "api_error"), "model-error"),
        (Fail(403, "permission_error"), "model-key"),
        (Cut("It is"), "model-cut"),
        (Cut(""), "model-cut"),
    ],
)
async def test_failures_have_a_name(server: MessagesServer, reply: Fail | Cut, code: str) -> None:
    server.behaviour = script(reply)
    with pytest.raises(ModelFailed) as failure:
        await ask(settings(server))
    assert failure.value.code == code
    assert "told to fail" not in str(failure.value)


async def test_an_overloaded_server_is_asked_again(server: MessagesServer) -> None:
    server.behaviour = script(Fail(529, "overloaded_error"), Say("Now."))
    texts, _ = await ask(settings(server, tracy_model_retries=1))
    assert texts == ["Now."]
    assert len(server.requests) == 2


async def test_nobody_there(server: MessagesServer) -> None:
    with messages_server() as gone:
        address = gone.url
    with pytest.raises(ModelFailed) as failure:
        await ask(settings(server, tracy_base_url=address))
    assert failure.value.code == "model-away"


def test_tokens_have_a_price_when_the_model_is_known() -> None:
    # A million fresh tokens of a known model cost dollars, cached ones less.
    fresh, cached = (
        price("claude-sonnet-4-6", TokenUse(input=10**6)),
        price("claude-sonnet-4-6", TokenUse(cache_read=10**6)),
    )
    assert fresh is not None
    assert cached is not None
    assert fresh > cached > 0
    assert price("no-such-model", TokenUse(input=1)) is None


def test_the_budget_ends_by_tokens_dollars_and_time() -> None:
    now = [0.0]
    about = TracySettings(
        tracy_max_tokens=1_000,
        tracy_max_usd=Decimal("0.001"),
        tracy_timeout_s=10,
        tracy_model="claude-sonnet-4-6",
    )
    budget = Budget(about, clock=lambda: now[0])
    assert budget.why_no_call(300) is None
    assert "1000 tokens" in str(budget.why_no_call(3_100))
    now[0] = 10.0
    assert "10 seconds" in str(budget.why_no_call(0))
    now[0] = 0.0
    budget.add(TokenUse(input=100, output=100))
    assert "$0.001" in str(budget.why_no_call(0))


def test_without_key_and_address_there_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-another-program")
    assert not TracySettings(tracy_api_key=SecretStr(""), tracy_base_url="").is_configured
