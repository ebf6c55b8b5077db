"""All parts of the local stack, as one list: what runs, what runs once, and what waits for what.

Upstream: settings; kafka.py, postgres.py and trino.py for the three services.
Downstream: supervisor.py runs it, status.py and ports.py read it.
Guarantee: our own processes are commands (`clawtrace gateway run`, ...), so nothing here imports a stage.
"""

import signal
import sys
from collections.abc import Callable

from infra.local import probes
from infra.local.credentials import KAFKA_CA, POSTGRES_PASSWORD, read_secret
from infra.local.java import FOREIGN_VARIABLES, explain_java_failure
from infra.local.kafka import kafka_command, prepare_kafka
from infra.local.layout import CHECKOUT_FOLDER, Layout, node_name
from infra.local.parts import Kind, Launch, Part
from infra.local.postgres import DATABASE, locate_postgres, postgres_command, prepare_postgres
from infra.local.process import clean_environment
from infra.local.trino import prepare_trino, prepare_worker, trino_command
from infra.runtime.kafka_security import uses_tls
from infra.runtime.settings import LOOPBACK

SERVICES = ("postgres", "kafka", "trino")

# One-shot steps: name, arguments of `clawtrace`, what must be up (or done) before, as far as it is there.
STEPS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("db-migrate", ("db", "migrate"), ("postgres",)),
    ("topics-provision", ("topics", "provision"), ("kafka", "kafka-2")),
    ("lake-provision", ("lake", "provision"), ("postgres",)),
    ("trino-rules", ("trino", "rules", "--write"), ()),
    ("lake-views", ("lake", "views"), ("trino", "lake-provision")),
)

# Our processes: name, name of the port that answers /readyz, what must be up (or done) before.
PROCESSES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("gateway", "gateway", ("topics-provision", "db-migrate")),
    ("stitcher", "stitcher_metrics", ("topics-provision",)),
    ("budgets", "budgets_metrics", ("topics-provision", "db-migrate")),
    ("learner", "learner_metrics", ("topics-provision", "db-migrate")),
    ("notifier", "notifier_metrics", ("topics-provision", "db-migrate")),
    ("sink", "sink_metrics", ("topics-provision", "lake-provision", "db-migrate")),
    ("upkeep", "upkeep_metrics", ("lake-views", "db-migrate")),
    ("api", "api", ("topics-provision", "db-migrate", "lake-views")),
)


def build_topology(layout: Layout) -> list[Part]:
    """Parts of the whole stack in the order in which people think of them."""
    steps = [_step(layout, *row) for row in STEPS]
    processes = [_process(layout, *row) for row in PROCESSES]
    nodes = range(1, layout.settings.local_nodes + 1)
    brokers, trinos = [_kafka(layout, node) for node in nodes], [_trino(layout, node) for node in nodes]
    return [_postgres(layout), *brokers, *steps[:-1], *trinos, steps[-1], *processes]


def _postgres(layout: Layout) -> Part:
    port = layout.settings.port("postgres")

    def prepare() -> None:
        prepare_postgres(layout)

    def launch() -> Launch:
        place = locate_postgres(layout)
        return Launch(postgres_command(layout), place.data, clean_environment(), place.user)

    def probe() -> bool:
        password = read_secret(layout, POSTGRES_PASSWORD)
        return probes.answers_postgres(LOOPBACK, port, DATABASE, password)

    return Part(
        name="postgres",
        kind=Kind.PROCESS,
        launch=launch,
        prepare=prepare,
        probe=probe,
        ports=(port,),
        # SIGTERM would wait for every client to leave by itself.
        stop_signal=signal.SIGINT,
    )


def _kafka(layout: Layout, node: int) -> Part:
    settings = layout.settings
    port = settings.port("kafka" if node == 1 else "kafka_2")
    ca_file = layout.secrets / KAFKA_CA if uses_tls(settings) else None

    def launch() -> Launch:
        return Launch(kafka_command(layout, node), layout.kafka(node), clean_environment(FOREIGN_VARIABLES))

    return Part(
        name=node_name("kafka", node),
        kind=Kind.PROCESS,
        # The first one makes the cluster's id.
        after=() if node == 1 else ("kafka",),
        launch=launch,
        prepare=lambda: prepare_kafka(layout, node),
        probe=lambda: probes.answers_kafka(LOOPBACK, port, ca_file),
        ports=(port, settings.port("kafka_controller")) if node == 1 else (port,),
        explain=explain_java_failure,
    )


def _trino(layout: Layout, node: int) -> Part:
    settings = layout.settings
    if node == 1:
        url = f"https://{LOOPBACK}:{settings.port('trino')}"
        ports: tuple[int, ...] = (settings.port("trino"), settings.port("trino_internal"))
    else:
        url = f"http://{LOOPBACK}:{settings.port('trino_2')}"
        ports = (settings.port("trino_2"),)

    def launch() -> Launch:
        return Launch(trino_command(layout, node), layout.trino(node), clean_environment(FOREIGN_VARIABLES))

    return Part(
        name=node_name("trino", node),
        kind=Kind.PROCESS,
        # Two at once would take each other's time to start.
        after=("postgres", "trino-rules") if node == 1 else ("postgres", "trino"),
        launch=launch,
        prepare=lambda: prepare_trino(layout) if node == 1 else prepare_worker(layout),
        probe=lambda: probes.answers_trino(url, layout.secrets / "trino-ca.pem"),
        ports=ports,
        explain=explain_java_failure,
    )


def _ours(layout: Layout, arguments: tuple[str, ...]) -> Callable[[], Launch]:
    """Start of a `clawtrace` command with the addresses of this stack."""
    settings = layout.settings
    own = {
        "CLAWTRACE_HOME": str(layout.home),
        "CLAWTRACE_PORT_BASE": str(settings.port_base),
        # Otherwise the last words of a process that dies stay in its buffer.
        "PYTHONUNBUFFERED": "1",
        # Plain tracebacks: the frames of the terminal version fill a log.
        "TYPER_STANDARD_TRACEBACK": "1",
    }
    command = [sys.executable, "-m", "api.cli", *arguments]
    return lambda: Launch(command, CHECKOUT_FOLDER, clean_environment(extra=own))


def _step(layout: Layout, name: str, arguments: tuple[str, ...], after: tuple[str, ...]) -> Part:
    return Part(name=name, kind=Kind.STEP, launch=_ours(layout, arguments), after=after)


def _process(layout: Layout, name: str, port_name: str, after: tuple[str, ...]) -> Part:
    port = layout.settings.port(port_name)
    return Part(
        name=name,
        kind=Kind.PROCESS,
        launch=_ours(layout, (name, "run")),
        after=after,
        probe=lambda: probes.answers_http(f"http://{LOOPBACK}:{port}/readyz"),
        ports=(port,),
    )
