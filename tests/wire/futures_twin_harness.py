"""The futures side of a Kraken twin and an unmodified ccxt.pro.krakenfutures on one simulated loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import ccxt.pro
from ccxt_clock import set_clock
from yarl import URL

from tests.wire.kraken_twin_harness import KEY, SECRET, trading
from trader.simulation.clock import LoopClock
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.futures.signing import authent
from trader.simulation.loops import run_stepped

PF, PI = "BTC/USD:USD", "BTC/USD:BTC"


def futures_client(port: int, clock: LoopClock, *, secret: str = SECRET) -> Any:
    """ccxt.pro.krakenfutures pointed at the twin, on exchange time."""
    base, socket = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws/v1"
    derivatives = base + "/derivatives/api/"
    urls = {"public": derivatives, "private": derivatives, "charts": base + "/api/charts/", "history": base + "/api/history/", "ws": socket}
    exchange = ccxt.pro.krakenfutures(
        {
            "apiKey": KEY,
            "secret": secret,
            "enableRateLimit": False,
            "asyncio_loop": asyncio.get_running_loop(),
            "options": {"compress": 0, "ws": {"options": {"compress": 0}}, "maxRetriesOnFailure": 0},
            "urls": {"api": urls},
        }
    )
    set_clock(type(exchange), "milliseconds", lambda *_: clock.now_us() // 1000)
    set_clock(type(exchange), "seconds", lambda *_: clock.now_us() // 1_000_000)
    return exchange


@contextlib.asynccontextmanager
async def futures_trading(plan: str = "", **options: Any) -> AsyncIterator[tuple[KrakenTwin, Any]]:
    """A running twin and a futures client with loaded markets; the market moves in the background."""
    async with trading(plan, **options) as (twin, _):
        exchange = futures_client(8701, twin.clock)
        try:
            await exchange.load_markets()
            yield twin, exchange
        finally:
            await exchange.close()


Test = Callable[[KrakenTwin, Any], Awaitable[None]]
BASE = "http://127.0.0.1:8701"


def on_futures(test: Test, plan: str = "", **options: Any) -> None:
    """Run a test on a fresh twin and client."""

    async def main() -> None:
        async with futures_trading(plan, **options) as (twin, exchange):
            await test(twin, exchange)

    run_stepped(main)


async def raw(method: str, path: str, query: str = "", body: str = "", nonce: str = "", *, secret: str = SECRET, sign: str = "") -> Any:
    """A signed request with the bytes as given; `sign`: what to sign in place of query and body."""
    headers = {"APIKey": KEY, "Authent": authent(path, (sign or query + body).encode(), nonce, secret)} | (
        {"Nonce": nonce} if nonce else {}
    )
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    url = URL(f"{BASE}{path}?{query}" if query else f"{BASE}{path}", encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body or None, headers=headers) as response,
    ):
        return json.loads(await response.text())
