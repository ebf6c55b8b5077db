"""A client that hangs up while its answer is made: its query ends, and nobody is alarmed."""

import logging
import socket

import pytest

from api.metrics import QUERIES_RUNNING, REQUESTS
from tests.integration.api.conftest import Client
from tests.integration.doors import wait_until

# Hundreds of millions of rows: it would go on for long.
SLOW = '{"sql": "SELECT count(*) FROM spans a, spans b, spans c, spans d, spans e, spans f"}'


def hung_up() -> float:
    return float(REQUESTS.labels("POST", "/v1/sql", "499")._value.get())


def test_the_query_ends_and_no_error_is_logged(large: Client, caplog: pytest.LogCaptureFixture) -> None:
    before = hung_up()
    host, port = large.http.base_url.host, large.http.base_url.port
    with caplog.at_level(logging.INFO), socket.create_connection((host, port or 80)) as client:
        head = f"POST /v1/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {large.key}\r\n"
        length = f"Content-Type: application/json\r\nContent-Length: {len(SLOW)}\r\n\r\n"
        client.sendall((head + length + SLOW).encode())
        wait_until(lambda: QUERIES_RUNNING._value.get(), lambda num: num > 0, "the query runs")
        client.close()
        wait_until(hung_up, lambda num: num == before + 1, "the request is over")
        wait_until(lambda: QUERIES_RUNNING._value.get(), lambda num: num == 0, "the query is over")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
