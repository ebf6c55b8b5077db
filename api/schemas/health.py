"""What /healthz and /readyz answer.

Upstream: api/routers/health.py.
Downstream: the supervisor, load balancers.
Guarantee: the same words as the health server of the other processes.
"""

from pydantic import Field

from api.schemas.common import Answer


class Health(Answer):
    """The process lives."""

    ok: bool


class Readiness(Answer):
    """Whether requests can be answered."""

    ready: bool
    missing: list[str] = Field(description="What keeps it from answering, in plain words.")
