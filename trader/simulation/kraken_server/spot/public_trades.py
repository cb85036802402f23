"""Public trades of the market: four a traded minute (or base candle), from which its candle can be built again to the last digit.

A trade is a pure function of the market, so a page deep in the past costs as little as one of today: about a millisecond a day.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from trader.domain.market import DAY
from trader.ports import Columns
from trader.simulation.exchange_orders import PairRules
from trader.simulation.market import Market
from trader.simulation.price_path import ticks

PARTS = 4  # trades a candle shows
DIGITS = 8  # of a volume
SCALE: int = 10**DIGITS  # units of a whole
EXACT = 1 << 52  # up to here a float is never half a unit off
KEPT_DAYS = 64  # pair days kept, so that the pages of one day make it once


def seen_volume(volume: Any, part: int) -> Any:
    """Volume of a candle after `part` of its four trades, with the digits a trade has; for floats and arrays."""
    return np.round(volume * (part / PARTS), DIGITS)


def seen_of_one(volume: float, part: int) -> float:
    """`seen_volume` of one candle, without numpy, which takes ten times as long for a single number."""
    return round(volume * (part / PARTS) * SCALE) / SCALE


def share(volume: float, part: int) -> int:
    """Volume of the `part`-th trade of a candle, in `units`; the four add up to the candle's."""
    after = round(volume * (part / PARTS) * SCALE)
    if after < EXACT:  # then so is what was seen before
        return after - round(volume * ((part - 1) / PARTS) * SCALE)
    return _units_after(volume, part) - _units_after(volume, part - 1)


def _units_after(volume: float, part: int) -> int:
    """`seen_of_one` in units."""
    seen = round(volume * (part / PARTS) * SCALE)
    return seen if seen < EXACT else units(seen / SCALE)


class Trade(NamedTuple):
    """One public trade; `price` and `volume` as the wire prints them."""

    time_us: int
    price: str
    volume: str
    side: str
    number: int

    def row(self) -> list[Any]:
        """A row of the endpoint Trades."""
        return [self.price, self.volume, self.time_us / 1e6, self.side, "m", "", self.number]


class PublicTrades:
    """Trades of every pair, up to a moment the caller names."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._days: OrderedDict[tuple[str, int], Columns] = OrderedDict()

    def newest(self, rules: PairRules, count: int, until_us: int) -> list[Trade]:
        """The last `count` trades at or before `until_us`, oldest first."""
        span = (count // PARTS + 1) * self._market.base.us
        while True:
            found = self.after(rules, until_us - span, (span // self._market.base.us + 1) * PARTS, until_us)
            if len(found) >= count or until_us - span < self._market.first_us:
                return found[-count:]
            span *= 4  # quiet minutes: look further back

    def after(self, rules: PairRules, since_us: int, count: int, until_us: int) -> list[Trade]:
        """The first `count` trades later than `since_us` and not later than `until_us`."""
        found: list[Trade] = []
        start_us = max(since_us, self._market.first_us - 1)
        for day in range(start_us // DAY, until_us // DAY + 1):
            for trade in self._of_day(rules, day, start_us):
                if trade.time_us > until_us or len(found) >= count:
                    return found
                if trade.time_us > start_us:
                    found.append(trade)
        return found

    def _of_day(self, rules: PairRules, day: int, from_us: int) -> Iterator[Trade]:
        """Trades of one day, beginning with the candle that covers `from_us`."""
        columns, base, digits = self._columns(rules.symbol, day), self._market.base, rules.pair_decimals
        path = ticks(base)
        first = int(np.searchsorted(columns.time, base.floor(from_us)))
        for place in (np.flatnonzero(columns.volume[first:] > 0) + first).tolist():
            open_us, volume = int(columns.time[place]), float(columns.volume[place])
            for part, tick in enumerate(path, start=1):
                price = f"{float(getattr(columns, tick.field)[place]):.{digits}f}"
                number = open_us // base.us * PARTS + part - 1
                yield Trade(open_us + tick.offset_us, price, plain_units(share(volume, part)), "b" if part % 2 else "s", number)

    def _columns(self, symbol: str, day: int) -> Columns:
        key = symbol, day
        if key not in self._days:
            self._days[key] = self._market.candles(symbol, self._market.base, day * DAY, (day + 1) * DAY)
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        self._days.move_to_end(key)
        return self._days[key]


def units(volume: float) -> int:
    """A volume in its last digit, rounded as it is printed."""
    return int(f"{volume:.{DIGITS}f}".replace(".", ""))


def plain_units(number: int) -> str:
    """`units` as the wire prints them."""
    return f"{number // SCALE}.{number % SCALE:0{DIGITS}d}"
