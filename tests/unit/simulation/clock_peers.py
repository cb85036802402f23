"""A very small Kraken and Gemini for the tests of the simulated clock, and a ccxt client pointed at it."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web
from ccxt_clock import set_clock

EPOCH_S = 1_767_571_200


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pair_row(name: str) -> dict[str, Any]:
    text = {"altname": f"{name}EUR", "wsname": f"{name}/EUR", "base": name, "quote": "ZEUR", "status": "online"}
    digits = {"pair_decimals": 4, "lot_decimals": 8, "cost_decimals": 5, "lot_multiplier": 1}
    limits = {"ordermin": "0.01", "costmin": "0.5", "tick_size": "0.0001"}
    money = {"leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD"}
    return {**text, **digits, **limits, **money, "aclass_base": "currency", "aclass_quote": "currency", "lot": "unit"}


class TinyKraken:
    """AssetPairs, Assets, a private balance and the ohlc channel; `log` says what it saw, with the loop's time."""

    def __init__(self, pairs: int) -> None:
        self.names = [f"P{i:03d}" for i in range(pairs)]
        self.log: list[str] = []
        self.sockets: list[tuple[web.WebSocketResponse, list[str]]] = []
        self.frames = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/0/public/{method}", self._public)
        app.router.add_post("/0/private/{method}", self._private)
        app.router.add_get("/v2", self._socket)
        return app

    async def _public(self, request: web.Request) -> web.Response:
        asset = {"aclass": "currency", "decimals": 8, "display_decimals": 5, "status": "enabled"}
        if request.match_info["method"] == "Assets":
            return reply({name: {**asset, "altname": name} for name in self.names} | {"ZEUR": {**asset, "altname": "EUR"}})
        return reply({f"{name}EUR": pair_row(name) for name in self.names})

    async def _private(self, request: web.Request) -> web.Response:
        self.note(f"private {request.match_info['method']}")
        await request.read()
        await asyncio.sleep(0.25)
        return reply({"ZEUR": {"balance": "100.0", "hold_trade": "0"}})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        symbols: list[str] = []
        self.sockets.append((socket, symbols))
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            if asked.get("method") == "ping":  # of the application; ccxt gives the connection up without its answer
                await socket.send_str(json.dumps({"method": "pong", "req_id": asked.get("req_id")}))
            if asked.get("method") == "subscribe":
                symbols.extend(asked["params"]["symbol"])
                self.note(f"subscribe {asked['params']['symbol']}")
        self.note("socket closed")
        return socket

    def note(self, text: str) -> None:
        self.log.append(f"{asyncio.get_running_loop().time():.6f} {text}")

    async def market(self, frames_a_minute: int = 4) -> None:
        """Prices are a function of pair and time, so that each frame has its own."""
        loop = asyncio.get_running_loop()
        for step in range(10**9):
            await asyncio.sleep(1 + step * 60 / frames_a_minute - loop.time())
            for index, name in enumerate(self.names):
                text = ohlc_frame(f"{name}/EUR", EPOCH_S + loop.time(), 100 + (step * 7 + index * 3) % 50)
                for socket, symbols in self.sockets:
                    if f"{name}/EUR" in symbols and not socket.closed:
                        self.frames += 1
                        with suppress(ConnectionError):
                            await socket.send_str(text)


def reply(result: Any) -> web.Response:
    return web.json_response({"error": [], "result": result})


def ohlc_frame(symbol: str, now_s: float, price: float) -> str:
    begin = now_s // 60 * 60
    row = {"symbol": symbol, "open": price, "high": price, "low": price, "close": price, "trades": 1, "volume": 1.5, "vwap": price}
    times = {"interval_begin": stamp(begin), "interval": 1, "timestamp": stamp(begin + 60)}
    return json.dumps({"channel": "ohlc", "type": "update", "timestamp": stamp(now_s), "data": [{**row, **times}]})


def ccxt_client(port: int) -> Any:
    import ccxt.pro

    loop = asyncio.get_running_loop()
    options = {"compress": 0, "ws": {"options": {"compress": 0}}}
    client = ccxt.pro.kraken({"apiKey": "k", "secret": "anVkZ2U=", "enableRateLimit": False, "asyncio_loop": loop, "options": options})
    for kind in ("public", "private"):
        client.urls["api"][kind] = f"http://127.0.0.1:{port}"
    for kind in client.urls["api"]["ws"]:
        client.urls["api"]["ws"][kind] = f"ws://127.0.0.1:{port}/v2"
    websocket_side = importlib.import_module("ccxt.async_support.base.ws.client").Exchange
    for owner in (type(client), websocket_side):
        set_clock(owner, "milliseconds", lambda: int((EPOCH_S + loop.time()) * 1000))
    return client


async def watch(client: Any, pair: str, log: list[str]) -> None:
    while True:
        rows = await client.watch_ohlcv(pair, "1m")
        log.append(f"{asyncio.get_running_loop().time():.6f} {pair} {rows[-1][0]} {rows[-1][4]}")


@asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 (0: any free port) and yield the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def gemini_app(latency_s: float) -> web.Application:
    async def decide(request: web.Request) -> web.Response:
        asked = await request.json()
        await asyncio.sleep(latency_s)
        answers = {name: {"type": "noul", "noul": 0.62, "confidence": 0.62} for name in asked["questions"]}
        return web.json_response({"answers": answers, "usage": {"total_input_tokens": 5, "total_output_tokens": 0, "total_tokens": 5}})

    async def text(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        candidate = {"content": {"parts": [{"text": '{"v":1}'}], "role": "model"}, "finishReason": "STOP"}
        return web.json_response({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 5}})

    app = web.Application()
    app.router.add_post("/v1beta/decisions", decide)
    app.router.add_post("/v1beta/models/{call}", text)
    return app
