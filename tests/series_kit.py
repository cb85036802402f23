"""Seeded candle series for tests of indicators, scores and exits."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from trader.domain.market import Candle, Timeframe
from trader.ports import Columns

M15, H4 = Timeframe.M15.us, Timeframe.H4.us


def walk(seed: int, n: int, sd: float = 0.004, filled: float = 0.02) -> Columns:
    """A geometric random walk of 15m candles with spikes in volume and a share of filled bars."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.standard_normal(n) * sd * (1 + (rng.random(n) < 0.02) * 6)))
    open_ = np.r_[close[0], close[:-1]]
    high = np.maximum(open_, close) * (1 + np.abs(rng.standard_normal(n)) * sd / 2)
    low = np.minimum(open_, close) * (1 - np.abs(rng.standard_normal(n)) * sd / 2)
    volume = rng.lognormal(3, 1, n)
    gaps = rng.random(n) < filled
    return Columns(time=np.arange(n) * M15, open=open_, high=high, low=low, close=close, volume=np.where(gaps, 0.0, volume), filled=gaps)


def four_hours(columns: Columns) -> Columns:
    """The 4h candles of a gapless 15m series that starts on a 4h boundary; an unfinished last one is left out."""
    n = len(columns) // 16
    shaped = {f.name: getattr(columns, f.name)[: n * 16].reshape(n, 16) for f in fields(columns)}
    return Columns(
        time=shaped["time"][:, 0].copy(), open=shaped["open"][:, 0].copy(), high=shaped["high"].max(axis=1), low=shaped["low"].min(axis=1),
        close=shaped["close"][:, 15].copy(), volume=shaped["volume"].sum(axis=1), filled=shaped["filled"].all(axis=1),
    )  # fmt: skip


def cut(columns: Columns, start: int, stop: int) -> Columns:
    return Columns(**{f.name: getattr(columns, f.name)[start:stop].copy() for f in fields(columns)})


def pick(columns: Columns, rows: np.ndarray) -> Columns:
    """The candles at these positions: a series with gaps."""
    return Columns(**{f.name: np.ascontiguousarray(getattr(columns, f.name)[rows]) for f in fields(columns)})


def candle(columns: Columns, i: int, timeframe: Timeframe = Timeframe.M15) -> Candle:
    values = {name: getattr(columns, name)[i].item() for name in ("open", "high", "low", "close", "volume", "filled")}
    return Candle(pair="A/EUR", timeframe=timeframe, time_us=int(columns.time[i]), **values)
