"""The pages: one application for browsers, at every address that is not the API's.

Upstream: browsers; `make web` builds what is served into api/web/dist.
Downstream: files of that folder, nothing else.
Guarantee: a strict Content-Security-Policy on every page: no inline script or style, no eval, nothing from elsewhere.
Files whose names carry a hash may be kept for ever, the page itself is asked for anew each time; an address that the
API owns is never answered with a page.
"""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.convertors import Convertor, register_url_convertor

from infra.runtime.problem import not_found

router = APIRouter(include_in_schema=False)

DIST: Final = Path(__file__).resolve().parents[1] / "web" / "dist"
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NOT_BUILT: Final = (
    "<!doctype html><html lang=en><title>ClawTrace</title><h1>The pages are not built yet</h1>"
    "<p>Run <code>make web</code>, then load this page again. The API is described at <a href=/docs>/docs</a>.</p>"
)


class PageConvertor(Convertor[str]):
    """Matches what is no address of the API, so that a mistyped one there keeps its own 404 or 405."""

    regex = r"(?!(?:v1|assets|plugin|mcp|docs|openapi\.json|metrics|healthz|readyz)(?:/|$)).*"

    def convert(self, value: str) -> str:
        """Return the address as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the address as it is."""
        return value


register_url_convertor("page", PageConvertor())


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Return a built file; its name holds the hash of what is in it."""
    return _file(DIST / "assets" / name, DIST / "assets", {"Cache-Control": _FOR_EVER})


@router.get("/icon.svg")
async def icon() -> Response:
    """Return the icon."""
    return _file(DIST / "icon.svg", DIST, {"Cache-Control": "public, max-age=86400"})


@router.get("/{path:page}")
async def page() -> Response:
    """Return the application for any address of a page; the address is read in the browser."""
    headers = {**_HEADERS, "Cache-Control": "no-cache"}
    index = DIST / "index.html"
    if not index.is_file():
        return HTMLResponse(_NOT_BUILT, status_code=503, headers=headers)
    return FileResponse(index, media_type="text/html", headers=headers)


def _file(path: Path, folder: Path, headers: dict[str, str]) -> Response:
    # A name with dots or links must not lead out of the folder.
    real = path.resolve()
    if not real.is_relative_to(folder.resolve()) or not real.is_file():
        raise not_found(f"there is no file {path.name}")
    return FileResponse(real, headers={**_HEADERS, **headers})
