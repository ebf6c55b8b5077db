"""Gathers the facts, each part by itself: what cannot be looked at never hides the rest.

Upstream: the local supervisor, /metrics of the local processes, Kafka; the HTTP API with the given key.
Downstream: api/console/doctor/checks.py.
Guarantee: only reads. A part that fails is None and says why.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from api.client import ApiClient, ApiError, find_door
from api.console.doctor.facts import (
    AgentFacts,
    AlertFact,
    ApiFacts,
    CaptureFacts,
    DeadLetterFact,
    DiskFacts,
    Facts,
    KeyFacts,
    StackFacts,
    TracyFacts,
)
from api.repositories.command_questions import capture_question, silence_question
from api.settings import ApiSettings
from infra.runtime.dead_letters import DEAD_LETTER_SUFFIX, DeadLetterReader, Letter, Mark
from infra.runtime.kafka import KafkaAway
from infra.runtime.settings import LOOPBACK, PORT_OFFSETS
from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

_PLUGIN_FOLDER: Final = "producers/openclaw_plugin/package.json"
_METRIC_PORTS: Final = (
    "gateway",
    "stitcher_metrics",
    "sink_metrics",
    "budgets_metrics",
    "learner_metrics",
    "notifier_metrics",
)
_LOOK_TIMEOUT_S: Final = 5.0
_LETTERS_DAYS: Final = 7
_MAX_ALERTS: Final = 200


class NotHere(Exception):
    """A part cannot be looked at; the text says why."""


def gather_facts(url: str, key: str, look_at_stack: Callable[[], StackFacts]) -> Facts:
    """Look at everything. ``look_at_stack`` tells of the local stack."""
    settings = ApiSettings()
    unknown: dict[str, str] = {}

    def part(name: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except (NotHere, ApiError, KafkaAway, OSError) as error:
            unknown[name] = str(error).splitlines()[0]
            return None

    is_elsewhere = bool(url) and url.rstrip("/") != settings.api_url
    stack = None if is_elsewhere else part("stack", lambda: _with_reasons(settings, look_at_stack()))
    if is_elsewhere:
        unknown["stack"] = "--url names an API of another stack; run clawtrace doctor on its machine, too"
    is_up = stack is not None and stack.is_running
    facts = Facts(
        stack=stack,
        disk=None if is_elsewhere else part("disk", lambda: _disk(settings.home)),
        api=_api(url.rstrip("/") or settings.api_url),
        gauges=part("gauges", lambda: _gauges(settings, is_up)),
        dead_letters=part("dead_letters", lambda: _dead_letters(settings, is_up)),
        newest_plugin=_newest_plugin(),
    )
    unknown.setdefault("disk", unknown.get("stack", ""))
    facts = replace(facts, key=part("key", lambda: _key(url, key, facts)))
    if facts.key is None or not facts.key.role:
        why = unknown.get("key") or "no key opens the API"
        unknown |= dict.fromkeys(("agents", "captures", "alerts", "tracy"), why)
        return replace(facts, unknown=unknown)
    with ApiClient(find_door(url, key)) as api:
        return replace(
            facts,
            agents=part("agents", lambda: _agents(api)),
            captures=part("captures", lambda: _captures(api)),
            alerts=part("alerts", lambda: _alerts(api)),
            tracy=part("tracy", lambda: _tracy(api)),
            unknown=unknown,
        )


def _with_reasons(settings: ApiSettings, stack: StackFacts) -> StackFacts:
    """Ask those processes that are not ready what they wait for."""
    processes = tuple(
        it if it.state == "running" else replace(it, missing=_missing(settings, it.name)) for it in stack.processes
    )
    return replace(stack, processes=processes)


def _missing(settings: ApiSettings, name: str) -> tuple[str, ...]:
    port_name = next((it for it in (name, f"{name}_metrics") if it in PORT_OFFSETS), "")
    if not port_name:
        return ()
    try:
        url = f"http://{LOOPBACK}:{settings.port(port_name)}/readyz"
        said: Any = httpx2.get(url, timeout=_LOOK_TIMEOUT_S, trust_env=False).json()
        return tuple(str(reason) for reason in said["missing"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ()


def _disk(home: Path) -> DiskFacts:
    folder = next(place for place in (home, *home.parents) if place.exists())
    usage = shutil.disk_usage(folder)
    return DiskFacts(str(folder), usage.free, usage.total)


def _api(url: str) -> ApiFacts:
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=_LOOK_TIMEOUT_S, trust_env=False)
        said: Any = answer.json()
        missing = tuple(str(reason) for reason in said["missing"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ApiFacts(url, answers=False)
    at = answer.headers.get("date")
    ahead_s = parsedate_to_datetime(at).timestamp() - time.time() if at else 0.0
    return ApiFacts(url, answers=True, missing=missing, clock_ahead_s=ahead_s)


def _key(url: str, key: str, facts: Facts) -> KeyFacts:
    if facts.api is None or not facts.api.answers:
        raise NotHere("the API does not answer")
    try:
        with ApiClient(find_door(url, key)) as api:
            me = api.get("/v1/me")
    except ApiError as error:
        if error.status in (0, 401, 403) and not (error.status == 0 and key):
            return KeyFacts(role="", refusal=str(error))
        raise
    return KeyFacts(role=str(me["role"]), tenant_id=str(me["tenant_id"]))


def _gauges(settings: ApiSettings, is_up: bool) -> dict[str, float]:
    if not is_up:
        raise NotHere("no stack of this home is running")
    found: dict[str, float] = {}
    for name in _METRIC_PORTS:
        try:
            answer = httpx2.get(
                f"http://{LOOPBACK}:{settings.port(name)}/metrics", timeout=_LOOK_TIMEOUT_S, trust_env=False
            )
        except httpx2.HTTPError:
            # That it does not answer is said by the check of the stack.
            continue
        for family in text_string_to_metric_families(answer.text):
            if family.type == "gauge":
                found[family.name] = sum(sample.value for sample in family.samples)
    return found


def _dead_letters(settings: ApiSettings, is_up: bool) -> tuple[DeadLetterFact, ...]:
    if not is_up:
        raise NotHere("no stack of this home is running")
    since_ms = int((time.time() - _LETTERS_DAYS * 86_400) * 1000)
    reader = DeadLetterReader(settings.kafka_bootstrap)
    groups: dict[tuple[str, str], list[Letter]] = {}
    try:
        for spec in (*PRODUCER_TOPICS, *STREAM_TOPICS):
            if not spec.name.endswith(DEAD_LETTER_SUFFIX):
                continue
            letters: list[Letter] = []
            done: set[str] = set()
            for found in reader.letters(settings.topic_prefix + spec.name, since_ms=since_ms):
                if not isinstance(found, Mark):
                    letters.append(found[0])
                elif found.state == "done":
                    done.add(found.letter_id)
            for letter in letters:
                if letter.letter_id not in done:
                    topic = spec.name.removesuffix(DEAD_LETTER_SUFFIX)
                    groups.setdefault((topic, letter.stage), []).append(letter)
    finally:
        reader.close()
    return tuple(
        DeadLetterFact(topic, stage, len(letters), letters[-1].reason) for (topic, stage), letters in groups.items()
    )


def _agents(api: ApiClient) -> tuple[AgentFacts, ...]:
    rows = api.sql(silence_question())
    return tuple(AgentFacts(str(row["agent_id"]), float(row["silent_s"])) for row in rows)


def _captures(api: ApiClient) -> tuple[CaptureFacts, ...]:
    return tuple(
        CaptureFacts(
            agent_id=str(row["agent_id"]),
            plugin_version=row["plugin_version"] or "",
            host_version=row["host_version"] or "",
            delay_ms=int(row["delay_ms"]),
            hooks=frozenset(row["hooks"]),
        )
        for row in api.sql(capture_question())
    )


def _alerts(api: ApiClient) -> tuple[AlertFact, ...]:
    found = []
    for rule in ("blindness", "unpriced_model"):
        page = api.get("/v1/alerts", rule=rule, state="alert", limit=_MAX_ALERTS)
        found += [AlertFact(item["rule"], item["agent_id"], item["message"]) for item in page["items"]]
    return tuple(found)


def _tracy(api: ApiClient) -> TracyFacts:
    try:
        said = api.get("/v1/tracy")
    except ApiError as error:
        if error.status == httpx2.codes.NOT_FOUND:
            raise NotHere("the API is older than this command and does not say") from error
        raise
    return TracyFacts(bool(said["is_configured"]), said["how_to_configure"] or "")


def _newest_plugin() -> str:
    """Version of the plugin that came with this ClawTrace."""
    file = Path(__file__).resolve().parents[3] / _PLUGIN_FOLDER
    try:
        return str(json.loads(file.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return ""
