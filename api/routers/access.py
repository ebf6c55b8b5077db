"""Who may do what: /v1/me, /v1/keys, /v1/members, /v1/tenants, /v1/audit.

Upstream: clients; to change anything it takes the role admin.
Downstream: api/repositories/access.py.
Guarantee: nobody sees or changes another tenant's; keys that are revoked stop to count within seconds.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.access.roles import AdminDep, ViewerDep
from api.kit.cursor import Cursor, decode_cursor
from api.routers.window import NO_CONTROLS, CursorText, FromAt, ToAt, in_utc
from api.schemas.access import (
    AuditEntry,
    AuditPage,
    KeyItem,
    KeyList,
    KeyMade,
    KeyRequest,
    Me,
    MemberItem,
    MemberList,
    MemberRequest,
    TenantItem,
    TenantList,
    TenantRequest,
)
from api.services import ServicesDep
from infra.runtime.access_keys import InvalidKeyRequest
from infra.runtime.problem import FieldError, invalid, not_found, problem_responses

router = APIRouter(prefix="/v1", tags=["access"])

_AUDIT = "audit"
_CHANGE = problem_responses(404)
KeyId = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The key's name.")]
MemberId = Annotated[
    str, Path(min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f]+$", description="E-mail address or subject.")
]


@router.get("/me", summary="Read who the key speaks for")
async def get_me(caller: ViewerDep) -> Me:
    """Read tenant and role of the key."""
    return Me(tenant_id=caller.scope.tenant_id, role=caller.role, actor=caller.actor)


@router.get("/keys", summary="List access keys")
async def list_keys(caller: AdminDep, services: ServicesDep) -> KeyList:
    """List the tenant's keys, never their secrets."""
    rows = await services.access_keys.list_all(caller.scope)
    return KeyList(items=[KeyItem(**row) for row in rows])


@router.post("/keys", status_code=201, summary="Make an access key")
async def create_key(caller: AdminDep, services: ServicesDep, wanted: KeyRequest) -> KeyMade:
    """Make a key. Its text is in this answer and cannot be had again."""
    try:
        made = await services.access_keys.create(
            caller.scope, actor=caller.actor, key_scope=wanted.scope, agent_id=wanted.agent_id
        )
    except InvalidKeyRequest as error:
        raise invalid(str(error), FieldError("body.agent_id", str(error))) from error
    principal = made.principal
    return KeyMade(key=made.key, key_id=principal.key_id, scope=principal.scope, agent_id=principal.agent_id)


@router.delete(
    "/keys/{key_id}", status_code=204, response_class=Response, summary="Revoke an access key", responses=_CHANGE
)
async def revoke_key(caller: AdminDep, services: ServicesDep, key_id: KeyId) -> Response:
    """Revoke a key; within five seconds it opens nothing."""
    if not await services.access_keys.revoke(caller.scope, key_id, actor=caller.actor):
        raise not_found(f"there is no key {key_id}")
    return Response(status_code=204)


@router.get("/members", summary="List members")
async def list_members(caller: AdminDep, services: ServicesDep) -> MemberList:
    """List the people of the tenant and their roles."""
    rows = await services.members.list_all(caller.scope)
    return MemberList(items=[MemberItem(**row) for row in rows])


@router.put("/members/{member_id}", summary="Let a person in, or change the role")
async def set_member(caller: AdminDep, services: ServicesDep, member_id: MemberId, wanted: MemberRequest) -> MemberItem:
    """Make a person a member, or change what he or she may do."""
    return MemberItem(**await services.members.set_role(caller.scope, member_id, wanted.role, actor=caller.actor))


@router.delete(
    "/members/{member_id}", status_code=204, response_class=Response, summary="Remove a member", responses=_CHANGE
)
async def remove_member(caller: AdminDep, services: ServicesDep, member_id: MemberId) -> Response:
    """Remove a person from the tenant."""
    if not await services.members.remove(caller.scope, member_id, actor=caller.actor):
        raise not_found(f"there is no member {member_id}")
    return Response(status_code=204)


@router.get("/tenants", summary="List the caller's tenants")
async def list_tenants(caller: ViewerDep, services: ServicesDep) -> TenantList:
    """List the tenants that the caller belongs to."""
    name = await services.members.find_name(caller.scope)
    return TenantList(items=[TenantItem(tenant_id=caller.scope.tenant_id, name=name, role=caller.role)])


@router.put("/tenants/{tenant_id}", summary="Name a tenant", responses=_CHANGE)
async def name_tenant(
    caller: AdminDep,
    services: ServicesDep,
    tenant_id: Annotated[str, Path(max_length=32, description="The tenant.")],
    wanted: TenantRequest,
) -> TenantItem:
    """Give the tenant a name for people."""
    if tenant_id != caller.scope.tenant_id:
        raise not_found(f"there is no tenant {tenant_id}")
    await services.members.set_name(caller.scope, wanted.name, actor=caller.actor)
    return TenantItem(tenant_id=tenant_id, name=wanted.name, role=caller.role)


@router.get("/audit", summary="List changes, newest first")
async def list_audit(
    caller: AdminDep,
    services: ServicesDep,
    from_at: FromAt = None,
    to_at: ToAt = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Changes per page.")] = 50,
) -> AuditPage:
    """List who changed what: keys, members, acks, snoozes."""
    after = decode_cursor(cursor, _AUDIT) if cursor else None
    start, end = (after.from_at, after.to_at) if after else (in_utc(from_at, "from"), in_utc(to_at, "to"))
    before_id = int(after.value) if after and isinstance(after.value, int) else None
    rows = await services.audit.list_newest(
        caller.scope, from_at=start, to_at=end, before_id=before_id, limit=limit + 1
    )
    items = [AuditEntry(**{name: row[name] for name in AuditEntry.model_fields}) for row in rows[:limit]]
    if len(rows) <= limit:
        return AuditPage(items=items, next_cursor=None)
    last_id = rows[limit - 1]["entry_id"]
    return AuditPage(items=items, next_cursor=Cursor(_AUDIT, "-entry_id", last_id, ("",), start, end).encode())
