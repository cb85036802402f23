"""What a strategy's result is held against: holding the same pairs, and entering them at random with the same exits.

Pure and seeded. Both pay the strategy's own costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.domain.costs import slip_units, slipped
from trader.domain.market import DAY
from trader.execution.exits import ExitState
from trader.indicators.compiled import compiled
from trader.research import kernel
from trader.strategy.columns import Bars
from trader.strategy.scoring import levels_of
from trader.strategy.strategies import Strategy

DRAWS = 500
Floats = kernel.Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Equal parts of the capital in every pair, bought at its first open in the range, sold at its last close, costs paid.

    `values`: what the whole is worth at each UTC day's end, as a multiple of the capital, shape (days + 1,), first 1.0;
    `per_pair`: pair -> result as a fraction.
    """

    values: Floats
    per_pair: Mapping[str, float]

    @property
    def result(self) -> float:
        """Gain over the range as a fraction of the capital."""
        return float(self.values[-1]) - 1.0

    @property
    def drawdown(self) -> float:
        """Greatest fall below an earlier day's end, a fraction."""
        return float((1 - self.values / np.maximum.accumulate(self.values)).max())


def buy_and_hold(strategy: Strategy, bars: Mapping[str, Bars], start_us: int, end_us: int) -> Holding:
    """Hold every pair with a candle in [start, end); a pair that starts later waits in cash, one that ends earlier is sold then.
    The last day's value is after the sale. Raises ValueError for no pair."""
    if not bars:
        raise ValueError("no pair to hold")
    days = np.arange(start_us - start_us % DAY + DAY, end_us + DAY, DAY, dtype=np.int64)
    fee, units = strategy.costs.taker, slip_units(strategy.costs.slippage)
    total, per_pair = np.zeros(len(days) + 1), {}
    for pair, one in bars.items():
        first, last = np.searchsorted(one.time, (start_us, end_us))
        path = np.ones(len(days) + 1)
        if first < last:
            paid = -slipped(-float(one.open[first]), -units) * (1 + fee)
            place = np.searchsorted(one.time[first:last], days) - 1  # the last candle that opens before the day's end
            path[1:] = np.where(place >= 0, one.close[first:last][place] / paid, 1.0)
            path[-1] = slipped(float(one.close[last - 1]), units) * (1 - fee) / paid
            per_pair[pair] = float(path[-1]) - 1.0
        total += path
    return Holding(values=total / len(bars), per_pair=per_pair)


# --- random entries ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How often a strategy entered a pair, and where chance may: `eligible`: bars whose next open may be bought, shape (n,)."""

    bars: Bars
    count: int
    eligible: kernel.Ints
    units: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomEntry:
    """Means of the net result of a trade, one per draw, ascending, fractions of what the entry cost; `entries`: trades a draw."""

    means: Floats
    entries: int

    def interval(self) -> tuple[float, float, float]:
        """2.5 % quantile, median and 97.5 % quantile."""
        low, middle, high = np.quantile(self.means, (0.025, 0.5, 0.975))
        return float(low), float(middle), float(high)

    def at_least(self, mean: float) -> float:
        """Share of the draws that did as well as `mean` or better."""
        return float(np.count_nonzero(self.means >= mean) / len(self.means))


def eligible(strategy: Strategy, bars: Bars, start_us: int, end_us: int) -> tuple[kernel.Ints, Floats]:
    """Bars that close in (start, end] and after which the strategy could have entered had it had a signal: warm, and for one of
    the six a market that moves enough for its target; with the unit of its distances there. Both shape (m,)."""
    close = bars.time + (int(bars.time[1] - bars.time[0]) if len(bars) > 1 else 0)
    allowed = (close > start_us) & (close <= end_us)
    allowed[-1:] = False
    units = np.ones(len(bars))
    if (p := strategy.parameters) is not None:
        features = bars.features(p)
        allowed &= features.ready
        least = levels_of(p, 0.0, strategy.costs).unit
        if not p.seed:
            allowed &= features.atr_fraction * 2 >= least
            units = np.maximum(features.atr_fraction, least)
    places = np.flatnonzero(allowed)
    return places, units[places]


def random_entries(
    strategy: Strategy, pairs: Mapping[str, Taken], *, seed: int, draws: int = DRAWS, closed_only: bool = False
) -> RandomEntry | None:
    """Draw as many entries in each pair as the strategy made, `draws` times, and leave each by the strategy's own exits.

    Each entry stands alone: no shared cash, slots or cooldown. One that is still open at the data's end is valued at the last
    close, or with `closed_only` never drawn, for strategies whose open positions are not counted either. None where nothing was
    entered or nothing can be drawn.
    """
    sums, entries = np.zeros(draws), 0
    for number, pair in enumerate(sorted(pairs)):
        one = pairs[pair]
        known = _results(strategy, one, closed_only=closed_only) if one.count else np.zeros(0)
        if not len(known):
            continue
        chosen = np.random.default_rng([seed, number]).integers(0, len(known), (draws, one.count))
        sums += known[chosen].sum(axis=1)
        entries += one.count
    return RandomEntry(means=np.sort(sums / entries), entries=entries) if entries else None


def _results(strategy: Strategy, one: Taken, *, closed_only: bool) -> Floats:
    """Net result of a position after each eligible bar, as a fraction of its cost."""
    bars, leave = one.bars, strategy.entries(one.bars).leave
    leave = kernel.NO_FLAGS if leave is None else leave
    out = np.empty(len(one.eligible))
    _alone(
        kernel.rule_of(strategy), bars.open, bars.high, bars.low, bars.close, leave, one.eligible, one.units, strategy.costs.taker,
        np.zeros((4, 4), np.int64), np.zeros(4), out, closed_only,
    )  # fmt: skip
    return out[~np.isnan(out)]


@compiled
def _alone(  # noqa: PLR0917 - compiled functions take positions
    rule: kernel.Rule, open_: Any, high: Any, low: Any, close: Any, leave: Any, places: Any, units: Any, fee: float, legs: Any, prices: Any,
    out: Any, closed_only: bool,
) -> None:  # fmt: skip
    """Net result of one position entered after each of `places`, alone, as a fraction of its cost; written to `out`, shape (m,). NaN for
    one that the data's end leaves open, with `closed_only`."""
    last = len(close) - 1
    for j in range(len(places)):
        first = places[j] + 1
        entry = kernel.bought_at(rule, open_[first])
        state: ExitState = kernel.opened(rule, entry, units[j])
        _bar, k, state = kernel.follow(state, open_, high, low, close, leave, first, legs, prices, 0)
        if state.lots > 0 and closed_only:
            out[j] = np.nan
            continue
        if state.lots > 0:
            legs[k, kernel.SOLD], prices[k] = state.lots, close[last]
            k += 1
        price, total = rule.sign * entry, 0.0
        for row in range(k):
            gain = rule.sign * (prices[row] - price) - fee * (prices[row] + price)
            total += gain / price * (legs[row, kernel.SOLD] / kernel.LOTS)
        out[j] = total
