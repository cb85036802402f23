"""The columns of `series.features` at a few bars of a series: what a backtest needs, where hardly a bar is worth a score.

TA-Lib works through the whole series; everything else is worked out only at the bars asked for, with the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trader.indicators import patterns, technical
from trader.indicators.compiled import compiled
from trader.indicators.hours import H4, M15, NEVER, Hours, Times
from trader.indicators.patterns import Places
from trader.indicators.series import MAX_FILLED, Features, Needs, filled_share, true_volume, unbroken
from trader.indicators.technical import Column
from trader.ports import Columns

FIELDS = (
    "close", "rsi", "rsi_previous", "macd_hist", "macd_hist_previous", "bb_lower", "bb_upper", "bb_position", "atr", "atr_fraction",
    "ema_trend", "volume_ratio", "h4_close", "h4_ema", "h4_hist",
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


def market_of(columns: Columns, hours: Hours, needs: Needs) -> Market:
    """Each indicator computed once, for strategies of equal `trend_ema` and `h4_ema`."""
    close = columns.close
    upper, _, lower = technical.bollinger(close)
    return Market(
        columns.time, _breaks(columns.time), columns.high, columns.low, close, true_volume(columns),
        filled_share(columns.filled), technical.macd(close)[2], lower, upper, technical.atr(columns.high, columns.low, close),
        technical.ema(close, needs.trend_ema) if needs.trend_ema else close, hours.time, unbroken(hours.time, H4), hours.close,
        technical.ema(hours.close, needs.h4_ema), technical.macd(hours.close)[2],
    )  # fmt: skip


@compiled
def _breaks(time: Times) -> Places:
    found, k = np.empty(len(time), np.int64), 0
    for i in range(1, len(time)):
        if time[i] - time[i - 1] != M15:
            found[k] = i
            k += 1
    return found[:k].copy()


def ready_at(
    rows: Places, market: Market, needs: Needs, rsi: Column, pivots: tuple[Places, Places], *, least: Least = ANY, short: bool = False
) -> tuple[Places, Features]:
    """Those of `rows`, ascending, that are ready and hold what is the `least`, and the columns there, shape (k,)."""
    wanted = technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short), technical.lookback_4h(needs.h4_ema, short=short)
    kept, table = _ready_at(rows, market, rsi, *wanted, least, len(FIELDS))
    zone, bull, bear = patterns.at_rows(kept, pivots, market.high, market.low, market.close, rsi)
    made = Features(
        time_us=market.time[kept], **dict(zip(FIELDS, table, strict=True)), fib_zone=zone, bullish_divergence=bull,
        bearish_divergence=bear, filled_share=market.share[kept], ready=np.ones(len(kept), np.bool_),
    )  # fmt: skip
    return kept, made if needs.trend_ema else made._replace(ema_trend=np.full(len(kept), np.nan))


def ready(market: Market, needs: Needs, rsi: Column, *, short: bool = False) -> Places:
    """All bars that are ready, ascending: `features` without its columns."""
    wanted = technical.lookback_15m(needs.rsi_period, needs.trend_ema, short=short), technical.lookback_4h(needs.h4_ema, short=short)
    return _ready_at(np.arange(len(market.time)), market, rsi, *wanted, ANY, 0)[0]


@compiled
def _ready_at(  # noqa: PLR0917 - compiled functions take positions
    rows: Places, m: Market, rsi: Column, wanted: int, wanted_4h: int, least: Least, fields: int
) -> tuple[Places, Any]:
    """Readiness as in `series.features`, the cheap refusals first; values of what is left, one row of the table for each of the
    first `fields`."""
    kept, table, k = np.empty(len(rows), np.int64), np.empty((fields, len(rows))), 0
    start, b = 0, 0  # of the unbroken stretch, the next break
    j, due, until = -1, m.time_4h[0] + H4 if len(m.time_4h) > 0 else NEVER, np.int64(0)  # newest closed 4h candle, next close, end of use
    for i in rows:
        close_us = m.time[i] + M15
        while b < len(m.breaks) and m.breaks[b] <= i:
            start, b = m.breaks[b], b + 1
        if due <= close_us:  # what is asked of a 4h candle is asked once, not of every bar beside it
            while due <= close_us:
                j += 1
                due = m.time_4h[j + 1] + H4 if j + 1 < len(m.time_4h) else NEVER
            usable = m.run_4h[j] >= wanted_4h and m.time_4h[j] % H4 == 0
            if usable and not least.bearish:
                usable = not (m.close_4h[j] < m.ema_4h[j] and m.hist_4h[j] <= 0)
            until = m.time_4h[j] + 2 * H4 if usable else np.int64(0)
        if close_us >= until or i - start + 1 < wanted:
            continue
        close, lower, width = m.close[i], m.lower[i], m.upper[i] - m.lower[i]
        position = 0.5 if width == 0 else (close - lower) / width
        if not (rsi[i] < least.oversold or position < least.band):
            continue
        fraction = m.atr[i] / close
        ratio = patterns.volume_ratio(m.volume, i)
        total = close + rsi[i] + rsi[i - 1] + m.hist[i] + m.hist[i - 1] + lower + m.upper[i] + position + fraction + m.trend[i] + ratio
        total += m.close_4h[j] + m.ema_4h[j] + m.hist_4h[j]
        if not (m.share[i] <= MAX_FILLED and m.atr[i] > 0 and np.isfinite(total)):
            continue
        kept[k] = i
        values = (
            close, rsi[i], rsi[i - 1], m.hist[i], m.hist[i - 1], lower, m.upper[i], position, m.atr[i], fraction, m.trend[i], ratio,
            m.close_4h[j], m.ema_4h[j], m.hist_4h[j],
        )  # fmt: skip
        for field in range(fields):
            table[field, k] = values[field]
        k += 1
    return kept[:k].copy(), table[:, :k].copy()
