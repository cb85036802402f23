"""Technical indicators over whole columns: TA-Lib, never re-implemented.

All inputs float64, contiguous, shape (n,); all outputs float64, shape (n,), NaN until the period is filled. A NaN in the
input makes every later value of a recursive indicator NaN or undefined: callers pass finite columns (the data gate's work).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trader.indicators.compiled import compiled
from trader.indicators.ta import talib

Column = np.ndarray[Any, np.dtype[np.float64]]
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
BANDS, BAND_WIDTH = 20, 2.0
ATR_PERIOD = ADX_PERIOD = 14
SHORT = 3  # periods of the short warm-up
_E_BITS = 23.03  # -ln(1e-10): what is left of the start value's weight


def lookback(period: int, alpha: float) -> int:
    """Bars after which a window agrees with the whole series to 1e-9: n + ceil(23.03 / -ln(1 - alpha)).

    alpha 2 / (n + 1) for an EMA, 1 / n for Wilder's smoothing; chained indicators add up (SPEC section 4).
    Raises ValueError for a period below 2 or an alpha outside (0, 1).
    """
    if period < 2 or not 0 < alpha < 1:
        raise ValueError(f"period {period} must be at least 2 and alpha {alpha} inside (0, 1)")
    return period + math.ceil(_E_BITS / -math.log(1 - alpha))


def ema_lookback(period: int) -> int:
    return lookback(period, 2 / (period + 1))


def wilder_lookback(period: int) -> int:
    return lookback(period, 1 / period)


MACD_LOOKBACK = ema_lookback(MACD_SLOW) + ema_lookback(MACD_SIGNAL)


def lookback_15m(rsi_period: int, trend_ema: int, *, short: bool = False) -> int:
    """LOOKBACK on 15m: the longest warm-up in use + 55. `trend_ema` 0: not in use.

    `short`, for research and replay on files that begin too late: three periods in place of the exact warm-up.
    """
    if short:
        return SHORT * max(rsi_period, ATR_PERIOD, MACD_SLOW + MACD_SIGNAL, trend_ema) + 55
    longest = max(wilder_lookback(rsi_period), wilder_lookback(ATR_PERIOD), MACD_LOOKBACK)
    return max(longest, ema_lookback(trend_ema) if trend_ema else 0) + 55


def lookback_4h(h4_ema: int, *, short: bool = False) -> int:
    """LOOKBACK on 4h: the longest warm-up in use + 1; `short` as in `lookback_15m`."""
    if short:
        return SHORT * max(h4_ema, MACD_SLOW + MACD_SIGNAL) + 1
    return max(ema_lookback(h4_ema), MACD_LOOKBACK) + 1


def rsi(close: Column, period: int) -> Column:
    """Relative strength index, 0-100, NaN for the first `period` values. Source: Wilder 1978."""
    return _one(talib.RSI(close, period))


def macd(close: Column) -> tuple[Column, Column, Column]:
    """MACD(12, 26, 9): line, signal, histogram. Source: Appel 1979."""
    line, signal, hist = talib.MACD(close, MACD_FAST, MACD_SLOW, MACD_SIGNAL)
    return _one(line), _one(signal), _one(hist)


def bollinger(close: Column) -> tuple[Column, Column, Column]:
    """Upper, middle and lower band of BBANDS(20, 2, 2), simple mean and population deviation. Source: Bollinger 1992."""
    upper, middle, lower = talib.BBANDS(close, BANDS, BAND_WIDTH, BAND_WIDTH, 0)
    return _one(upper), _one(middle), _one(lower)


@compiled
def bb_position(close: Column, upper: Column, lower: Column) -> Column:
    """Where the close lies between the bands: 0 lower, 1 upper, 0.5 where the width is 0."""
    made = np.empty(len(close))
    for i in range(len(close)):
        width = upper[i] - lower[i]
        made[i] = 0.5 if width == 0 else (close[i] - lower[i]) / width
    return made


def atr(high: Column, low: Column, close: Column, period: int = ATR_PERIOD) -> Column:
    """Average true range in price units. Source: Wilder 1978."""
    return _one(talib.ATR(high, low, close, period))


def ema(values: Column, period: int) -> Column:
    """Exponential moving average, alpha 2 / (period + 1), started from the simple mean of the first `period` values."""
    return _one(talib.EMA(values, period))


def sma(values: Column, period: int) -> Column:
    """Simple moving average."""
    return _one(talib.SMA(values, period))


def adx(high: Column, low: Column, close: Column, period: int = ADX_PERIOD) -> Column:
    """Average directional index, 0-100; reported, never scored. Source: Wilder 1978."""
    return _one(talib.ADX(high, low, close, period))


def highest(values: Column, period: int) -> Column:
    """Rolling maximum."""
    return _one(talib.MAX(values, period))


def lowest(values: Column, period: int) -> Column:
    """Rolling minimum."""
    return _one(talib.MIN(values, period))


def candle_patterns(open_: Column, high: Column, low: Column, close: Column) -> dict[str, int]:
    """TA-Lib's word on the newest candle (100 bullish, -100 bearish, 0 none): AI input and display, never scored."""
    found = {
        "engulfing": talib.CDLENGULFING(open_, high, low, close),
        "hammer": talib.CDLHAMMER(open_, high, low, close),
        "morning_star": talib.CDLMORNINGSTAR(open_, high, low, close),
    }
    return {name: int(values[-1]) for name, values in found.items()}


def _one(values: Any) -> Column:
    return np.asarray(values, dtype=np.float64)
