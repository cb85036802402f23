"""Probability of backtest overfitting: how often the best of one half of the days is below the median in the other half.

Source: Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting", J. Computational Finance 20 (2017):
combinatorially symmetric cross-validation, with the Sharpe ratio as the measure of performance.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from trader.research.judging.bootstrap import Matrix

SLICES = 10


def overfitting(returns: Matrix, slices: int = SLICES) -> float:
    """Share of the splits of `slices` blocks into two halves in which the in-sample best ranks at or below the median outside.

    The oldest days are dropped to a multiple of `slices`. A series without any movement has Sharpe 0, as cash. Raises ValueError
    for an odd number of slices, fewer than two days a slice, or a single series.
    """
    days, series = returns.shape
    if slices % 2 or days < 2 * slices or series < 2:
        raise ValueError(f"{series} series of {days} days in {slices} slices: needs two series, an even number, two days a slice")
    kept = returns[days % slices :].reshape(slices, -1, series)
    sums, squares = kept.sum(axis=1), (kept**2).sum(axis=1)
    half = slices // 2
    chosen = np.array([[k in split for k in range(slices)] for split in combinations(range(slices), half)], dtype=np.float64)
    size = half * kept.shape[1]
    inside, outside = _sharpe(chosen @ sums, chosen @ squares, size), _sharpe((1 - chosen) @ sums, (1 - chosen) @ squares, size)
    best = inside.argmax(axis=1)
    mine = np.take_along_axis(outside, best[:, None], axis=1)
    below, level = (outside < mine).sum(axis=1), (outside == mine).sum(axis=1)
    rank = (below + (level + 1) / 2) / (series + 1)  # equal ones share their places
    return float((rank <= 0.5).mean())


def _sharpe(total: Matrix, squares: Matrix, size: int) -> Matrix:
    mean = total / size
    variance = np.maximum(squares / size - mean**2, 0.0)
    found: Matrix = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-18)
    return found
