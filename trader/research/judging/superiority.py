"""Hansen's test of superior predictive ability: is any alternative better than the strategy in use, after so many were tried.

Source: Hansen, "A Test for Superior Predictive Ability", J. Business & Economic Statistics 23 (2005): the studentised maximum of
the mean differences against its bootstrap distribution, with alternatives that are clearly worse left out of the null
(the paper's consistent p-value). Checked against `arch.bootstrap.SPA`.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from trader.research.judging.bootstrap import Matrix, Resampled

LEAST_DEVIATION = 1e-12
"""Of a day's difference: below it two series are the same one, apart from rounding."""


def long_run_variance(differences: Matrix, block: float) -> Matrix:
    """Variance of sqrt(n) x mean under the stationary bootstrap, per series (Politis and Romano 1994, lemma 1)."""
    n, q = len(differences), 1.0 / block
    centred = differences - differences.mean(axis=0)
    found: Matrix = (centred**2).mean(axis=0)
    for lag in range(1, n):
        kernel = (n - lag) / n * (1 - q) ** lag + lag / n * (1 - q) ** (n - lag)
        found = found + 2 * kernel * (centred[:-lag] * centred[lag:]).sum(axis=0) / n
    return found


def spa(differences: Matrix, resampled: Resampled) -> float:
    """p of "no alternative is better than the benchmark".

    `differences`: daily return of each alternative minus the benchmark's, shape (days, alternatives). An alternative that never
    differs from the benchmark, or only by a constant, cannot be studentised and is left out; with none left p is 1.
    """
    n = len(differences)
    variance = long_run_variance(differences, resampled.block)
    telling = variance > LEAST_DEVIATION**2
    if not telling.any():
        return 1.0
    kept = differences[:, telling]
    mean, deviation = kept.mean(axis=0), np.sqrt(variance[telling])
    studentised = sqrt(n) * mean / deviation
    statistic = max(0.0, float(studentised.max()))
    null = np.where(studentised >= -sqrt(2 * log(log(n))), mean, 0.0)
    draws = sqrt(n) * (resampled.means(kept) - null) / deviation
    hits = int((np.maximum(draws.max(axis=1), 0.0) >= statistic).sum())
    return (1.0 + hits) / (1.0 + resampled.draws) if statistic > 0 else 1.0
