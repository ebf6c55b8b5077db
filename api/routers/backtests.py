"""POST /v1/rules/{rule}/backtest: try a rule on what is stored.

Upstream: clients; it takes the role operator, since it costs the machine minutes.
Downstream: api/backtest/.
Guarantee: a rule or a setting that cannot be is refused before anything is read; nothing is written; a caller that
hangs up or whose key is revoked ends the work.
"""

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from api.access.roles import OperatorDep, door_of
from api.backtest.service import BacktestBusy
from api.kit.sse import EVENT_STREAM, event_stream
from api.routers.rules import RuleName, refusal_of
from api.schemas.backtests import BacktestAnswer, BacktestRequest
from api.services import ServicesDep
from infra.runtime.problem import FieldError, invalid, problem_responses, too_busy
from stream_jobs.admin import InvalidRule, NoSuchRule

router = APIRouter(prefix="/v1/rules", tags=["rules"])

_RETRY_AFTER_S: Final = 30
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events: progress (num_events, num_events_total, at), then one result or one error (code, "
        "message); each with a JSON object as data. The schema is that of the data of result.",
        "model": BacktestAnswer,
    }
}


class _EventStream(StreamingResponse):
    """Only for the document: the answer is made by event_stream."""

    media_type = EVENT_STREAM


@router.post(
    "/{rule}/backtest",
    summary="Try a rule on what is stored",
    response_class=_EventStream,
    responses={**_STREAM, **problem_responses(404)},
)
async def try_rule(
    request: Request, caller: OperatorDep, services: ServicesDep, rule: RuleName, wanted: BacktestRequest
) -> StreamingResponse:
    """Run stored events through the functions that run live, with other settings of one rule.

    The answer says what would have fired, the dollars that halting would have saved, the finished runs that it would
    have hurt, and what was really recorded. It comes as server-sent events.
    """
    try:
        answer = await services.backtests.start(caller.scope, rule, wanted, datetime.now(UTC))
    except (NoSuchRule, InvalidRule) as error:
        raise refusal_of(error) from None
    except ValueError as error:
        raise invalid(f"body.settings: {error}", FieldError("body.settings", str(error))) from None
    except BacktestBusy as error:
        raise too_busy(str(error), retry_after_s=_RETRY_AFTER_S) from None
    return event_stream(answer, lambda: door_of(request).identify(request))
