"""Patterns that look back over single bars: Fibonacci zone, confirmed-pivot divergence, volume ratio.

Compiled; each has a form for whole columns and one for the newest bar, built on the same inner function, so both agree
bit for bit and no value depends on where a window begins. Bars after i are never read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trader.indicators.compiled import compiled

Column = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

SWING = 55  # bars of the swing range
VOLUME_BARS = 20
PIVOT_SIDE = 3  # neighbours a pivot must beat on each side, and bars until it is confirmed
NEAR = 13  # i - j2 at most
GAP_MIN, GAP_MAX = 5, 34  # j2 - j1


class Patterns(NamedTuple):
    """Columns of shape (n,). `volume_ratio` is NaN for the first 20 bars."""

    fib_zone: Flags
    bullish_divergence: Flags
    bearish_divergence: Flags
    volume_ratio: Column


@compiled
def _fib_zone(high: float, low: float, close: float) -> bool:
    """Whether close lies in the 0.382-0.618 retracement of the swing [low, high]; False for a swing of zero."""
    swing = high - low
    return swing > 0 and high - 0.618 * swing <= close <= high - 0.382 * swing


@compiled
def _volume_ratio(volume: Column, i: int) -> float:
    """v[i] / mean of the 20 before, 1 where that mean is 0. Summed anew each time: a running sum keeps the rounding of
    old large volumes, and a thin pair's zero mean would come out as a tiny number."""
    if i < VOLUME_BARS:
        return np.nan
    total = 0.0
    for k in range(i - VOLUME_BARS, i):
        total += volume[k]
    return volume[i] / (total / VOLUME_BARS) if total != 0 else 1.0


@compiled
def _is_pivot_low(low: Column, j: int, first: int, last: int) -> bool:
    """Whether low[j] is strictly below its 3 neighbours on both sides, all inside [first, last]."""
    if j - PIVOT_SIDE < first or j + PIVOT_SIDE > last:
        return False
    for k in range(1, PIVOT_SIDE + 1):  # noqa: SIM110 - compiled: no generators
        if not (low[j] < low[j - k] and low[j] < low[j + k]):
            return False
    return True


@compiled
def _is_pivot_high(high: Column, j: int, first: int, last: int) -> bool:
    if j - PIVOT_SIDE < first or j + PIVOT_SIDE > last:
        return False
    for k in range(1, PIVOT_SIDE + 1):  # noqa: SIM110 - compiled: no generators
        if not (high[j] > high[j - k] and high[j] > high[j + k]):
            return False
    return True


@compiled
def _near(i: int, j1: int, j2: int) -> bool:
    return j1 >= 0 and i - j2 <= NEAR and GAP_MIN <= j2 - j1 <= GAP_MAX


@compiled
def scan(  # noqa: PLR0917 - compiled functions take positions
    high: Column, low: Column, close: Column, volume: Column, rsi: Column, top: Column, bottom: Column
) -> Patterns:
    """All patterns of whole columns. `top`, `bottom`: highest high and lowest low of the last 55 bars (TA-Lib MAX, MIN).

    Divergence (SPEC section 4), of the two latest confirmed pivots j1 < j2 with i - j2 <= 13 and 5 <= j2 - j1 <= 34:
    bullish if low[j2] < low[j1] and RSI[j2] > RSI[j1]; bearish mirrored on pivot highs.
    """
    n = len(close)
    zone, bull, bear = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    ratio = np.full(n, np.nan)
    low1, low2, high1, high2 = -1, -1, -1, -1
    for i in range(n):
        j = i - PIVOT_SIDE
        if _is_pivot_low(low, j, 0, i):
            low1, low2 = low2, j
        if _is_pivot_high(high, j, 0, i):
            high1, high2 = high2, j
        bull[i] = _near(i, low1, low2) and low[low2] < low[low1] and rsi[low2] > rsi[low1]
        bear[i] = _near(i, high1, high2) and high[high2] > high[high1] and rsi[high2] < rsi[high1]
        zone[i] = _fib_zone(top[i], bottom[i], close[i])
        ratio[i] = _volume_ratio(volume, i)
    return Patterns(zone, bull, bear, ratio)


@compiled
def newest(  # noqa: PLR0917 - compiled functions take positions
    high: Column, low: Column, close: Column, volume: Column, rsi: Column, i: int
) -> tuple[bool, bool, bool, float]:
    """The same at bar i alone: (fib_zone, bullish_divergence, bearish_divergence, volume_ratio). Needs 55 bars or more."""
    top, bottom = high[i], low[i]
    for k in range(max(0, i - SWING + 1), i):
        top = high[k] if high[k] > top else top
        bottom = low[k] if low[k] < bottom else bottom
    zone = i >= SWING - 1 and _fib_zone(top, bottom, close[i])
    low1, low2, high1, high2 = -1, -1, -1, -1
    for j in range(i - PIVOT_SIDE, max(-1, i - NEAR - GAP_MAX - 1), -1):
        if low1 < 0 and _is_pivot_low(low, j, 0, i):
            low1, low2 = (j, low2) if low2 >= 0 else (-1, j)
        if high1 < 0 and _is_pivot_high(high, j, 0, i):
            high1, high2 = (j, high2) if high2 >= 0 else (-1, j)
    bull = low2 >= 0 and _near(i, low1, low2) and low[low2] < low[low1] and rsi[low2] > rsi[low1]
    bear = high2 >= 0 and _near(i, high1, high2) and high[high2] > high[high1] and rsi[high2] < rsi[high1]
    return zone, bull, bear, _volume_ratio(volume, i)
