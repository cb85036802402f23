"""Positions as the sum of their fills, the plan they were opened with, and account totals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from trader.domain.market import settle_of
from trader.domain.money import ZERO, add, divide, mul, quantum, sub
from trader.domain.orders import Fill, Side

BASIS_STEP = quantum(10)  # of the entry cost of a part of a position


class PositionState(StrEnum):
    OPENING = "OPENING"  # an entry was sent; nothing filled yet
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    DUST = "DUST"  # too small to sell


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """How a position is left, frozen at entry. Distances are fractions of the average entry price; bars are 15m.

    `kind` ratchet | targets | hybrid; `legs`: shares of the position sold at tp1 and tp2; `ratchet_base` b of SPEC
    section 9; `breakeven`: c, the round-trip cost; `stagnation_*`: bars and window; `max_hold_bars` 0 = none.
    """

    kind: str
    stop: float
    tp1: float
    tp2: float
    legs: tuple[float, float]
    ratchet_base: float
    breakeven: float
    stagnation_bars: int
    stagnation_low: float
    stagnation_high: float
    max_hold_bars: int
    cooldown_bars: int
    cooldown_stop_bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Everything about one holding that follows from its fills. Money in quote, quantity in base."""

    position_id: str
    pair: str
    side: Side
    strategy: str
    entry_key: str
    plan: ExitPlan
    opened_us: int
    state: PositionState = PositionState.OPENING
    entry_quantity: Decimal = ZERO
    entry_cost: Decimal = ZERO
    entry_fee: Decimal = ZERO
    exit_quantity: Decimal = ZERO
    exit_cost: Decimal = ZERO
    exit_fee: Decimal = ZERO
    closed_us: int | None = None

    @property
    def quantity(self) -> Decimal:
        """What is held now: entries less exits, exactly."""
        return sub(self.entry_quantity, self.exit_quantity)

    def apply(self, fill: Fill) -> Position:
        """The position after one more fill; raises ValueError if it would exit more than was entered."""
        if fill.pair != self.pair:
            raise ValueError(f"fill of {fill.pair} on a position in {self.pair}")
        if fill.side is self.side:
            first = self.entry_quantity == ZERO
            return replace(
                self,
                state=PositionState.OPEN,
                opened_us=fill.time_us if first else self.opened_us,
                entry_quantity=add(self.entry_quantity, fill.quantity),
                entry_cost=add(self.entry_cost, fill.cost),
                entry_fee=add(self.entry_fee, fill.fee),
            )
        left = sub(self.quantity, fill.quantity)
        if left < ZERO:
            raise ValueError(f"{self.position_id}: exit of {fill.quantity} exceeds the {self.quantity} held")
        return replace(
            self,
            exit_quantity=add(self.exit_quantity, fill.quantity),
            exit_cost=add(self.exit_cost, fill.cost),
            exit_fee=add(self.exit_fee, fill.fee),
            state=PositionState.CLOSED if left == ZERO else self.state,
            closed_us=fill.time_us if left == ZERO else None,
        )

    @property
    def margined(self) -> bool:
        """Whether it is a futures position, which takes margin of the cash instead of its price."""
        return bool(settle_of(self.pair))

    @property
    def basis(self) -> Decimal:
        """Entry cost of what is still held."""
        return divide(mul(self.entry_cost, self.quantity), self.entry_quantity, BASIS_STEP) if self.entry_quantity else ZERO

    def value(self, price: Decimal) -> Decimal:
        """Size of what is held at `price`, in quote: what counts as exposure, whatever the side."""
        return mul(self.quantity, price)

    def marked(self, price: Decimal) -> Decimal:
        """What the position adds to the cash at `price`: coins their value, a futures position its profit."""
        worth = self.value(price)
        return mul(Decimal(self.side.sign), sub(worth, self.basis)) if self.margined else worth

    def cash_of(self, fill: Fill) -> Decimal:
        """What a fill on this position (as it is before the fill) does to the cash. Coins are paid for; a futures position keeps
        its entry cost out of the cash, so that only fees and the profit of what is closed move it."""
        flow = sub(mul(Decimal(-fill.side.sign), fill.cost), fill.fee)
        if not self.margined:
            return flow
        return add(flow, mul(Decimal(self.side.sign), sub(self.apply(fill).basis, self.basis)))
