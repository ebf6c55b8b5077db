"""The lock file: what parses, what is refused, and the committed one."""

import pytest

from infra.local.errors import StackError
from infra.local.maven_lock import LockedArtifact, parse_lock, read_lock

SHA256 = "ab" * 32
LINE = f"org.example:thing_2.13:1.2.3:tar.gz sha256={SHA256} size=42"


def test_a_line_becomes_an_artifact_and_back() -> None:
    [artifact] = parse_lock(f"# comment\n\n{LINE}\n")
    assert artifact == LockedArtifact("org.example", "thing_2.13", "1.2.3", "tar.gz", SHA256, 42)
    assert artifact.line() == LINE
    assert str(artifact.repository_path) == "org/example/thing_2.13/1.2.3/thing_2.13-1.2.3.tar.gz"


@pytest.mark.parametrize(
    "line",
    [
        "org.example:thing:1.2.3:jar",
        f"org.example:thing:1.2.3 sha256={SHA256} size=42",
        "org.example:thing:1.2.3:jar sha256=abc size=42",
        f"org.example:thing:1.2.3:jar sha256={SHA256} size=many",
        f"org.example:../thing:1.2.3:jar sha256={SHA256} size=42",
    ],
)
def test_a_line_that_is_not_an_artifact_is_named_by_its_number(line: str) -> None:
    with pytest.raises(StackError, match="line 2"):
        parse_lock(f"# comment\n{line}\n")


def test_the_same_artifact_twice_is_refused() -> None:
    with pytest.raises(StackError, match="second time"):
        parse_lock(f"{LINE}\n{LINE}\n")


def test_the_committed_lock_holds_the_programs_of_the_stack() -> None:
    versions = {artifact.name: artifact.version for artifact in read_lock()}
    assert versions["kafka_2.13"] == versions["kafka-clients"]
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"]
    assert versions["trino-server-core"] == versions["trino-iceberg"]
