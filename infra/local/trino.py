"""Trino of the local stack: coordinator and worker in one, TLS and tokens even on loopback.

Upstream: the distribution from artifacts.py, templates in infra/trino, secrets from credentials.py.
Downstream: topology.py starts it; the API, upkeep and people's own clients query it.
Guarantee: every start writes the whole etc/ folder from the templates, except the access rules, which
belong to `clawtrace trino rules` and are only given a closed default when they are missing.
"""

import json
import shutil
from pathlib import Path

from infra.local.artifacts import trino_folder
from infra.local.credentials import (
    POSTGRES_PASSWORD,
    TRINO_INTERNAL_SECRET,
    TRINO_KEYSTORE,
    read_secret,
    write_private,
)
from infra.local.java import java_command
from infra.local.layout import Layout, fresh_folder
from infra.local.rendering import options, render
from infra.runtime.settings import LOOPBACK

# Our own service users; everybody else sees nothing until the real rules are written.
SERVICE_USERS = "maintenance|operator|clawtrace_api"


def prepare_trino(layout: Layout) -> None:
    """Write etc/ from the templates."""
    etc = layout.trino / "etc"
    (etc / "catalog").mkdir(parents=True, exist_ok=True)
    fresh_folder(layout.trino / "tmp")
    # The catalog file holds the password of Postgres.
    layout.trino.chmod(0o700)
    settings = layout.settings
    config = render(
        "trino/config.properties",
        etc_folder=etc,
        port=settings.port("trino"),
        internal_port=settings.port("trino_internal"),
        plugin_folder=trino_folder(layout) / "plugin",
        keystore_file=layout.secrets / TRINO_KEYSTORE,
        jwt_key_file=settings.trino_jwt_key_file,
        internal_secret=read_secret(layout, TRINO_INTERNAL_SECRET),
    )
    write_private(etc / "config.properties", config)
    write_private(etc / "catalog" / f"{settings.catalog_name}.properties", _catalog(layout))
    rules = render("trino/access-control.properties", rules_file=layout.rules_file)
    (etc / "access-control.properties").write_text(rules)
    (etc / "log.properties").write_text(render("trino/log.properties"))
    _copy_extra_files(etc)
    if not layout.rules_file.exists():
        write_private(layout.rules_file, json.dumps(_closed_rules(), indent=2) + "\n")


def trino_command(layout: Layout) -> list[str]:
    """Command line of the server; its working folder must be <home>/trino."""
    return [
        str(java_command()),
        *options("trino/jvm.config"),
        f"-Djava.io.tmpdir={layout.trino / 'tmp'}",
        f"-Dconfig={layout.trino / 'etc' / 'config.properties'}",
        f"-Dlog.levels-file={layout.trino / 'etc' / 'log.properties'}",
        "-cp",
        f"{trino_folder(layout)}/lib/*",
        "io.trino.server.TrinoServer",
    ]


def _catalog(layout: Layout) -> str:
    settings = layout.settings
    return render(
        "trino/catalog/iceberg.properties",
        jdbc_url=f"jdbc:postgresql://{LOOPBACK}:{settings.port('postgres')}/clawtrace",
        jdbc_user="clawtrace",
        jdbc_password=read_secret(layout, POSTGRES_PASSWORD),
        catalog_name=settings.catalog_name,
        warehouse=settings.warehouse,
    )


def _copy_extra_files(etc: Path) -> None:
    """Copy infra/trino/etc as it is: resource groups and the like need no code here."""
    extra = Path(__file__).resolve().parents[1] / "trino" / "etc"
    if extra.is_dir():
        shutil.copytree(extra, etc, dirs_exist_ok=True)


def _closed_rules() -> dict[str, object]:
    return {
        "catalogs": [{"user": SERVICE_USERS, "catalog": ".*", "allow": "all"}, {"allow": "none"}],
        "schemas": [{"user": SERVICE_USERS, "owner": True}, {"owner": False}],
        "tables": [
            {
                "user": SERVICE_USERS,
                "privileges": ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP", "GRANT_SELECT"],
            },
            {"privileges": []},
        ],
        "impersonation": [{"original_user": SERVICE_USERS, "new_user": ".*", "allow": True}],
    }
