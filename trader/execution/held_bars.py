"""Bars of what is held, whatever the data gate says of the pair: time exits and the ratchet go by them (SPEC section 9).

The engine makes the bars that decide, and has only pairs that are ready for entries. A position in a pair that is not (blocked,
being repaired, outside the ranking after a restart) gets its bars from here: merged from the same candles by the same rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from trader.domain.market import Candle, Timeframe
from trader.execution.bars import merge

KEPT_US = 2 * Timeframe.M15.us  # a candle that comes later than this no longer completes its bar


class HeldBars:
    """Collects base candles of held pairs by bar, in whatever order they come. Gives each bar once, from the engine where it has it.

    `followed`: the engine's pairs as they are at any time; `marks`: where it keeps the newest prices.
    """

    def __init__(self, followed: Collection[str], marks: dict[str, float]) -> None:
        self._followed, self._marks = followed, marks
        self._parts: dict[str, dict[int, dict[int, Candle]]] = {}  # by pair, bar and time
        self._given_us: dict[str, int] = {}

    def take(self, pairs: Iterable[str], candles: Iterable[Candle], closed: Sequence[Candle]) -> list[Candle]:
        """The 15m bars to follow exits by: those the engine `closed`, and those that it has not of the held `pairs`, whose prices it
        is told too: equity is unknown without the mark of anything held."""
        held, bars = frozenset(pairs), list(closed)
        self._parts = {pair: begun for pair, begun in self._parts.items() if pair in held}
        for candle in candles if held else ():
            if candle.pair not in held:
                continue
            if candle.pair not in self._followed:
                self._marks[candle.pair] = candle.close
            if (bar := self._add(candle)) is not None:
                bars.append(bar)
        return [bar for bar in bars if self._is_news(bar)]

    def _add(self, candle: Candle) -> Candle | None:
        """The bar that `candle` completes."""
        if candle.timeframe is Timeframe.M15:
            return candle
        bars, start = self._parts.setdefault(candle.pair, {}), Timeframe.M15.floor(candle.time_us)
        parts = bars.setdefault(start, {})
        parts.setdefault(candle.time_us, candle)
        for old in [other for other in bars if other < start - KEPT_US]:
            del bars[old]
        whole = len(parts) == Timeframe.M15.us // candle.timeframe.us
        return merge([parts[time_us] for time_us in sorted(parts)], Timeframe.M15) if whole else None

    def _is_news(self, bar: Candle) -> bool:
        """Whether no bar as new as this was given for its pair: exits count bars, and a bar too many is a wrong exit."""
        if bar.close_us <= self._given_us.get(bar.pair, 0):
            return False
        self._given_us[bar.pair] = bar.close_us
        return True
