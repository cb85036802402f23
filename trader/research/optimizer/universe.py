"""Which pairs may be judged: enough days of READY bars, nearly all of their candles there; for the others, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trader.domain.market import DAY
from trader.research.board import M15
from trader.research.optimizer.folds import BARS_A_DAY
from trader.research.optimizer.verdict import Universe
from trader.strategy.columns import Bars, Places
from trader.strategy.strategies import Strategy

LEAST_READY_DAYS, LEAST_COVERAGE, LEAST_PAIRS = 120, 0.99, 5
LEAST_READY = LEAST_READY_DAYS * BARS_A_DAY


def begins(bars: Bars, strategies: Sequence[Strategy], end_us: int) -> tuple[int, str]:
    """Open time of the first bar that every strategy finds READY, and why the pair may not be judged ("": it may).

    It takes 120 days of READY bars, at 99 % of the candles from the first of them to the data's end.
    """
    ready = _ready(bars, strategies)
    if len(ready) < LEAST_READY:
        return 0, f"{len(ready) / BARS_A_DAY:.0f} days of READY bars, {LEAST_READY_DAYS} are needed"
    first = int(bars.time[ready[0]])
    coverage = (len(bars) - int(ready[0])) / ((end_us - first) // M15)
    if coverage < LEAST_COVERAGE:
        return first, f"{coverage:.1%} of the candles since its first READY bar, {LEAST_COVERAGE:.0%} are needed"
    return first, ""


def universe_of(chosen: Mapping[str, int], excluded: Mapping[str, str], reference: str) -> Universe:
    """The pairs that may be judged, with the open time of each one's first READY bar, and those that may not.

    The first day that can serve is the one after the fifth such pair is READY. `reference` is named where it cannot be read: without
    it no entry is ever decided.
    """
    if reference not in chosen:
        return Universe(pairs=(), excluded={reference: "no candles, and without it the market's regime is not known", **excluded})
    first_day = sorted(chosen.values())[LEAST_PAIRS - 1] // DAY + 1 if len(chosen) >= LEAST_PAIRS else 0
    return Universe(pairs=tuple(sorted(chosen)), excluded=excluded, first_day=first_day)


def end_of(bars: Mapping[str, Bars]) -> int:
    """When the newest candle of all closes; 0 where there is none."""
    return max((int(one.time[-1]) + M15 for one in bars.values() if len(one)), default=0)


def _ready(bars: Bars, strategies: Sequence[Strategy]) -> Places:
    """The first bars that all strategies find READY: enough of them and maybe more, or all there are."""
    asked = {(p.rsi_period, p.trend_ema, p.h4_ema): p for one in strategies if (p := one.parameters) is not None}
    found = [np.zeros(0, np.int64)]
    for begin in range(0, len(bars), LEAST_READY):
        rows = np.arange(begin, min(begin + LEAST_READY, len(bars)))
        for parameters in asked.values():
            rows = bars.ready(parameters, rows)
        found.append(rows)
        if sum(map(len, found)) >= LEAST_READY:
            break
    return np.concatenate(found)
