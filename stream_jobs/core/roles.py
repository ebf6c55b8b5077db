"""What a run is for, in words: a sub-agent, an announcement, the host's own upkeep.

Upstream: run ids, session keys and triggers as OpenClaw makes them.
Downstream: names of spans and traces.
Guarantee: pure; a run without a part of its own (somebody asked the agent) has no words.
"""

from stream_jobs.core.state import RunState, is_compaction


def role_of(run: RunState) -> str:
    """Say what a run is for; "" for ordinary work."""
    if is_compaction(run.run_id):
        return "compaction"
    if run.run_id.startswith("announce:"):
        if run.run_id.startswith("announce:requester-settle:"):
            return "settle"
        # An announcement of a wake names it: announce:v1:<session>:announce:v1:…:wake.
        return "wake" if run.run_id.endswith(":wake") and run.run_id.count("announce:v1:") == 1 else "announce"
    if run.run_id.startswith("skill-workshop-review:"):
        return "skill review"
    if run.trigger == "memory":
        return "memory flush"
    if ":internal-session-effects:" in run.session_key:
        return "upkeep"
    if ":subagent:" in run.session_key:
        return f"sub-agent: {run.label}" if run.label else "sub-agent"
    return run.trigger if run.trigger in ("cron", "heartbeat", "overflow", "manual") else ""
