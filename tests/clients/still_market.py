"""A market of given pairs whose prices stand still: for requests written with other people's pairs and prices."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from trader.domain.market import Timeframe
from trader.ports import Columns
from trader.simulation.listings import Listing, make_listing
from trader.simulation.market import FIRST_US, Row

VOLUME = 64.0


class StillMarket:
    """Every candle of a pair is its price; `prices`: pair -> (price, price decimals), the first pair's quote is the account's."""

    seed, base, first_us = 1, Timeframe.M1, FIRST_US

    def __init__(self, prices: Mapping[str, tuple[float, int]]) -> None:
        self._prices = dict(prices)
        self.pairs = tuple(prices)
        self.quote = self.pairs[0].split("/")[1]

    def listing(self, pair: str) -> Listing:
        return make_listing(pair, pair_decimals=self._prices[pair][1], ordermin=Decimal("0.0001"))

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """Candles without a move."""
        first = max(-(-start_us // timeframe.us), -(-FIRST_US // timeframe.us))
        times = np.arange(first, max(first, end_us // timeframe.us), dtype=np.int64) * timeframe.us
        price, volume = np.full(times.size, self._prices[pair][0]), np.full(times.size, VOLUME)
        return Columns(time=times, open=price, high=price, low=price, close=price, volume=volume, filled=np.zeros(times.size, dtype=bool))

    def minute(self, index_us: int) -> Row:
        """One candle of every pair."""
        if index_us % Timeframe.M1.us:
            raise ValueError(f"time {index_us} must be a whole minute in microseconds")
        price = np.array([self._prices[pair][0] for pair in self.pairs])
        return Row(open=price, high=price, low=price, close=price, volume=np.full(len(self.pairs), VOLUME))

    def last_price(self, pair: str, time_us: int) -> float:
        return self._prices[pair][0] if time_us >= FIRST_US else float("nan")
