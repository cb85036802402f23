"""The columns a decision reads: one named row per closed 15m bar, over whole series (`features`) or newest-bar (`Row`).

`Features` holds columns and `Row` one bar of them, under the same names, so scores run over either. Values are NaN (False
for flags) until warm; `ready` and `Row.reason` say whether they may be used (NOT_READY of SPEC section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from trader.indicators import patterns, technical
from trader.indicators.compiled import compiled
from trader.indicators.hours import H4, M15, Hours, Times, alongside
from trader.indicators.technical import Column
from trader.ports import Columns

Flags = np.ndarray[Any, np.dtype[np.bool_]]
FILLED_BARS = 96
MAX_FILLED = 0.20


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


@compiled
def unbroken(time: Times, step: int) -> Times:
    """How many candles, this one included, follow each other without a gap up to each position."""
    run = np.ones(len(time), np.int64)
    for i in range(1, len(time)):
        if time[i] - time[i - 1] == step:
            run[i] = run[i - 1] + 1
    return run


def true_volume(columns: Columns) -> Column:
    """Volume with filled bars as 0 (SPEC section 4)."""
    volume = np.where(columns.filled, 0.0, columns.volume) if columns.filled.any() else columns.volume
    return np.ascontiguousarray(volume, dtype=np.float64)


def filled_share(filled: Flags) -> Column:
    """Share of filled bars among the last 96; NaN before there are as many."""
    if not filled.any():
        return _unfilled(len(filled))
    share = _unfilled(len(filled)).copy()
    if len(filled) >= FILLED_BARS:
        total = np.concatenate((np.array([0]), np.cumsum(filled)))
        share[FILLED_BARS - 1 :] = (total[FILLED_BARS:] - total[:-FILLED_BARS]) / FILLED_BARS
    return share


@lru_cache(maxsize=4)
def _unfilled(n: int) -> Column:
    """The share where no bar is filled, made once for all pairs of a length: it is read, never written."""
    share = np.zeros(n)
    share[: FILLED_BARS - 1] = np.nan
    return share


@compiled
def as_of_4h(time_15m: Times, time_4h: Times) -> Times:
    """Index of the newest 4h candle closed at or before each 15m close; -1 where there is none."""
    found = np.empty(len(time_15m), np.int64)
    j = -1
    for i in range(len(time_15m)):
        while j + 1 < len(time_4h) and time_4h[j + 1] + H4 <= time_15m[i] + M15:
            j += 1
        found[i] = j
    return found


def median_quote_volume(close: Column, volume: Column, i: int) -> float:
    """Median of volume x close over the 96 bars that end at i, in quote; 0.0 before there are as many."""
    if i + 1 < FILLED_BARS:
        return 0.0
    part = slice(i + 1 - FILLED_BARS, i + 1)
    return float(np.median(volume[part] * close[part]))


class Base(NamedTuple):
    """What strategies of equal `trend_ema` and `h4_ema` share: `columns`, in which what depends on the RSI is a placeholder, and
    `run`, shape (n,): unbroken 15m candles up to each bar, 0 where it is not ready whatever its RSI."""

    columns: Features
    run: Times


def features(
    columns_15m: Columns,
    hours: Hours,
    needs: Needs,
    *,
    base: Base | None = None,
    pivots: tuple[Times, Times] | None = None,
    short: bool = False,
) -> Features:
    """All columns of a series, each indicator computed once. Candles may have gaps: a pair is ready again LOOKBACK bars after.

    `hours`: the 4h candles. `base`: `base_of` the same candles; `pivots`: `patterns.pivots` of them. `short`: ready after three
    periods, in research and replay only.
    """
    high, low = columns_15m.high, columns_15m.low
    columns, run = base or base_of(columns_15m, hours, needs, short=short)
    rsi = technical.rsi(columns_15m.close, needs.rsi_period)
    before = previous(rsi)
    bullish, bearish = patterns.between_pivots(pivots or patterns.pivots(high, low), high, low, rsi)
    ready = _ready(run, technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short), rsi, before)
    return columns._replace(rsi=rsi, rsi_previous=before, bullish_divergence=bullish, bearish_divergence=bearish, ready=ready)


def base_of(columns_15m: Columns, hours: Hours, needs: Needs, *, short: bool = False) -> Base:
    """The part of `features` that depends on no RSI."""
    n, close = len(columns_15m), columns_15m.close
    hist = technical.macd(close)[2]
    upper, _, lower = technical.bollinger(close)
    atr = technical.atr(columns_15m.high, columns_15m.low, close)
    top, bottom = technical.highest(columns_15m.high, patterns.SWING), technical.lowest(columns_15m.low, patterns.SWING)
    h4_close, h4_ema, h4_hist, run = alongside(
        columns_15m.time, hours.time, hours.close, technical.ema(hours.close, needs.h4_ema), technical.macd(hours.close)[2],
        technical.lookback_4h(needs.h4_ema, short=short),
    )  # fmt: skip
    unset = np.zeros(n, np.bool_)
    made = Features(
        time_us=columns_15m.time, close=close, rsi=close, rsi_previous=close, macd_hist=hist, macd_hist_previous=previous(hist),
        bb_lower=lower, bb_upper=upper, bb_position=technical.bb_position(close, upper, lower), atr=atr, atr_fraction=atr / close,
        ema_trend=technical.ema(close, needs.trend_ema) if needs.trend_ema else np.full(n, np.nan),
        fib_zone=patterns.zones(close, top, bottom), volume_ratio=patterns.ratios(true_volume(columns_15m)),
        bullish_divergence=unset, bearish_divergence=unset, h4_close=h4_close, h4_ema=h4_ema, h4_hist=h4_hist,
        filled_share=filled_share(columns_15m.filled), ready=unset,
    )  # fmt: skip
    columns = [getattr(made, name) for name in required(needs) if name not in _JUDGED_ELSEWHERE]
    return Base(made, _fit(run, made.filled_share, atr, _sum(columns)))


def _sum(columns: list[Column]) -> Column:
    """Their sum per bar, finite only where all are (inf - inf is NaN); a column too few is made up for by the first."""
    total, rest = columns[0], columns[1:]
    while rest:
        total, rest = _five(total, *(rest + 3 * columns[:1])[:4]), rest[4:]
    return total


@compiled
def _five(a: Column, b: Column, c: Column, d: Column, e: Column) -> Column:
    """Five columns at a time: as many as one vectorised pass takes."""
    total = np.empty(len(a))
    for i in range(len(a)):
        total[i] = a[i] + b[i] + c[i] + d[i] + e[i]
    return total


@compiled
def _fit(run: Times, share: Column, atr: Column, sums: Column) -> Times:
    """`run` with 0 where too few bars have trades, there is no ATR or a value is not finite. No branches, one pass."""
    fit = np.empty(len(run), np.int64)
    for i in range(len(run)):
        fit[i] = run[i] if (share[i] <= MAX_FILLED) & (atr[i] > 0) & (sums[i] - sums[i] == 0) else 0
    return fit


@compiled
def _ready(run: Times, wanted: int, rsi: Column, before: Column) -> Flags:
    """NOT_READY of SPEC section 4, as its opposite, for every bar."""
    ready = np.empty(len(run), np.bool_)
    for i in range(len(run)):
        both = rsi[i] + before[i]
        ready[i] = (run[i] >= wanted) & (both - both == 0)
    return ready


def required(needs: Needs) -> tuple[str, ...]:
    """Fields that must be finite."""
    return _REQUIRED + (("ema_trend",) if needs.trend_ema else ())


_REQUIRED = (
    "close", "rsi", "rsi_previous", "macd_hist", "macd_hist_previous", "bb_lower", "bb_upper", "bb_position", "atr_fraction",
    "volume_ratio", "h4_close", "h4_ema", "h4_hist",
)  # fmt: skip
_JUDGED_ELSEWHERE = frozenset({"rsi", "rsi_previous", "h4_close", "h4_ema", "h4_hist"})  # by `_ready` and by `alongside`


class Wanted(NamedTuple):
    """What readiness asks of a pair, worked out once: candles, and the fields that must be finite; `values` takes them from a row."""

    bars_15m: int
    bars_4h: int
    finite: tuple[str, ...]
    values: Callable[[Row], tuple[float, ...]]

    @classmethod
    def by(cls, needs: Needs, *, short: bool = False) -> Wanted:
        lookbacks = (
            technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short),
            technical.lookback_4h(needs.h4_ema, short=short),
        )
        names = required(needs)
        return cls(*lookbacks, names, itemgetter(*map(Row._fields.index, names)))


def why_not_ready(row: Row, bars_15m: int, bars_4h: int, h4_due: bool, wanted: Wanted) -> str:
    """The first cause of NOT_READY at a bar, "" if none. `bars_*`: unbroken candles; `h4_due`: the 4h candle of the
    newest common close is missing."""
    if bars_15m < wanted.bars_15m:
        return f"{bars_15m} of {wanted.bars_15m} unbroken 15m candles"
    if bars_4h < wanted.bars_4h:
        return f"{bars_4h} of {wanted.bars_4h} unbroken 4h candles"
    if h4_due:
        return "the 4h candle of this close is missing"
    if not row.filled_share <= MAX_FILLED:
        return f"{row.filled_share:.0%} of the last {FILLED_BARS} bars have no trade"
    if not row.atr > 0:
        return "ATR is zero"
    values = wanted.values(row)
    if not math.isfinite(sum(values)):  # one look at all of them; which one it is matters to nobody else
        return next((f"{name} is not finite" for name, value in zip(wanted.finite, values, strict=True) if not math.isfinite(value)), "")
    return ""
