"""Where the pages end and the API begins, without a stack: addresses, headers, files."""

import io
import tarfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.routers import plugin_file, web
from api.settings import ApiSettings


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a built page, an asset, and a secret beside it."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>pages</title>")
    (folder / "assets" / "index-abc.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "assets" / "link.js").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr(web, "DIST", folder)
    return folder


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The app, not started: the pages need neither Trino nor Postgres."""
    return TestClient(create_app(ApiSettings(home=tmp_path)))


@pytest.mark.parametrize("path", ["/", "/traces", "/traces/t1?view=graph", "/agents/a.b:c", "/v1x", "/nowhere/at/all"])
def test_pages_come_with_a_strict_policy(client: TestClient, dist: Path, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not any(word in policy for word in ("unsafe", "http", "data:", "*"))


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1", "/mcp/x", "/docs/x", "/plugin/x", "/assets/gone.js", "/assets/..%2findex.html"]
)
def test_the_api_and_files_never_answer_with_a_page(client: TestClient, dist: Path, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_files_are_kept_for_ever_and_no_link_leads_out(client: TestClient, dist: Path) -> None:
    answer = client.get("/assets/index-abc.js")
    assert (answer.text, answer.headers["x-content-type-options"]) == ("export {};", "nosniff")
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/assets/link.js").status_code == 404


def test_pages_that_are_not_built_say_how(client: TestClient, dist: Path) -> None:
    (dist / "index.html").unlink()
    answer = client.get("/traces")
    assert answer.status_code == 503
    assert "make web" in answer.text


def test_a_wrong_method_is_told_by_the_api(client: TestClient, dist: Path) -> None:
    assert client.put("/v1/traces").status_code == 405
    assert client.post("/v1/nothing").status_code == 404


def test_the_plugin_is_served_as_npm_packs_it(client: TestClient) -> None:
    answer = client.get("/plugin/clawtrace-openclaw.tgz")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        names = set(archive.getnames())
        entry = archive.extractfile("package/openclaw.plugin.json")
        assert entry is not None
        assert entry.read() == (plugin_file.FOLDER / "openclaw.plugin.json").read_bytes()
    assert {"package/package.json", "package/index.mjs", "package/README.md"} <= names
    assert not any(name.startswith("package/test") for name in names)
    assert client.get("/plugin/else").status_code == 404
