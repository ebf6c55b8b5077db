"""Envelopes of the reference system's plugin, written by hand from the list of its fields.

They are no captures: none existed. What they are held to stands in ``producers.contracts.reference_envelope``.
"""

import uuid
from typing import Any

AGENT = "6a1f0c52-5a0e-4a53-9f50-0d9f3a5f2c11"
RUN = "0f0e8a52-0000-4000-8000-000000000001"
CHILD_RUN = "0f0e8a52-0000-4000-8000-000000000002"
ANNOUNCE_RUN = f"announce:v1:agent:main:subagent:kid:{CHILD_RUN}"
SESSION, CHILD_SESSION = "agent:main:main", "agent:main:subagent:kid"
START_MS = 1_776_000_000_000


def usage(number: int) -> dict[str, int]:
    return {"input": number, "output": number + 1, "cacheRead": number + 2, "cacheWrite": number + 3, "total": 9}


class Writer:
    """Writes envelopes, the clock going on by 10 ms with each."""

    def __init__(self) -> None:
        self.envelopes: list[dict[str, Any]] = []
        self.at_ms = START_MS

    def add(self, type_: str, span: str, parent: str | None, trace_id: str = RUN, **payload: Any) -> None:
        self.at_ms += 10
        self.envelopes.append(
            {
                "schemaVersion": 1,
                "agentId": AGENT,
                "event": {
                    "eventId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{len(self.envelopes)}")),
                    "eventType": type_,
                    "traceId": trace_id,
                    "spanId": str(uuid.uuid5(uuid.NAMESPACE_OID, span)),
                    "parentSpanId": parent and str(uuid.uuid5(uuid.NAMESPACE_OID, parent)),
                    "tsMs": self.at_ms,
                    "payload": payload,
                },
            }
        )

    def call(self, run: str, session: str, span: str, root: str, number: int, error: str = "") -> None:
        about: dict[str, Any] = {"runId": run, "sessionId": f"id of {session}", "sessionKey": session}
        about |= {"provider": "fake", "model": "sim-1"}
        self.add("llm_before_call", span, root, prompt=f"please {number}", historyMessagesCount=0, **about)
        if error:
            last = {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": error}
            self.add("llm_after_call", span, root, assistantTexts=[], lastAssistant=last, **about)
        else:
            texts = [f"answer {number}"]
            self.add("llm_after_call", span, root, assistantTexts=texts, usage=usage(number), **about)

    def tool(self, run: str, session: str, span: str, parent: str, name: str, **after: Any) -> None:
        about = {"runId": run, "toolCallId": f"call of {span}", "sessionKey": session, "toolName": name}
        self.add("tool_before_call", span, parent, params={"command": name}, **about)
        self.add("tool_after_call", span, parent, params={"command": name}, durationMs=10, **about, **after)


def whole_trace() -> list[dict[str, Any]]:
    """A run with a failed attempt, tools, a shadow duplicate, a sub-agent, and the announce run after it."""
    it = Writer()
    it.add("session_start", "root", None, runId=RUN, sessionKey=SESSION, hook="agent_loop_start")
    it.call(RUN, SESSION, "failed", "root", 50, error="overloaded")
    it.add(
        "llm_before_call",
        "llm",
        "root",
        runId=RUN,
        sessionKey=SESSION,
        provider="fake",
        model="sim-1",
        prompt="please 50",
    )
    it.tool(RUN, SESSION, "exec", "llm", "exec", result={"content": [], "details": {"exitCode": 3}})
    shadow: dict[str, Any] = {"toolName": "exec", "params": {}, "sessionKey": "unknown"}
    it.add("tool_after_call", "shadow", None, trace_id=RUN, **shadow)
    it.tool(RUN, SESSION, "read", "llm", "read", error="File not found")
    it.add("error", "error", "read", source="tool_after_call", toolName="read", message="File not found")
    it.tool(RUN, SESSION, "spawn tool", "llm", "sessions_spawn")
    about: dict[str, Any] = {"runId": CHILD_RUN, "requesterSessionKey": SESSION, "childSessionKey": CHILD_SESSION}
    it.add("subagent_spawn", "spawn", "root", mode="run", threadRequested=False, **about)
    done: dict[str, Any] = {
        "runId": RUN,
        "sessionKey": SESSION,
        "provider": "fake",
        "model": "sim-1",
        "usage": usage(100),
    }
    it.add("session_start", "child root", "root", runId=CHILD_RUN, sessionKey=CHILD_SESSION, isSubAgent=True)
    it.add("llm_after_call", "llm", "root", assistantTexts=["done"], **done)
    it.call(CHILD_RUN, CHILD_SESSION, "child llm", "child root", 200)
    it.add("session_start", "announce root", "child root", runId=ANNOUNCE_RUN, sessionKey=SESSION)
    it.call(ANNOUNCE_RUN, SESSION, "announce llm", "announce root", 300)
    join = {"runId": CHILD_RUN, "targetSessionKey": CHILD_SESSION, "targetKind": "subagent", "outcome": "ok"}
    it.add("subagent_join", "spawn", "root", **join)
    it.at_ms += 3_600_000
    it.add("session_end", "root", None, sessionKey=SESSION, sessionId="id", messageCount=9)
    return it.envelopes
