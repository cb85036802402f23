"""What traded since midnight, up to the engine's newest tick: the `today` figures of Ticker."""

from __future__ import annotations

import numpy as np

from trader.domain.market import DAY
from trader.simulation.kraken_server.spot.public_trades import PARTS, seen_of_one
from trader.simulation.market import Market
from trader.simulation.market_factors import Floats
from trader.simulation.price_path import ticks


class DayTotals:
    """Volume and trades of every pair in the UTC day of the newest tick, carried forward candle by candle."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._until_us = -1
        self._volume: Floats = np.zeros(len(market.pairs))
        self._trades: Floats = np.zeros(len(market.pairs))
        self._tick_us = -1  # newest tick that was asked for, how many its candle had shown by then, and the volumes of that candle
        self._part = 0
        self._running: list[float] = []

    def at(self, tick_us: int, index: int) -> tuple[float, int]:
        """(volume in base, trades) of the pair at `index` since midnight, as of the tick at `tick_us`."""
        if tick_us != self._tick_us:
            self._carry(tick_us)
        running, part = self._running[index], self._part
        if not running > 0:
            return float(self._volume[index]), int(self._trades[index])
        return float(self._volume[index]) + seen_of_one(running, part), int(self._trades[index]) + part

    def _carry(self, tick_us: int) -> None:
        """Add up the candles that ended before the one `tick_us` is in."""
        base = self._market.base
        open_us, midnight = base.floor(tick_us), tick_us // DAY * DAY
        if not midnight <= self._until_us <= open_us:
            self._until_us = midnight
            self._volume, self._trades = np.zeros_like(self._volume), np.zeros_like(self._trades)
        while self._until_us < open_us:
            volume = self._market.minute(self._until_us).volume
            traded = volume > 0  # a pair without a candle has NaN
            self._volume, self._trades = self._volume + np.where(traded, volume, 0.0), self._trades + PARTS * traded
            self._until_us += base.us
        self._tick_us, self._running = tick_us, self._market.minute(open_us).volume.tolist()
        self._part = sum([tick_us - open_us >= tick.offset_us for tick in ticks(base)])
