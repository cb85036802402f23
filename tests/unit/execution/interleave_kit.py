"""What tests of interleavings share: an exchange that does one thing otherwise, and a position at its first target."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from desk_kit import House
from kraken_kit import PAIR

from trader.domain.money import ZERO
from trader.domain.orders import Leg
from trader.execution.held import Held

LIMIT_SELL = {"type": "sell", "ordertype": "limit"}
MARKET = {"ordertype": "market"}


class Wrapped:
    """The exchange but for what a subclass does otherwise."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


async def at_target(house: House) -> tuple[Held, Decimal]:
    """A hybrid position whose first target (0.382 of it) lies just under the market; and a price that touches it."""
    position = await house.buy()
    held = house.keeper.held[position.position_id]
    assert held.guard is not None
    rules = house.keeper.instruments[PAIR]
    bid = (await house.world.market.tickers())[PAIR].bid
    state = held.guard.state
    leg = int(state.lots * 0.382)
    terms = state.terms._replace(tp1=rules.to_ticks(bid * Decimal("0.995")), tp2=rules.to_ticks(bid * 2), leg1=leg, leg2=leg)
    held.guard.state = state._replace(terms=terms)
    return held, bid


def first_leg(house: House, held: Held) -> Decimal:
    """What the first target is to sell."""
    assert held.guard is not None
    return house.keeper.instruments[PAIR].quantity(held.guard.state.terms.leg1)


def sold_at_tp1(house: House) -> Decimal:
    return sum((i.filled for i in house.intents(Leg.TARGET)), ZERO)
