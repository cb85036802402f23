"""What a gain hangs on: a single pair, or costs that were guessed too low.

Both read trades, not a second run: the same decisions are charged half as much again, so that only the costs differ. Source:
Lopez de Prado, "Advances in Financial Machine Learning" (2018), ch. 14 (concentration, implementation shortfall).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trader.research.judging.bootstrap import Matrix

COST_STRESS = 1.5
SCALED_SD = 0.01  # the daily standard deviation both series are brought to before their gains are compared
MONTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """Pairs traded, and the pair with the largest part of the net profit; `share` is infinite where there is no profit."""

    pairs: int
    largest: str
    share: float


def concentration(nets: Mapping[str, float]) -> Concentration:
    """`nets`: pair -> net profit of its trades, in quote."""
    if not nets:
        return Concentration(pairs=0, largest="", share=float("inf"))
    largest = max(sorted(nets), key=lambda pair: nets[pair])
    profit = sum(nets.values())
    return Concentration(pairs=len(nets), largest=largest, share=nets[largest] / profit if profit > 0 else float("inf"))


def stressed(returns: Matrix, costs: Matrix, factor: float = COST_STRESS) -> Matrix:
    """Daily returns had every cost been `factor` as high; `costs`: paid that day, as fractions of the equity before it."""
    return returns - (factor - 1) * costs


def at_equal_risk(returns: Matrix) -> Matrix:
    """Each series scaled to a daily standard deviation of 1 %; one that never moves stays as it is."""
    deviation = returns.std(axis=0)
    found: Matrix = returns * (SCALED_SD / np.where(deviation > 1e-12, deviation, SCALED_SD))
    return found


def gain_points(candidate: Matrix, current: Matrix, days: int = MONTH) -> float:
    """Percentage points gained in `days` by one series over the other, both at equal risk."""
    return 100 * days * float(at_equal_risk(candidate).mean() - at_equal_risk(current).mean())
