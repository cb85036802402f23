"""The Sharpe ratio of daily returns, and how sure it is that it is above what the best of N lucky tries would show.

Source: Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", J. Portfolio Management 40 (2014).
"""

from __future__ import annotations

from math import e, sqrt
from statistics import NormalDist

import numpy as np

from trader.research.judging.bootstrap import Matrix

EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()


def daily_sharpe(returns: Matrix) -> float:
    """Mean over standard deviation of one series, not annualised; 0 for a series that never moves."""
    deviation = float(returns.std())
    return float(returns.mean()) / deviation if deviation > 1e-12 else 0.0


def expected_best(trials: int, variance: float) -> float:
    """Sharpe ratio the best of `trials` series without skill is expected to show; `variance`: of their Sharpe ratios."""
    if trials < 2:
        return 0.0
    quantile = (1 - EULER_GAMMA) * _NORMAL.inv_cdf(1 - 1 / trials) + EULER_GAMMA * _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * quantile


def probability_above(sharpe: float, threshold: float, *, days: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above `threshold`; `kurtosis` is 3 for a normal series. 0 where it is not defined."""
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return _NORMAL.cdf((sharpe - threshold) * sqrt(days - 1) / sqrt(spread)) if spread > 0 and days > 1 else 0.0


def deflated_sharpe(returns: Matrix, trials: int, variance: float | None = None) -> float:
    """Probability that the Sharpe ratio of one series, shape (days,), is above that of the luckiest of `trials`.

    `variance` of the trials' Sharpe ratios: 1 / (T - 1) where None, what it is under no skill; the six's own would grow with the
    edge that is looked for. 0 for a series that never moves.
    """
    days = len(returns)
    deviation = float(returns.std())
    if days < 2 or deviation <= 1e-12:
        return 0.0
    shaped = (returns - returns.mean()) / deviation
    luckiest = expected_best(trials, 1 / (days - 1) if variance is None else variance)
    skew, kurtosis = float(np.mean(shaped**3)), float(np.mean(shaped**4))
    return probability_above(daily_sharpe(returns), luckiest, days=days, skew=skew, kurtosis=kurtosis)
