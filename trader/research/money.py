"""What positions of the account pass do to its cash: coins are bought, a futures contract takes margin, settles its profit and
pays funding. Decimal throughout; the rules are the venue's, the ledger has its own form of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from trader.domain.futures import HOUR_US, MarginRules, accrued
from trader.domain.money import ZERO, add, divide, mul, quantum, sub
from trader.domain.orders import Side
from trader.execution.risk import Approved

BASIS_STEP = quantum(10)
Rates = Callable[[str, int], Decimal]
"""Funding of the hour that begins at a time (us), in quote per unit of base; longs pay a positive one."""


@dataclass(slots=True, kw_only=True)
class Held:
    """A position whose whole life is known; what of it lies ahead waits in the queue. `bought`: price x quantity at entry, whatever
    the side; `basis`: the part of it that is still held; `funded_us`: until when its funding is paid; `net`: of its legs so far."""

    approved: Approved
    entry: Decimal
    entry_us: int
    quantity: Decimal
    bought: Decimal
    cost_left: Decimal
    fee_in: Decimal
    fee_left: Decimal
    basis: Decimal
    funded_us: int
    net: Decimal = ZERO

    @property
    def side(self) -> Side:
        return self.approved.decision.side

    @property
    def pair(self) -> str:
        return self.approved.decision.pair


class Money(Protocol):
    """How a market settles. Amounts are what is added to the cash."""

    @property
    def margin(self) -> MarginRules: ...
    def entered(self, one: Held) -> Decimal: ...
    def left(self, one: Held, quantity: Decimal, got: Decimal, fee: Decimal) -> Decimal:
        """`quantity` of the position leaves for `got`; called before the position is reduced."""

    def marked(self, one: Held, price: Decimal) -> Decimal: ...
    def bound(self, held: Iterable[Held]) -> Decimal:
        """Cash that open positions keep from being spent."""

    def funding(self, one: Held, until_us: int) -> Decimal:
        """What the position is paid up to then, not counting what was paid before."""


class Coins:
    """Spot: an entry is paid for in full, an exit is paid out."""

    margin = MarginRules()

    def entered(self, one: Held) -> Decimal:
        return sub(ZERO, add(one.bought, one.fee_in))

    def left(self, one: Held, quantity: Decimal, got: Decimal, fee: Decimal) -> Decimal:  # the position gives nothing but its coins
        return sub(got, fee)

    def marked(self, one: Held, price: Decimal) -> Decimal:
        return mul(one.quantity, price)

    def bound(self, held: Iterable[Held]) -> Decimal:  # what was bought is paid
        return ZERO

    def funding(self, one: Held, until_us: int) -> Decimal:  # coins pay none
        return ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """Linear perpetuals with isolated margin. Funding accrues over whole bars: a fill counts as at the open of its bar."""

    rates: Rates
    margin: MarginRules = field(default_factory=MarginRules)

    def entered(self, one: Held) -> Decimal:
        return sub(ZERO, one.fee_in)

    def left(self, one: Held, quantity: Decimal, got: Decimal, fee: Decimal) -> Decimal:
        rest = divide(mul(one.bought, sub(one.quantity, quantity)), one.approved.quantity, BASIS_STEP)
        freed, one.basis = sub(one.basis, rest), rest
        return sub(mul(Decimal(one.side.sign), sub(got, freed)), fee)

    def marked(self, one: Held, price: Decimal) -> Decimal:
        return mul(Decimal(one.side.sign), sub(mul(one.quantity, price), one.basis))

    def bound(self, held: Iterable[Held]) -> Decimal:
        return add(ZERO, *(self.margin.needed(one.basis) for one in held))

    def funding(self, one: Held, until_us: int) -> Decimal:
        size, paid = mul(Decimal(one.side.sign), one.quantity), ZERO
        while one.funded_us < until_us:
            begin = one.funded_us
            one.funded_us = min(begin - begin % HOUR_US + HOUR_US, until_us)
            hour_us = begin - begin % HOUR_US
            paid = add(paid, accrued(size, self.rates(one.pair, hour_us), one.funded_us - begin))
        return paid
