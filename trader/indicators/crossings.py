"""Crossings of two exponential averages: over whole columns, and candle by candle with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from trader.indicators import technical
from trader.indicators.ta import stream
from trader.indicators.technical import Column

Crossings = np.ndarray[Any, np.dtype[np.int8]]


def ema_cross(close: Column, fast: int, slow: int) -> Crossings:
    """1 at the bar whose close takes EMA(fast) above EMA(slow), -1 where it takes it to or below, else 0; int8, shape (n,).

    0 until both averages are known at the bar and at the one before. Raises ValueError unless 2 <= fast < slow.
    """
    _check(fast, slow)
    return crossed(technical.ema(close, fast), technical.ema(close, slow))


def crossed(first: Column, second: Column) -> Crossings:
    """Where `first` gets above `second` (1) or no longer is (-1); a NaN on either side of the bar is no crossing."""
    found = np.zeros(len(first), np.int8)
    above = first > second
    known = ~(np.isnan(first) | np.isnan(second))
    change = known[1:] & known[:-1] & (above[1:] != above[:-1])
    found[1:][change] = np.where(above[1:][change], 1, -1)
    return found


class EmaCross:
    """The same for a live pair: `update` on a closed candle, `peek` on the forming one, which changes nothing.

    Begins with the closes known so far; raises ValueError for fewer than `slow` of them, or a close that is no finite number.
    """

    def __init__(self, closes: Column, fast: int, slow: int) -> None:
        _check(fast, slow)
        if len(closes) < slow or not np.isfinite(closes).all():
            raise ValueError(f"{len(closes)} closes: at least {slow} finite ones are needed to begin")
        self._fast, self._slow = stream.EMA(closes, fast), stream.EMA(closes, slow)
        self.value = int(ema_cross(closes, fast, slow)[-1])

    @property
    def above(self) -> bool:
        """Whether the fast average stands above the slow one."""
        return bool(self._fast.value > self._slow.value)

    def peek(self, close: float) -> int:
        """What a candle that closed here would make: 1, -1 or 0."""
        return _turn(self.above, bool(self._fast.peek(close) > self._slow.peek(close)))

    def update(self, close: float) -> int:
        """Take over a closed candle; its crossing. Raises ValueError for a close that is no finite number, and changes nothing."""
        if not np.isfinite(close):
            raise ValueError(f"close {close} is not a finite number")
        before = self.above
        self._fast.update(close)
        self._slow.update(close)
        self.value = _turn(before, self.above)
        return self.value


def _turn(before: bool, after: bool) -> int:
    return int(after) - int(before)


def _check(fast: int, slow: int) -> None:
    if not 2 <= fast < slow:
        raise ValueError(f"periods {fast} and {slow}: the fast one must be at least 2 and below the slow one")
