"""What /healthz and /readyz answer.

Upstream: api/routers/health.py.
Downstream: the supervisor, load balancers.
Guarantee: the same words as the health server of the other processes.
"""

from pydantic import Field

from api.schemas.common import Answer


class Health(Answer):
    """The process lives."""

    ok: bool = Field(description="Always true.")


class Readiness(Answer):
    """Whether requests can be answered."""

    ready: bool = Field(description="True when nothing is missing.")
    missing: list[str] = Field(description="What keeps it from answering, in plain words.")
