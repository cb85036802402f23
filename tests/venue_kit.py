"""Every implementation of `Exchange` and `MarketData` on the stepped loop, behind one bench: what the contract suites run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

import kraken_kit

from trader.domain.market import Timeframe
from trader.domain.messages import FeedEvent
from trader.domain.orders import Acked, Fill, Intent, Leg, OrderType, Side
from trader.kraken import futures_names
from trader.kraken.futures import KrakenFuturesExchange
from trader.kraken.futures_client import make_futures_client
from trader.kraken.futures_feed import KrakenFuturesMarketData
from trader.kraken.futures_rest import FuturesLimiter
from trader.ports import Exchange, MarketData
from trader.simulation.clock import LoopClock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.futures_venue import FuturesVenue, FuturesVenueExchange
from trader.simulation.futures_venue_feed import FuturesVenueMarketData
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.simulation.venue import Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

T = TypeVar("T")
CASH = Decimal(10_000)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What an implementation trades, and which promises its venue can make."""

    name: str
    pair: str
    other: str
    quote: str
    unlisted: str
    conditional_close: bool  # a stop rides on the entry; else it is placed after the fill
    shorts: bool  # a sell without coins opens a position; else it is refused for want of funds
    over_the_wire: bool  # answers can be lost, so there are faults to survive
    switches: Switches | None = None  # of the twin behind the wire


IN_PROCESS = Kind(
    name="in_process", pair="BTC/EUR", other="ETH/EUR", quote="EUR", unlisted="NIX/EUR", conditional_close=True, shorts=False,
    over_the_wire=False,
)  # fmt: skip
SPOT = Kind(
    name="spot", pair="BTC/EUR", other="ETH/EUR", quote="EUR", unlisted="NIX/EUR", conditional_close=True, shorts=False, over_the_wire=True
)
FUTURES = Kind(
    name="futures", pair="BTC/USD:USD", other="ETH/USD:USD", quote="USD", unlisted="NIX/USD:USD", conditional_close=False, shorts=True,
    over_the_wire=True,
)  # fmt: skip
FUTURES_IN_PROCESS = replace(FUTURES, name="futures_in_process", over_the_wire=False)
KINDS = (IN_PROCESS, SPOT, FUTURES, FUTURES_IN_PROCESS)
TURNED = Switches(
    frames_per_minute=4, heartbeat_s=2.0, batched_executions=True, trade_says_filled=True, closed_page_size=1, fee_tiers=True,
    post_only_style="cancel", orders_status_method="GET",
)  # fmt: skip
SWITCHED = (replace(SPOT, name="spot_switched", switches=TURNED), replace(FUTURES, name="futures_switched", switches=TURNED))


@dataclass
class Bench:
    """A running venue behind the two ports."""

    kind: Kind
    clock: LoopClock
    exchange: Exchange
    market: MarketData
    pairs: list[str]
    calls: dict[str, int] = field(default_factory=dict)  # endpoint -> requests the venue has seen (over the wire only)
    fired: dict[str, int] = field(default_factory=dict)  # what the fault plan has done so far
    twin: KrakenTwin | None = None
    limiter: FuturesLimiter | None = None
    events: list[FeedEvent] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def of(self, kind: type[T]) -> list[T]:
        """Stream events of one kind, in order of arrival."""
        return [event for event in self.events if isinstance(event, kind)]

    async def listen(self, pairs: list[str] | None = None) -> None:
        """Collect the stream's events beside the test, and wait until it stands."""

        async def collect() -> None:
            async for event in self.market.stream(self.pairs if pairs is None else pairs, Timeframe.M1):
                self.events.append(event)

        self.tasks.append(asyncio.create_task(collect(), name="listener"))
        await self.clock.sleep(1)

    async def entry(self, **changes: Any) -> Intent:
        """A marketable limit IOC buy worth about 500 of quote currency."""
        rules = (await self.exchange.instruments())[self.kind.pair]
        ask = (await self.market.tickers())[self.kind.pair].ask
        now = self.clock.now_us()
        fields: dict[str, Any] = {
            "cl_ord_id": "tabcentry000000001", "key": "key", "leg": Leg.ENTRY, "attempt": 1, "position_id": "p1",
            "pair": self.kind.pair, "side": Side.BUY, "order_type": OrderType.LIMIT, "quantity": rules.quantity_down(Decimal(500) / ask),
            "limit_price": rules.price_up(ask * Decimal("1.01")), "immediate": True, "deadline_us": now + 5_000_000, "created_us": now,
        }  # fmt: skip
        return Intent(**(fields | changes))

    async def far(self, factor: str) -> Decimal:
        """A price on the tick this far from the market."""
        rules = (await self.exchange.instruments())[self.kind.pair]
        return rules.price_down((await self.market.tickers())[self.kind.pair].last * Decimal(factor))

    async def stop(self, quantity: Decimal, trigger: Decimal, **changes: Any) -> Intent:
        """A protective stop that sells `quantity`."""
        return await self.entry(
            **{
                "cl_ord_id": "tabcstop0000000001", "leg": Leg.STOP, "side": Side.SELL, "order_type": OrderType.STOP_LOSS,
                "quantity": quantity, "limit_price": None, "trigger_price": trigger, "immediate": False,
            }
            | changes
        )  # fmt: skip

    async def bought(self) -> Fill:
        """Buy, and give back the fill."""
        answer = await self.exchange.submit(await self.entry())
        assert isinstance(answer, Acked), answer
        (fill,) = [fill for fill in await self.exchange.fills(0) if fill.txid == answer.txid]
        return fill


@asynccontextmanager
async def bench(kind: Kind, *faults: Fault, pairs: int = 4) -> AsyncIterator[Bench]:
    """The implementation of this kind, running."""
    wired = _futures if kind.shorts else _spot
    made = wired if kind.over_the_wire else _in_process
    async with made(kind, faults, pairs) as ready:
        try:
            yield ready
        finally:
            for task in ready.tasks:
                task.cancel()
            results = await asyncio.gather(*ready.tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


@asynccontextmanager
async def _in_process(kind: Kind, faults: tuple[Fault, ...], pairs: int) -> AsyncIterator[Bench]:
    assert not faults, "nothing lies between the caller and the engine that could fail"
    clock, market = LoopClock(EPOCH_US), SyntheticMarket(11, count=pairs)
    venue: Venue
    if kind.shorts:
        venue = futures = FuturesVenue(market, clock, seed=11, tag="abc", starting_cash=CASH)
        exchange, data = FuturesVenueExchange(futures), FuturesVenueMarketData(futures)
    else:
        venue = Venue(market, clock, seed=11, tag="abc", starting_cash=CASH)
        exchange, data = VenueExchange(venue), VenueMarketData(venue)
    await venue.run_market(clock.now_us())
    made = Bench(kind, clock, exchange, data, list(venue.market.pairs))
    made.tasks.append(asyncio.create_task(venue.run_market(), name="market"))
    yield made
    await exchange.close()


@asynccontextmanager
async def _spot(kind: Kind, faults: tuple[Fault, ...], pairs: int) -> AsyncIterator[Bench]:
    async with kraken_kit.world(*faults, pairs=pairs, switches=kind.switches) as w:
        calls, fired = w.twin.middleware.counters, w.twin.plan.fired
        yield Bench(kind, w.clock, w.exchange, w.market, list(w.twin.market.pairs), calls, fired)


@asynccontextmanager
async def _futures(kind: Kind, faults: tuple[Fault, ...], pairs: int) -> AsyncIterator[Bench]:
    clock = LoopClock(EPOCH_US)
    twin = KrakenTwin(
        SyntheticMarket(11, count=pairs), clock, state_dir=None, plan=FaultPlan(faults), api_key="k", api_secret=kraken_kit.SECRET, seed=11,
        tag="abc", starting_cash=CASH, switches=kind.switches,
    )  # fmt: skip
    base = f"127.0.0.1:{await twin.start('127.0.0.1', 8701)}"
    client = make_futures_client(url=f"http://{base}", ws_url=f"ws://{base}", api_key="k", api_secret=kraken_kit.SECRET, clock=clock)
    limiter, costs = FuturesLimiter(clock), twin.futures.exchange.costs

    async def fees() -> tuple[Decimal, Decimal]:
        return costs.taker, costs.maker

    exchange = KrakenFuturesExchange(client, clock, limiter=limiter, fees=fees)
    names = [futures_names.pair_of(symbol) for symbol in twin.futures.exchange.contracts]
    made = Bench(
        kind,
        clock,
        exchange,
        KrakenFuturesMarketData(client, clock, limiter=limiter),
        names,
        twin.middleware.counters,
        twin.plan.fired,
        twin,
        limiter,
    )
    made.tasks.append(asyncio.create_task(twin.run_market(), name="market"))
    yield made
    await exchange.close()
    await twin.close()


def on_venue(kind: Kind, test: Callable[[Bench], Awaitable[None]], *faults: Fault, pairs: int = 4) -> None:
    """Run an asyncio test against a fresh venue."""

    async def run() -> None:
        async with bench(kind, *faults, pairs=pairs) as made:
            await test(made)

    run_stepped(run)
