"""Whether two runs of the same candles made the same trades: their trade lines side by side, and what differed first.

Pure. A trade line is `pair side entry_time exit_time entry_price exit_price quantity fee reason` (SIMULATION.md section 5); lines
are matched by pair, side, entry bar and number of the leg, so that one missing leg is one difference and not a shifted list.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

FIELDS = ("pair", "side", "entry_time", "exit_time", "entry_price", "exit_price", "quantity", "fee", "reason")
ABSENT = "no such leg"
Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of one leg that is not the same; `field` "leg" where only one run has it."""

    leg: str
    field: str
    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.leg}: {self.field}: {self.left} | {self.right}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a run knew when it judged a pair at a close: named values (indicators, score, word), the inputs of its trades."""

    time_us: int
    pair: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Counts of legs on each side and every differing field, in time order; `cause`: the first input that diverged, in words."""

    left: int
    right: int
    same: int
    differences: tuple[Difference, ...]
    cause: str = ""

    @property
    def equal(self) -> bool:
        """No difference. Two empty lists are equal too: whoever asks for a proof asks for a minimum beside it."""
        return not self.differences

    def because(self, cause: str) -> Comparison:
        """The same with the first diverging input."""
        return dataclasses.replace(self, cause=cause)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, JSON-ready."""
        return {
            "compared": [self.left, self.right], "same": self.same, "different_fields": len(self.differences),
            "differences": [str(one) for one in self.differences], "first_diverging_input": self.cause,
        }  # fmt: skip


def compare(left: Sequence[str], right: Sequence[str]) -> Comparison:
    """Two lists of trade lines, in any order. Raises ValueError for a line that is none."""
    ours, theirs = _by_leg(left), _by_leg(right)
    found: list[Difference] = []
    for key in sorted({**ours, **theirs}, key=lambda key: (key[2], key)):
        mine, other = ours.get(key), theirs.get(key)
        name = f"{key[0]} {key[1]} {key[2]} leg {key[3]}"
        if mine is None or other is None:
            found.append(Difference(leg=name, field="leg", left=_shown(mine), right=_shown(other)))
            continue
        pairs = zip(FIELDS, mine, other, strict=True)
        found.extend(Difference(leg=name, field=name_of, left=a, right=b) for name_of, a, b in pairs if a != b)
    same = sum(ours.get(key) == theirs.get(key) for key in ours)
    return Comparison(left=len(left), right=len(right), same=same, differences=tuple(found))


def _by_leg(lines: Iterable[str]) -> dict[Key, tuple[str, ...]]:
    legs: dict[Key, tuple[str, ...]] = {}
    numbers: dict[tuple[str, str, str], int] = {}
    for words in sorted((_words(line) for line in lines), key=lambda w: (w[0], w[1], w[2], w[3], w)):
        entry = (words[0], words[1], words[2])
        numbers[entry] = numbers.get(entry, 0) + 1
        legs[(*entry, numbers[entry])] = words
    return legs


def _words(line: str) -> tuple[str, ...]:
    words = tuple(line.split(" "))
    if len(words) != len(FIELDS):
        raise ValueError(f"{line!r} is no trade line: {len(words)} fields, {len(FIELDS)} expected ({' '.join(FIELDS)})")
    return words


def _shown(words: tuple[str, ...] | None) -> str:
    return ABSENT if words is None else " ".join(words)


def first_diverging(left: Sequence[Heard], right: Sequence[Heard], *, tolerance: float = 0.0) -> str:
    """The earliest judged value that is not the same in both runs, in words; says so where everything heard is equal.

    `tolerance`: how far numbers may lie apart (relative, or absolute below 1) where the runs were warmed up differently.
    """
    ours, theirs = ({(one.time_us, one.pair): one.values for one in side} for side in (left, right))
    for time_us, pair in sorted({**ours, **theirs}):
        mine, other = ours.get((time_us, pair)), theirs.get((time_us, pair))
        if mine is None or other is None:
            return f"{pair} at the close {time_us}: judged a candidate by {'the right' if mine is None else 'the left'} side only"
        for name, other_name in zip_longest(sorted(mine), sorted(other)):
            if name != other_name:
                return f"{pair} at the close {time_us}: values {sorted(set(mine) ^ set(other))} are known to one side only"
            if not _alike(mine[name], other[name], tolerance):
                return f"{pair} at the close {time_us}: {name}: {mine[name]} | {other[name]}"
    return f"none: all {len(ours)} judged candidates are equal, so the two part between the decision and its fill"


def _alike(mine: Any, other: Any, tolerance: float) -> bool:
    if mine == other:
        return True
    numbers = isinstance(mine, float) and isinstance(other, float)
    return numbers and tolerance > 0 and math.isclose(mine, other, rel_tol=tolerance, abs_tol=tolerance)
