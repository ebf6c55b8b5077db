"""The commands as a person sees them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream_jobs.prices.commands import prices_app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def run(*words: object) -> Result:
    return CliRunner().invoke(prices_app, [str(word) for word in words])


def test_set_then_list_then_show(file: Path) -> None:
    words = ("fake", "m", "--input", "3", "--output", "15", "--cache-read", "0.30", "--from", "2026-01-01")
    assert run("set", *words, "--tenant", "acme01", "--source", "a contract", "--file", file).exit_code == 0
    listed = json.loads(run("list", "--provider", "fake", "--tenant", "acme01", "--file", file, "--json").stdout)
    assert [(it["model"], it["input"], it["cache_read"], it["cache_write"]) for it in listed] == [
        ("m", "3", "0.3", "3")
    ]
    assert json.loads(run("list", "--provider", "fake", "--file", file, "--json").stdout) == []
    shown = run("show", "fake", "m", "--tenant", "acme01", "--at", "2026-01-01", "--file", file)
    assert "input 3, cache read 0.3, cache write 3" in shown.stdout
    assert "override:fake/m/2026-01-01#" in shown.stdout
    assert run("show", "fake", "m", "--tenant", "acme01", "--at", "2025-12-31", "--file", file).exit_code == 1


def test_list_takes_openclaws_name_and_a_part_of_the_models(file: Path) -> None:
    result = run("list", "--provider", "xai", "--model", "GROK-4.7", "--at", "2026-11-23", "--file", file)
    assert result.exit_code == 0
    head, row = result.stdout.splitlines()
    assert head.split()[:3] == ["provider", "model", "input"]
    assert row.split()[:4] == ["x-ai", "grok-4.7", "2", "0.5"]


def test_show_tells_tiers_and_hours(file: Path) -> None:
    shown = json.loads(run("show", "openai", "gpt-6-astra", "--at", "2026-11-23", "--file", file, "--json").stdout)
    assert [it["above_prompt_tokens"] for it in shown["tiers"]] == [272_000]
    peak, quiet = (
        json.loads(run("show", "deepseek", "deepseek-v4-pro", "--at", at, "--file", file, "--json").stdout)["input"]
        for at in ("2026-11-23T02:00", "2026-11-23T12:00")
    )
    assert (peak, quiet) == ("1.32", "0.66")


def test_tiers_are_set_and_shown(file: Path) -> None:
    words = ("fake", "m", "--input", "3", "--output", "15", "--cache-read", "0.30", "--file", file)
    tier = ("--tier", "200000:input=6, output=22.50,cache-read=0.60")
    assert run("set", *words, *tier).exit_code == 0
    shown = run("show", "fake", "m", "--file", file)
    assert "above 200000 prompt tokens: input 6, cache read 0.6, cache write 6" in shown.stdout
    kept = run("set", *words)
    assert (kept.exit_code, "--no-tiers" in kept.stderr) == (1, True)
    assert run("set", *words, "--no-tiers").exit_code == 0
    assert "above" not in run("show", "fake", "m", "--file", file).stdout


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ("many:input=1,output=2", "write tokens and prices as"),
        ("200000:input", "write tokens and prices as"),
        ("200000", "write tokens and prices as"),
        ("200000:input=1", "tiers.1.output_usd_per_mtok: is missing"),
        ("200000:input=1,output=2,reasoning=3", "there is no such field"),
        ("0:input=1,output=2", "must be above 0"),
    ],
)
def test_a_tier_that_cannot_be_is_refused(file: Path, tier: str, said: str) -> None:
    refused = run("set", "fake", "m", "--input", "3", "--output", "15", "--tier", tier, "--file", file)
    assert refused.exit_code != 0
    assert said in " ".join(refused.stderr.replace("│", " ").split())
    assert not file.exists()


def test_an_unknown_model_is_said_with_the_way_out(file: Path) -> None:
    result = run("show", "openai", "gpt-99-latest", "--file", file)
    assert result.exit_code == 1
    assert "looked for openai/gpt-99-latest, openai/gpt-99" in result.stderr
    assert "clawtrace prices set openai gpt-99-latest" in result.stderr


def test_check(file: Path) -> None:
    assert run("check", file).exit_code == 1
    file.write_text('[[price]]\nprovider = "a"\nmodel = "b"\ninput_usd_per_mtok = 0.3\noutput_usd_per_mtok = "1"\n')
    result = run("check", file)
    assert result.exit_code == 1
    assert f"{file}: price 1: input_usd_per_mtok: write money as text" in result.stderr
    file.write_text(file.read_text().replace("0.3", '"0.3"'))
    assert "1 prices, all right" in run("check", file).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "2026-11-01", "--read-key", "k", "--apply"), "name it with --agent"),
        (("--since", "2026-11-01", "--read-key", "k", "--apply", "--agent", "a"), "give its --key"),
        (("--since", "soon", "--read-key", "k"), "'soon' is no day"),
        (("--since", "2026-11-02", "--until", "2026-11-01", "--read-key", "k"), "is after"),
    ],
)
def test_reprice_refuses_what_makes_no_sense(words: tuple[str, ...], said: str) -> None:
    result = run("reprice", *words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
