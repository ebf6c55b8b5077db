"""Health checks: whether a part answers, in its own protocol.

Upstream: addresses from the settings.
Downstream: supervisor.py (is it up yet?) and status.py (is it up now?).
Guarantee: every check ends within a few seconds and answers False instead of raising.
"""

import json
import socket
import ssl
import struct
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

# A machine under full load answers late, and late is not down.
TIMEOUT_S = 5.0
HTTP_OK = 200
# ApiVersions, version 0, no client id: the one request that every Kafka broker answers before any other.
_API_VERSIONS_REQUEST = struct.pack(">hhih", 18, 0, 1, -1)


def answers_http(url: str) -> bool:
    """Whether a GET gives 200."""
    return _get(url) is not None


def answers_trino(base_url: str, ca_file: Path) -> bool:
    """Whether Trino has finished its start."""
    body = _get(f"{base_url}/v1/info", ca_file)
    try:
        return body is not None and json.loads(body).get("starting") is False
    except ValueError:
        return False


def answers_kafka(host: str, port: int, ca_file: Path | None = None) -> bool:
    """Whether a broker answers a request; with an authority's file, by TLS."""
    try:
        with _connect(host, port, ca_file) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.sendall(struct.pack(">i", len(_API_VERSIONS_REQUEST)) + _API_VERSIONS_REQUEST)
            head = connection.recv(10)
    except OSError:
        return False
    # size, correlation id, error code
    return len(head) == 10 and struct.unpack(">iih", head)[1:] == (1, 0)


def _connect(host: str, port: int, ca_file: Path | None) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    if ca_file is None:
        return connection
    return ssl.create_default_context(cafile=str(ca_file)).wrap_socket(connection, server_hostname=host)


def answers_postgres(host: str, port: int, database: str, password: str) -> bool:
    """Whether Postgres lets us in and answers a query."""
    try:
        with psycopg.connect(
            host=host,
            port=port,
            dbname=database,
            user=database,
            password=password,
            connect_timeout=int(TIMEOUT_S),
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _get(url: str, ca_file: Path | None = None) -> bytes | None:
    """Body of a 200 answer; without proxies, which a loopback address must never see."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(url, timeout=TIMEOUT_S) as response:
            body: bytes = response.read()
            return body if response.status == HTTP_OK else None
    except (OSError, ValueError):
        return None
