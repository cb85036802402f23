"""The columns of `series.features` at a few bars of a series: what a backtest needs, where hardly a bar is worth a score.

TA-Lib works through the whole series; everything else is worked out only at the bars asked for, with the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trader.indicators import patterns, technical
from trader.indicators.compiled import compiled
from trader.indicators.hours import H4, M15, NEVER, Hours, Times
from trader.indicators.patterns import Flags, Places
from trader.indicators.series import MAX_FILLED, Features, Needs, filled_share, true_volume, unbroken
from trader.indicators.technical import Column
from trader.ports import Columns

FIELDS = (
    "close", "rsi", "rsi_previous", "macd_hist", "macd_hist_previous", "bb_lower", "bb_upper", "bb_position", "atr", "atr_fraction",
    "ema_trend", "volume_ratio", "h4_close", "h4_ema", "h4_hist", "filled_share",
)  # fmt: skip


class Market(NamedTuple):
    """The columns of a pair that rows are worked out of: whole series, none of which depends on an RSI. `breaks`: the places of
    candles that do not follow the one before; `run_4h`: unbroken 4h candles up to each."""

    time: Times
    breaks: Places
    high: Column
    low: Column
    close: Column
    volume: Column
    share: Column
    pivots: tuple[Places, Places]
    hist: Column
    lower: Column
    upper: Column
    atr: Column
    trend: Column
    time_4h: Times
    run_4h: Times
    close_4h: Column
    ema_4h: Column
    hist_4h: Column


class Least(NamedTuple):
    """What makes a bar worth its values: an RSI below `oversold` or a place between the Bollinger bands below `band`; and, unless
    `bearish`, a 4h candle that is not."""

    oversold: float
    band: float
    bearish: bool


ANY = Least(np.inf, np.inf, True)


def market_of(columns: Columns, hours: Hours, needs: Needs, pivots: tuple[Places, Places]) -> Market:
    """Each indicator computed once, for strategies of equal `trend_ema` and `h4_ema`; `pivots`: `patterns.pivots` of the candles.

    What most rows are asked for comes last, the bands: then it has not left the processor's own memory when they are read.
    """
    time, high, low, close = columns.time, columns.high, columns.low, columns.close
    breaks = _breaks(time)
    atr = technical.atr(high, low, close)
    trend = technical.ema(close, needs.trend_ema) if needs.trend_ema else close
    four = unbroken(hours.time, H4), hours.close, technical.ema(hours.close, needs.h4_ema), technical.macd(hours.close)[2]
    volume, share, hist = true_volume(columns), filled_share(columns.filled), technical.macd(close)[2]
    upper, _, lower = technical.bollinger(close)
    return Market(time, breaks, high, low, close, volume, share, pivots, hist, lower, upper, atr, trend, hours.time, *four)


@compiled
def _breaks(time: Times) -> Places:
    """Counted first, without a branch: as a rule there are none."""
    count = 0
    for i in range(1, len(time)):
        count += time[i] - time[i - 1] != M15
    found, k = np.empty(count, np.int64), 0
    if count > 0:
        for i in range(1, len(time)):
            if time[i] - time[i - 1] != M15:
                found[k] = i
                k += 1
    return found


def ready_at(
    rows: Places, market: Market, needs: Needs, rsi: Column, *, least: Least = ANY, short: bool = False
) -> tuple[Places, Features]:
    """Those of `rows`, ascending, that are ready and hold what is the `least`, and the columns there, shape (k,)."""
    wanted = technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short), technical.lookback_4h(needs.h4_ema, short=short)
    kept, times, table, (zone, bull, bear) = _ready_at(rows, market, rsi, *wanted, least)
    made = Features(
        time_us=times, **dict(zip(FIELDS, table, strict=True)), fib_zone=zone, bullish_divergence=bull, bearish_divergence=bear,
        ready=np.ones(len(kept), np.bool_),
    )  # fmt: skip
    return kept, made if needs.trend_ema else made._replace(ema_trend=np.full(len(kept), np.nan))


def ready(rows: Places, market: Market, needs: Needs, rsi: Column, *, short: bool = False) -> Places:
    """Those of `rows`, ascending, that are ready: `ready_at` without its columns."""
    wanted = technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short), technical.lookback_4h(needs.h4_ema, short=short)
    return _table(rows, market, rsi, *wanted, ANY, 0)[0]


@compiled
def _usable(rows: Places, m: Market, wanted: int, wanted_4h: int, bearish: bool) -> tuple[Places, Places, Times]:
    """Those of `rows` with enough unbroken candles of both kinds, whose 4h candle is none too old and may be `bearish` or is not; the
    place of that 4h candle, and the bar's open time. What is asked of a 4h candle is asked once, not of every bar beside it."""
    kept, beside, times, k = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), 0
    start, b, begin = 0, 0, m.time[0] if len(m.time) > 0 else np.int64(0)  # of the unbroken stretch; the next break
    j, due, until = -1, m.time_4h[0] + H4 if len(m.time_4h) > 0 else NEVER, np.int64(0)  # newest closed 4h candle, next close, end of use
    for i in rows:
        while b < len(m.breaks) and m.breaks[b] <= i:
            start, b = m.breaks[b], b + 1
            begin = m.time[start]
        time = begin + (i - start) * M15  # reckoned: to read it would fetch nearly the whole column for a few of its values
        if due <= time + M15:
            while due <= time + M15:
                j += 1
                due = m.time_4h[j + 1] + H4 if j + 1 < len(m.time_4h) else NEVER
            usable = m.run_4h[j] >= wanted_4h and m.time_4h[j] % H4 == 0
            if usable and not bearish:
                usable = not (m.close_4h[j] < m.ema_4h[j] and m.hist_4h[j] <= 0)
            until = m.time_4h[j] + 2 * H4 if usable else np.int64(0)
        kept[k], beside[k], times[k] = i, j, time
        k += (time + M15 < until) & (i - start + 1 >= wanted)
    return kept[:k], beside[:k], times[:k]


@compiled
def _near(rows: Places, m: Market, rsi: Column, least: Least) -> Places:
    """Which of `rows` hold what is the `least` of a bar itself, by their place in `rows`. Kept where the count moves on: a branch
    would be mispredicted at every third row, and only once its values have come from memory."""
    near, k = np.empty(len(rows), np.int64), 0
    for row in range(len(rows)):
        near[k] = row
        k += (rsi[rows[row]] < least.oversold) | (_position(m, rows[row]) < least.band)
    return near[:k]


@compiled
def _position(m: Market, i: int) -> float:
    """Where the close lies between the bands, as `technical.bb_position` has it."""
    width = m.upper[i] - m.lower[i]
    return 0.5 if width == 0 else (m.close[i] - m.lower[i]) / width


@compiled
def _table(  # noqa: PLR0917 - compiled functions take positions
    rows: Places, m: Market, rsi: Column, wanted: int, wanted_4h: int, least: Least, fields: int
) -> tuple[Places, Times, Any]:
    """Readiness as in `series.features`, the cheap refusals first; places and times of what is left, and its values, one row of the
    table for each of the first `fields`."""
    rows, beside, times = _usable(rows, m, wanted, wanted_4h, least.bearish)
    near = _near(rows, m, rsi, least)
    table, k = np.empty((fields, len(near))), 0
    for row in near:
        i, j = rows[row], beside[row]
        close, atr, share = m.close[i], m.atr[i], m.share[i]
        values = (
            close, rsi[i], rsi[i - 1], m.hist[i], m.hist[i - 1], m.lower[i], m.upper[i], _position(m, i), atr, atr / close, m.trend[i],
            patterns.volume_ratio(m.volume, i), m.close_4h[j], m.ema_4h[j], m.hist_4h[j], share,
        )  # fmt: skip
        total = 0.0
        for value in values:
            total += value
        if share <= MAX_FILLED and atr > 0 and np.isfinite(total):
            rows[k], times[k] = i, times[row]
            for field in range(fields):
                table[field, k] = values[field]
            k += 1
    return rows[:k].copy(), times[:k].copy(), table[:, :k].copy()


@compiled
def _ready_at(  # noqa: PLR0917 - compiled functions take positions
    rows: Places, m: Market, rsi: Column, wanted: int, wanted_4h: int, least: Least
) -> tuple[Places, Times, Any, tuple[Flags, Flags, Flags]]:
    """`_table` of all FIELDS, and the patterns at its places."""
    kept, times, table = _table(rows, m, rsi, wanted, wanted_4h, least, len(FIELDS))
    return kept, times, table, patterns.at_rows(kept, m.pivots, m.high, m.low, m.close, rsi)
