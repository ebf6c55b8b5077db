"""The door for comparing tool calls: what makes two of them the same, as rule ``redundant_tool_calls`` sees it.

Upstream: arguments and results of tool calls as JSON text, as the tables hold them.
Downstream: the API, where it learns from runs.
Guarantee: the functions of ``core.redundancy`` and the share at which it calls texts nearly the same; no logic.
"""

from stream_jobs.core.redundancy.levenshtein import is_similar
from stream_jobs.core.redundancy.normalise import answer_text, asked_text, digest_of, units_of
from stream_jobs.core.redundancy.similar import DEFAULT_MIN_PERCENT

__all__ = ["DEFAULT_MIN_PERCENT", "answer_text", "asked_text", "digest_of", "is_similar", "units_of"]
