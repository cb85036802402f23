"""A Kraken twin and an unmodified ccxt.pro client on one simulated loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
from ccxt_clock import set_clock

from trader.simulation.clock import LoopClock
from trader.simulation.faults import parse_plan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.market import EPOCH_US, SyntheticMarket

KEY = "twin-key"
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
PAIR = "ETH/EUR"
MARKET = SyntheticMarket(7, count=12)


def client(port: int, clock: LoopClock, *, secret: str = SECRET) -> Any:
    """ccxt.pro as SIMULATION.md section 3 asks for: no throttle, exchange time, no compression, own URLs."""
    base, socket = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    streams = {"public": socket, "private": socket, "publicV2": socket + "/v2", "privateV2": socket + "/v2"}
    exchange = ccxt.pro.kraken(
        {
            "apiKey": KEY,
            "secret": secret,
            "enableRateLimit": False,
            "asyncio_loop": asyncio.get_running_loop(),
            "options": {"compress": 0, "ws": {"options": {"compress": 0}}, "maxRetriesOnFailure": 0},
            "urls": {"api": {"public": base, "private": base, "ws": streams}},
        }
    )

    def milliseconds(*_: object) -> int:
        return clock.now_us() // 1000

    websocket = importlib.import_module("ccxt.async_support.base.ws.client")
    for kind in (type(exchange), websocket.Exchange):
        set_clock(kind, "milliseconds", milliseconds)
    return exchange


@contextlib.asynccontextmanager
async def trading(
    plan: str = "", *, state_dir: Path | None = None, port: int = 8701, clock: LoopClock | None = None, **options: Any
) -> AsyncIterator[tuple[KrakenTwin, Any]]:
    """A running twin and a client with loaded markets; the market moves in the background."""
    clock = clock or LoopClock(EPOCH_US)
    twin = KrakenTwin(
        MARKET,
        clock,
        state_dir=state_dir,
        plan=parse_plan(plan, seed=1),
        seed=7,
        tag="abc",
        starting_cash=Decimal(10_000),
        **({"api_key": KEY, "api_secret": SECRET} | options),
    )
    port = await twin.start("127.0.0.1", port)
    market = asyncio.create_task(twin.run_market(None))
    exchange = client(port, clock)
    try:
        await exchange.load_markets()
        yield twin, exchange
    finally:
        await exchange.close()
        market.cancel()
        await asyncio.gather(market, return_exceptions=True)
        await twin.close()


async def enter(exchange: Any, volume: float = 0.1, *, number: int = 1, stop: float = 0.97, **more: Any) -> Any:
    """An IOC limit buy with a conditional close, as the trader sends it."""
    last = (await exchange.fetch_ticker(PAIR))["last"]
    price = exchange.price_to_precision(PAIR, last * 1.01)
    params = {"timeInForce": "IOC", "clientOrderId": f"tabc{number:014d}", "oflags": "fciq"}
    close = {"ordertype": "stop-loss", "price": exchange.price_to_precision(PAIR, last * stop)}
    return await exchange.create_order(PAIR, "limit", "buy", volume, price, params | {"close": close} | more)
