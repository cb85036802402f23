"""The Kraken adapter over the twin on the stepped loop, in memory: what the contract suites of both ports run on."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from trader.domain.market import Timeframe
from trader.domain.messages import FeedEvent
from trader.domain.orders import Intent, Leg, OrderType, Side
from trader.kraken.client import KrakenClient, make_client
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.limits import TIERS, Limiter
from trader.simulation.clock import LoopClock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket

T = TypeVar("T")
SECRET = base64.b64encode(b"secret of the contract tests").decode()
PAIR = "BTC/EUR"


@dataclass
class World:
    """A running twin and the adapter on it."""

    clock: LoopClock
    twin: KrakenTwin
    client: KrakenClient
    exchange: KrakenExchange
    market: KrakenMarketData
    events: list[FeedEvent] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def of(self, kind: type[T]) -> list[T]:
        """Stream events of one kind, in order of arrival."""
        return [event for event in self.events if isinstance(event, kind)]

    def listen(self, pairs: list[str]) -> None:
        """Collect the stream's events beside the test."""

        async def collect() -> None:
            async for event in self.market.stream(pairs, Timeframe.M1):
                self.events.append(event)

        self.tasks.append(asyncio.create_task(collect(), name="listener"))

    async def entry(self, **changes: Any) -> Intent:
        """A marketable limit IOC buy of about 500 EUR with a conditional stop 10 % below."""
        rules = (await self.exchange.instruments())[PAIR]
        ask = (await self.market.tickers())[PAIR].ask
        now = self.clock.now_us()
        fields: dict[str, Any] = {
            "cl_ord_id": "tabcentry000000001", "key": "key", "leg": Leg.ENTRY, "attempt": 1,
            "position_id": "p1", "pair": PAIR, "side": Side.BUY,
            "order_type": OrderType.LIMIT, "quantity": rules.quantity_down(Decimal(500) / ask),
            "limit_price": rules.price_up(ask * Decimal("1.01")),
            "close_trigger": rules.price_down(ask * Decimal("0.9")), "immediate": True, "deadline_us": now + 5_000_000, "created_us": now,
        }  # fmt: skip
        return Intent(**(fields | changes))


@asynccontextmanager
async def world(
    *faults: Fault, pairs: int = 4, key: bool = True, switches: Switches | None = None, limits: LimitRules | None = None
) -> AsyncIterator[World]:
    clock = LoopClock(EPOCH_US)
    twin = KrakenTwin(
        SyntheticMarket(11, count=pairs), clock, state_dir=None, plan=FaultPlan(faults), api_key="k", api_secret=SECRET, seed=11, tag="abc",
        starting_cash=Decimal(10_000), switches=switches, limits=limits,
    )  # fmt: skip
    port = await twin.start("127.0.0.1", 8701)
    base = f"127.0.0.1:{port}"
    client = make_client(
        url=f"http://{base}", ws_url=f"ws://{base}", api_key="k" if key else None, api_secret=SECRET if key else None, clock=clock
    )
    limiter = Limiter(clock, tier=TIERS["unlimited"], public_per_s=None)
    made = World(clock, twin, client, KrakenExchange(client, clock, limiter=limiter), KrakenMarketData(client, clock, limiter=limiter))
    made.tasks.append(asyncio.create_task(twin.run_market(), name="market"))
    try:
        yield made
    finally:
        for task in made.tasks:
            task.cancel()
        results = await asyncio.gather(*made.tasks, return_exceptions=True)
        await made.exchange.close()
        await twin.close()
        for result in results:
            if isinstance(result, Exception):
                raise result


def on_twin(
    test: Callable[[World], Awaitable[None]], *faults: Fault, pairs: int = 4, key: bool = True, limits: LimitRules | None = None
) -> None:
    """Run an asyncio test in a fresh world."""

    async def run() -> None:
        async with world(*faults, pairs=pairs, key=key, limits=limits) as made:
            await test(made)

    run_stepped(run)
