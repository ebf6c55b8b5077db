"""Writes the JSON schemas of all topics beside the contracts, and checks nothing: tests compare.

Run it with ``make schemas`` after a contract has changed; the diff of the schema is what a reader must review.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from infra.runtime.topics import TopicSpec
from producers.contracts.guard import GuardState
from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
from producers.contracts.wire import IngestReceipt, WireBatch, WireEvent
from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

ROOT = Path(__file__).resolve().parents[2]
# Each stage keeps the schemas of what it owns.
SPECS: dict[str, tuple[TopicSpec, ...]] = {"producers": PRODUCER_TOPICS, "stream_jobs": STREAM_TOPICS}
DOORS: dict[str, type] = {
    "http.events.request": WireBatch,
    "http.events.request.event": WireEvent,
    "http.events.response": IngestReceipt,
    "http.guard.response": GuardState,
}


def contract_folder(stage: str) -> Path:
    """Folder of a stage's contracts."""
    return ROOT / stage / "contracts"


def schema_of(record_type: type) -> dict[str, Any]:
    """JSON schema (2020-12) of a contract."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(record_type)}


def expected_schemas() -> dict[Path, str]:
    """Every schema file that must exist, with its text."""
    types = {
        contract_folder(stage) / "schema" / f"{spec.name}.json": spec.record_type
        for stage, specs in SPECS.items()
        for spec in specs
        if spec.record_type is not None
    }
    types |= {contract_folder("producers") / "schema" / f"{name}.json": door for name, door in DOORS.items()}
    return {path: json.dumps(schema_of(record_type), indent=1) + "\n" for path, record_type in types.items()}


def main() -> None:
    """Write the schema files."""
    for path, text in expected_schemas().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
