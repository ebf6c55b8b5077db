"""Large payloads lie once, whole, under their own hash, for their tenant only."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from sqlalchemy import Engine

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.settings import StackSettings
from producers.gateway.blobs import MAX_BLOB_BYTES, blob_path
from tests.integration.producers.guarding import (
    TENANT,
    NewKey,
)

pytestmark = [pytest.mark.stack, pytest.mark.kafka]


def test_a_blob_is_stored_once_whole_and_for_its_tenant_only(
    client: httpx2.Client, new_key: NewKey, broker_and_database: StackSettings, engine: Engine
) -> None:
    key, _ = new_key()
    content = os.urandom(300_000)
    sha256 = hashlib.sha256(content).hexdigest()
    folder = broker_and_database.home / "blobs"

    def put(content: bytes, sha256: str = sha256, key: str = key, **headers: str) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {key}", **headers}
        return client.put(f"/v1/blobs/{sha256}", content=content, headers=sent)

    assert put(content[:-1]).status_code == 422
    assert not blob_path(folder, TENANT, sha256).exists()
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: put(content), range(8)))
    assert set(statuses) <= {200, 201}
    assert 201 in statuses
    assert put(content).status_code == 200
    path = blob_path(folder, TENANT, sha256)
    assert path.read_bytes() == content
    assert [it.name for it in path.parent.iterdir() if it.name.startswith(".new-")] == []

    other = create_key(
        engine, read_pepper(broker_and_database.key_pepper_file), tenant_id="blobother", agent_id="a", scope="ingest"
    )
    assert not blob_path(folder, "blobother", sha256).exists()
    assert put(content, key=other.key).status_code == 201

    for bad in ("x", sha256.upper(), "..%2f" + sha256[5:], sha256 + "0"):
        assert put(content, bad).status_code in (404, 422), bad
    assert put(content, **{"Content-Encoding": "gzip"}).status_code == 415
    big = os.urandom(MAX_BLOB_BYTES + 1)
    assert put(big, hashlib.sha256(big).hexdigest()).status_code == 413
    most = big[:-1]
    assert put(most, hashlib.sha256(most).hexdigest()).status_code == 201
