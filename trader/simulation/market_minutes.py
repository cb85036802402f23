"""The fifteen 1m candles inside a 15m bar, made from the bar so that they aggregate to it exactly.

A random walk over the minutes that trade is tied to the bar's open and close, and what it does beyond these two is stretched
until its extremes are the bar's high and low. Minutes without a trade repeat the close before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trader.simulation.market_factors import Floats, generator
from trader.simulation.market_paths import Bars, Bools, Ints

MINUTES = 15
_STREAM_MINUTES = 4
_PARKINSON = 1.665  # mean range of a Brownian motion is about this many standard deviations (Parkinson 1980: sqrt(4 ln 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """1m candles, prices in ticks and volume in units, shape (n_bars, 15)."""

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    units: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteDraws:
    """Chance of the minutes, shape (n_bars, 15): normal steps, uniforms for high and low, exponential shares of volume."""

    step: Floats
    up: Floats
    down: Floats
    share: Floats


def draw_minutes(seed: int, key: int, day: int) -> MinuteDraws:
    """Draws of one pair and day, 96 bars."""
    source = generator(seed, key, day, _STREAM_MINUTES)
    shape = (96, MINUTES)
    return MinuteDraws(
        step=source.standard_normal(shape),
        up=-np.log1p(-source.random(shape)),
        down=-np.log1p(-source.random(shape)),
        share=-np.log1p(-source.random(shape)),
    )


def stack_draws(parts: list[MinuteDraws]) -> MinuteDraws:
    """Draws of several days or pairs, one after the other."""
    return MinuteDraws(
        step=np.concatenate([part.step for part in parts]),
        up=np.concatenate([part.up for part in parts]),
        down=np.concatenate([part.down for part in parts]),
        share=np.concatenate([part.share for part in parts]),
    )


def expand(bars: Bars, mean_units: Floats, draws: MinuteDraws) -> Minutes:
    """Minutes of `bars`. `mean_units`: volume of a typical trade, shape (n,): decides how many minutes go without one."""
    units = _split_volume(bars, mean_units, draws.share)
    open_, close = bars.open.astype(np.float64)[:, None], bars.close.astype(np.float64)[:, None]
    top, bottom = bars.high.astype(np.float64)[:, None], bars.low.astype(np.float64)[:, None]
    active = units > 0
    clock = np.where(active, 0.5 / np.maximum(active.sum(axis=1), 1)[:, None] + 0.5 * units / np.maximum(bars.units, 1)[:, None], 0.0)
    sigma = (top - bottom) / _PARKINSON
    walk = np.cumsum(np.sqrt(clock) * draws.step, axis=1)
    elapsed = np.cumsum(clock, axis=1)
    end = open_ + elapsed * (close - open_) + sigma * (walk - elapsed * walk[:, -1:])
    begin = np.concatenate((open_, end[:, :-1]), axis=1)
    spread = 2 * clock * sigma**2
    highs = np.where(active, 0.5 * (begin + end + np.sqrt((end - begin) ** 2 + spread * draws.up)), -np.inf)
    lows = np.where(active, 0.5 * (begin + end - np.sqrt((end - begin) ** 2 + spread * draws.down)), np.inf)
    stretch = _Stretch(
        open_, close, top=top, bottom=bottom, highest=highs.max(axis=1, keepdims=True), lowest=lows.min(axis=1, keepdims=True)
    )
    return _to_candles(bars, units, stretch(end), highs=highs, lows=lows, stretch=stretch)


class _Stretch:
    """Monotone map of a price: leaves everything between open and close, takes the walk's extremes to the bar's high and low."""

    __slots__ = ("bottom", "down", "lower", "top", "up", "upper")

    def __init__(self, open_: Floats, close: Floats, *, top: Floats, bottom: Floats, highest: Floats, lowest: Floats) -> None:
        self.upper, self.lower = np.maximum(open_, close), np.minimum(open_, close)
        self.top, self.bottom = top, bottom
        self.up = (top - self.upper) / np.maximum(highest - self.upper, 1e-9)
        self.down = (self.lower - bottom) / np.maximum(self.lower - lowest, 1e-9)

    def __call__(self, price: Floats) -> Floats:
        above, below = np.maximum(price - self.upper, 0.0), np.maximum(self.lower - price, 0.0)
        inner = np.minimum(np.maximum(price, self.lower), self.upper)
        return np.minimum(np.maximum(inner + above * self.up - below * self.down, self.bottom), self.top)


def _to_candles(bars: Bars, units: Ints, end: Floats, *, highs: Floats, lows: Floats, stretch: _Stretch) -> Minutes:
    rows = np.arange(len(bars.open))
    traded = bars.units > 0
    active = units > 0
    close = np.rint(end).astype(np.int64)
    open_ = np.concatenate((bars.open[:, None], close[:, :-1]), axis=1)
    outer_high, outer_low = np.maximum(open_, close), np.minimum(open_, close)
    high = np.where(active, np.maximum(np.rint(stretch(np.where(active, highs, 0.0))), outer_high), outer_high).astype(np.int64)
    low = np.where(active, np.minimum(np.rint(stretch(np.where(active, lows, 0.0))), outer_low), outer_low).astype(np.int64)
    peak, dip = np.argmax(highs, axis=1), np.argmin(lows, axis=1)
    high[rows[traded], peak[traded]] = bars.high[traded]
    low[rows[traded], dip[traded]] = bars.low[traded]
    return Minutes(open=open_, high=high, low=low, close=close, units=units)


def _split_volume(bars: Bars, mean_units: Floats, share: Floats) -> Ints:
    """Volume of each minute, summing to the bar's; the first minute has some exactly where the bar says so."""
    wanted = bars.units / np.maximum(mean_units, 1e-12) / MINUTES  # trades a minute
    weights = np.where(np.exp(-share) <= -np.expm1(-wanted)[:, None], share, 0.0)
    weights[:, 0] = np.where(bars.starts, np.maximum(weights[:, 0], 0.05), 0.0)
    some: Bools = weights.sum(axis=1) > 0
    rows = np.flatnonzero(~some)
    weights[rows, 1 + np.argmax(share[rows, 1:], axis=1)] = 1.0
    first = bars.starts.astype(np.int64)  # one unit is given to the first minute in advance
    whole = bars.units - first
    edges = np.rint(whole[:, None] * np.cumsum(weights, axis=1) / weights.sum(axis=1)[:, None]).astype(np.int64)
    edges[:, -1] = whole
    units = np.diff(edges, axis=1, prepend=0)
    units[:, 0] += first
    return np.asarray(np.where(bars.units[:, None] > 0, units, 0))
