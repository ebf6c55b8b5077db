"""Writes maven.lock anew: resolves the roots, downloads, hashes.

Upstream: the Maven repositories that jgo knows (its default, or the user's own jgo settings).
Downstream: maven.lock, to be reviewed and committed.
Guarantee: only a developer runs it (`clawtrace lock`); nothing else changes the lock file.
"""

import hashlib
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext

from infra.local.layout import Layout
from infra.local.maven_lock import LOCK_FILE, LockedArtifact
from infra.local.repositories import remote_repositories

KAFKA_ROOT = "org.apache.kafka:kafka_2.13:4.4.0"
LOGGING_CORE = "log4j-core"
# Kafka logs to slf4j 1.7; the binding is taken in the version of the log4j-core that Kafka brings, and not
# resolved together with Kafka, because its own list of versions would then replace Kafka's.
LOGGING_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl")
TRINO_ROOTS = (
    ("io.trino", "trino-server-core", "476", "tar.gz"),
    ("io.trino", "trino-iceberg", "476", "zip"),
    # For people's SQL tools, and for the test that tries one.
    ("io.trino", "trino-jdbc", "476", "jar"),
)
RUNTIME_SCOPES = (None, "", "compile", "runtime")
TIMEOUT_S = 60
HEADER = """\
# Maven artifacts of the local stack: group:artifact:version:packaging, checksum, size in bytes.
# Written by `clawtrace lock`; `clawtrace up` downloads exactly these and refuses anything else.
"""


def write_lock(layout: Layout, path: Path = LOCK_FILE) -> list[LockedArtifact]:
    """Resolve the roots and write the lock file."""
    context = MavenContext(repo_cache=layout.maven, remote_repos=remote_repositories(), timeout=TIMEOUT_S)
    inputs, transitive = context.resolver.resolve([context.create_dependency(KAFKA_ROOT)])
    wanted = [dep.artifact for dep in [*inputs, *transitive] if dep.scope in RUNTIME_SCOPES]
    logging_version = next(item.version for item in wanted if item.artifactId == LOGGING_CORE)
    wanted.append(context.project(*LOGGING_BINDING).at_version(logging_version).artifact())
    for group, name, version, packaging in TRINO_ROOTS:
        wanted.append(context.project(group, name).at_version(version).artifact(packaging=packaging))
    locked = sorted({_lock(artifact) for artifact in wanted})
    path.write_text(HEADER + "".join(f"{artifact.line()}\n" for artifact in locked))
    return locked


def _lock(artifact: Any) -> LockedArtifact:
    file: Path = artifact.resolve()
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return LockedArtifact(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        packaging=artifact.packaging,
        sha256=sha256,
        size_bytes=file.stat().st_size,
    )
