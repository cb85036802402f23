"""The futures side of a Kraken twin and an unmodified ccxt.pro.krakenfutures on one simulated loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro

from tests.wire.kraken_twin_harness import KEY, SECRET, trading
from trader.simulation.clock import LoopClock
from trader.simulation.kraken_server.app import KrakenTwin

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
    type(exchange).milliseconds = staticmethod(lambda *_: clock.now_us() // 1000)
    type(exchange).seconds = staticmethod(lambda *_: clock.now_us() // 1_000_000)
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
