"""From the daily records of all strategies to a judgement, by the conditions of SPEC section 12 and no others.

The strategies' number stands in Holm's correction, in the SPA's maximum and in the deflated Sharpe ratio. The candidate is chosen in
the newest train block alone; that the older test blocks lie inside it is why all are corrected for, not only the chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trader.research.judging.bootstrap import Matrix, Resampled, holm
from trader.research.judging.overfitting import overfitting
from trader.research.judging.robustness import COST_STRESS, concentration, gain_points, stressed
from trader.research.judging.sharpe import daily_sharpe, deflated_sharpe
from trader.research.judging.superiority import spa
from trader.research.optimizer.folds import Fold, folds_of, purged_days
from trader.research.optimizer.series import Run, Trades
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
    return bool(np.isfinite(run.returns).all() and np.isfinite(run.costs).all() and np.isfinite(run.trades.net).all())


class _Case:
    """One judgement: what all conditions read, prepared once."""

    def __init__(self, strategies: Sequence[Strategy], runs: Mapping[str, Run], current: str, folds: Sequence[Fold]) -> None:
        self.strategies = {one.name: one for one in strategies}
        self.runs, self.current, self.folds = runs, current, folds
        self.names = list(self.strategies)
        self.first, self.end, newest = folds[0].test_first, folds[-1].test_end, folds[-1]
        self.test: Matrix = np.stack([runs[name].returns[runs[name].days(self.first, self.end)] for name in self.names], axis=1)
        self.train: Matrix = np.stack(
            [runs[name].returns[runs[name].days(newest.train_first, newest.train_end)] for name in self.names], axis=1
        )
        self.trades = {name: runs[name].trades.within(self.first, self.end) for name in self.names}
        self.trained = {name: runs[name].trades.within(newest.train_first, newest.train_end) for name in self.names}
        self.resampled = Resampled(len(self.test), seed=SEED)
        self.p = self.resampled.p_above_zero(self.test).tolist()
        self.p_adjusted = holm(self.p)

    def judgement(self) -> Judgement:
        base = Judgement(
            current=self.current, days=len(self.test), standings=self._standings(), folds=self._fold_rows(),
            no_edge=min(self.p_adjusted) > SIGNIFICANCE,
        )  # fmt: skip
        enough = [name for name in self.names if len(self.trained[name]) >= self._least(name, LEAST_TRAIN, LEAST_TRAIN_SNIPER)]
        if not enough:
            fewest = f"{LEAST_TRAIN} trades ({LEAST_TRAIN_SNIPER} for a sniper)"
            return replace(base, reason=Reason.NO_CANDIDATE, detail=f"no strategy has {fewest} in the newest train block")
        candidate = max(enough, key=lambda name: float(self.train[:, self.names.index(name)].mean()))
        if candidate == self.current:
            return replace(base, candidate=candidate, reason=Reason.CURRENT_IS_BEST)
        conditions = (*self._traded(candidate), *self._gained(candidate), *self._lasting(candidate))
        failed = None if all(one.holds for one in conditions) else Reason.CONDITIONS
        return replace(base, candidate=candidate, conditions=conditions, reason=failed)

    def _least(self, name: str, mitraillette: int, sniper: int) -> int:
        parameters = self.strategies[name].parameters
        return sniper if parameters is not None and parameters.sniper else mitraillette

    # --- the conditions ------------------------------------------------------------------------------------------------
    def _traded(self, name: str) -> tuple[Condition, ...]:
        """(1) enough trades on enough pairs in every fold, and no pair that makes it all."""
        trades, least = self.trades[name], self._least(name, LEAST_TRADES, LEAST_TRADES_SNIPER)
        hangs = concentration(trades.by_pair())
        empty = [fold.number for fold in self.folds if len(trades.within(fold.test_first, fold.test_end)) == 0]
        share = f"{hangs.largest} has {hangs.share:.0%} of the profit" if np.isfinite(hangs.share) else "there is no profit to share"
        return (
            _above("trades", 1, len(trades), least, f"{len(trades)} trades, {least} are needed"),
            _above("pairs", 1, hangs.pairs, LEAST_PAIRS, f"trades on {hangs.pairs} pairs, {LEAST_PAIRS} are needed"),
            _below("concentration", 1, hangs.share, MOST_SHARE, f"{share}, {MOST_SHARE:.0%} is allowed"),
            _below("folds", 1, len(empty), 0, f"no trade in fold {', '.join(map(str, empty)) or '-'}"),
        )

    def _gained(self, name: str) -> tuple[Condition, ...]:
        """(2) above zero, (3) above the current one, (4) by enough."""
        mine, theirs = self.test[:, self.names.index(name)], self.test[:, self.names.index(self.current)]
        others = [k for k, one in enumerate(self.names) if one != self.current]
        p = self.p_adjusted[self.names.index(name)]
        p_spa = spa(self.test[:, others] - theirs[:, None], self.resampled)
        low, _ = self.resampled.interval(mine - theirs)
        gain = gain_points(mine, theirs)
        return (
            _below("profit", 2, p, SIGNIFICANCE, f"profit: p {p:.3f} after Holm over {len(self.names)}, {SIGNIFICANCE} is allowed"),
            _below("spa", 3, p_spa, SIGNIFICANCE, f"better than the current one: SPA p {p_spa:.3f}, {SIGNIFICANCE} is allowed"),
            Condition(name="interval", number=3, holds=low > 0, value=low, limit=0.0,
                      words=f"the paired interval begins at {low:+.4%} a day, above 0 is needed"),
            _above("gain", 4, gain, LEAST_GAIN, f"gain {gain:+.1f} points in 30 days at 1 % a day, {LEAST_GAIN} is needed"),
        )  # fmt: skip

    def _lasting(self, name: str) -> tuple[Condition, ...]:
        """(5) not the luckiest of many, (6) not a matter of cheap costs."""
        place = self.names.index(name)
        pbo, sure = overfitting(self.test), deflated_sharpe(self.test[:, place], len(self.names))
        run = self.runs[name]
        dear = float(stressed(self.test[:, place], run.costs[run.days(self.first, self.end)]).mean())
        return (
            _below("overfitting", 5, pbo, MOST_OVERFIT, f"probability of overfitting {pbo:.2f}, {MOST_OVERFIT} is allowed"),
            _above("deflated", 5, sure, LEAST_DEFLATED, f"deflated Sharpe {sure:.3f}, {LEAST_DEFLATED} is needed"),
            Condition(name="costs", number=6, holds=dear > 0, value=dear, limit=0.0,
                      words=f"{dear:+.4%} a day at {COST_STRESS} times the costs, above 0 is needed"),
        )  # fmt: skip

    # --- for people ----------------------------------------------------------------------------------------------------
    def _standings(self) -> tuple[Standing, ...]:
        """Best mean of the test blocks first."""
        rows = []
        for k, name in enumerate(self.names):
            trades: Trades = self.trades[name]
            rows.append(
                Standing(
                    name=name, mean=float(self.test[:, k].mean()), sharpe=daily_sharpe(self.test[:, k]), p=self.p[k],
                    p_adjusted=self.p_adjusted[k], trades=len(trades), pairs=len(trades.by_pair()),
                    gain_a_trade=float(trades.gain.mean()) if len(trades) else 0.0, train_mean=float(self.train[:, k].mean()),
                    train_trades=len(self.trained[name]),
                )
            )  # fmt: skip
        return tuple(sorted(rows, key=lambda one: (-one.mean, one.name)))

    def _fold_rows(self) -> tuple[FoldRow, ...]:
        rows = []
        for fold in self.folds:
            means = [float(self.runs[n].returns[self.runs[n].days(fold.train_first, fold.train_end)].mean()) for n in self.names]
            best = self.names[int(np.argmax(means))]
            made = {n: float(self.runs[n].returns[self.runs[n].days(fold.test_first, fold.test_end)].mean()) for n in (best, self.current)}
            within = self.trades[best].within(fold.test_first, fold.test_end)
            rows.append(FoldRow(fold=fold, best=best, best_mean=made[best], current_mean=made[self.current], trades=len(within)))
        return tuple(rows)


def _above(name: str, number: int, value: float, limit: float, words: str) -> Condition:
    return Condition(name=name, number=number, holds=value >= limit, value=float(value), limit=float(limit), words=words)


def _below(name: str, number: int, value: float, limit: float, words: str) -> Condition:
    return Condition(name=name, number=number, holds=value <= limit, value=float(value), limit=float(limit), words=words)
