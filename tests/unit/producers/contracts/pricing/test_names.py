"""OpenClaw's names: every line of names.toml, and what providers put around the names of models."""

import pytest

from producers.contracts.pricing.book import PriceBook
from producers.contracts.pricing.names import NAMES, ModelAlias, listed_names, listed_provider
from producers.contracts.pricing.public import PUBLIC_LIST, find_public

NOV_2026_US = 1_795_413_472_000_000
BOOK = PriceBook()

# A model of each provider that the list knows under its own name.
KNOWN_MODEL = {
    "anthropic": "claude-opus-5",
    "aws": "amazon.nova-lite-v1:0",
    "azure": "gpt-5.5",
    "github-copilot": "gpt-5.5",
    "google": "gemini-2.5-pro",
    "minimax": "minimax-m3",
    "mistral": "codestral-latest",
    "moonshotai": "kimi-k3",
    "openai": "gpt-5.5",
    "together": "",
    "x-ai": "grok-4.7",
    "zai": "glm-5.3",
    "zhipuai": "glm-5.3",
}


def price_id(provider: str, model: str) -> str:
    price = BOOK.find_price("acme01", provider, model, NOV_2026_US)
    if price is None:
        return ""
    return price.price_id.removeprefix(f"{PUBLIC_LIST}:")


@pytest.mark.parametrize(("openclaw", "listed"), sorted(NAMES.provider.items()))
def test_providers(openclaw: str, listed: str) -> None:
    assert listed_provider(openclaw.upper()) == listed
    model = KNOWN_MODEL[listed] or "openai/gpt-oss-120b"
    assert price_id(openclaw, model) == price_id(listed, model) != ""


@pytest.mark.parametrize("alias", NAMES.model, ids=lambda it: it.name)
def test_models(alias: ModelAlias) -> None:
    provider, name, is_ = alias.provider, alias.name, alias.is_
    assert find_public(provider, name) is None, "the list knows the name by now: take the alias out"
    assert price_id(provider, name) == price_id(provider, is_) != ""


@pytest.mark.parametrize(("start", "maker"), sorted(NAMES.maker.items()))
@pytest.mark.parametrize("gateway", sorted(NAMES.pass_through.providers))
def test_makers_behind_gateways(gateway: str, start: str, maker: str) -> None:
    assert next(listed_names(gateway, f"{start}-any")) == (maker, f"{start}-any")
    assert next(listed_names(gateway, f"{maker}/{start}-any")) == (maker, f"{start}-any")


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        # dates
        ("anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("anthropic", "claude-fable-5-2-20261101", "anthropic/claude-fable-5-2"),
        ("openai", "gpt-5-2025-08-07", "openai/gpt-5"),
        ("openai", "gpt-6-astra-2026-10-01", "openai/gpt-6-astra"),
        # the newest
        ("anthropic", "claude-sonnet-5-5-latest", "anthropic/claude-sonnet-5-5"),
        ("anthropic", "claude-3-7-sonnet-latest", "anthropic/claude-3-7-sonnet-latest"),
        ("mistral", "codestral-latest", "mistral/codestral"),
        # Bedrock: regions, versions, inference profiles
        ("amazon-bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
         "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("amazon-bedrock", "global.anthropic.claude-opus-4-6-v1:0", "aws/global.anthropic.claude-opus-4-6-v1:0"),
        ("amazon-bedrock", "eu.anthropic.claude-opus-5-v1", "aws/regional.anthropic.claude-opus-5"),
        ("amazon-bedrock", "apac.amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-v1",
         "aws/regional.anthropic.claude-opus-5"),
        # Vertex: versions
        ("google-vertex", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("anthropic-vertex", "claude-opus-4-6@default", "google/claude-opus-4-6"),
        ("google", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        # OpenRouter: makers and variants
        ("openrouter", "anthropic/claude-opus-5", "openrouter/anthropic/claude-opus-5"),
        ("openrouter", "openai/gpt-5:nitro", "openrouter/openai/gpt-5"),
        ("openrouter", "qwen/qwen3-coder:exacto", "openrouter/qwen/qwen3-coder"),
        ("openrouter", "any/new-model:free", "free:openrouter"),
        # gateways that pass a maker's price on
        ("vercel-ai-gateway", "anthropic/claude-opus-4.6", "anthropic/claude-opus-4-6"),
        ("litellm", "claude-opus-4-6", "anthropic/claude-opus-4-6"),
        ("cloudflare-ai-gateway", "openai/gpt-5.5", "openai/gpt-5.5"),
        ("vercel-ai-gateway", "xai/grok-4.7", "x-ai/grok-4.7"),
        # subscriptions are shown at the price of the API
        ("claude-cli", "claude-opus-5", "anthropic/claude-opus-5"),
        ("openai-codex", "gpt-5.5", "openai/gpt-5.5"),
        # a machine of one's own
        ("ollama", "qwen3:8b", "local:ollama"),
        ("lmstudio", "qwen/qwen3.5-9b", "local:lmstudio"),
        ("vllm", "any", "local:vllm"),
        # capitals and blanks
        (" OpenAI ", "GPT-5.5", "openai/gpt-5.5"),
        # no name of anything
        ("ollama", "kimi-k2.5:cloud", ""),
        ("openrouter", "openrouter/auto", ""),
        ("openai", "gpt-99", ""),
        ("kilocode", "anthropic/claude-opus-5", ""),
        ("", "gpt-5.5", ""),
        ("openai", "", ""),
    ],
)  # fmt: skip
def test_what_providers_put_around_a_name(provider: str, model: str, expected: str) -> None:
    assert price_id(provider, model) == expected


@pytest.mark.parametrize("provider", sorted(NAMES.local.providers))
def test_local_models_cost_nothing_and_say_so(provider: str) -> None:
    price = BOOK.find_price("acme01", provider, "any-model", NOV_2026_US)
    assert price is not None
    assert price.price_id == f"local:{provider}"
    assert price.fresh.usd_per_mtok == price.output.usd_per_mtok == price.cache_write_1h.usd_per_mtok == 0


def test_the_name_as_it_came_is_tried_first() -> None:
    assert next(listed_names("openai", "gpt-4o-2024-05-13")) == ("openai", "gpt-4o-2024-05-13")
    assert price_id("openai", "gpt-4o-2024-05-13") == "openai/gpt-4o-2024-05-13"
