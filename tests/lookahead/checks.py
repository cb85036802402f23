"""The checks, each by name: what a study may not do, tried at many points of a series. An empty list means nothing was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.lookahead.studies import STRATEGY, Study, early
from tests.series_kit import four_hours, pick, walk
from trader.domain.market import DAY
from trader.indicators.series import M15
from trader.indicators.technical import lookback_4h, lookback_15m
from trader.ports import Columns
from trader.simulation.replay import ReplayMarket

BARS, FIRST = 13_008, 11_600  # the 4h indicators are warm from bar 11,040 on
PAIRS = 12
EXACT_FLAGS = ("ready", "enter", "fib_zone", "bullish_divergence", "bearish_divergence")


@dataclass(frozen=True)
class World:
    """Candles every check is tried on; `points`: how many moments each tries."""

    columns: Columns
    hours: Columns
    crowd: Mapping[str, Columns]
    market: ReplayMarket
    points: Sequence[int]

    @classmethod
    def of(cls, folder: Path, points: int = 25, seed: int = 5) -> World:
        columns = walk(seed, BARS)
        crowd = {f"C{n:02d}/EUR": walk(100 + n, 2_000) for n in range(PAIRS)}
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.choice(np.arange(FIRST, BARS - 40), points, replace=False).tolist())
        return cls(columns, four_hours(columns), crowd, _recorded(folder / "gaps.parquet"), chosen)


def _recorded(file: Path) -> ReplayMarket:
    """A recorded 15m market whose opens jump away from the closes before them."""
    rng, n = np.random.default_rng(9), 400
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, n))), 2)
    open_ = np.round(np.r_[close[0], close[:-1]] * np.exp(rng.normal(0, 0.004, n)), 2)
    time = pl.Series(DAY * 20_000 + M15 * np.arange(n, dtype=np.int64)).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({
        "pair": ["A/EUR"] * n, "timeframe": ["15m"] * n, "time": time, "open": open_, "high": np.maximum(open_, close) + 0.1,
        "low": np.minimum(open_, close) - 0.1, "close": close, "volume": np.ones(n),
    })  # fmt: skip
    frame.write_parquet(file)
    return ReplayMarket(file)


# --- checks ------------------------------------------------------------------------------------------------------------
def truncated(study: Study, world: World) -> list[str]:
    """Cutting the future off changes nothing before the cut."""
    whole = study.values(world.columns, world.hours, STRATEGY)
    found = []
    for n in world.points:
        found += _unequal(whole, study.values(*early(world.columns, world.hours, n), STRATEGY), n, f"cut after bar {n}")
    return found + _members(study, world, lambda c, i, _rng: _cut(c, i + 1))


def shuffled(study: Study, world: World) -> list[str]:
    """Shuffling the candles of the future changes nothing before them."""
    rng = np.random.default_rng(3)
    whole = study.values(world.columns, world.hours, STRATEGY)
    found = []
    for n in world.points:
        start = n - n % 16  # whole 4h candles, so that the shuffled series has some
        mixed = _mixed(world.columns, start, rng)
        found += _unequal(whole, study.values(mixed, four_hours(mixed), STRATEGY), start, f"future shuffled from bar {start}")
    return found + _members(study, world, lambda c, i, rng: _mixed(c, i + 1, rng))


def delayed(study: Study, world: World) -> list[str]:
    """An entry decided at a close comes one bar late: it pays the next bar's open and nothing of the bar it was decided on."""
    candles = world.market.candles("A/EUR", world.market.base, world.market.first_us, world.market.end_us)
    found = []
    for i in range(100, len(candles) - 1):
        paid, due = study.fill(world.market, "A/EUR", int(candles.time[i]) + M15), float(candles.open[i + 1])
        if paid != due:
            found.append(f"decided at the close of bar {i}: paid {paid}, the next open is {due}")
    return found


def warmed(study: Study, world: World) -> list[str]:
    """A window of the warm-up length says what the whole series says, to 1e-9 of the price or of the value."""
    whole = study.values(world.columns, world.hours, STRATEGY)
    n15, n4 = lookback_15m(STRATEGY.rsi_period, STRATEGY.trend_ema), lookback_4h(STRATEGY.h4_ema)
    found = []
    for n in world.points:
        columns, hours = early(world.columns, world.hours, n)
        made = study.values(_cut(columns, n, n - n15), _cut(hours, len(hours), len(hours) - n4), STRATEGY)
        for name, values in made.items():
            a, b = whole[name][n - 1], values[-1]
            if not (a == b if name in EXACT_FLAGS else np.isclose(a, b, rtol=1e-9, atol=1e-7, equal_nan=True)):
                found.append(f"window before bar {n}: {name} is {b}, over the whole series {a}")
    return found


CHECKS: Mapping[str, Callable[[Study, World], list[str]]] = {
    "future truncated": truncated, "future shuffled": shuffled, "one-bar delay": delayed, "recursive warm-up": warmed,
}  # fmt: skip


# --- helpers -----------------------------------------------------------------------------------------------------------
def _unequal(whole: Mapping[str, Any], part: Mapping[str, Any], n: int, what: str) -> list[str]:
    found = []
    for name, values in part.items():
        a, b = np.asarray(whole[name][:n]), np.asarray(values[:n])
        if not np.array_equal(a, b, equal_nan=a.dtype == np.float64):
            at = int(np.flatnonzero(~np.isclose(a, b, rtol=0, atol=0, equal_nan=True))[0])
            found.append(f"{what}: {name} at bar {at} is {b[at]}, with the true future {a[at]}")
    return found


def _members(study: Study, world: World, change: Callable[[Columns, int, np.random.Generator], Columns]) -> list[str]:
    rng, found = np.random.default_rng(4), []
    for i in range(200, 1_900, 100):
        true = study.members(world.crowd, i)
        other = study.members({pair: change(columns, i, rng) for pair, columns in world.crowd.items()}, i)
        if true != other:
            found.append(f"universe after bar {i}: {', '.join(other)}; with the true future {', '.join(true)}")
    return found


def _cut(columns: Columns, stop: int, start: int = 0) -> Columns:
    return Columns(**{f.name: np.ascontiguousarray(getattr(columns, f.name)[start:stop]) for f in fields(columns)})


def _mixed(columns: Columns, start: int, rng: np.random.Generator) -> Columns:
    """The candles from `start` on in another order, under the times they had."""
    n = len(columns)
    made = pick(columns, np.r_[0:start, start + rng.permutation(n - start)])
    return Columns(**{f.name: getattr(columns if f.name == "time" else made, f.name) for f in fields(columns)})
