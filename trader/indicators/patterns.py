"""Patterns that look back over single bars: Fibonacci zone, confirmed-pivot divergence, volume ratio.

Compiled; each has a form for whole columns and one for the newest bar, built on the same inner function, so both agree
bit for bit and no value depends on where a window begins. Bars after i are never read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trader.indicators.compiled import compiled

Column = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Places = np.ndarray[Any, np.dtype[np.int64]]

SWING = 55  # bars of the swing range
VOLUME_BARS = 20
PIVOT_SIDE = 3  # neighbours a pivot must beat on each side, and bars until it is confirmed
NEAR = 13  # i - j2 at most
GAP_MIN, GAP_MAX = 5, 34  # j2 - j1


@compiled
def _fib_zone(high: float, low: float, close: float) -> bool:
    """Whether close lies in the 0.382-0.618 retracement of the swing [low, high]; False for a swing of zero."""
    swing = high - low
    return bool((swing > 0) & (high - 0.618 * swing <= close) & (close <= high - 0.382 * swing))


@compiled
def volume_ratio(volume: Column, i: int) -> float:
    """v[i] / mean of the 20 before, 1 where that mean is 0. Summed anew each time: a running sum keeps the rounding of
    old large volumes, and a thin pair's zero mean would come out as a tiny number."""
    if i < VOLUME_BARS:
        return np.nan
    a, b, c, d = 0.0, 0.0, 0.0, 0.0  # four chains: the additions need not wait for each other
    for k in range(i - VOLUME_BARS, i, 4):
        a, b, c, d = a + volume[k], b + volume[k + 1], c + volume[k + 2], d + volume[k + 3]
    return _ratio(volume[i], (a + b) + (c + d))


@compiled
def _ratio(volume: float, total: float) -> float:
    """`volume` over the mean of 20 that add up to `total`; NaN for an infinite total, which would read as a quiet bar."""
    ratio = volume / (total / VOLUME_BARS) if total != 0 else 1.0
    return np.nan if abs(total) == np.inf else ratio


@compiled
def _is_pivot_low(low: Column, j: int) -> bool:
    """Whether low[j] is strictly below its 3 neighbours on both sides. No short cuts: a branch per neighbour costs more."""
    x = low[j]
    return bool((x < low[j - 1]) & (x < low[j + 1]) & (x < low[j - 2]) & (x < low[j + 2]) & (x < low[j - 3]) & (x < low[j + 3]))


@compiled
def _is_pivot_high(high: Column, j: int) -> bool:
    x = high[j]
    return bool((x > high[j - 1]) & (x > high[j + 1]) & (x > high[j - 2]) & (x > high[j + 2]) & (x > high[j - 3]) & (x > high[j + 3]))


@compiled
def _diverges(later: float, earlier: float, rsi_later: float, rsi_earlier: float, bars: int) -> bool:
    """A lower low with a higher RSI, 5 to 34 bars apart; for highs the caller negates."""
    return bool((bars >= GAP_MIN) & (bars <= GAP_MAX) & (later < earlier) & (rsi_later > rsi_earlier))


@compiled
def divergences(high: Column, low: Column, rsi: Column) -> tuple[Flags, Flags]:
    """(bullish, bearish) per bar, shape (n,).

    Regular divergence on confirmed pivots (SPEC section 4): of the two latest pivots j1 < j2 with i - j2 <= 13 and
    5 <= j2 - j1 <= 34, bullish if low[j2] < low[j1] and RSI[j2] > RSI[j1]; bearish mirrored on pivot highs.
    """
    return between_pivots(pivots(high, low), high, low, rsi)


@compiled
def pivots(high: Column, low: Column) -> tuple[Places, Places]:
    """Places of the pivot lows and of the pivot highs, ascending; they depend on no RSI, so strategies share them."""
    n = len(low)
    lows, highs = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for j in range(PIVOT_SIDE, n - PIVOT_SIDE):
        lows[j] = _is_pivot_low(low, j)
    for j in range(PIVOT_SIDE, n - PIVOT_SIDE):
        highs[j] = _is_pivot_high(high, j)
    return places(lows), places(highs)


@compiled
def places(flags: Flags) -> Places:
    """Where the flags are set, ascending. A place is kept where the count moves on: no branch to mispredict."""
    found, k = np.empty(len(flags), np.int64), 0
    for i in range(len(flags)):
        found[k] = i
        k += flags[i]
    return found[:k].copy()


@compiled
def between_pivots(found: tuple[Places, Places], high: Column, low: Column, rsi: Column) -> tuple[Flags, Flags]:
    """`divergences` on pivots that are known."""
    return _flags(found[0], low, rsi, 1.0), _flags(found[1], high, rsi, -1.0)


@compiled
def _flags(pivots: Places, prices: Column, rsi: Column, sign: float) -> Flags:
    """A pivot counts from its confirmation to that of the next one, 13 bars after itself at most. `sign` -1 for highs."""
    n = len(rsi)
    flags = np.zeros(n, np.bool_)
    for k in range(1, len(pivots)):
        j = pivots[k]
        if _differ(j, pivots[k - 1], prices, rsi, sign):
            end = pivots[k + 1] + PIVOT_SIDE if k + 1 < len(pivots) else n
            flags[j + PIVOT_SIDE : min(end, j + NEAR + 1)] = True
    return flags


@compiled
def zones(close: Column, top: Column, bottom: Column) -> Flags:
    """Fibonacci zone per bar, shape (n,). `top`, `bottom`: highest high and lowest low of the last 55 bars (TA-Lib MAX, MIN)."""
    zone = np.empty(len(close), np.bool_)
    for i in range(len(close)):
        zone[i] = _fib_zone(top[i], bottom[i], close[i])
    return zone


@compiled
def ratios(volume: Column) -> Column:
    """Volume ratio per bar, shape (n,), NaN for the first 20; bit for bit `volume_ratio`, whose four chains are one column, shifted."""
    n = len(volume)
    found = np.full(n, np.nan)
    chain = np.empty(max(n - 16, 0))
    for i in range(len(chain)):
        chain[i] = volume[i] + volume[i + 4] + volume[i + 8] + volume[i + 12] + volume[i + 16]
    for i in range(VOLUME_BARS, n):
        total = (chain[i - 20] + chain[i - 19]) + (chain[i - 18] + chain[i - 17])
        found[i] = _ratio(volume[i], total)
    return found


@compiled
def _swing(high: Column, low: Column, i: int) -> tuple[float, float]:
    """Highest high and lowest low of the 55 bars that end at i. Three chains: a comparison need not wait for the one before."""
    top, top2, top3 = high[i], high[i], high[i]
    bottom, bottom2, bottom3 = low[i], low[i], low[i]
    for k in range(i - SWING + 1, i, 3):
        top, top2, top3 = _higher(high[k], top), _higher(high[k + 1], top2), _higher(high[k + 2], top3)
        bottom, bottom2, bottom3 = _lower(low[k], bottom), _lower(low[k + 1], bottom2), _lower(low[k + 2], bottom3)
    return _higher(_higher(top, top2), top3), _lower(_lower(bottom, bottom2), bottom3)


@compiled
def _higher(value: float, than: float) -> float:
    """`value` where it is higher; no max(), which differs on NaN."""
    return value if value > than else than


@compiled
def _lower(value: float, than: float) -> float:
    return value if value < than else than


@compiled
def at_rows(  # noqa: PLR0917 - compiled functions take positions
    rows: Places, found: tuple[Places, Places], high: Column, low: Column, close: Column, rsi: Column
) -> tuple[Flags, Flags, Flags]:
    """(Fibonacci zone, bullish, bearish divergence) at these bars, ascending, on known pivots; shape (k,)."""
    zone, bull, bear = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    lows, highs = found
    a, b = -1, -1  # newest confirmed pivots
    for k in range(len(rows)):
        i = rows[k]
        while a + 1 < len(lows) and lows[a + 1] + PIVOT_SIDE <= i:
            a += 1
        while b + 1 < len(highs) and highs[b + 1] + PIVOT_SIDE <= i:
            b += 1
        if i >= SWING - 1:
            top, bottom = _swing(high, low, i)
            zone[k] = _fib_zone(top, bottom, close[i])
        bull[k] = a > 0 and i - lows[a] <= NEAR and _differ(lows[a], lows[a - 1], low, rsi, 1.0)
        bear[k] = b > 0 and i - highs[b] <= NEAR and _differ(highs[b], highs[b - 1], high, rsi, -1.0)
    return zone, bull, bear


@compiled
def _differ(later: int, earlier: int, prices: Column, rsi: Column, sign: float) -> bool:
    """`_diverges` on two places; `sign` -1 for highs."""
    return _diverges(sign * prices[later], sign * prices[earlier], sign * rsi[later], sign * rsi[earlier], later - earlier)


@compiled
def newest(  # noqa: PLR0917 - compiled functions take positions
    high: Column, low: Column, close: Column, volume: Column, rsi: Column, i: int
) -> tuple[bool, bool, bool, float]:
    """The same at bar i alone: (fib_zone, bullish_divergence, bearish_divergence, volume_ratio). Needs 55 bars or more."""
    zone = False
    if i >= SWING - 1:
        top, bottom = _swing(high, low, i)
        zone = _fib_zone(top, bottom, close[i])
    low1, low2, high1, high2 = -1, -1, -1, -1
    for j in range(i - PIVOT_SIDE, max(PIVOT_SIDE - 1, i - NEAR - GAP_MAX - 1), -1):
        if low1 < 0 and _is_pivot_low(low, j):
            low1, low2 = (j, low2) if low2 >= 0 else (-1, j)
        if high1 < 0 and _is_pivot_high(high, j):
            high1, high2 = (j, high2) if high2 >= 0 else (-1, j)
        if low1 >= 0 and high1 >= 0:
            break
    bull = low1 >= 0 and i - low2 <= NEAR and _differ(low2, low1, low, rsi, 1.0)
    bear = high1 >= 0 and i - high2 <= NEAR and _differ(high2, high1, high, rsi, -1.0)
    return zone, bull, bear, volume_ratio(volume, i)
