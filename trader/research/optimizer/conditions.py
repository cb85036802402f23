"""From the daily records of all strategies to a judgement, by the conditions of SPEC section 12 and no others.

The strategies' number stands in Holm's correction, in the SPA's maximum and in the deflated Sharpe ratio. The candidate is chosen in
the newest train block alone, by its mean at equal risk (decision 0009: by the plain mean the largest stakes win, whatever they earn);
that the older test blocks lie inside it is why all are corrected for, not only the chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trader.research.judging.bootstrap import Matrix, Resampled, holm
from trader.research.judging.overfitting import overfitting
from trader.research.judging.robustness import COST_STRESS, at_equal_risk, concentration, gain_points, stressed
from trader.research.judging.sharpe import daily_sharpe, deflated_sharpe
from trader.research.judging.superiority import spa
from trader.research.optimizer.folds import Fold, folds_of, purged_days
from trader.research.optimizer.series import Run
from trader.research.optimizer.verdict import Condition, FoldRow, Judgement, Reason, Standing
from trader.strategy.strategies import Strategy

SEED = 12  # of the bootstrap: the same records always get the same answer
SIGNIFICANCE, LEAST_GAIN, MOST_OVERFIT, LEAST_DEFLATED, MOST_SHARE, LEAST_PAIRS = 0.05, 3.0, 0.25, 0.95, 0.40, 5
LEAST_TRADES, LEAST_TRADES_SNIPER = 100, 40
LEAST_TRAIN, LEAST_TRAIN_SNIPER = 30, 10


def longest_hold(strategies: Sequence[Strategy]) -> int:
    """Bars that a position of any of them may last; where a strategy sets no limit, what its stagnation rule does."""
    return max(max(one.exits.max_hold_bars, one.exits.stagnation_bars) for one in strategies)


def judge(strategies: Sequence[Strategy], runs: Mapping[str, Run], current: str, first_day: int) -> Judgement:
    """The judgement on `current` from the records of all strategies; days before `first_day` are warm-up.

    Raises ValueError where a strategy has no record or the records do not cover the same days.
    """
    names = [one.name for one in strategies]
    if missing := [name for name in (*names, current) if name not in runs]:
        raise ValueError(f"no record of {missing[0]}")
    spans = {(runs[name].first_day, runs[name].end_day) for name in names}
    if len(spans) != 1:
        raise ValueError(f"records cover different days: {sorted(spans)}")
    ((begin, end),) = spans
    if bad := [name for name in names if not _sound(runs[name])]:
        return Judgement(current=current, reason=Reason.NOT_JUDGED, detail=f"the record of {bad[0]} has results that are no numbers")
    folds = folds_of(max(begin, first_day), end, purged_days(longest_hold(strategies)))
    if not folds:
        return too_little(current, f"{max(0, end - max(begin, first_day))} whole days of results, 112 are needed for 56 in test blocks")
    return _Case(strategies, runs, current, folds).judgement()


def too_little(current: str, detail: str) -> Judgement:
    """KEEP with the typed answer of a history that is too short."""
    return Judgement(current=current, reason=Reason.NOT_ENOUGH_DATA, detail=detail)


def _sound(run: Run) -> bool:
    return all(bool(np.isfinite(one).all()) for one in (run.returns, run.costs, run.trades.net, run.trades.gain))


class _Case:
    """One judgement: what all conditions read, prepared once."""

    def __init__(self, strategies: Sequence[Strategy], runs: Mapping[str, Run], current: str, folds: Sequence[Fold]) -> None:
        self.strategies = {one.name: one for one in strategies}
        self.runs, self.current, self.folds = runs, current, folds
        self.names = list(self.strategies)
        self.first, self.end = folds[0].test_first, folds[-1].test_end
        self.test: Matrix = np.stack([runs[name].returns[runs[name].days(self.first, self.end)] for name in self.names], axis=1)
        self.trades = {name: runs[name].trades.within(self.first, self.end) for name in self.names}
        self.resampled = Resampled(len(self.test), seed=SEED)
        self.p = self.resampled.p_above_zero(self.test).tolist()
        self.p_adjusted = holm(self.p)
        others = [k for k, one in enumerate(self.names) if one != current]
        self.scaled = at_equal_risk(self.test)
        place = [self.names.index(current)]
        self.p_spa, self.p_spa_plain = (spa(one[:, others] - one[:, place], self.resampled) for one in (self.scaled, self.test))
        self.p_overfit = overfitting(self.test)

    def judgement(self) -> Judgement:
        asked = {name: (*self._traded(name), *self._gained(name), *self._lasting(name)) for name in self.names if name != self.current}
        base = Judgement(
            current=self.current, days=len(self.test), standings=self._standings(asked), folds=self._fold_rows(),
            no_edge=min(self.p_adjusted) > SIGNIFICANCE,
        )  # fmt: skip
        candidate = self._best(self.folds[-1])
        if not candidate:
            fewest = f"{LEAST_TRAIN} trades ({LEAST_TRAIN_SNIPER} for a sniper)"
            return replace(base, reason=Reason.NO_CANDIDATE, detail=f"no strategy has {fewest} in the newest train block")
        if candidate == self.current:
            return replace(base, candidate=candidate, reason=Reason.CURRENT_IS_BEST)
        conditions = asked[candidate]
        failed = None if all(one.holds for one in conditions if one.binding) else Reason.CONDITIONS
        return replace(base, candidate=candidate, conditions=conditions, reason=failed)

    def _best(self, fold: Fold) -> str:
        """The best mean at equal risk of a train block among those that traded enough in it, the current one where it is as good as
        any; empty where none did."""
        ratios = {name: daily_sharpe(self._trained(name, fold)) for name in self.names if self._eligible(name, fold)}
        return max(ratios, key=lambda name: (ratios[name], name == self.current)) if ratios else ""

    def _trained(self, name: str, fold: Fold) -> Matrix:
        return self.runs[name].returns[self.runs[name].days(fold.train_first, fold.train_end)]

    def _eligible(self, name: str, fold: Fold) -> bool:
        trades = self.runs[name].trades.within(fold.train_first, fold.train_end)
        return len(trades) >= self._least(name, LEAST_TRAIN, LEAST_TRAIN_SNIPER)

    def _least(self, name: str, mitraillette: int, sniper: int) -> int:
        parameters = self.strategies[name].parameters
        return sniper if parameters is not None and parameters.sniper else mitraillette

    # --- the conditions ------------------------------------------------------------------------------------------------
    def _traded(self, name: str) -> tuple[Condition, ...]:
        """(1) enough trades on enough pairs in every fold, and no pair that makes it all."""
        trades, least = self.trades[name], self._least(name, LEAST_TRADES, LEAST_TRADES_SNIPER)
        hangs = concentration(trades.by_pair())
        empty = [fold.number for fold in self.folds if len(trades.within(fold.test_first, fold.test_end)) == 0]
        traded = f"no trade in fold {', '.join(map(str, empty))}" if empty else "trades in every fold"
        share = f"{hangs.largest} has {hangs.share:.0%} of the profit" if np.isfinite(hangs.share) else "there is no profit to share"
        return (
            _above("trades", 1, len(trades), least, f"{len(trades)} trades, {least} are needed"),
            _above("pairs", 1, hangs.pairs, LEAST_PAIRS, f"trades on {hangs.pairs} pairs, {LEAST_PAIRS} are needed"),
            _below("concentration", 1, hangs.share, MOST_SHARE, f"{share}, {MOST_SHARE:.0%} is allowed"),
            _below("folds", 1, len(empty), 0, traded),
        )

    def _gained(self, name: str) -> tuple[Condition, ...]:
        """(2) above zero, (3) above the current one, (4) by enough."""
        mine, theirs = self.names.index(name), self.names.index(self.current)
        p, gain = self.p_adjusted[mine], gain_points(self.test[:, mine], self.test[:, theirs])
        low, low_plain = (self.resampled.interval(one[:, mine] - one[:, theirs])[0] for one in (self.scaled, self.test))
        return (
            _below("profit", 2, p, SIGNIFICANCE, f"profit: p {p:.4f} after Holm over {len(self.names)}, {SIGNIFICANCE} is allowed"),
            _below("spa", 3, self.p_spa, SIGNIFICANCE, f"better than the current one: SPA p {self.p_spa:.4f}, {SIGNIFICANCE} is allowed"),
            _positive("interval", 3, low, f"the paired interval begins at {low:+.4%} a day"),
            replace(
                _below("plain_spa", 3, self.p_spa_plain, SIGNIFICANCE, f"SPA p {self.p_spa_plain:.4f} in plain returns"), binding=False
            ),
            replace(_positive("plain_interval", 3, low_plain, f"the interval in plain returns begins at {low_plain:+.4%}"), binding=False),
            _above("gain", 4, gain, LEAST_GAIN, f"gain {gain:+.1f} points in 30 days at 1 % a day, {LEAST_GAIN} is needed"),
        )

    def _lasting(self, name: str) -> tuple[Condition, ...]:
        """(5) not the luckiest of many, (6) not a matter of cheap costs."""
        place = self.names.index(name)
        pbo, sure = self.p_overfit, deflated_sharpe(self.test[:, place], len(self.names))
        run = self.runs[name]
        dear = float(stressed(self.test[:, place], run.costs[run.days(self.first, self.end)]).mean())
        return (
            _below("overfitting", 5, pbo, MOST_OVERFIT, f"probability of overfitting {pbo:.2f}, {MOST_OVERFIT} is allowed"),
            _above("deflated", 5, sure, LEAST_DEFLATED, f"deflated Sharpe {sure:.3f}, {LEAST_DEFLATED} is needed"),
            _positive("costs", 6, dear, f"{dear:+.4%} a day at {COST_STRESS} times the costs"),
        )

    # --- for people ----------------------------------------------------------------------------------------------------
    def _standings(self, asked: Mapping[str, Sequence[Condition]]) -> tuple[Standing, ...]:
        """Best Sharpe ratio of the test blocks first."""
        rows, newest = [], self.folds[-1]
        for k, name in enumerate(self.names):
            trades, trained = self.trades[name], self._trained(name, newest)
            before = self.runs[name].trades.within(newest.train_first, newest.train_end)
            rows.append(
                Standing(
                    name=name, mean=float(self.test[:, k].mean()), sharpe=daily_sharpe(self.test[:, k]), p=self.p[k],
                    p_adjusted=self.p_adjusted[k], trades=len(trades), pairs=len(trades.by_pair()),
                    gain_a_trade=float(trades.gain.mean()) if len(trades) else 0.0, train_mean=float(trained.mean()),
                    train_sharpe=daily_sharpe(trained), train_trades=len(before),
                    eligible=self._eligible(name, newest), failed=tuple(one.name for one in asked.get(name, ()) if not one.holds),
                )
            )  # fmt: skip
        return tuple(sorted(rows, key=lambda one: (-one.sharpe, one.name)))

    def _fold_rows(self) -> tuple[FoldRow, ...]:
        rows = []
        for fold in self.folds:
            best = self._best(fold)
            made = {name: self._tested(name, fold) for name in (best, self.current) if name}
            trades = len(self.trades[best].within(fold.test_first, fold.test_end)) if best else 0
            rows.append(FoldRow(fold=fold, best=best, best_mean=made.get(best, 0.0), current_mean=made[self.current], trades=trades))
        return tuple(rows)

    def _tested(self, name: str, fold: Fold) -> float:
        run = self.runs[name]
        return float(run.returns[run.days(fold.test_first, fold.test_end)].mean())


def _above(name: str, number: int, value: float, limit: float, words: str) -> Condition:
    return Condition(name=name, number=number, holds=value >= limit, value=float(value), limit=float(limit), words=words)


def _below(name: str, number: int, value: float, limit: float, words: str) -> Condition:
    return Condition(name=name, number=number, holds=value <= limit, value=float(value), limit=float(limit), words=words)


def _positive(name: str, number: int, value: float, words: str) -> Condition:
    return Condition(name=name, number=number, holds=value > 0, value=float(value), limit=0.0, words=f"{words}, above 0 is needed")
