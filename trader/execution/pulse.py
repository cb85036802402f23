"""phi-beat (low-discrepancy polling schedule): when the session does what is not urgent.

T = base x phi, so with base 60 s the beats fall on golden-rotation positions of the minute: evenly spread, at most three gap
lengths. The schedule is absolute (t0 + n T): no drift. Pure: times are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trader.domain.money import PHI

SECOND = 1_000_000
SPREAD_MOST_US = 21 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One beat as it begins. `late_us` after it was due; `missed` beats were skipped before it, and are never made up;
    `restart`: more than two periods passed since the last beat, so reconcile first."""

    number: int
    due_us: int
    late_us: int = 0
    missed: int = 0
    restart: bool = False


def due_us(start_us: int, base_s: float, number: int) -> int:
    """When beat `number` (1, 2, ...) is due: start + n T, in whole microseconds."""
    return start_us + round(number * base_s * PHI * SECOND)


def beats(start_us: int, base_s: float) -> Iterator[int]:
    """Due times for ever, ascending."""
    number = 0
    while True:
        number += 1
        yield due_us(start_us, base_s, number)


class Pulse:
    """Where the session stands in the schedule. Raises ValueError for a base that is not a positive number."""

    def __init__(self, *, base_s: float, start_us: int, done: int = 0) -> None:
        if not 0 < base_s < math.inf:
            raise ValueError(f"base_s {base_s!r} must be a positive number of seconds")
        self.base_s, self.start_us, self.done = base_s, start_us, done
        self.missed = 0
        self._last_us = due_us(start_us, base_s, done)

    @classmethod
    def joining(cls, *, base_s: float, start_us: int, now_us: int) -> Pulse:
        """A schedule that began at `start_us`, joined at `now_us`: what fell due before is not made up."""
        return cls(base_s=base_s, start_us=start_us, done=max(0, int((now_us - start_us) / (base_s * PHI * SECOND))))

    @property
    def period_us(self) -> float:
        return self.base_s * PHI * SECOND

    @property
    def next_due_us(self) -> int:
        """When the next beat is due; in the past if it is late."""
        return due_us(self.start_us, self.base_s, self.done + 1)

    def begin(self, now_us: int) -> Beat:
        """Begin the newest beat that is due: a late one runs once at once, older ones are counted as missed.

        Raises ValueError before the next beat is due, so that nothing beats twice.
        """
        if now_us < self.next_due_us:
            raise ValueError(f"beat {self.done + 1} is due at {self.next_due_us}, not yet at {now_us}")
        number = self.done + 1 + int((now_us - self.next_due_us) / self.period_us)
        if due_us(self.start_us, self.base_s, number) > now_us:  # rounding of the schedule to whole microseconds
            number -= 1
        due = due_us(self.start_us, self.base_s, number)
        beat = Beat(
            number=number, due_us=due, late_us=now_us - due, missed=number - self.done - 1,
            restart=now_us - self._last_us > 2 * self.period_us,
        )  # fmt: skip
        self.missed += beat.missed
        self.done, self._last_us = number, now_us
        return beat


def offset_us(number: int, k: int, count: int, base_s: float) -> int:
    """How long after beat `number` its request k of `count` starts: S frac((n K + k) / phi), S = min(21 s, T / 4)."""
    span = min(SPREAD_MOST_US, base_s * PHI * SECOND / 4)
    return int(span * math.fmod((number * count + k) / PHI, 1.0))


def mood(breadth: float, btc_change: float, volume_ratio: float) -> float:
    """The pulse score 0-100, for display and the AI only: 38.2 (B + 1) / 2 + 38.2 clamp((g + 0.1) / 0.2) + 23.6 clamp(v / 2).

    `breadth` B in [-1, 1]; `btc_change` g, a fraction; `volume_ratio`: 24 h turnover of all pairs over its 7-day mean.
    """
    return 38.2 * (breadth + 1) / 2 + 38.2 * _unit((btc_change + 0.1) / 0.2) + 23.6 * _unit(volume_ratio / 2)


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
