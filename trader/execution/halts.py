"""Halts that judge the account: daily loss, drawdown from the peak, stops in a row. Pure; the ledger keeps what is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.market import DAY
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


class Watch:
    """Peak and day-open as closes show them, and the halts that each close calls for: one rule for session and backtest.

    The close at 00:00 UTC still belongs to the day that it ends: its equity is the next day's open.
    """

    def __init__(self, limits: HaltLimits, *, peak: Decimal = ZERO, day_open: Decimal = ZERO, last: Decimal = ZERO, day: int = -1) -> None:
        self.limits, self.peak, self.day_open, self.last, self.day = limits, peak, day_open, last, day

    def turns(self, close_us: int) -> bool:
        """Whether this close is the first of another day."""
        return (close_us - 1) // DAY != self.day

    def close(self, equity: Decimal, close_us: int, stops: int) -> tuple[Breach, ...]:
        """Take over the equity of a close; `stops`: STOP_LOSS exits in a row by then."""
        if self.turns(close_us):
            self.day, self.day_open = (close_us - 1) // DAY, self.last if self.last > ZERO else equity
        self.peak, self.last = max(self.peak, equity), equity
        return evaluate(equity=equity, day_open=self.day_open, peak=self.peak, stops=stops, limits=self.limits)

    def rebase(self, cause: str) -> None:
        """A halt was cleared: what it was judged by starts again from the equity of the last close."""
        if cause == DRAWDOWN:
            self.peak = self.last
        elif cause == DAILY_LOSS:
            self.day_open = self.last

    def moved(self, before: Decimal, after: Decimal) -> None:
        """Money came or went from outside, which made `after` of an equity of `before`."""
        self.peak, self.day_open, self.last = (rebased(level, before, after) for level in (self.peak, self.day_open, self.last))

    def restart(self, equity: Decimal) -> None:
        """Begin anew at this equity."""
        self.peak = self.last = self.day_open = equity


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
