"""Trino of the local stack: a coordinator that works too and perhaps a second worker, TLS and tokens even on loopback.

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
from infra.runtime.settings import LOOPBACK, StackSettings

# Our own service users; everybody else sees nothing until the real rules are written.
SERVICE_USERS = "maintenance|operator|clawtrace_api"
# What pyiceberg calls them, and what Trino does. Without keys Trino looks for them where every client of AWS does.
S3_PROPERTIES = {
    "s3.endpoint": "s3.endpoint",
    "s3.region": "s3.region",
    "s3.access-key-id": "s3.aws-access-key",
    "s3.secret-access-key": "s3.aws-secret-key",
}


def prepare_worker(layout: Layout) -> None:
    """Write etc/ of the second node from the templates."""
    port = layout.settings.port
    _fresh_etc(layout, 2, "worker", port=port("trino_2"), coordinator_port=port("trino_internal"))


def _fresh_etc(layout: Layout, node: int, config: str, **values: object) -> Path:
    """Make a node's folder, with what all nodes have; ``values`` are what only its own ``config`` asks for."""
    folder = layout.trino(node)
    etc = folder / "etc"
    (etc / "catalog").mkdir(parents=True, exist_ok=True)
    fresh_folder(folder / "tmp")
    # The catalog file holds the password of Postgres.
    folder.chmod(0o700)
    write_private(etc / "catalog" / f"{layout.settings.catalog_name}.properties", catalog_properties(layout))
    (etc / "log.properties").write_text(render("trino/log.properties"))
    text = render(
        f"trino/{config}.properties",
        etc_folder=etc,
        plugin_folder=trino_folder(layout) / "plugin",
        internal_secret=read_secret(layout, TRINO_INTERNAL_SECRET),
        **values,
    )
    write_private(etc / "config.properties", text)
    return etc


def prepare_trino(layout: Layout) -> None:
    """Write etc/ of the coordinator from the templates."""
    settings = layout.settings
    etc = _fresh_etc(
        layout,
        1,
        "config",
        port=settings.port("trino"),
        internal_port=settings.port("trino_internal"),
        keystore_file=layout.secrets / TRINO_KEYSTORE,
        jwt_key_file=settings.trino_jwt_key_file,
    )
    rules = render("trino/access-control.properties", rules_file=layout.rules_file)
    (etc / "access-control.properties").write_text(rules)
    _copy_extra_files(etc)
    if not layout.rules_file.exists():
        write_private(layout.rules_file, json.dumps(_closed_rules(), indent=2) + "\n")


def trino_command(layout: Layout, node: int = 1) -> list[str]:
    """Command line of a server; its working folder must be that of the node."""
    folder = layout.trino(node)
    return [
        str(java_command()),
        *options("trino/jvm.config"),
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dconfig={folder / 'etc' / 'config.properties'}",
        f"-Dlog.levels-file={folder / 'etc' / 'log.properties'}",
        "-cp",
        f"{trino_folder(layout)}/lib/*",
        "io.trino.server.TrinoServer",
    ]


def catalog_properties(layout: Layout) -> str:
    """Text of the catalog's file: the catalog and the warehouse that pyiceberg has by the same settings."""
    settings = layout.settings
    return render(
        "trino/catalog/iceberg.properties",
        jdbc_url=f"jdbc:postgresql://{LOOPBACK}:{settings.port('postgres')}/clawtrace",
        jdbc_user="clawtrace",
        jdbc_password=read_secret(layout, POSTGRES_PASSWORD),
        catalog_name=settings.catalog_name,
        warehouse=settings.warehouse,
        file_system="\n".join(_file_system(settings)),
    )


def _file_system(settings: StackSettings) -> list[str]:
    if not settings.warehouse.startswith("s3://"):
        return ["fs.native-local.enabled=true", "local.location=/"]
    told = [
        f"{theirs}={settings.catalog_properties[ours]}"
        for ours, theirs in S3_PROPERTIES.items()
        if ours in settings.catalog_properties
    ]
    return ["fs.native-s3.enabled=true", "s3.path-style-access=true", *told]


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
