"""Are the probabilities any good: Brier score and skill, log-loss, reliability, recalibration by what came before.

Sources: Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78 (1950); Murphy, "A New Vector
Partition", J. Applied Meteorology 12 (1973), for skill and reliability; Ayer et al., "An Empirical Distribution Function for Sampling
with Incomplete Information", Ann. Math. Stat. 26 (1955), for pooling adjacent violators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trader.research.scorecard.estimates import DayBlocks, Estimate, wilson
from trader.research.scorecard.scored import Column, Columns, Whole

BINS = 10
ISOTONIC_LEAST = 200
SKILL_SHARE = 0.99
"""Of the interval of Brier skill. Wider than that of veto value: an advisor without skill has a skill a little below zero by nature,
and the two ways to be demoted together must not take more than one in ten of them at 300 labels (`python -m benchmarks.scorecard`)."""
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Verdicts of about one probability: how many, their mean, the share that lost and its Wilson interval."""

    count: int
    said: float
    seen: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`skill`: 1 - Brier / Brier of the trailing base rate; 0 is no better than knowing how often plans lose."""

    brier: float
    skill: Estimate
    log_loss: float
    base_rate: float
    bins: tuple[Bin, ...]


def calibration(c: Columns, blocks: DayBlocks) -> Calibration:
    """Of at least one verdict."""
    squared, base = (c.p - c.loss) ** 2, trailing_rate(c.day, c.loss)
    reference = (base - c.loss) ** 2
    skill = blocks.ratio(reference - squared, reference, share=SKILL_SHARE)
    return Calibration(
        brier=brier(c.p, c.loss),
        skill=skill,
        log_loss=log_loss(c.p, c.loss),
        base_rate=float(c.loss.mean()),
        bins=reliability(c.p, c.loss),
    )


def brier(p: Column, loss: Column) -> float:
    """Mean squared distance of the probabilities from what happened."""
    return float(((p - loss) ** 2).mean())


def log_loss(p: Column, loss: Column) -> float:
    """Mean -log of what was given to what happened; probabilities are held off 0 and 1 by a millionth."""
    held = np.clip(p, _FLOOR, 1.0 - _FLOOR)
    return float(-(loss * np.log(held) + (1.0 - loss) * np.log(1.0 - held)).mean())


def before(day: Whole) -> Whole:
    """For each row of sorted days the number of rows of earlier days: what was known when its day began."""
    return np.searchsorted(day, day, side="left").astype(np.int64)


def trailing_rate(day: Whole, loss: Column) -> Column:
    """Share of losses on all earlier days, begun with one loss and one gain (Laplace's rule of succession)."""
    known = before(day)
    lost = np.concatenate([[0.0], np.cumsum(loss)])[known]
    rate: Column = (lost + 1.0) / (known + 2.0)
    return rate


def reliability(p: Column, loss: Column, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal count (to one) by probability, lowest first; no more bins than verdicts."""
    order = np.argsort(p, kind="stable")
    found = []
    for part in np.array_split(order, min(bins, len(order)) or 1):
        if len(part):
            low, high = wilson(float(loss[part].sum()), len(part))
            found.append(Bin(count=len(part), said=float(p[part].mean()), seen=float(loss[part].mean()), low=low, high=high))
    return tuple(found)


def recalibrated(c: Columns, least: int = ISOTONIC_LEAST) -> Column:
    """Each probability through the isotonic fit of all earlier days; as it was said while those hold fewer than `least` labels."""
    out, known = c.p.copy(), before(c.day)
    for count in np.unique(known):
        if count >= least:
            x, y = isotonic(c.p[:count], c.loss[:count])
            rows = known == count
            out[rows] = np.interp(c.p[rows], x, y)
    return out


def isotonic(p: Column, loss: Column) -> tuple[Column, Column]:
    """The never-falling curve nearest to the labels in squares, as points (probability said, share lost)."""
    order = np.argsort(p, kind="stable")
    pools: list[list[float]] = []  # sum of labels, count, sum of probabilities
    for place in order:
        pools.append([float(loss[place]), 1.0, float(p[place])])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            newest = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], newest, strict=True)]
    x = np.array([said / count for _, count, said in pools])
    y = np.array([lost / count for lost, count, _ in pools])
    return x, y
