"""Settings of the lakehouse: names of namespaces and topics, cadence of commits and of upkeep.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: every module of lakehouse.
Guarantee: the defaults are those of one machine; a test or a second stack changes names without touching code.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from infra.runtime.settings import StackSettings
from lakehouse.contracts.retention import default_days


def _check_days(days: dict[str, int]) -> dict[str, int]:
    default_days(days)
    return days


class LakeSettings(StackSettings):
    """Where the tables and views are."""

    silver_namespace: str = Field(default="silver", description="Iceberg namespace of the tables.")
    view_namespace: str = Field(default="clawtrace", description="Iceberg namespace of the views for people.")
    maintenance_user: str = Field(
        default="maintenance", description="Trino user that owns the views and runs the upkeep."
    )
    retention_days: Annotated[dict[str, int], AfterValidator(_check_days)] = Field(
        default={},
        description="Days that rows stay, by table, as JSON, for tenants that set none of their own. Without it "
        "events 30, verdicts 90, and spans, edges, traces, alerts and cards 400.",
    )


class SinkSettings(LakeSettings):
    """How the sink reads and commits."""

    topic_prefix: str = Field(default="", description="Text before every topic name; for tests that share a broker.")
    sink_group: str = Field(
        default="clawtrace.sink",
        description="Consumer group that offsets are reported under, for lag dashboards only.",
    )
    sink_tables: str = Field(
        default="",
        description="Tables that this sink fills, with commas between them; empty: all. Sinks with different tables "
        "share the work. Tables that one topic feeds stay together: spans, edges, traces, agents, tenants do.",
    )
    sink_commit_seconds: float = Field(
        default=5.0, gt=0, description="Time between two commits of a table while records arrive."
    )
    sink_slow_commit_seconds: float = Field(
        default=15.0, gt=0, description="The same for edges, agents and tenants, which nobody watches live."
    )
    sink_gather_seconds: float = Field(
        default=0.5, ge=0, description="How long the first record after a pause waits for company."
    )
    sink_max_buffer_bytes: int = Field(
        default=32 * 1024 * 1024, gt=0, description="Buffered bytes of records that force a commit."
    )
    sink_mark_seconds: float = Field(
        default=60.0, gt=0, description="How often offsets are stored for a table that got no rows."
    )
    sink_standby_seconds: float = Field(
        default=30.0, gt=0, description="How long the tables must stand still before an overtaken sink goes on."
    )
    sink_max_consecutive_dead: int = Field(
        default=100, ge=0, description="Unreadable records in a row after which the sink stops."
    )
    sink_agent_refresh_seconds: float = Field(
        default=60.0, ge=0, description="How far last_seen_at of an agent or a tenant may lag behind."
    )


class UpkeepSettings(LakeSettings):
    """How often the tables are looked after."""

    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )

    upkeep_retention_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="Time between two deletions of rows that are older than their tenant keeps them.",
    )
    upkeep_erasure_seconds: float = Field(
        default=5.0, gt=0, description="How often upkeep looks for erasures that were asked for."
    )
    upkeep_expire_seconds: float = Field(default=120.0, gt=0, description="Time between two expiries of snapshots.")
    upkeep_snapshot_retention: str = Field(
        default="10m", description="Age at which snapshots expire, as Trino writes durations."
    )
    upkeep_optimize_seconds: float = Field(default=600.0, gt=0, description="Time between two rewrites of small files.")
    upkeep_small_file_bytes: int = Field(
        default=32 * 1024 * 1024, gt=0, description="Files below this size are rewritten together."
    )
    upkeep_orphan_seconds: float = Field(
        default=86_400.0, gt=0, description="Time between two removals of files that no snapshot names."
    )
    upkeep_orphan_retention: str = Field(
        default="7d", description="Age at which such files are removed, as Trino writes durations."
    )
