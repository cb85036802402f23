"""Intervals for sums over days: whole days are drawn again, because the trades of a day win and lose together.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; Hesterberg, "What Teachers Should Know About the
Bootstrap", The American Statistician 69 (2015), for the expanded percentile interval, which is as wide as Student's t asks for with
few days; Wilson, "Probable Inference", JASA 22 (1927).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trader.research.scorecard.scored import Column, Whole

DRAWS = 2_000
SHARE = 0.90
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval; NaN and the whole line where nothing can be said."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        return self.low > 0.0

    @property
    def below_zero(self) -> bool:
        return self.high < 0.0


UNKNOWN = Estimate(value=math.nan, low=-math.inf, high=math.inf)


class DayBlocks:
    """`draws` resamples of the days of a column, with replacement; one set serves all figures of a card."""

    def __init__(self, day: Whole, *, seed: int, draws: int = DRAWS) -> None:
        distinct, self._place = np.unique(day, return_inverse=True)
        self.days = len(distinct)
        rng = np.random.default_rng(seed)
        even = np.full(max(1, self.days), 1.0 / max(1, self.days))
        self._times = rng.multinomial(self.days, even, size=draws).astype(np.float64)

    def ratio(self, above: Column, below: Column, *, share: float = SHARE) -> Estimate:
        """sum(above) / sum(below) with its interval; UNKNOWN for fewer than 2 days or nothing below."""
        if self.days < 2 or not below.sum():
            return UNKNOWN
        a, b = (np.bincount(self._place, weights=one, minlength=self.days) for one in (above, below))
        drawn_a, drawn_b = self._times @ a, self._times @ b
        told = drawn_b != 0.0
        tail = expanded_tail((1.0 - share) / 2.0, self.days)
        low, high = np.quantile(drawn_a[told] / drawn_b[told], [tail, 1.0 - tail])
        return Estimate(value=float(above.sum() / below.sum()), low=float(low), high=float(high))


def expanded_tail(tail: float, blocks: int) -> float:
    """The tail to cut off a percentile interval so that it is as wide as Student's t with `blocks` - 1 degrees (Hesterberg 2015)."""
    return _NORMAL.cdf(-math.sqrt(blocks / (blocks - 1)) * student(1.0 - tail, blocks - 1))


def student(probability: float, degrees: int) -> float:
    """Quantile of Student's t by its expansion in 1 / degrees (Abramowitz and Stegun 26.7.5); right to 1 % from 3 degrees on."""
    z = _NORMAL.inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum((term / float(degrees) ** power for power, term in enumerate(terms, start=1)), 0.0)


def wilson(hits: float, of: int, *, share: float = SHARE) -> tuple[float, float]:
    """Interval of a share; (0, 1) where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf((1.0 + share) / 2.0)
    centre, scale = hits / of + z * z / (2 * of), 1.0 + z * z / of
    half = z * math.sqrt(hits / of * (1.0 - hits / of) / of + z * z / (4 * of * of))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
