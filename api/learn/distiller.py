"""Distils a skill out of a task's runs, and says as it goes what it does.

Upstream: api/routers/skills.py.
Downstream: api/learn/reading.py, proposals.py, costcraft; api/tracy/own_trace.py records what it cost.
Guarantee: ends with one ``done`` or one ``error``. Without a model, or when it fails, the cards decide alone; whoever
proposed, the same checks stand before the skill. Nothing is stored.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Final, cast

import structlog
from fastapi import Depends, Request

from api.kit.sse import Event, error_event
from api.kit.values import decimal_text
from api.learn.costcraft.craft import Crafted, NoRoom, craft
from api.learn.costcraft.evident import evident_patches
from api.learn.costcraft.patches import Patch, Refused
from api.learn.prompt import first_message
from api.learn.proposals import Proposal, propose
from api.learn.reading import NoRuns, ReadTask, TaskReader
from api.metrics import DISTILLATIONS, TRACY_COST_USD, TRACY_TOKENS
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.prices import PricesBroken
from api.repositories.scope import Scope
from api.schemas.skills import DistilledSkill, DistillRequest
from api.services import Services
from api.tracy.model import Model, ModelFailed
from api.tracy.own_trace import OwnRun, OwnTraces
from api.tracy.settings import HOW_TO_CONFIGURE, TracySettings
from infra.runtime.database import DatabaseAway

_log = structlog.get_logger(__name__)

_AWAY: Final = "The tables cannot be read now. Try again in a minute."


class Distiller:
    """Distils with the model of Tracy, under its limits."""

    def __init__(self, settings: TracySettings, services: Services, model: Model, own_traces: OwnTraces) -> None:
        self._settings = settings
        self._services = services
        self._model = model
        self._own_traces = own_traces
        self._places = asyncio.Semaphore(settings.tracy_max_questions)

    async def run(self, scope: Scope, wanted: DistillRequest) -> AsyncGenerator[Event]:
        """Yield the events of one distillation: ``progress``, ``skill``, ``done``; or ``error``."""
        if wanted.use_model and not self._settings.is_configured:
            words = f"{HOW_TO_CONFIGURE} Or distil from the cards alone: use_model false, --no-model."
            yield error_event("not-configured", words)
            return
        proposal = Proposal()
        # Unless it comes to an end: the client hung up, or it crashed, which the stream tells and logs.
        outcome = "cut"
        try:
            async with self._places:
                async for event in self._events(scope, wanted, proposal):
                    # With the skill all is done; not everybody waits for what it cost.
                    outcome = "done" if event[0] == "skill" else outcome
                    yield event
        except NoRuns as error:
            outcome = "not-found"
            yield error_event(outcome, f"{error}")
        except NoRoom as error:
            outcome = "invalid"
            yield error_event(outcome, f"current_text: {error}")
        except PricesBroken as error:
            outcome = "unavailable"
            yield error_event(outcome, str(error))
        except (TrinoAway, DatabaseAway, QueryTimeout) as error:
            _log.warning("distillation_failed", reason=str(error)[:200])
            outcome = "unavailable"
            yield error_event(outcome, _AWAY)
        except TooManyQueries as error:
            outcome = "too-busy"
            yield error_event(outcome, f"Too busy: {error}.")
        finally:
            DISTILLATIONS.labels(outcome).inc()
            _count(proposal)
            failed = None if outcome == "done" else outcome
            self._own_traces.record(OwnRun("distill", "a skill to distil", proposal.steps, failed))

    async def _events(self, scope: Scope, wanted: DistillRequest, proposal: Proposal) -> AsyncGenerator[Event]:
        yield _progress("reading", 0, 0)
        read: ReadTask | None = None
        async for part in TaskReader(self._services, scope).read(wanted.agent_id, wanted.task_id, wanted.days):
            if isinstance(part, ReadTask):
                read = part
            else:
                yield _progress("reading", *part)
        assert read is not None, "reading ends with the task"
        task = read.task
        yield _progress("comparing", 0, 0)
        # Many pairs of long texts are measured: not in the loop that serves everybody.
        evident = await asyncio.to_thread(evident_patches, task)
        patches, failure = evident, None
        if wanted.use_model:
            yield _progress("asking the model", 0, 0)
            failure = await self._propose(read, wanted, evident, proposal)
            patches = proposal.patches if failure is None else evident
        yield _progress("writing", 0, 0)
        crafted = await asyncio.to_thread(craft, task, patches, wanted.current_text)
        made_by = "model" if wanted.use_model and failure is None else "cards"
        skill = DistilledSkill.of(task, crafted, proposal.refused, failure, made_by)
        yield "skill", skill.model_dump(mode="json")
        cost = proposal.cost_usd
        yield (
            "done",
            {
                "num_model_calls": sum(step.kind == "model" for step in proposal.steps),
                "num_mended": proposal.num_mended,
                "tokens": proposal.num_tokens,
                "cost_usd": decimal_text(cost) if cost is not None else None if proposal.steps else "0",
            },
        )

    async def _propose(
        self, read: ReadTask, wanted: DistillRequest, evident: list[Patch], proposal: Proposal
    ) -> str | None:
        """Ask the model; return why it gave nothing, None when it did."""

        async def judge(patches: list[Patch]) -> tuple[list[Patch], list[Refused]]:
            crafted: Crafted = await asyncio.to_thread(craft, read.task, patches, wanted.current_text)
            return [line.patch for line in crafted.accepted if line.patch is not None], list(crafted.refused)

        message = await asyncio.to_thread(first_message, read, wanted.current_text, evident, payloads=wanted.payloads)
        try:
            await propose(self._settings, self._model, message, judge, proposal)
        except ModelFailed as failure:
            # What it proposed before it failed was judged like the rest.
            return None if proposal.patches else str(failure)
        return None if proposal.patches or proposal.refused else "The model proposed nothing."


def _count(proposal: Proposal) -> None:
    for step in proposal.steps:
        for bucket, num_tokens in asdict(step.use).items():
            TRACY_TOKENS.labels(bucket).inc(num_tokens)
    TRACY_COST_USD.inc(float(proposal.cost_usd or 0))


def _progress(step: str, num_done: int, num_all: int) -> Event:
    return "progress", {"step": step, "done": num_done, "total": num_all}


def distiller_of(request: Request) -> Distiller:
    """The distiller of this process."""
    return cast(Distiller, request.app.state.distiller)


DistillerDep = Annotated[Distiller, Depends(distiller_of)]
