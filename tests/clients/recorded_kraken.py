"""A server that answers with recorded bodies and frames, whatever it is asked; our adapter is pointed at it as at Kraken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.clients.recorded import load
from trader.kraken.client import KrakenClient, make_client
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS
from trader.simulation.clock import LoopClock

SECRET = base64.b64encode(b"nobody checks").decode()
PORT = 8701


@dataclass(slots=True)
class Reader:
    """Our adapter, connected to the recording."""

    clock: LoopClock
    client: KrakenClient
    exchange: KrakenExchange
    market: KrakenMarketData


def names() -> dict[str, Any]:
    """Assets and AssetPairs that name what the bodies speak of: the recorded pairs, and those of the request vectors."""
    markets = load("ccxt/requests.json")["markets"]["kraken"]
    pairs = load("nautilus/http_asset_pairs.json")["result"] | load("nautilus/http_asset_pairs_tokenized.json")["result"]
    more = {"XRPUSD": pairs["XBTUSDT"] | {"altname": "XRPUSD", "wsname": "XRP/USD", "base": "XXRP", "quote": "ZUSD"}}
    return {
        "Assets": {"error": [], "result": markets["Assets"]},
        "AssetPairs": {"error": [], "result": markets["AssetPairs"] | more | pairs},
    }


@contextlib.asynccontextmanager
async def reading(now_us: int, bodies: Mapping[str, Any], frames: Sequence[Any] = ()) -> AsyncIterator[Reader]:
    """Serve `bodies` (endpoint -> whole answer); push `frames` after each subscription is granted."""
    answers = names() | dict(bodies)

    async def rest(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(answers[request.match_info["name"]]), content_type="application/json")

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            if asked["method"] == "ping":
                await socket.send_json({"method": "pong"})
                continue
            channel = asked["params"]["channel"]
            for symbol in asked["params"].get("symbol", [None]):
                result = {"channel": channel, "symbol": symbol}
                await socket.send_json({"method": asked["method"], "success": True, "result": result, "req_id": asked["req_id"]})
            for frame in frames:
                if frame["channel"] == channel:
                    await socket.send_json(frame)
        return socket

    app = web.Application()
    for door in ("public", "private"):
        app.router.add_route("*", f"/0/{door}/{{name}}", rest)
    app.router.add_get("/v2", stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    clock = LoopClock(now_us)
    base = f"127.0.0.1:{PORT}"
    client = make_client(url=f"http://{base}", ws_url=f"ws://{base}", api_key="k", api_secret=SECRET, clock=clock)
    limiter = Limiter(clock, tier=TIERS["unlimited"], public_per_s=None)
    exchange = KrakenExchange(client, clock, limiter=limiter)
    try:
        yield Reader(clock, client, exchange, KrakenMarketData(client, clock, limiter=limiter))
    finally:
        await exchange.close()
        await asyncio.wait_for(runner.cleanup(), 30)
