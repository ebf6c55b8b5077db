"""Where everything is: one home folder, one port base, and the addresses that follow from them.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: every process; each stage extends :class:`StackSettings` with its own settings class.
Guarantee: with nothing set, all processes of one checkout agree on every address; any address can be
overridden one by one, which is how the same code runs against a Kafka or Trino cluster.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Offsets from CLAWTRACE_PORT_BASE. The first five are promised to users (README); the rest follow.
PORT_OFFSETS: dict[str, int] = {
    "gateway": 0,
    "api": 1,
    "trino": 2,
    "kafka": 3,
    "postgres": 4,
    "stitcher_metrics": 5,
    "sink_metrics": 6,
    "upkeep_metrics": 7,
    "kafka_controller": 8,
    "trino_internal": 9,
    "budgets_metrics": 10,
    "notifier_metrics": 11,
    # Of the second nodes, with local_nodes=2.
    "kafka_2": 12,
    "trino_2": 13,
    "learner_metrics": 14,
}

LOOPBACK = "127.0.0.1"


class StackSettings(BaseSettings):
    """Addresses and secrets that every process needs."""

    model_config = SettingsConfigDict(env_prefix="CLAWTRACE_", extra="ignore")

    home: Path = Field(
        default=Path(".clawtrace"), description="Folder that holds all data, logs, secrets and downloads."
    )
    cache: Path = Field(
        default=Path("~/.cache/clawtrace"),
        description="Folder of downloads, shared by every home and checkout of a user.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = Field(
        default="info", description="Least level that a process logs."
    )
    port_base: int = Field(
        default=4600,
        ge=1024,
        le=65000,
        description="First port of the local stack; every port follows from it.",
    )
    local_nodes: int = Field(
        default=1,
        ge=1,
        le=2,
        description="Kafka brokers and Trino nodes of the local stack; 2 shows on one machine what a cluster does.",
    )
    listen_host: str = Field(
        default=LOOPBACK, description="Address that every process listens on; 0.0.0.0 in a container."
    )
    kafka_bootstrap: str = Field(default="", description="Kafka bootstrap servers; empty means the local broker.")
    kafka_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="How every process speaks to Kafka."
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism, with kafka_protocol sasl_ssl or sasl_plaintext."
    )
    kafka_username: str = Field(default="", description="SASL user.")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="SASL password.")
    kafka_ca_file: Path | None = Field(
        default=None, description="PEM file that signs the brokers' certificates; empty means those of the system."
    )
    postgres_dsn: SecretStr = Field(
        default=SecretStr(""),
        description="SQLAlchemy URL of the Postgres that holds the Iceberg catalog and the control tables.",
    )
    trino_url: str = Field(default="", description="Trino base URL (https); empty means the local server.")
    trino_ca_file: Path = Field(default=Path(), description="PEM file that signs Trino's certificate.")
    trino_jwt_key_file: Path = Field(
        default=Path(), description="File with the base64 HMAC key that signs tokens for Trino."
    )
    key_pepper_file: Path = Field(
        default=Path(), description="File with the secret mixed into the hash of every access key."
    )
    warehouse: str = Field(default="", description="Root URI of the Iceberg warehouse, file:// or s3://.")
    catalog_name: str = Field(
        default="iceberg", description="Name of the Iceberg catalog, the same for pyiceberg and Trino."
    )
    catalog_type: Literal["jdbc", "rest"] = Field(
        default="jdbc", description="jdbc: the catalog lies in Postgres; rest: behind an Iceberg REST server."
    )
    catalog_uri: str = Field(default="", description="Address of the REST catalog, with catalog_type rest.")
    catalog_properties: dict[str, str] = Field(
        default={},
        description="More properties of pyiceberg's catalog, as JSON: s3.endpoint, s3.region, token and so on.",
    )

    fail_point: str = Field(
        default="",
        description="For tests: gateway, stitcher or sink dies, as by kill -9, at this named place of its code "
        "(infra/runtime/fail_points.py); :<n> after it means the n-th time, @<file> a file that names it. "
        "Refused unless the process listens on this machine alone.",
    )

    @model_validator(mode="after")
    def _refuse_fail_point_in_production(self) -> Self:
        if self.fail_point and self.listen_host != LOOPBACK:
            raise ValueError("CLAWTRACE_FAIL_POINT is for tests on one machine; unset it")
        return self

    @model_validator(mode="after")
    def _fill_local_defaults(self) -> Self:
        self.home = self.home.expanduser().absolute()
        self.cache = self.cache.expanduser().absolute()
        secrets = self.secrets_folder
        brokers = ("kafka", "kafka_2")[: self.local_nodes]
        self.kafka_bootstrap = self.kafka_bootstrap or ",".join(f"{LOOPBACK}:{self.port(name)}" for name in brokers)
        self.trino_url = self.trino_url or f"https://{LOOPBACK}:{self.port('trino')}"
        self.warehouse = self.warehouse or f"file://{self.home / 'warehouse'}"
        if self.trino_ca_file == Path():
            self.trino_ca_file = secrets / "trino-ca.pem"
        if self.trino_jwt_key_file == Path():
            self.trino_jwt_key_file = secrets / "trino-jwt.key"
        if self.key_pepper_file == Path():
            self.key_pepper_file = secrets / "key-pepper"
        return self

    def port(self, name: str) -> int:
        """Port of a part of the local stack; ``name`` is a key of PORT_OFFSETS."""
        return self.port_base + PORT_OFFSETS[name]

    @property
    def secrets_folder(self) -> Path:
        """Folder with the generated secrets of the local stack (mode 0700)."""
        return self.home / "secrets"

    @property
    def gateway_url(self) -> str:
        """Base URL of the local gateway."""
        return f"http://{LOOPBACK}:{self.port('gateway')}"

    @property
    def api_url(self) -> str:
        """Base URL of the local API."""
        return f"http://{LOOPBACK}:{self.port('api')}"

    def database_url(self) -> str:
        """SQLAlchemy URL of Postgres; the local one is built from the generated password.

        Raises:
            FileNotFoundError: the local stack was never started, so there is no password yet.
        """
        if dsn := self.postgres_dsn.get_secret_value():
            return dsn
        password = (self.secrets_folder / "postgres-password").read_text().strip()
        return f"postgresql+psycopg://clawtrace:{password}@{LOOPBACK}:{self.port('postgres')}/clawtrace"
