"""The lock file: every Maven artifact of the local stack with its size and checksum.

Upstream: infra/local/maven.lock, written by `clawtrace lock` (lock_writer.py).
Downstream: artifacts.py downloads exactly these.
Guarantee: a line that does not parse is an error that names its number.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from infra.local.errors import StackError

LOCK_FILE = Path(__file__).with_name("maven.lock")
_LINE = re.compile(
    r"(?P<group>[\w.-]+):(?P<name>[\w.-]+):(?P<version>[\w.-]+):(?P<packaging>[\w.]+)"
    r"\s+sha256=(?P<sha256>[0-9a-f]{64})\s+size=(?P<size>\d+)"
)


@dataclass(frozen=True, order=True)
class LockedArtifact:
    """One file of a Maven repository, pinned by content."""

    group: str
    name: str
    version: str
    packaging: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Name of the file in any Maven repository."""
        return f"{self.name}-{self.version}.{self.packaging}"

    @property
    def repository_path(self) -> PurePosixPath:
        """Path below the root of any Maven repository, and below our cache."""
        return PurePosixPath(*self.group.split("."), self.name, self.version, self.file_name)

    def line(self) -> str:
        """Line of the lock file."""
        coordinates = f"{self.group}:{self.name}:{self.version}:{self.packaging}"
        return f"{coordinates} sha256={self.sha256} size={self.size_bytes}"


def parse_lock(text: str) -> list[LockedArtifact]:
    """Artifacts of a lock file's text.

    Raises:
        StackError: a line is neither blank, nor a comment, nor an artifact; or an artifact comes twice.
    """
    artifacts: dict[tuple[str, str, str], LockedArtifact] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise StackError(f"maven.lock line {number} is not an artifact: {stripped!r}")
        artifact = LockedArtifact(
            match["group"],
            match["name"],
            match["version"],
            match["packaging"],
            match["sha256"],
            int(match["size"]),
        )
        key = (artifact.group, artifact.name, artifact.packaging)
        if key in artifacts:
            raise StackError(f"maven.lock line {number} names {artifact.group}:{artifact.name} a second time")
        artifacts[key] = artifact
    return list(artifacts.values())


def read_lock(path: Path = LOCK_FILE) -> list[LockedArtifact]:
    """Artifacts of the committed lock file."""
    try:
        return parse_lock(path.read_text())
    except FileNotFoundError:
        raise StackError(f"The lock file {path} is missing; the checkout is not complete.") from None
