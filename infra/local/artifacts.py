"""The Java programs of the local stack: downloaded by the lock, checked, unpacked once per user.

Upstream: maven.lock, the repositories that jgo knows.
Downstream: kafka.py and trino.py build their class paths from the cache folder; people's SQL tools take the driver.
Guarantee: what is used has the checksum of the lock; a second checkout or home downloads nothing.
"""

import hashlib
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from infra.local.downloads import download, sha256_of
from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.local.maven_lock import LockedArtifact, read_lock
from infra.local.progress import Progress
from infra.local.repositories import remote_repositories

NUM_DOWNLOADS_AT_ONCE = 4
# Downloads (0.7 GB), Trino unpacked (0.6 GB), and room for the stack's own data.
NEEDED_FREE_BYTES = 3_000_000_000
# Room that a stack with everything in the cache needs to start: logs, Kafka segments, WAL.
NEEDED_WARM_BYTES = 500_000_000
TRINO_GROUP = "io.trino"
SERVER_ARTIFACT = "trino-server-core"
DRIVER_ARTIFACT = "trino-jdbc"
# What the server archive brings and we do not use only costs time at start.
UNUSED_TRINO_FOLDERS = (
    "plugin/geospatial",
    "plugin/functions-python",
    "plugin/exchange-filesystem",
    "plugin/spooling-filesystem",
    "secrets-plugin",
    "bin",
)


@cache
def _locked() -> tuple[LockedArtifact, ...]:
    return tuple(read_lock())


def _archives() -> list[LockedArtifact]:
    return [item for item in _locked() if item.group == TRINO_GROUP and item.name != DRIVER_ARTIFACT]


def _driver() -> LockedArtifact:
    return next(item for item in _locked() if item.name == DRIVER_ARTIFACT)


def kafka_jars(layout: Layout) -> list[Path]:
    """Class path of Kafka."""
    return [layout.maven / item.repository_path for item in _locked() if item.group != TRINO_GROUP]


def trino_folder(layout: Layout) -> Path:
    """Unpacked Trino; its name says which archives it was made from."""
    archives = _archives()
    recipe = "\n".join([item.sha256 for item in archives] + list(UNUSED_TRINO_FOLDERS))
    version = next(item.version for item in archives if item.name == SERVER_ARTIFACT)
    return layout.cache / f"trino-{version}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_artifacts(layout: Layout, progress: Progress) -> None:
    """Download and unpack what is missing.

    Raises:
        StackError: no room, no network, or a wrong checksum.
    """
    missing = [item for item in _locked() if item != _driver() and not _is_present(layout, item)]
    unpacked = trino_folder(layout)
    if unpacked.exists():
        # The archives are only the way to the unpacked folder.
        missing = [item for item in missing if item.group != TRINO_GROUP]
    check_free_space(layout.cache, NEEDED_FREE_BYTES if missing else 0)
    check_free_space(layout.home, NEEDED_WARM_BYTES)
    if missing:
        _download_all(layout, missing, progress)
    if not unpacked.exists():
        progress.say("unpacking Trino")
        _unpack_trino(layout, unpacked)


def ensure_driver(layout: Layout, progress: Progress) -> Path:
    """Download Trino's JDBC driver if it is missing, and return where it is; the stack itself needs none.

    Raises:
        StackError: no room, no network, or a wrong checksum.
    """
    driver = _driver()
    if not _is_present(layout, driver):
        check_free_space(layout.cache, driver.size_bytes)
        _download_all(layout, [driver], progress)
    return layout.maven / driver.repository_path


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    existing = next(step for step in [folder, *folder.parents] if step.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise StackError(
            f"The disk that holds {folder} has {free_bytes / 1e9:.1f} GB free; "
            f"{needed_bytes / 1e9:.1f} GB are needed. Free some space, or move the data with CLAWTRACE_HOME "
            "and the downloads with CLAWTRACE_CACHE."
        )


def _is_present(layout: Layout, item: LockedArtifact) -> bool:
    """Whether the final file is there; its checksum was compared before it got that name."""
    path = layout.maven / item.repository_path
    return path.exists() and path.stat().st_size == item.size_bytes


def _download_all(layout: Layout, missing: Sequence[LockedArtifact], progress: Progress) -> None:
    base_urls = list(remote_repositories().values())
    total_bytes = sum(item.size_bytes for item in missing)
    # Largest first: the small ones fill the other lanes meanwhile.
    ordered = sorted(missing, key=lambda item: -item.size_bytes)
    given_up = threading.Event()
    with (
        progress.download(f"downloading {len(missing)} files", total_bytes) as advance,
        ThreadPoolExecutor(NUM_DOWNLOADS_AT_ONCE) as lanes,
    ):
        jobs = [
            lanes.submit(download, item, layout.maven / item.repository_path, base_urls, advance) for item in ordered
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            given_up.set()
            lanes.shutdown(wait=False, cancel_futures=True)
            raise


def _unpack_trino(layout: Layout, target: Path) -> None:
    """Unpack the server without unused plugins, and the Iceberg plugin into it."""
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    archives = _archives()
    # The server first: it makes the folder that the plugins go into.
    for item in sorted(archives, key=lambda archive: archive.name != SERVER_ARTIFACT):
        archive = layout.maven / item.repository_path
        if sha256_of(archive) != item.sha256:
            archive.unlink()
            raise StackError(f"{archive} was damaged on disk. It was deleted; run the command again.")
        if item.name == SERVER_ARTIFACT:
            _unpack_tar(archive, draft)
        else:
            plugin = item.name.removeprefix("trino-")
            _unpack_zip(archive, draft / "plugin" / plugin, f"{item.name}-{item.version}")
    draft.replace(target)


def _unpack_tar(archive: Path, target: Path) -> None:
    """Unpack below the archive's single top folder."""
    with tarfile.open(archive) as bundle:
        top = f"{archive.name.removesuffix('.tar.gz')}/"
        members = []
        for member in bundle:
            inner = member.name.removeprefix(top)
            if inner.startswith(UNUSED_TRINO_FOLDERS):
                continue
            members.append(member)
        parent = target.with_name(target.name + ".tar")
        shutil.rmtree(parent, ignore_errors=True)
        bundle.extractall(parent, members, filter="data")
    (parent / top).rename(target)
    parent.rmdir()


def _unpack_zip(archive: Path, target: Path, top: str) -> None:
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(target.parent)
    (target.parent / top).rename(target)
