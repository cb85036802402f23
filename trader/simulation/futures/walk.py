"""The way prices take between two ticks, of all contracts at once: where along it an order is reached or a pool runs dry.

A place on the way is a number from 0 (the tick before) to 1 (this tick); prices move in a straight line, and a gap happens at 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from trader.domain.money import ZERO, quantum, round_to
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.margin import Pool
from trader.simulation.futures.orders import BUY, TAKE_PROFIT, FuturesOrder
from trader.simulation.futures.prices import mark_of

START, END = ZERO, Decimal(1)
INDEX_STEP = quantum(18)  # a place is a quotient: what it lacks of a level must not count as a tick


@dataclass(slots=True)
class Way:
    """Index prices before and after a tick by contract, and each one's premium. `at`: how far it has been walked."""

    gap: bool
    starts: dict[str, Decimal] = field(default_factory=dict)
    ends: dict[str, Decimal] = field(default_factory=dict)
    premiums: dict[str, Decimal] = field(default_factory=dict)
    at: Decimal = START

    def index(self, contract: Contract, place: Decimal | None = None) -> Decimal:
        """Index price at a place, by default where the walk is."""
        start, end = self.starts[contract.symbol], self.ends[contract.symbol]
        return round_to(start + (end - start) * (self.at if place is None else place), INDEX_STEP)

    def mark(self, contract: Contract, place: Decimal | None = None) -> Decimal:
        """Mark price at a place, by default where the walk is."""
        return mark_of(self.index(contract, place), self.premiums[contract.symbol])

    def reached(self, order: FuturesOrder, contract: Contract) -> Decimal | None:
        """Where from here on the order acts; None where it does not before the end."""
        level, end = self.index_level(order), self.ends[contract.symbol]
        below = acts_below(order)
        if not (end <= level if below else end >= level):
            return None
        here = self.index(contract)
        if here <= level if below else here >= level:
            return self.at
        start = self.starts[contract.symbol]
        return END if self.gap else min(max((level - start) / (end - start), self.at), END)

    def index_level(self, order: FuturesOrder) -> Decimal:
        """The index price at which an order acts: its limit, or its trigger as the signal sees it."""
        if not order.waiting:
            assert order.limit_price is not None, f"order {order.order_id} rests without a limit"
            return order.limit_price
        assert order.stop_price is not None, f"order {order.order_id} waits without a trigger"
        return order.stop_price / (1 + self.premiums[order.symbol]) if order.trigger_signal == "mark" else order.stop_price

    def dry(self, pool: Pool) -> Decimal | None:
        """Where from here on the pool's surplus is gone; None where it lasts to the end.

        The surplus of linear contracts is a straight line along the way; an inverse pool has one contract, whose price is solved for.
        """
        if pool.surplus(lambda contract: self.mark(contract, END)) >= ZERO:
            return None
        here = pool.surplus(self.mark)
        if here < ZERO:
            return self.at
        if self.gap:
            return END
        holding = pool.holdings[0]
        if not holding.contract.inverse:
            end = pool.surplus(lambda contract: self.mark(contract, END))
            return self.at + (END - self.at) * here / (here - end)
        price = pool.liquidation_price(holding, self.mark)
        first, last = self.mark(holding.contract, START), self.mark(holding.contract, END)
        return END if price is None else min(max((price - first) / (last - first), self.at), END)


def acts_below(order: FuturesOrder) -> bool:
    """Whether a falling price reaches it: buy limits, sell stops and trailing stops, take-profits of a short."""
    limit_like = not order.waiting or order.order_type == TAKE_PROFIT
    return (order.side == BUY) == limit_like
