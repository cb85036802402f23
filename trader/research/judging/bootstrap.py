"""The stationary bootstrap of daily returns: is a mean above zero, is one mean above another, and what is left of p after N tries.

Sources: Politis and Romano, "The Stationary Bootstrap", JASA 89 (1994): blocks of geometric length on a circle of days, so that
days that hang together stay together; Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Stat. 6 (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK_DAYS = 5.0
DRAWS = 5_000
AT_ONCE = 500  # draws whose days are counted in one go: the numbers in between take several times the memory of the counts
Matrix = np.ndarray[Any, np.dtype[np.float64]]
"""Daily returns as fractions: rows are days, columns are series."""
Days = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Resampled:
    """`draws` resamples of `days` days, as how often each day is in each: shape (draws, days), rows sum to 1.

    One set serves all series of a judgement, so that their means stay paired. Raises ValueError for fewer than 2 days.
    """

    def __init__(self, days: int, *, seed: int, draws: int = DRAWS, block: float = BLOCK_DAYS) -> None:
        if days < 2 or draws < 1 or block < 1:
            raise ValueError(f"{draws} draws of {days} days in blocks of {block}: at least 1, 2 and 1 are needed")
        self.days, self.draws, self.block = days, draws, block
        rng = np.random.default_rng(seed)
        begins = rng.random((draws, days)) < 1.0 / block
        begins[:, 0] = True
        first = rng.integers(days, size=(draws, days))
        self.weights: Matrix = np.empty((draws, days))
        for part in (slice(begin, begin + AT_ONCE) for begin in range(0, draws, AT_ONCE)):
            self.weights[part] = _counts(begins[part], first[part]) / days

    def means(self, returns: Matrix) -> Matrix:
        """Mean of each series in each draw: shape (draws, series)."""
        found: Matrix = self.weights @ returns
        return found

    def p_above_zero(self, returns: Matrix) -> Matrix:
        """One-sided p of "the mean is not above zero" for each series: how often a draw of the centred series does as well.

        The observed series counts as one more draw, so p is never 0.
        """
        mean = returns.mean(axis=0)
        hits = (self.means(returns) - mean >= mean).sum(axis=0)
        found: Matrix = (1.0 + hits) / (1.0 + self.draws)
        return found

    def interval(self, returns: Matrix, share: float = 0.95) -> tuple[float, float]:
        """Percentile interval of the mean of one series, shape (days,); for a difference of two series give the difference."""
        low, high = np.quantile(self.weights @ returns, [(1 - share) / 2, (1 + share) / 2])
        return float(low), float(high)


def _counts(begins: Flags, first: Days) -> Days:
    """How often each day is in each draw: a block begins where `begins` says, with the day `first` has there, and goes on day by day."""
    draws, days = first.shape
    place = np.arange(days, dtype=np.int64)
    newest = np.maximum.accumulate(np.where(begins, place, 0), axis=1)  # where the block of each place began
    chosen = (np.take_along_axis(first, newest, axis=1) + place - newest) % days
    chosen += days * np.arange(draws, dtype=np.int64)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * days).reshape(draws, days)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down: the k-th smallest times N - k + 1, never falling, at most 1."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda one: (p[one], one))):
        highest = max(highest, min(1.0, p[place] * (len(p) - rank)))
        adjusted[place] = highest
    return adjusted
