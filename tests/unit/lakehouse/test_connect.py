"""The catalog that the settings name is the one that is opened."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import RESTError

from lakehouse.catalog.connect import connect_catalog
from lakehouse.settings import LakeSettings
from lakehouse.sink.committer import TRANSIENT

asked: list[tuple[str, dict[str, list[str]], str]] = []


class RestServer(BaseHTTPRequestHandler):
    """As much of the Iceberg REST protocol as opening a catalog and listing namespaces needs."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked.append((parts.path, parse_qs(parts.query), self.headers.get("Authorization", "")))
        bodies = {"/v1/config": {"defaults": {}, "overrides": {}}, "/v1/namespaces": {"namespaces": [["silver"]]}}
        found = bodies.get(parts.path)
        body = json.dumps(found if found is not None else {"error": {"message": "away", "type": "x", "code": 503}})
        self.send_response(200 if found is not None else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def rest_url() -> Iterator[str]:
    asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), RestServer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_postgres_is_the_default_and_takes_more_properties(tmp_path: Path) -> None:
    settings = LakeSettings(
        postgres_dsn=SecretStr(f"sqlite:///{tmp_path / 'catalog.db'}"),
        warehouse="s3://lake/warehouse",
        catalog_properties={"s3.endpoint": "http://127.0.0.1:9"},
    )
    catalog = connect_catalog(settings)
    assert isinstance(catalog, SqlCatalog)
    assert catalog.properties["s3.endpoint"] == "http://127.0.0.1:9"
    assert catalog.properties["warehouse"] == "s3://lake/warehouse"


def test_a_rest_server_is_asked_with_warehouse_and_token(rest_url: str) -> None:
    settings = LakeSettings(
        catalog_type="rest", catalog_uri=rest_url, warehouse="s3://lake", catalog_properties={"token": "t0ken"}
    )
    catalog = connect_catalog(settings)
    assert isinstance(catalog, RestCatalog)
    assert catalog.list_namespaces() == [("silver",)]
    assert asked[0] == ("/v1/config", {"warehouse": ["s3://lake"]}, "Bearer t0ken")


def test_a_rest_server_that_is_away_is_waited_for(rest_url: str) -> None:
    catalog = connect_catalog(LakeSettings(catalog_type="rest", catalog_uri=rest_url, warehouse="s3://lake"))
    with pytest.raises(TRANSIENT) as caught:
        catalog.list_tables("silver")
    assert isinstance(caught.value, RESTError)


def test_properties_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWTRACE_CATALOG_PROPERTIES", '{"s3.region": "eu-west-1"}')
    assert LakeSettings().catalog_properties == {"s3.region": "eu-west-1"}
