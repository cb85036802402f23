"""The market's ticks worked off in order: what every door of the twin lets drive its matching engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.fills import Prices, Tick, bar_path
from trader.simulation.market import Market, Row

Turn = Callable[[Tick, Row], Tick]
Seen = Callable[[int, Tick, Row], Awaitable[None]]
"""Told of (open of the base candle, tick, whole candle) after the engine has taken the tick over."""


async def run_ticks(
    market: Market, engine: TwinExchange, clock: Clock, seen: Seen, until_us: int | None = None, *, turn: Turn | None = None
) -> None:
    """Work off the price ticks in order, each at its time or, when late, at once; returns after `until_us` (None: never).

    `turn`: what becomes of a tick at its time, before anybody sees it.
    """
    open_us = market.base.floor(engine.state.tick_us)
    while until_us is None or open_us <= until_us:
        row = market.minute(open_us)
        for tick in bar_path(open_us, market.base, row):
            if tick.time_us <= engine.state.tick_us:
                continue
            if until_us is not None and tick.time_us > until_us:
                return
            await clock.sleep_until(tick.time_us)
            shown = tick if turn is None else turn(tick, row)
            engine.advance(shown)
            await seen(open_us, shown, row)
        open_us += market.base.us
        await asyncio.sleep(0)  # catching up must not starve the clients


def prices_at(market: Market, time_us: int) -> Prices:
    """Prices of the newest tick at or before `time_us`; before the first tick of a candle, the close before."""
    base = market.base
    for open_us in (base.floor(time_us), base.floor(time_us) - base.us):
        seen = [tick for tick in bar_path(open_us, base, market.minute(open_us)) if tick.time_us <= time_us]
        if seen:
            return seen[-1].prices
    raise ValueError(f"the market has no price at {time_us}")
