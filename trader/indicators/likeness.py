"""How alike two pairs moved: Pearson's correlation of their 15m log returns, the same for columns and for streams (SPEC section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

WINDOW = 672  # newest returns that count, a week; of them only bars in which both pairs traded
LEAST = 96

Closes = tuple["np.ndarray[Any, np.dtype[np.float64]]", "np.ndarray[Any, np.dtype[np.bool_]]"]
"""The newest closes of a pair, unbroken and oldest first, at most WINDOW + 1, and which of their bars were filled in."""


class _Returns(NamedTuple):
    values: np.ndarray[Any, np.dtype[np.float64]]
    traded: np.ndarray[Any, np.dtype[np.bool_]]
    unit: np.ndarray[Any, np.dtype[np.float64]] | None  # centred and scaled to length 1, where every bar traded


def correlation(a: Closes, b: Closes) -> float | None:
    """Between -1 and 1; None with fewer than LEAST bars in which both traded, or where one did not move. Both end at the same bar."""
    return _alike(_returns(a), _returns(b))


class Likeness:
    """`correlation` at one close, each pair's returns worked out once. `closes`: None for a pair without that bar."""

    def __init__(self, closes: Callable[[str], Closes | None]) -> None:
        self._closes = closes
        self._known: dict[str, _Returns | None] = {}

    def __call__(self, pair: str, other: str) -> float | None:
        """None where it is not known."""
        a, b = self._of(pair), self._of(other)
        return _alike(a, b) if a is not None and b is not None else None

    def _of(self, pair: str) -> _Returns | None:
        if pair not in self._known:
            closes = self._closes(pair)
            self._known[pair] = None if closes is None else _returns(closes)
        return self._known[pair]


def _returns(closes: Closes) -> _Returns:
    close, filled = closes
    values, traded = np.diff(np.log(close)), filled[1:] == 0
    return _Returns(values, traded, _unit(values) if len(values) >= LEAST and bool(traded.all()) else None)


def _alike(a: _Returns, b: _Returns) -> float | None:
    if a.unit is not None and b.unit is not None and len(a.unit) == len(b.unit):
        return float(np.dot(a.unit, b.unit))
    n = min(len(a.values), len(b.values))
    if n < LEAST:
        return None
    both = a.traded[-n:] & b.traded[-n:]
    if int(np.count_nonzero(both)) < LEAST:
        return None
    one, other = _unit(a.values[-n:][both]), _unit(b.values[-n:][both])
    return None if one is None or other is None else float(np.dot(one, other))


def _unit(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    centred = values - values.mean()
    length = float(np.sqrt(np.dot(centred, centred)))
    return centred / length if length > 0 else None
