"""4h candles beside 15m ones, for whole columns: their closes made of 15m candles, and their values as of every 15m close."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from trader.domain.market import Timeframe
from trader.indicators.compiled import compiled
from trader.indicators.technical import Column

Times = np.ndarray[Any, np.dtype[np.int64]]
M15, H4 = Timeframe.M15.us, Timeframe.H4.us
NEVER = np.iinfo(np.int64).max


class Hours(Protocol):
    """What a decision reads of 4h candles; `Columns` are some too."""

    @property
    def time(self) -> Times: ...
    @property
    def close(self) -> Column: ...


class Closes(NamedTuple):
    """Open times and closes of candles, ascending, shape (m,) each."""

    time: Times
    close: Column


def made_of(time: Times, close: Column) -> Closes:
    """The 4h candles that these 15m ones make: only those of which every one is there, as `resample.aggregate` has it."""
    return Closes(*_closes(time, close))


@compiled
def _closes(time: Times, close: Column) -> tuple[Times, Column]:
    """From group to group: times ascend, so a group is whole where its sixteenth candle is inside it and the next one is not."""
    n, m, size, i = len(time), 0, H4 // M15, 0
    times, closes = np.empty(n // size + 1, np.int64), np.empty(n // size + 1)
    while i < n:
        label, after = time[i] // H4 * H4, i + size
        if after <= n and time[after - 1] < label + H4 and (after == n or time[after] >= label + H4):
            times[m], closes[m] = label, close[after - 1]
            m, i = m + 1, after
        else:
            while i < n and time[i] < label + H4:
                i += 1
    return times[:m].copy(), closes[:m].copy()


@compiled
def alongside(  # noqa: PLR0917 - compiled functions take positions
    time: Times, time_4h: Times, close_4h: Column, ema_4h: Column, hist_4h: Column, wanted_4h: int
) -> tuple[Column, Column, Column, Times]:
    """(close, EMA, histogram) of the newest 4h candle closed at or before each 15m close, shape (n,), NaN before there is one; and
    how many 15m candles follow each other without a gap up to each bar, 0 where its 4h values may not be used.

    They may where `wanted_4h` unbroken candles end there, on the 4h grid, with finite values, and none has closed since.
    """
    n, m = len(time), len(time_4h)
    close, ema, hist, run = np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.int64)
    c, e, h = np.nan, np.nan, np.nan
    j, due, until = -1, time_4h[0] + H4 if m > 0 else NEVER, np.int64(0)  # newest closed, the next one's close, end of use
    length, run_4h = 0, 0
    for i in range(n):
        length = length + 1 if i > 0 and time[i] - time[i - 1] == M15 else 1
        now = time[i] + M15
        if due <= now:
            while due <= now:
                j += 1
                run_4h = run_4h + 1 if j > 0 and time_4h[j] - time_4h[j - 1] == H4 else 1
                due = time_4h[j + 1] + H4 if j + 1 < m else NEVER
            c, e, h = close_4h[j], ema_4h[j], hist_4h[j]
            usable = run_4h >= wanted_4h and time_4h[j] % H4 == 0 and np.isfinite(c + e + h)
            until = time_4h[j] + 2 * H4 if usable else np.int64(0)
        close[i], ema[i], hist[i] = c, e, h
        run[i] = length if now < until else 0
    return close, ema, hist, run
