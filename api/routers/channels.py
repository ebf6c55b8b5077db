"""GET /v1/channels, and what a tenant sets of where it is told of alerts.

Upstream: clients; to try a channel it takes the role operator, to set one the role admin.
Downstream: api/repositories/channels.py.
Guarantee: no secret is ever in an answer, an error or the audit log; what leads where nothing may be sent is a 422
that names the field, and a test message goes through the same guard.
"""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Response
from pydantic import SecretStr

from api.access.roles import AdminDep, OperatorDep
from api.repositories.scope import Scope
from api.routers.window import NO_CONTROLS
from api.schemas.channels import ChannelFields, ChannelItem, ChannelList, ChannelRequest, ChannelTestAnswer
from api.services import ScopeDep, Services, ServicesDep
from infra.runtime.problem import FieldError, Problem, invalid, not_found, problem_responses, unavailable
from stream_jobs.admin import ListedChannel, NoSuchChannel, VaultClosed
from stream_jobs.contracts.channel import ChannelFilters, ChannelKind, InvalidChannel

router = APIRouter(prefix="/v1/channels", tags=["channels"])

_RETRY_AFTER_S = 5
_ONE = problem_responses(404)
ChannelName = Annotated[str, Path(min_length=1, max_length=63, pattern=NO_CONTROLS, description="The channel's name.")]
_OUTER = {"name", "renotify_minutes"}


@router.get("", summary="List channels")
async def list_channels(scope: ScopeDep, services: ServicesDep) -> ChannelList:
    """List the tenant's channels with what is open in each and what waits; never their secrets."""
    return ChannelList(items=[_item(it) for it in await services.channels.list_all(scope)])


@router.post("", status_code=201, summary="Make a channel")
async def add_channel(caller: AdminDep, services: ServicesDep, wanted: ChannelRequest) -> ChannelItem:
    """Make a channel; it is told of alerts from now on."""
    try:
        await services.channels.add(caller.scope, wanted.name, _plain(wanted), actor=caller.actor)
    except (InvalidChannel, VaultClosed) as error:
        raise _refused(error) from None
    return await _one(caller.scope, services, wanted.name)


@router.put("/{name}", summary="Change a channel", responses=_ONE)
async def change_channel(
    caller: AdminDep, services: ServicesDep, name: ChannelName, wanted: ChannelFields
) -> ChannelItem:
    """Put a channel in the place of the one of this name; what is open in it stays.

    Of the same kind, secrets that are left out stay as they are, unless the address changes: then they must be sent
    again, so that no secret ever goes to an address it was not given for.
    """
    try:
        await services.channels.replace(caller.scope, name, _plain(wanted), actor=caller.actor)
    except NoSuchChannel:
        raise not_found(f"there is no channel {name}") from None
    except (InvalidChannel, VaultClosed) as error:
        raise _refused(error) from None
    return await _one(caller.scope, services, name)


@router.delete("/{name}", status_code=204, response_class=Response, summary="Remove a channel", responses=_ONE)
async def remove_channel(caller: AdminDep, services: ServicesDep, name: ChannelName) -> Response:
    """Remove a channel with all that waits for it."""
    try:
        await services.channels.remove(caller.scope, name, actor=caller.actor)
    except NoSuchChannel:
        raise not_found(f"there is no channel {name}") from None
    return Response(status_code=204)


@router.post("/{name}/test", summary="Try a channel", responses=_ONE)
async def try_channel(caller: OperatorDep, services: ServicesDep, name: ChannelName) -> ChannelTestAnswer:
    """Send a message that says it is a test, once and now, and say what came of it; may take ten seconds."""
    try:
        outcome = await services.channels.send_test(caller.scope, name, actor=caller.actor)
    except NoSuchChannel:
        raise not_found(f"there is no channel {name}") from None
    except VaultClosed as error:
        raise _refused(error) from None
    return ChannelTestAnswer(is_sent=outcome.is_sent, reason=outcome.reason, can_pass=outcome.is_passing)


async def _one(scope: Scope, services: Services, name: str) -> ChannelItem:
    found = next((it for it in await services.channels.list_all(scope) if it.name == name), None)
    if found is None:
        raise not_found(f"there is no channel {name}")
    return _item(found)


def _item(listed: ListedChannel) -> ChannelItem:
    return ChannelItem(**{name: getattr(listed, name) for name in ChannelItem.model_fields})


def _plain(wanted: ChannelFields) -> dict[str, Any]:
    """Return the values of a channel, secrets included: for nothing but to be checked and encrypted."""
    target = {name: value for name, value in wanted.target if value is not None}
    return {
        "target": {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in target.items()
        },
        "filters": wanted.filters.model_dump(),
        "renotify_minutes": wanted.renotify_minutes,
    }


def _refused(error: InvalidChannel | VaultClosed) -> Problem:
    if isinstance(error, VaultClosed):
        return unavailable("what is secret in channels cannot be sealed or opened here", retry_after_s=_RETRY_AFTER_S)
    errors = [_field_error(line) for line in str(error).splitlines()]
    return invalid("; ".join(f"{it.field}: {it.message}" for it in errors), *errors)


def _field_error(line: str) -> FieldError:
    name, _, message = line.partition(": ")
    if name == "channel":
        # What several fields have to do with each other; the text may begin with the one that is meant.
        inner, _, rest = message.partition(": ")
        return FieldError(f"body.filters.{inner}", rest) if inner in ChannelFilters.model_fields else _whole(message)
    if name in get_args(ChannelKind):
        return FieldError("body.target", message)
    if name.partition(".")[0] in ChannelFilters.model_fields:
        return FieldError(f"body.filters.{name}", message)
    return FieldError(f"body.{name}" if name in _OUTER else f"body.target.{name}", message)


def _whole(message: str) -> FieldError:
    return FieldError("body", message)
