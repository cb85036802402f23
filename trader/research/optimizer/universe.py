"""Which pairs may be judged: enough days of READY bars, nearly all of their candles there; for the others, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trader.domain.market import DAY, Timeframe
from trader.research.optimizer.verdict import Universe
from trader.strategy.columns import Bars
from trader.strategy.strategies import Strategy

M15 = Timeframe.M15.us
LEAST_READY_DAYS, LEAST_COVERAGE, LEAST_PAIRS = 120, 0.99, 5
BARS_A_DAY = 96


def universe_of(bars: Mapping[str, Bars], strategies: Sequence[Strategy], reference: str) -> Universe:
    """Pairs with 120 days of bars that every strategy finds READY, at 99 % of the candles from the first of them to the data's end.

    The first day that can serve is the one after the fifth such pair is READY. `reference` is named where it cannot be read: without
    it no entry is ever decided.
    """
    end = max((int(one.time[-1]) + M15 for one in bars.values() if len(one)), default=0)
    chosen, excluded, begins = [], {}, []
    for pair in sorted(bars):
        ready = _ready(bars[pair], strategies)
        days = len(ready) / BARS_A_DAY
        if not len(ready) or days < LEAST_READY_DAYS:
            excluded[pair] = f"{days:.0f} days of READY bars, {LEAST_READY_DAYS} are needed"
            continue
        first = int(ready[0])
        coverage = int((bars[pair].time >= first).sum()) / ((end - first) // M15)
        if coverage < LEAST_COVERAGE:
            excluded[pair] = f"{coverage:.1%} of the candles since its first READY bar, {LEAST_COVERAGE:.0%} are needed"
            continue
        chosen.append(pair)
        begins.append(first)
    if reference not in chosen:
        excluded.setdefault(reference, "no candles, and without it the market's regime is not known")
        return Universe(pairs=(), excluded=excluded)
    enough = len(chosen) >= LEAST_PAIRS
    first_day = sorted(begins)[LEAST_PAIRS - 1] // DAY + 1 if enough else 0
    return Universe(pairs=tuple(chosen), excluded=excluded, first_day=first_day)


def _ready(bars: Bars, strategies: Sequence[Strategy]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Open times of the bars that all strategies find READY."""
    found = np.ones(len(bars), np.bool_)
    for parameters in {one.name: one.parameters for one in strategies}.values():
        if parameters is not None:
            found &= bars.features(parameters).ready
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]] = bars.time[found]
    return chosen
