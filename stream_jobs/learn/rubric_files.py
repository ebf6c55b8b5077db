"""The rubrics of all agents, as they lie on disk.

Upstream: ``<home>/config/rubrics/<tenant>/<agent>.toml``, written by people.
Downstream: the learner; the API, through ``stream_jobs.admin``; ``clawtrace rubric``.
Guarantee: a file is read again when it changes; one that has become wrong is named once in the log and counted, and
what it said before holds until it is right again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from infra.runtime.access_keys import AGENT_ID, TENANT_ID
from stream_jobs.contracts.rubric import InvalidRubric, Rubric, parse_rubric

_log = structlog.get_logger(__name__)

MAX_RUBRIC_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class _Known:
    stamp: tuple[int, int]
    rubric: Rubric | None
    fault: str


class RubricFiles:
    """Rubrics by tenant and agent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, _Known] = {}

    @property
    def num_invalid(self) -> int:
        """Files that were wrong when they were last looked at."""
        return sum(bool(it.fault) for it in self._known.values())

    def find(self, tenant_id: str, agent_id: str) -> Rubric | None:
        """Return the agent's rubric; None when it has none, or never had one that was right."""
        # The names come from records; no file outside the folder may be read.
        if not TENANT_ID.fullmatch(tenant_id) or not AGENT_ID.fullmatch(agent_id):
            return None
        path = self._folder / tenant_id / f"{agent_id}.toml"
        try:
            status = path.stat()
        except OSError:
            self._known.pop(path, None)
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._known.get(path)
        if known is None or known.stamp != stamp:
            known = self._known[path] = _read(path, stamp, known)
        return known.rubric


def rubric_path(folder: Path, tenant_id: str, agent_id: str) -> Path:
    """Where an agent's rubric lies.

    Raises:
        InvalidRubric: the names cannot be.
    """
    if not TENANT_ID.fullmatch(tenant_id):
        raise InvalidRubric(f"tenant {tenant_id!r}: use 6 to 32 small letters and digits")
    if not AGENT_ID.fullmatch(agent_id):
        raise InvalidRubric(f"agent {agent_id!r}: use the name that its key was made with")
    return folder / tenant_id / f"{agent_id}.toml"


def read_rubric(path: Path) -> Rubric:
    """Read one file.

    Raises:
        InvalidRubric: it cannot be read, or is wrong; the text says where.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_RUBRIC_BYTES:
            raise InvalidRubric(f"{path}: {len(data)} bytes; a rubric has at most {MAX_RUBRIC_BYTES}")
        return parse_rubric(data.decode())
    except OSError as error:
        raise InvalidRubric(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidRubric(f"{path}: this is no UTF-8 at byte {error.start}") from None


def _read(path: Path, stamp: tuple[int, int], before: _Known | None) -> _Known:
    try:
        return _Known(stamp, read_rubric(path), "")
    except InvalidRubric as error:
        _log.warning("invalid_rubric", path=str(path), reason=str(error))
        return _Known(stamp, before.rubric if before is not None else None, str(error))
