"""Paper: what the real market says moves our own engine, and what it said before an order was there never fills it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.domain.market import MINUTE, Candle, Instrument, Timeframe
from trader.domain.messages import BarsClosed, FeedEvent, FeedReset, Filled, OrderChanged, PairStatus, Tick
from trader.domain.orders import Acked, Intent, Leg, OrderType, Side
from trader.errors import FatalError
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.paper import PaperExchange, PaperMarketData, PaperVenue

T0 = 1_767_571_200_000_000
BTC = Instrument(
    pair="BTC/EUR", base="BTC", quote="EUR", tick=Decimal("0.1"), lot=Decimal("0.00000001"), order_min=Decimal("0.0001"),
    cost_min=Decimal("0.5"),
)  # fmt: skip
OTHER = Instrument(
    pair="BTC/USD", base="BTC", quote="USD", tick=Decimal("0.1"), lot=Decimal("0.00000001"), order_min=Decimal(1), cost_min=Decimal(1)
)


class Market:
    """A feed that says what it is told to, and shows a running candle."""

    def __init__(self, *events: FeedEvent | BaseException) -> None:
        self.events, self.close = events, 100.0

    async def stream(self, _pairs: Any, _timeframe: Any) -> AsyncIterator[FeedEvent]:
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event
        await asyncio.Event().wait()

    def forming(self, pair: str) -> Candle | None:
        return candle(T0, close=self.close) if pair == BTC.pair else None


def candle(time_us: int, *, low: float = 99.0, high: float = 101.0, close: float = 100.0) -> Candle:
    return Candle(
        pair=BTC.pair, timeframe=Timeframe.M1, time_us=time_us, open=100.0, high=high, low=low, close=close, volume=1.0, vwap=100.0, count=3
    )  # fmt: skip


def closed(time_us: int, **values: float) -> BarsClosed:
    return BarsClosed(close_us=time_us + MINUTE, candles=(candle(time_us, **values),))


def tick(price: str, time_us: int) -> Tick:
    return Tick(pair=BTC.pair, price=Decimal(price), time_us=time_us)


def order(leg: Leg, number: int, *, trigger: str | None = None) -> Intent:
    return Intent(
        cl_ord_id=f"tabc{number:014d}", key="k", leg=leg, attempt=number, position_id="p", pair=BTC.pair,
        side=Side.BUY if leg is Leg.ENTRY else Side.SELL, order_type=OrderType.STOP_LOSS if trigger else OrderType.MARKET,
        quantity=Decimal("0.5"), trigger_price=Decimal(trigger) if trigger else None, deadline_us=T0 + 60 * MINUTE, created_us=T0,
    )  # fmt: skip


def played(tmp_path: Path, *events: FeedEvent | BaseException, take: int) -> tuple[list[FeedEvent], PaperVenue]:
    """Buy, rest a stop at 95, then hear `events`; the first `take` events a session would hear after its orders."""

    async def main() -> tuple[list[FeedEvent], PaperVenue]:
        clock, market = LoopClock(T0), Market(*events)
        venue = PaperVenue(
            {BTC.pair: BTC, OTHER.pair: OTHER}, clock, quote="EUR", cash=Decimal(1000), tag="abc", state_dir=tmp_path / "books"
        )
        exchange, data = PaperExchange(venue, market), PaperMarketData(market, venue)
        assert list(await exchange.instruments()) == [BTC.pair]  # one currency
        assert isinstance(await exchange.submit(order(Leg.ENTRY, 1)), Acked)
        assert isinstance(await exchange.submit(order(Leg.STOP, 2, trigger="95")), Acked)
        stream, heard = data.stream([], Timeframe.M1), list[FeedEvent]()
        async for event in stream:
            heard.append(event)
            if len(heard) == take + 2:  # the stop that stands, and the fill before
                break
        await stream.aclose()
        venue.close()
        return heard[2:], venue

    return run_stepped(main)


def test_an_order_meets_the_running_candle_and_a_stop_the_public_trades(tmp_path: Path) -> None:
    heard, venue = played(tmp_path, tick("95.1", T0 + 1), tick("94.0", T0 + 2), take=5)
    bought, sold = venue.engine.state.trades.values()
    assert bought.price == Decimal("100.1")  # the running close and 0.05 % slippage, up to the tick
    assert sold.price == Decimal("93.9")  # where the market traded, not at the trigger it jumped over
    assert [type(event) for event in heard] == [Tick, OrderChanged, Filled, OrderChanged, Tick]  # what it did, then what happened
    assert venue.engine.state.balances["BTC"] == 0


def test_a_closed_candle_tells_of_trades_that_were_missed_at_the_level_itself(tmp_path: Path) -> None:
    later = T0 + MINUTE
    _, venue = played(tmp_path, FeedReset(reason="lost"), closed(later, low=94.0), take=5)
    assert [trade.price for trade in venue.engine.state.trades.values()][1:] == [Decimal("94.9")]


@pytest.mark.parametrize(
    ("told", "mode"),
    [("cancel_only", "cancel_only"), ("limit_only", "limit_only"), ("work_in_progress", "maintenance"), ("online", "online")],
)
def test_a_pair_takes_what_the_real_one_takes(tmp_path: Path, told: str, mode: str) -> None:
    events = [PairStatus(pair=BTC.pair, status="post_only"), *(PairStatus(pair=each.pair, status=told) for each in (OTHER, BTC))]
    heard, venue = played(tmp_path, *events, take=3)
    assert heard == events
    assert venue.engine.rule(BTC.pair).status == mode and OTHER.pair not in venue.engine.by_symbol


def test_what_the_market_did_before_an_order_never_fills_it(tmp_path: Path) -> None:
    _, venue = played(tmp_path, closed(T0 - MINUTE, low=90.0), closed(T0, low=90.0), take=2)
    assert len(venue.engine.state.trades) == 1 and len(venue.engine.open_orders()) == 1


def test_books_outlive_a_restart_and_an_error_of_the_feed_reaches_the_session(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="no such pair"):
        played(tmp_path, FatalError("no such pair"), take=1)

    async def again() -> Decimal:
        venue = PaperVenue({BTC.pair: BTC}, LoopClock(T0), quote="EUR", cash=Decimal(1000), tag="abc", state_dir=tmp_path / "books")
        held = venue.engine.state.balances["BTC"]
        venue.close()
        return held

    assert run_stepped(again) == Decimal("0.5")
