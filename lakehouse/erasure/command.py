"""One erasure at once, for whoever sits at the command line.

Upstream: `clawtrace lake erase`.
Downstream: infra.runtime.erasure_jobs, lakehouse.erasure.eraser.
Guarantee: the same job as through the API; when somebody interrupts it, upkeep goes on with it.
"""

import getpass
from collections.abc import Callable

from infra.runtime import erasure_jobs
from infra.runtime.access_keys import TENANT_ID
from infra.runtime.database import make_engine
from infra.runtime.erasure_jobs import ErasureBusy, JobScope
from lakehouse.contracts.erasure import Receipt
from lakehouse.erasure.eraser import Eraser
from lakehouse.maintenance.lock import TablesBusy, tables_lock
from lakehouse.settings import UpkeepSettings

_LOCK_WAIT_S = 600.0


class NotDone(Exception):
    """It was not erased, or not by this command; the text says why and what follows."""


def erase_now(
    settings: UpkeepSettings,
    tenant_id: str,
    *,
    trace: str | None,
    session: str | None,
    agent: str,
    reason: str,
    tell: Callable[[str], None],
) -> Receipt:
    """Erase a trace, a session, or the tenant when neither is named.

    Raises:
        NotDone: the text says why.
    """
    if not TENANT_ID.fullmatch(tenant_id):
        raise NotDone(f"{tenant_id!r} is no tenant: 6 to 32 lower case letters and digits")
    scope: JobScope = "trace" if trace is not None else "session" if session is not None else "tenant"
    target = trace or session or tenant_id
    engine = make_engine(settings)
    try:
        with engine.begin() as connection:
            who = f"cli:{getpass.getuser()}"
            job = erasure_jobs.ask(connection, tenant_id, scope, target, agent_id=agent, reason=reason, who=who)
        erasure_id = job["erasure_id"]
        with tables_lock(engine, _LOCK_WAIT_S):
            # None when upkeep was quicker: it holds the lock until it is done.
            Eraser(settings, engine, tell).run_next(erasure_id)
        with engine.begin() as connection:
            done = erasure_jobs.find(connection, tenant_id, erasure_id)
    except (ErasureBusy, TablesBusy) as error:
        raise NotDone(str(error)) from None
    finally:
        engine.dispose()
    if done is None or done["state"] != "done":
        reason = done["error"] if done else "the job is gone"
        raise NotDone(f"not erased yet: {reason}. Nothing of it is stored any more; upkeep tries again.")
    return Receipt.model_validate(done["receipt"])
