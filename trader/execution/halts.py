"""Halts that judge the account: daily loss, drawdown from the peak, stops in a row. Pure; the ledger keeps what is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.money import ZERO, from_float, mul

DAILY_LOSS, DRAWDOWN, CONSECUTIVE_STOPS = "DAILY_LOSS", "DRAWDOWN", "CONSECUTIVE_STOPS"
_FINE = Decimal("1e-12")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltLimits:
    """Fractions of equity, and how many STOP_LOSS exits in a row are too many."""

    daily_loss: float
    drawdown: float
    stops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A limit that was reached: `value` against `limit`, as fractions or counts. Only a person's written reason clears it."""

    cause: str
    value: float
    limit: float

    @property
    def text(self) -> str:
        """`{value} against limit {limit}` of the halt message."""
        shown = (
            (f"{self.value:.0f}", f"{self.limit:.0f}") if self.cause == CONSECUTIVE_STOPS else (f"{self.value:.2%}", f"{self.limit:.2%}")
        )
        return f"{shown[0]} against limit {shown[1]}"


def evaluate(*, equity: Decimal, day_open: Decimal, peak: Decimal, stops: int, limits: HaltLimits) -> tuple[Breach, ...]:
    """Halts to set, in the order DAILY_LOSS, DRAWDOWN, CONSECUTIVE_STOPS; judged at closes.

    `day_open`: last equity stored at or before 00:00 UTC, else the session's first; `peak`: highest equity ever, never
    reset by a restart. A reference of zero or less judges nothing.
    """
    found: list[Breach] = []
    if day_open > ZERO and equity <= mul(day_open, 1 - from_float(limits.daily_loss)):
        found.append(Breach(cause=DAILY_LOSS, value=_fall(equity, day_open), limit=limits.daily_loss))
    if peak > ZERO and equity <= mul(peak, 1 - from_float(limits.drawdown)):
        found.append(Breach(cause=DRAWDOWN, value=_fall(equity, peak), limit=limits.drawdown))
    if stops >= limits.stops:
        found.append(Breach(cause=CONSECUTIVE_STOPS, value=float(stops), limit=float(limits.stops)))
    return tuple(found)


def _fall(equity: Decimal, reference: Decimal) -> float:
    return 1.0 - float(equity) / float(reference)


def stops_in_a_row(exits: Iterable[tuple[str, Decimal]]) -> int:
    """STOP_LOSS exits since the last winning close, over all pairs. `exits`: (reason, net result) of closed positions or
    legs, oldest first; other exits without a gain neither count nor reset."""
    count = 0
    for reason, net in exits:
        if reason == "STOP_LOSS":
            count += 1
        elif net > ZERO:
            count = 0
    return count


def rebased(reference: Decimal, before: Decimal, after: Decimal) -> Decimal:
    """Day-open or peak after a deposit, withdrawal or EXTERNAL cash row: scaled by equity after / before it (from zero: set).

    Adding the amount instead would let a withdrawal fake a drawdown.
    """
    if before <= ZERO:
        return after
    return (reference * after / before).quantize(_FINE)
