"""Target legs of a position as its orders tell: what of them was sold."""

from __future__ import annotations

from decimal import Decimal

from trader.domain.money import ZERO, add
from trader.domain.orders import Intent, Leg
from trader.ports import Ledger


def taken(ledger: Ledger, position_id: str) -> list[str]:
    """Legs that filled in full: a crash may have come before the exit state was saved."""
    return [i.reason for i in _legs(ledger, position_id) if i.filled > ZERO and i.remaining == ZERO]


def sold(ledger: Ledger, position_id: str, reason: str) -> Decimal:
    """What earlier attempts at a leg have sold of it."""
    return add(ZERO, *(i.filled for i in _legs(ledger, position_id) if i.reason == reason))


def _legs(ledger: Ledger, position_id: str) -> list[Intent]:
    return [i for i in ledger.intents(position_id=position_id) if i.leg is Leg.TARGET]
