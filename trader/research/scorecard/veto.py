"""What the vetoes saved: the results of the entries they stopped, against none, against vetoes at random, against one plain number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trader.research.scorecard.calibration import before
from trader.research.scorecard.estimates import DayBlocks, Estimate
from trader.research.scorecard.scored import Column, Columns, Flags, Whole

PLACEBOS = 1_000
_BASELINE_LEAST = 50
_RIDGE = 1e-2  # keeps the fit finite where the feature splits the labels


@dataclass(frozen=True, slots=True, kw_only=True)
class VetoValue:
    """`r`, `quote`: saved per 100 vetoes, in units of risk and in quote currency, with 90 % day-block intervals.

    `placebo`: percentile of `r` among random vetoes at the same rate within each strategy and day; 50 is chance.
    """

    vetoes: int
    r: Estimate
    quote: Estimate
    placebo: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A logistic curve on the evidence score alone, fitted on earlier days: its Brier score, and what as many vetoes by it would have
    saved per 100."""

    brier: float
    r: Estimate


def veto_value(c: Columns, blocks: DayBlocks, *, seed: int, placebos: int = PLACEBOS) -> VetoValue:
    """What the vetoes of these signals saved."""
    r, quote = (per_hundred(result, c.vetoed, blocks) for result in (c.r, c.quote))
    return VetoValue(vetoes=int(c.vetoed.sum()), r=r, quote=quote, placebo=placebo(c, seed=seed, draws=placebos))


def per_hundred(result: Column, vetoed: Flags, blocks: DayBlocks) -> Estimate:
    """-(sum of `result` over the vetoed) per 100 of them."""
    chosen = vetoed.astype(np.float64)
    return blocks.ratio(-100.0 * result * chosen, chosen)


def placebo(c: Columns, *, seed: int, draws: int = PLACEBOS) -> float:
    """Share of random choices, in percent, that saved less than the vetoes did; a tie counts half. 50 where there is nothing to choose."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(draws)
    actual = 0.0
    for rows in _cells(c.cell):
        vetoes = int(c.vetoed[rows].sum())
        if not 0 < vetoes < len(rows):
            continue  # none or all: chance has no choice here, either
        actual -= float(c.r[rows][c.vetoed[rows]].sum())
        chosen = np.argsort(rng.random((draws, len(rows))), axis=1)[:, :vetoes]
        drawn -= c.r[rows][chosen].sum(axis=1)
    near = np.isclose(drawn, actual, rtol=0.0, atol=1e-9)
    return float(100.0 * ((drawn < actual) & ~near).mean() + 50.0 * near.mean())


def _cells(cell: Whole) -> list[Whole]:
    order = np.argsort(cell, kind="stable")
    cuts = np.flatnonzero(np.diff(cell[order])) + 1
    return list(np.split(order.astype(np.int64), cuts))


def baseline(c: Columns, blocks: DayBlocks) -> Baseline:
    """The one-feature reference on the same signals."""
    p = walk_forward(c)
    chosen = np.zeros(len(c), dtype=np.bool_)
    chosen[np.argsort(-p, kind="stable")[: int(c.vetoed.sum())]] = True
    return Baseline(brier=float(((p - c.loss) ** 2).mean()), r=per_hundred(c.r, chosen, blocks))


def walk_forward(c: Columns) -> Column:
    """P(loss) by score, each day by a fit of the days before; 0.5 until those hold 50 labels."""
    known, p = before(c.day), np.full(len(c), 0.5)
    for count in np.unique(known):
        if count >= _BASELINE_LEAST:
            rows = known == count
            centre, scale = c.score[:count].mean(), c.score[:count].std() or 1.0
            a, b = logistic((c.score[:count] - centre) / scale, c.loss[:count])
            p[rows] = 1.0 / (1.0 + np.exp(-(a + b * (c.score[rows] - centre) / scale)))
    return p


def logistic(x: Column, loss: Column) -> tuple[float, float]:
    """Intercept and slope by Newton's method on the log-likelihood, slightly held back towards 0."""
    design = np.stack([np.ones_like(x), x], axis=1)
    weights = np.zeros(2)
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (loss - p) - _RIDGE * weights
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])
