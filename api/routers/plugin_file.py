"""OpenClaw's plugin as a file, for an OpenClaw on a machine that has no checkout.

Upstream: producers/openclaw_plugin; what its package.json says belongs to it, as `npm pack` would have it.
Downstream: `openclaw plugins install npm-pack:…`, as the page "Get started" says it.
Guarantee: needs no key, as it holds no data; the same plugin gives the same bytes; nothing beside the plugin is in it.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).resolve().parents[2] / "producers" / "openclaw_plugin"
_FILE_MODE: Final = 0o644


@router.get("/plugin/clawtrace-openclaw.tgz")
def plugin_file() -> Response:
    """Return the packed plugin of this release."""
    return Response(packed(FOLDER), media_type="application/gzip", headers={"Cache-Control": "no-cache"})


@cache
def packed(folder: Path) -> bytes:
    """Pack a plugin's folder as npm would: every file below `package/`."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path in sorted(_files(folder)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"package/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mode = len(content), _FILE_MODE
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0)


def _files(folder: Path) -> Iterator[Path]:
    yield folder / "package.json"
    for name in json.loads((folder / "package.json").read_text())["files"]:
        listed = folder / name
        yield from (path for path in listed.rglob("*") if path.is_file()) if listed.is_dir() else (listed,)
