"""Kafka of the local stack: one node, KRaft, loopback only.

Upstream: jars from artifacts.py, templates in infra/kafka.
Downstream: topology.py starts it; every stage talks to it.
Guarantee: the data folder is formatted once and kept; a changed port base keeps the data.
"""

import base64
import re
import subprocess
import uuid
from pathlib import Path

from infra.local.artifacts import kafka_jars
from infra.local.errors import StackError
from infra.local.java import FOREIGN_VARIABLES, explain_java_failure, java_command
from infra.local.layout import Layout, fresh_folder
from infra.local.process import clean_environment
from infra.local.rendering import options, render

FORMAT_OPTIONS = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
FORMAT_TIMEOUT_S = 120


def prepare_kafka(layout: Layout) -> None:
    """Write the configuration and format the data folder the first time."""
    folder = layout.kafka
    folder.mkdir(parents=True, exist_ok=True)
    fresh_folder(folder / "tmp")
    data_folder = folder / "data"
    server_file = folder / "server.properties"
    settings = layout.settings
    server_file.write_text(
        render(
            "kafka/server.properties",
            port=settings.port("kafka"),
            controller_port=settings.port("kafka_controller"),
            data_folder=data_folder,
        )
    )
    (folder / "log4j2.properties").write_text(render("kafka/log4j2.properties"))
    if not (data_folder / "meta.properties").exists():
        _format(layout, server_file)


def kafka_command(layout: Layout) -> list[str]:
    """Command line of the broker."""
    server_file = str(layout.kafka / "server.properties")
    return [*_java(layout, *options("kafka/jvm.config")), "kafka.Kafka", server_file]


def _java(layout: Layout, *jvm_options: str) -> list[str]:
    logging_file = layout.kafka / "log4j2.properties"
    jars = ":".join(str(jar) for jar in kafka_jars(layout))
    return [
        str(java_command()),
        *jvm_options,
        # A broker that is killed leaves its unpacked native libraries; not in everybody's /tmp.
        f"-Djava.io.tmpdir={layout.kafka / 'tmp'}",
        f"-Dlog4j2.configurationFile={logging_file}",
        "-cp",
        jars,
    ]


def _format(layout: Layout, server_file: Path) -> None:
    command = _java(layout, *FORMAT_OPTIONS)
    command += ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
    command += ["-t", _new_cluster_id(), "-c", str(server_file)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=FORMAT_TIMEOUT_S,
        check=False,
        env=clean_environment(FOREIGN_VARIABLES),
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        reason = explain_java_failure(output) or output[-1500:]
        raise StackError(f"Kafka could not format its data folder {layout.kafka / 'data'}: {reason}")


def _new_cluster_id() -> str:
    """A random id in Kafka's own form; a leading dash would be read as an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if re.match(r"[A-Za-z0-9]", cluster_id):
            return cluster_id
