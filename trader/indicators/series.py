"""The columns a decision reads: one named row per closed 15m bar, over whole series (`features`) or newest-bar (`Row`).

`Features` holds columns and `Row` one bar of them, under the same names, so scores run over either. Values are NaN (False
for flags) until warm; `ready` and `Row.reason` say whether they may be used (NOT_READY of SPEC section 4).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from trader.domain.market import Timeframe
from trader.indicators import patterns, technical
from trader.indicators.technical import Column
from trader.ports import Columns

Times = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
FILLED_BARS = 96
MAX_FILLED = 0.20
M15, H4 = Timeframe.M15.us, Timeframe.H4.us


class Needs(Protocol):
    """What indicators must know of a strategy: periods; `trend_ema` 0 means not in use."""

    @property
    def rsi_period(self) -> int: ...
    @property
    def trend_ema(self) -> int: ...
    @property
    def h4_ema(self) -> int: ...


class Row(NamedTuple):
    """One pair at one closed (or, from `peek`, forming) 15m bar. Prices in quote; `rsi` 0-100; `reason` "" = ready."""

    time_us: int
    close: float
    rsi: float
    rsi_previous: float
    macd_hist: float
    macd_hist_previous: float
    bb_lower: float
    bb_upper: float
    bb_position: float
    atr: float
    atr_fraction: float
    ema_trend: float
    fib_zone: bool
    volume_ratio: float
    bullish_divergence: bool
    bearish_divergence: bool
    h4_close: float
    h4_ema: float
    h4_hist: float
    filled_share: float
    reason: str = ""

    @property
    def h4_bearish(self) -> bool:
        """close < EMA and MACD histogram <= 0 on the newest closed 4h candle."""
        return self.h4_close < self.h4_ema and self.h4_hist <= 0


class Features(NamedTuple):
    """The fields of `Row` as columns of shape (n,), plus `ready`."""

    time_us: Times
    close: Column
    rsi: Column
    rsi_previous: Column
    macd_hist: Column
    macd_hist_previous: Column
    bb_lower: Column
    bb_upper: Column
    bb_position: Column
    atr: Column
    atr_fraction: Column
    ema_trend: Column
    fib_zone: Flags
    volume_ratio: Column
    bullish_divergence: Flags
    bearish_divergence: Flags
    h4_close: Column
    h4_ema: Column
    h4_hist: Column
    filled_share: Column
    ready: Flags

    def row(self, i: int) -> Row:
        """Bar i as a Row; its reason is only "ready" or "not ready" here."""
        values = [column[i].item() for column in self[:-1]]
        return Row._make([*values, "" if self.ready[i] else "not ready"])


def previous(values: Column) -> Column:
    """Shifted by one bar; the first is NaN."""
    return np.concatenate((np.array([np.nan]), values[:-1]))


def unbroken(time: Times, step: int) -> Times:
    """How many candles, this one included, follow each other without a gap up to each position."""
    index = np.arange(len(time))
    breaks = np.concatenate((np.array([True]), np.diff(time) != step))
    return index - np.maximum.accumulate(np.where(breaks, index, 0)) + 1


def true_volume(columns: Columns) -> Column:
    """Volume with filled bars as 0 (SPEC section 4)."""
    return np.ascontiguousarray(np.where(columns.filled, 0.0, columns.volume), dtype=np.float64)


def filled_share(filled: Flags) -> Column:
    """Share of filled bars among the last 96; NaN before there are as many."""
    total = np.concatenate((np.array([0]), np.cumsum(filled)))
    share = np.full(len(filled), np.nan)
    share[FILLED_BARS - 1 :] = (total[FILLED_BARS:] - total[:-FILLED_BARS]) / FILLED_BARS
    return share


def as_of_4h(time_15m: Times, time_4h: Times) -> Times:
    """Index of the newest 4h candle closed at or before each 15m close; -1 where there is none."""
    found: Times = np.searchsorted(time_4h + H4, time_15m + M15, side="right") - 1
    return found


def median_quote_volume(close: Column, volume: Column, i: int) -> float:
    """Median of volume x close over the 96 bars that end at i, in quote; 0.0 before there are as many."""
    if i + 1 < FILLED_BARS:
        return 0.0
    part = slice(i + 1 - FILLED_BARS, i + 1)
    return float(np.median(volume[part] * close[part]))


def features(columns_15m: Columns, columns_4h: Columns, needs: Needs) -> Features:
    """All columns of a series, each indicator computed once. Candles may have gaps: a pair is ready again LOOKBACK bars after."""
    n, close = len(columns_15m), columns_15m.close
    volume = true_volume(columns_15m)
    rsi = technical.rsi(close, needs.rsi_period)
    hist = technical.macd(close)[2]
    upper, _, lower = technical.bollinger(close)
    atr = technical.atr(columns_15m.high, columns_15m.low, close)
    top, bottom = technical.highest(columns_15m.high, patterns.SWING), technical.lowest(columns_15m.low, patterns.SWING)
    found = patterns.scan(columns_15m.high, columns_15m.low, close, volume, rsi, top, bottom)
    h4 = as_of_4h(columns_15m.time, columns_4h.time)
    known = h4 >= 0
    h4_close, h4_ema, h4_hist = (
        np.where(known, values[h4], np.nan) if len(columns_4h) else np.full(n, np.nan)
        for values in (columns_4h.close, technical.ema(columns_4h.close, needs.h4_ema), technical.macd(columns_4h.close)[2])
    )
    share = filled_share(columns_15m.filled) if n >= FILLED_BARS else np.full(n, np.nan)
    made = Features(
        time_us=columns_15m.time, close=close, rsi=rsi, rsi_previous=previous(rsi), macd_hist=hist, macd_hist_previous=previous(hist),
        bb_lower=lower, bb_upper=upper, bb_position=technical.bb_position(close, upper, lower), atr=atr, atr_fraction=atr / close,
        ema_trend=technical.ema(close, needs.trend_ema) if needs.trend_ema else np.full(n, np.nan),
        fib_zone=found.fib_zone, volume_ratio=found.volume_ratio, bullish_divergence=found.bullish_divergence,
        bearish_divergence=found.bearish_divergence, h4_close=h4_close, h4_ema=h4_ema, h4_hist=h4_hist, filled_share=share,
        ready=np.zeros(n, np.bool_),
    )  # fmt: skip
    return made._replace(ready=_ready(made, columns_15m, columns_4h, h4, needs))


def _ready(made: Features, columns_15m: Columns, columns_4h: Columns, h4: Times, needs: Needs) -> Flags:
    ready: Flags = unbroken(columns_15m.time, M15) >= technical.lookback_15m(needs.rsi_period, needs.trend_ema)
    if not len(columns_4h):
        return np.zeros(len(columns_15m), np.bool_)
    close_us = columns_15m.time + M15
    ready &= (h4 >= 0) & (columns_4h.time[h4] + H4 == close_us - close_us % H4)
    ready &= unbroken(columns_4h.time, H4)[h4] >= technical.lookback_4h(needs.h4_ema)
    ready &= (made.filled_share <= MAX_FILLED) & (made.atr > 0)
    for name in required(needs):
        ready &= np.isfinite(getattr(made, name))
    return ready


def required(needs: Needs) -> tuple[str, ...]:
    """Fields that must be finite."""
    return _REQUIRED + (("ema_trend",) if needs.trend_ema else ())


_REQUIRED = (
    "close", "rsi", "rsi_previous", "macd_hist", "macd_hist_previous", "bb_lower", "bb_upper", "bb_position", "atr_fraction",
    "volume_ratio", "h4_close", "h4_ema", "h4_hist",
)  # fmt: skip


def why_not_ready(row: Row, bars_15m: int, bars_4h: int, h4_due: bool, needs: Needs) -> str:
    """The first cause of NOT_READY at a bar, "" if none. `bars_*`: unbroken candles; `h4_due`: the 4h candle of the
    newest common close is missing."""
    wanted_15m, wanted_4h = technical.lookback_15m(needs.rsi_period, needs.trend_ema), technical.lookback_4h(needs.h4_ema)
    if bars_15m < wanted_15m:
        return f"{bars_15m} of {wanted_15m} unbroken 15m candles"
    if bars_4h < wanted_4h:
        return f"{bars_4h} of {wanted_4h} unbroken 4h candles"
    if h4_due:
        return "the 4h candle of this close is missing"
    if not row.filled_share <= MAX_FILLED:
        return f"{row.filled_share:.0%} of the last {FILLED_BARS} bars have no trade"
    if not row.atr > 0:
        return "ATR is zero"
    for name in required(needs):
        if not math.isfinite(getattr(row, name)):
            return f"{name} is not finite"
    return ""
