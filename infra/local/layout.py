"""Every path of the local stack, derived from the settings.

Upstream: infra.runtime.settings (home, port base).
Downstream: every module of infra/local.
Guarantee: asking for a path creates nothing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.runtime.settings import StackSettings

CHECKOUT_FOLDER = Path(__file__).resolve().parents[2]


def node_name(service: str, node: int) -> str:
    """Name of a node's part and folder; the first has none of its own."""
    return service if node == 1 else f"{service}-{node}"


def fresh_folder(folder: Path) -> None:
    """Make an empty folder, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@dataclass(frozen=True)
class Layout:
    """Where the files of one stack are."""

    settings: StackSettings
    cache: Path

    @classmethod
    def of(cls, settings: StackSettings) -> "Layout":
        """Layout of the stack that these settings describe."""
        return cls(settings=settings, cache=settings.cache)

    @property
    def home(self) -> Path:
        """Root of everything that belongs to this stack."""
        return self.settings.home

    @property
    def logs(self) -> Path:
        """One log file per part."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """State file, lock and pid of the supervisor."""
        return self.home / "run"

    @property
    def state_file(self) -> Path:
        """What the supervisor last knew, as JSON."""
        return self.run / "state.json"

    @property
    def scrape_targets_file(self) -> Path:
        """Where Prometheus finds our processes."""
        return self.run / "prometheus-targets.json"

    @property
    def lock_file(self) -> Path:
        """Held locked while a supervisor lives."""
        return self.run / "supervisor.lock"

    @property
    def secrets(self) -> Path:
        """Generated secrets, mode 0700."""
        return self.settings.secrets_folder

    def kafka(self, node: int = 1) -> Path:
        """Configuration and data of a broker."""
        return self.home / node_name("kafka", node)

    @property
    def postgres(self) -> Path:
        """Postgres' data, or a pointer to it (see postgres.py)."""
        return self.home / "postgres"

    def trino(self, node: int = 1) -> Path:
        """Working folder of a Trino node: etc/ and data/."""
        return self.home / node_name("trino", node)

    @property
    def rules_file(self) -> Path:
        """Access control rules that Trino reads again every two seconds."""
        return self.trino() / "etc" / "rules.json"

    @property
    def maven(self) -> Path:
        """Downloaded Maven artifacts in Maven's own folder order."""
        return self.cache / "maven"

    def log_file(self, name: str) -> Path:
        """Log of one part."""
        return self.logs / f"{name}.log"
