"""Kafka of the local stack: one broker or two, KRaft, loopback only.

Upstream: jars from artifacts.py, templates in infra/kafka, certificates from credentials.py.
Downstream: topology.py starts it; every stage talks to it.
Guarantee: the data folder is formatted once and kept; a changed port base keeps the data. Clients are asked for what
the settings tell them to bring: TLS, a user name, a password.
"""

import base64
import re
import subprocess
import uuid
from pathlib import Path

from infra.local.artifacts import kafka_jars
from infra.local.credentials import KAFKA_CA, KAFKA_KEYSTORE, write_private
from infra.local.errors import StackError
from infra.local.java import FOREIGN_VARIABLES, explain_java_failure, java_command
from infra.local.layout import Layout, fresh_folder, node_name
from infra.local.process import clean_environment
from infra.local.rendering import options, render
from infra.runtime.kafka_security import uses_sasl, uses_tls
from infra.runtime.settings import LOOPBACK, StackSettings

FORMAT_OPTIONS = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
FORMAT_TIMEOUT_S = 120


# Both stand between quotes in files and arguments of Kafka.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]+")


def prepare_kafka(layout: Layout, node: int = 1) -> None:
    """Write the configuration of a broker and format its data folder the first time.

    Raises:
        StackError: the settings ask for SASL without a user and a password that Kafka's files can hold.
    """
    folder = layout.kafka(node)
    folder.mkdir(parents=True, exist_ok=True)
    fresh_folder(folder / "tmp")
    data_folder = folder / "data"
    server_file = folder / "server.properties"
    write_private(server_file, server_properties(layout, node))
    (folder / "log4j2.properties").write_text(render("kafka/log4j2.properties"))
    if not (data_folder / "meta.properties").exists():
        _format(layout, node, server_file)


def server_properties(layout: Layout, node: int = 1) -> str:
    """Text of a broker's configuration.

    Raises:
        StackError: as :func:`prepare_kafka`.
    """
    settings = layout.settings
    port, controller_port = settings.port("kafka" if node == 1 else "kafka_2"), settings.port("kafka_controller")
    protocol = settings.kafka_protocol.upper()
    listeners = [f"{protocol}://{LOOPBACK}:{port}"]
    if node == 1:
        listeners.append(f"CONTROLLER://{LOOPBACK}:{controller_port}")
    return render(
        "kafka/server.properties",
        # With two controllers neither could go on without the other, so one of two brokers is only a broker.
        roles="broker,controller" if node == 1 else "broker",
        node_id=node,
        listeners=",".join(listeners),
        protocol=protocol,
        port=port,
        controller_port=controller_port,
        data_folder=layout.kafka(node) / "data",
        num_brokers=settings.local_nodes,
        security="\n".join([*_tls(layout), *_sasl(settings)]),
    )


def _tls(layout: Layout) -> list[str]:
    if not uses_tls(layout.settings):
        return []
    return [
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={layout.secrets / KAFKA_KEYSTORE}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={layout.secrets / KAFKA_CA}",
    ]


def _sasl(settings: StackSettings) -> list[str]:
    if not uses_sasl(settings):
        return []
    user, password = _user_and_password(settings)
    mechanism = settings.kafka_mechanism
    listener = f"listener.name.{settings.kafka_protocol}.{mechanism.lower()}.sasl.jaas.config"
    login = f'username="{user}" password="{password}"'
    if mechanism == "PLAIN":
        jaas = f'org.apache.kafka.common.security.plain.PlainLoginModule required {login} user_{user}="{password}";'
    else:
        jaas = f"org.apache.kafka.common.security.scram.ScramLoginModule required {login};"
    return [
        f"sasl.enabled.mechanisms={mechanism}",
        f"sasl.mechanism.inter.broker.protocol={mechanism}",
        f"{listener}={jaas}",
    ]


def _user_and_password(settings: StackSettings) -> tuple[str, str]:
    user, password = settings.kafka_username, settings.kafka_password.get_secret_value()
    if not (_PLAIN_WORD.fullmatch(user) and _PLAIN_WORD.fullmatch(password)):
        raise StackError(
            "CLAWTRACE_KAFKA_PROTOCOL asks for SASL: set CLAWTRACE_KAFKA_USERNAME and CLAWTRACE_KAFKA_PASSWORD, of "
            "letters, digits, dots, dashes and underscores."
        )
    return user, password


def kafka_command(layout: Layout, node: int = 1) -> list[str]:
    """Command line of a broker."""
    server_file = str(layout.kafka(node) / "server.properties")
    return [*_java(layout, node, *options("kafka/jvm.config")), "kafka.Kafka", server_file]


def _java(layout: Layout, node: int, *jvm_options: str) -> list[str]:
    logging_file = layout.kafka(node) / "log4j2.properties"
    jars = ":".join(str(jar) for jar in kafka_jars(layout))
    return [
        str(java_command()),
        *jvm_options,
        # A broker that is killed leaves its unpacked native libraries; not in everybody's /tmp.
        f"-Djava.io.tmpdir={layout.kafka(node) / 'tmp'}",
        f"-Dlog4j2.configurationFile={logging_file}",
        "-cp",
        jars,
    ]


def _format(layout: Layout, node: int, server_file: Path) -> None:
    settings = layout.settings
    command = _java(layout, node, *FORMAT_OPTIONS)
    command += ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
    command += ["-t", _new_cluster_id() if node == 1 else _cluster_id(layout), "-c", str(server_file)]
    if uses_sasl(settings) and settings.kafka_mechanism != "PLAIN":
        user, password = _user_and_password(settings)
        command += ["--add-scram", f"{settings.kafka_mechanism}=[name={user},password={password}]"]
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
        name = node_name("kafka", node)
        raise StackError(f"The data folder of {name}, {layout.kafka(node) / 'data'}, could not be formatted: {reason}")


def _cluster_id(layout: Layout) -> str:
    """Of the first broker, which is formatted by then."""
    text = (layout.kafka() / "data" / "meta.properties").read_text()
    return next(line.partition("=")[2] for line in text.splitlines() if line.startswith("cluster.id="))


def _new_cluster_id() -> str:
    """A random id in Kafka's own form; a leading dash would be read as an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if re.match(r"[A-Za-z0-9]", cluster_id):
            return cluster_id
