"""HTTP door of the OHLCVT archive: `GET /archive/` lists it, `GET /archive/NAME?pairs=..&intervals=..&days=..` sends a zip."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from trader.domain.market import SECOND
from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.kraken_server.spot import archive
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.market import Market


def add_routes(app: web.Application, market: Market, clock: Clock) -> None:
    """Serve the archive of a market, as far as its quarters are over on `clock`."""

    async def index(_: web.Request) -> web.Response:
        return web.json_response(listing(market, clock.now_us()), dumps=dumps)

    async def download(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        try:
            wanted = archive.archive_of(name, request.query, market, clock.now_us())
        except ConfigError as error:
            return web.json_response({"error": str(error)}, status=400, dumps=dumps)
        if wanted is None:
            return web.json_response({"error": f"{name!r} is not in the archive; GET /archive/ lists it"}, status=404, dumps=dumps)
        return await _send(request, wanted, market)

    app.router.add_get("/archive/", index)
    app.router.add_get("/archive/{name}", download, allow_head=False)


def listing(market: Market, now_us: int) -> dict[str, Any]:
    """What is on offer, the whole one first."""
    files = [
        {"name": name, "path": f"/archive/{name}", "from": _day(start_us), "until": _day(end_us)}
        for name, (start_us, end_us) in archive.names(market, now_us).items()
    ]
    intervals = [minutes for minutes in archive.INTERVALS if minutes % market.base.minutes == 0]
    return {"files": files, "intervals": intervals, "pairs": [market.listing(pair).altname for pair in market.pairs]}


async def _send(request: web.Request, wanted: archive.Archive, market: Market) -> web.StreamResponse:
    """Send a zip while it is made; others are served in between."""
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{wanted.name}"'})
    response.content_type = "application/zip"
    await response.prepare(request)
    for piece in archive.stream(wanted, market):
        await response.write(piece)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // SECOND, UTC).strftime("%Y-%m-%d")
