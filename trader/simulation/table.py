"""A market of candles that are held as columns: a recorded file, or what the history store has of a past day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trader.domain.market import Timeframe
from trader.indicators.resample import aggregate, cut, empty
from trader.ports import Columns
from trader.simulation.listings import Listing
from trader.simulation.market import Row
from trader.simulation.price_path import field_at

_FIELDS = ("open", "high", "low", "close", "volume")


def on_grid(rows: Columns, base: Timeframe) -> Columns:
    """Every candle of `base` from the first row to the last: one that is missing repeats the close before, volume 0, filled."""
    grid = np.arange(rows.time[0], rows.time[-1] + base.us, base.us, dtype=np.int64)
    row = np.searchsorted(rows.time, grid, side="right") - 1
    there = rows.time[row] == grid
    close = rows.close[row]
    prices = {name: np.where(there, getattr(rows, name)[row], close) for name in _FIELDS[:4]}
    return Columns(time=grid, volume=np.where(there, rows.volume[row], 0.0), filled=~there | rows.filled[row], **prices)


class TableMarket:
    """`market.Market` over whole columns of `base` candles, pairs in the order given; empty tables are not allowed."""

    def __init__(self, columns: Mapping[str, Columns], listings: Mapping[str, Listing], *, base: Timeframe, quote: str, seed: int) -> None:
        self.seed, self.base, self.quote = seed, base, quote
        self.pairs = tuple(columns)
        self._columns, self._listings = dict(columns), dict(listings)
        self.first_us = min(int(one.time[0]) for one in columns.values())
        self.end_us = max(int(one.time[-1]) for one in columns.values()) + base.us
        self._grid: Any = None

    def listing(self, pair: str) -> Listing:
        return self._listings[self._known(pair)]

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """See `market.Market`; a longer candle exists where the table covers all of it."""
        if timeframe.us < self.base.us:
            raise ValueError(f"timeframe {timeframe} is shorter than the market's {self.base}")
        # 1h, 4h and 1d are always made of 15m ones, so that sums of volume have one order and agree to the last digit
        low, high = timeframe.floor(start_us), end_us
        columns = cut(self._columns[self._known(pair)], low, high)
        source = self.base
        if timeframe.us > Timeframe.M15.us > source.us:
            columns, source = aggregate(columns, source, Timeframe.M15), Timeframe.M15
        return cut(aggregate(columns, source, timeframe), start_us, end_us - timeframe.us + 1)

    def minute(self, index_us: int) -> Row:
        """See `market.Market`: the base candle (5m in a market of 5m) that opens at `index_us`."""
        if index_us % self.base.us:
            raise ValueError(f"time {index_us} must be a multiple of {self.base} in microseconds")
        if self._grid is None:
            self._grid = self._make_grid()
        place = (index_us - self.first_us) // self.base.us
        if not 0 <= place < self._grid.shape[1]:
            nothing = np.full(len(self.pairs), np.nan)
            return Row(open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing)
        columns = self._grid[:, place]
        return Row(open=columns[0], high=columns[1], low=columns[2], close=columns[3], volume=columns[4])

    def last_price(self, pair: str, time_us: int) -> float:
        """See `market.Market`; NaN before the pair's first row, its last close after the last one."""
        columns = self._columns[self._known(pair)]
        row = int(np.searchsorted(columns.time, time_us, side="right")) - 1
        if row < 0:
            return float("nan")
        field = "close" if time_us >= columns.time[row] + self.base.us else field_at(self.base, time_us)
        return float(getattr(columns, field)[row])

    def _make_grid(self) -> Any:
        """Open, high, low, close, volume: float64, shape (5, n_times, n_pairs), NaN where a pair has no candle."""
        length = (self.end_us - self.first_us) // self.base.us
        grid = np.full((5, length, len(self.pairs)), np.nan)
        for place, columns in enumerate(self._columns.values()):
            first = (int(columns.time[0]) - self.first_us) // self.base.us
            for index, name in enumerate(_FIELDS):
                grid[index, first : first + len(columns), place] = getattr(columns, name)
        grid.flags.writeable = False
        return grid

    def _known(self, pair: str) -> str:
        if pair not in self._listings:
            raise ValueError(f"pair {pair!r} is not in this market; {len(self.pairs)} pairs are, the first is {self.pairs[0]}")
        return pair


class StoredMarket(TableMarket):
    """A past day as the history store keeps it: `base` candles move the prices, and longer ones, which reach back further, are the
    stored ones themselves (`longer`, by timeframe and pair) with those made of `base` behind them."""

    def __init__(
        self,
        columns: Mapping[str, Columns],
        longer: Mapping[Timeframe, Mapping[str, Columns]],
        listings: Mapping[str, Listing],
        *,
        base: Timeframe,
        quote: str,
        seed: int,
    ) -> None:
        super().__init__({pair: on_grid(rows, base) for pair, rows in columns.items()}, listings, base=base, quote=quote, seed=seed)
        self._longer = longer

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """See `market.Market`; 1h and 1d candles come from the stored 15m ones."""
        made = super().candles(pair, timeframe, start_us, end_us)
        source = timeframe if timeframe in self._longer else Timeframe.M15
        if timeframe.us < source.us:
            return made
        known = self._longer[source].get(pair, empty()) if source in self._longer else empty()
        stored = cut(aggregate(known, source, timeframe), start_us, end_us - timeframe.us + 1)
        return behind(stored, made)


def behind(first: Columns, second: Columns) -> Columns:
    """`first`, then what of `second` opens after its last row."""
    if not len(first):
        return second
    if not len(second):
        return first
    new = second.time > first.time[-1]
    return Columns(**{name: np.concatenate([getattr(first, name), getattr(second, name)[new]]) for name in ("time", *_FIELDS, "filled")})
