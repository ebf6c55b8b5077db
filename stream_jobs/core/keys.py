"""Keys of the store: one letter for the kind, then the ids; ``tenant|agent`` is put before it by the workspace.

Upstream: ids as OpenClaw gave them.
Downstream: ``stream_jobs.core.workspace``.
Guarantee: two different things never share a key.
"""

# Ids never hold control characters (the normaliser refuses them), so this cannot appear inside a part of a key.
SEPARATOR = "\x1f"


def run_ref(run_id: str) -> str:
    """Key of a run."""
    return f"r{SEPARATOR}{run_id}"


def call_ref(span_id: str) -> str:
    """Key of a model call."""
    return f"c{SEPARATOR}{span_id}"


def tool_ref(run_id: str, tool_call_id: str) -> str:
    """Key of a tool call."""
    return f"t{SEPARATOR}{run_id}{SEPARATOR}{tool_call_id}"


def attempt_ref(run_id: str, seq: int) -> str:
    """Key of an attempt, by the sequence number of its llm_input."""
    return f"a{SEPARATOR}{run_id}{SEPARATOR}{seq}"


def attempts_ref(run_id: str) -> str:
    """Key of what is known of the attempts of a run."""
    return f"b{SEPARATOR}{run_id}"


def guard_ref(guard_id: str) -> str:
    """Key of a decision of the guard or of a verdict."""
    return f"g{SEPARATOR}{guard_id}"


def agent_ref() -> str:
    """Key of what is known of the agent itself."""
    return f"y{SEPARATOR}"


def watch_ref(page: int) -> str:
    """Key of a page of runs that are watched."""
    return f"o{SEPARATOR}{page}"


def trace_ref(trace_id: str) -> str:
    """Key of a trace."""
    return f"x{SEPARATOR}{trace_id}"


def session_ref(session_key: str, spool_id: str) -> str:
    """Key of a session in one spool: sequence numbers of two spools cannot be compared."""
    return f"e{SEPARATOR}{spool_id}{SEPARATOR}{session_key}"


def join_ref(session_key: str, spool_id: str) -> str:
    """Key of what is being joined in a session."""
    return f"j{SEPARATOR}{spool_id}{SEPARATOR}{session_key}"


def spool_ref(spool_id: str) -> str:
    """Key of a spool."""
    return f"d{SEPARATOR}{spool_id}"


def harness_ref(span_id: str) -> str:
    """Key of the link from a harness span to its run."""
    return f"h{SEPARATOR}{span_id}"


def wait_ref(span_id: str, page: int | None = None) -> str:
    """Key of the newest runs that wait for a harness span, or of a full page of those before them."""
    return f"w{SEPARATOR}{span_id}" if page is None else f"w{SEPARATOR}{span_id}{SEPARATOR}{page}"


def child_ref(parent_ref: str, number: int) -> str:
    """Key of the n-th child a node was ever given; it may have moved since."""
    return f"k{SEPARATOR}{parent_ref}{SEPARATOR}{number}"


def memory_ref(name: str) -> str:
    """Key of what a rule remembers; the name begins with the rule's own."""
    return f"m{SEPARATOR}{name}"


def payload_ref(payload_id: str) -> str:
    """Key of a text; its id is the event's id and a letter, so it is written once."""
    return f"p{SEPARATOR}{payload_id}"
