"""What breaks below a route leaves as a problem that says whom it waits for."""

import httpx2
from fastapi import Request
from starlette.routing import Route

from api.main import create_app
from api.repositories.prices import PricesBroken
from api.settings import ApiSettings


async def test_a_broken_price_file_is_told_in_its_words() -> None:
    async def broken(_: Request) -> None:
        raise PricesBroken("prices.toml cannot be read")

    app = create_app(ApiSettings())
    app.router.routes.insert(0, Route("/broken", broken))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://api") as http:
        answer = await http.get("/broken")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.json()["detail"] == "prices.toml cannot be read"
