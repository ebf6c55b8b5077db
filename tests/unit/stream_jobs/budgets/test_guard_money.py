"""The plugin's own reckoning of a call: the same dollars as the stitcher's, tiers and writes for an hour included."""

import json
import random
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from producers.contracts.guard import GuardPrice
from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.usage import OpenClawUsage, TokenUsage
from producers.gateway.guard_prices import PriceList

ROOT = Path(__file__).resolve().parents[4]
TENANT = "acme01"
DAY = date(2026, 6, 1)
OWN = """
[[price]]
provider = "own"
model = "steps"
input_usd_per_mtok = "1"
output_usd_per_mtok = "2"
cache_read_usd_per_mtok = "0.1"
cache_write_usd_per_mtok = "1.25"
cache_write_1h_usd_per_mtok = "4"

[[price.tiers]]
above_prompt_tokens = 1000
input_usd_per_mtok = "3"
output_usd_per_mtok = "5"
cache_read_usd_per_mtok = "0.3"
cache_write_usd_per_mtok = "3.75"
cache_write_1h_usd_per_mtok = "7"

[[price.tiers]]
above_prompt_tokens = 50000
input_usd_per_mtok = "11"
output_usd_per_mtok = "13"
cache_read_usd_per_mtok = "1.1"
cache_write_usd_per_mtok = "12"
cache_write_1h_usd_per_mtok = "17"
"""
RECKON = """
import { PriceTable, formatUsd } from %s;
let text = "";
for await (const piece of process.stdin) text += piece;
const { prices, calls } = JSON.parse(text);
const table = new PriceTable(prices);
console.log(JSON.stringify(calls.map(([provider, model, usage]) => formatUsd(table.cost(provider, model, usage)))));
"""


def reckoned(prices: list[GuardPrice], calls: list[tuple[str, str, dict[str, Any]]]) -> list[Decimal]:
    """What the plugin says that calls cost."""
    module = (ROOT / "producers/openclaw_plugin/src/guard/money.mjs").as_uri()
    node = str(Path(sys.executable).with_name("node"))
    told = json.dumps({"prices": msgspec.to_builtins(prices), "calls": calls}, default=str)
    command = [node, "--input-type=module", "-e", RECKON % json.dumps(module)]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=True, timeout=60)
    return [Decimal(it) for it in json.loads(done.stdout)]


def usage_of(chance: random.Random, prompt_tokens: int) -> dict[str, int]:
    """Spread a prompt over the buckets."""
    read = chance.randint(0, prompt_tokens)
    write = chance.randint(0, prompt_tokens - read)
    # OpenClaw may say more hours than writes.
    hour = chance.choice((0, chance.randint(0, write), write, write + 5))
    fresh = prompt_tokens - read - write
    output = chance.randint(0, 9_000)
    return {"input": fresh, "output": output, "cacheRead": read, "cacheWrite": write, "cacheWrite1h": hour}


def test_every_price_counts_as_in_the_stitcher_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    book, prices = PriceBook.from_toml(OWN), PriceList(path).of_tenant(TENANT, DAY)
    chance = random.Random(7)
    calls = [
        (it.provider, it.model, usage_of(chance, prompt_tokens))
        for it in prices
        for limit in (500, *(tier.above_prompt_tokens for tier in it.tiers))
        for prompt_tokens in (limit - 1, limit, limit + 1, 3 * limit)
    ]
    expected = []
    for provider, model, usage in calls:
        price = book.find_price(TENANT, provider, model, noon_us(DAY))
        assert price is not None
        expected.append(price.cost_usd(TokenUsage.from_openclaw(msgspec.convert(usage, OpenClawUsage))))
    assert reckoned(prices, calls) == expected
    assert sum(bool(it.tiers) for it in prices) > 20
    assert sum(it.cache_write_1h_usd_per_mtok is not None for it in prices) > 10


def test_a_gateway_that_tells_neither_is_counted_as_before() -> None:
    price = GuardPrice(provider="p", model="m", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(4))
    usage = {"input": 1_000, "output": 10, "cacheRead": 100, "cacheWrite": 50, "cacheWrite1h": 20}
    (usd,) = reckoned([price], [("P", "M", usage)])
    assert usd == Decimal("0.00234")
