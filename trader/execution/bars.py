"""Candle builder: closed base candles (1m or 5m) of one pair into closed 15m and 4h candles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from trader.domain.market import Candle, Timeframe
from trader.errors import RetryableError


def merge(candles: Sequence[Candle], timeframe: Timeframe) -> Candle:
    """One candle of `timeframe` from shorter ones that cover it without a hole, ascending.

    Open of the first, highest high, lowest low, close of the last, summed volume; vwap weighted by volume; filled only if
    all are. Raises ValueError where a part is missing.
    """
    first = candles[0]
    start = timeframe.floor(first.time_us)
    parts = timeframe.us // first.timeframe.us
    if len(candles) != parts or any(c.time_us != start + i * c.timeframe.us for i, c in enumerate(candles)):
        raise ValueError(f"{first.pair}: {len(candles)} of {parts} candles cover {timeframe} at {start}")
    volume = _added(c.volume for c in candles)
    turnover = _added(c.vwap * c.volume for c in candles)
    return Candle(
        pair=first.pair, timeframe=timeframe, time_us=start, open=first.open, high=max(c.high for c in candles),
        low=min(c.low for c in candles), close=candles[-1].close, volume=volume,
        vwap=turnover / volume if volume else 0.0,
        count=sum(c.count for c in candles), filled=all(c.filled for c in candles),
    )  # fmt: skip


def ascending(rows: Sequence[Candle], from_us: int) -> list[Candle]:
    """The candles at or after `from_us`; raises RetryableError for an answer that is out of order."""
    if any(a.time_us >= b.time_us for a, b in pairwise(rows)):
        raise RetryableError(f"{rows[0].pair} {rows[0].timeframe}: the exchange's candles do not ascend")
    return [candle for candle in rows if candle.time_us >= from_us]


def _added(values: Iterable[float]) -> float:
    """One after the other, as `resample.aggregate` does; the `sum` of newer Pythons carries lost digits along."""
    total = 0.0
    for value in values:
        total += value
    return total


class BarBuilder:
    """Collects one pair's closed candles of a shorter timeframe and returns each longer candle once it is complete."""

    def __init__(self, timeframe: Timeframe) -> None:
        self.timeframe = timeframe
        self._parts: list[Candle] = []

    def add(self, candle: Candle) -> Candle | None:
        """The finished longer candle, if `candle` ends one that was seen from its first part on; late repeats are ignored."""
        start = self.timeframe.floor(candle.time_us)
        if self._parts and self._parts[0].time_us < start:
            self._parts = []
        if self._parts and candle.time_us <= self._parts[-1].time_us:
            return None
        if candle.time_us != (self._parts[-1].close_us if self._parts else start):
            self._parts = []  # begun in the middle, or a hole: this longer candle must come from elsewhere
            return None
        self._parts.append(candle)
        if candle.close_us != start + self.timeframe.us:
            return None
        parts, self._parts = self._parts, []
        return merge(parts, self.timeframe)

    def forming(self, running: Candle | None = None) -> Candle | None:
        """The longer candle as it stands, with the running shorter one on top; None before its first part."""
        parts = [*self._parts]
        if running is not None and (not parts or running.time_us == parts[-1].close_us):
            parts.append(running)
        if not parts or parts[0].time_us != self.timeframe.floor(parts[0].time_us):
            return None
        volume = _added(c.volume for c in parts)
        return Candle(
            pair=parts[0].pair, timeframe=self.timeframe, time_us=parts[0].time_us, open=parts[0].open,
            high=max(c.high for c in parts), low=min(c.low for c in parts), close=parts[-1].close, volume=volume,
            vwap=0.0, count=sum(c.count for c in parts), filled=all(c.filled for c in parts),
        )  # fmt: skip
