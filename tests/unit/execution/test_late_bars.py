"""A bar whose last minute came late still moves stops and ends positions."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import BarsClosed
from trader.execution.bars import BarBuilder
from trader.execution.held_bars import HeldBars
from trader.execution.session import Session
from trader.execution.wiring import run_directly
from trader.ports import SessionSummary


def bars_to(house: House, engine: Any) -> Session:
    """The real `Session._bars` in front of the house's keeper, behind an engine."""
    session = Session.__new__(Session)
    session.summary, session.keeper, session._closing = SessionSummary(), house.keeper, asyncio.Lock()
    session.spawn = house.keeper.spawn  # type: ignore[method-assign]
    wiring: Any = SimpleNamespace(stage=run_directly)
    closing: Any = SimpleNamespace(absorb=engine, decide=lambda *_: _nothing())
    session.w, session.closing, session.held_bars = wiring, closing, HeldBars([PAIR], {})
    return session


def minutes(house: House, first: int, count: int) -> list[Candle]:
    """One-minute candles at the market, `first` being the number of the first."""
    price = float(house.held().entry_cost / house.held().entry_quantity)
    return [
        Candle(pair=PAIR, timeframe=Timeframe.M1, time_us=(first + n) * MINUTE, open=price, high=price, low=price, close=price, volume=1.0)
        for n in range(count)
    ]


async def due_next_close(house: House) -> None:
    """A position whose longest time ends with its next bar."""
    await house.buy()
    (held,) = house.keeper.held.values()
    assert held.guard is not None
    held.guard.state = held.guard.state._replace(terms=held.guard.state.terms._replace(max_hold_bars=1))


async def _nothing() -> None:
    """No history to hand over."""


def test_a_time_exit_comes_for_a_bar_whose_last_minute_was_late() -> None:
    """Its candle came by REST with the close of the next minute; `_bars` hands 15m candles on at quarters only."""

    async def test(house: House) -> None:
        await due_next_close(house)
        builder = BarBuilder(Timeframe.M15)
        session = bars_to(house, lambda event: [bar for candle in event.candles if (bar := builder.add(candle)) is not None])
        *early, late, after = minutes(house, 0, 16)
        for candle in early:
            session._bars(BarsClosed(close_us=candle.close_us, candles=(candle,)))
        session._bars(BarsClosed(close_us=late.close_us, candles=()))
        session._bars(BarsClosed(close_us=after.close_us, candles=(late, after)))
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)
