"""Margin of a futures account: what positions and orders require, what is left, and where a position is liquidated.

Linear contracts share the `flex` account. A leverage preference for a contract makes its position isolated: its entry value / leverage
is set aside for it, no more can be lost. Without one it is cross: all of them together draw on what the account holds.
Assumption: the margin level of a position follows its value at the entry price, that of an order its value at the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.money import ZERO, divide, mul, quantum, up
from trader.simulation.futures.contracts import FLEX, VALUE_STEP, Contract
from trader.simulation.futures.orders import BUY, FuturesOrder, Position

MARGIN_STEP = quantum(8)
Marks = Callable[[Contract], Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An open position with its contract. `leverage`: preference that isolates it, None for cross."""

    contract: Contract
    position: Position
    leverage: Decimal | None

    @property
    def isolated(self) -> bool:
        return self.leverage is not None and self.contract.account == FLEX

    @property
    def maintenance_rate(self) -> Decimal:
        entry = self.contract.entry_price(self.position.size, self.position.basis)
        return self.contract.level(self.position.size, entry).maintenance

    def pnl(self, mark: Decimal) -> Decimal:
        """Unrealised profit at a mark price, without funding."""
        return self.contract.value(self.position.size, mark) - self.position.basis

    def maintenance(self, mark: Decimal) -> Decimal:
        """Maintenance margin at a mark price."""
        return up(mul(abs(self.contract.value(self.position.size, mark)), self.maintenance_rate), MARGIN_STEP)

    def initial(self, mark: Decimal) -> Decimal:
        """Initial margin: what is set aside, or of a cross position the requirement at the mark."""
        return self.set_aside if self.isolated else requirement(self.contract, self.position.size, mark, self.leverage)

    @property
    def set_aside(self) -> Decimal:
        """Own margin of an isolated position: entry value at its initial rate; 0 for a cross one."""
        if not self.isolated:
            return ZERO
        entry = self.contract.entry_price(self.position.size, self.position.basis)
        return up(mul(abs(self.position.basis), initial_rate(self.contract, self.position.size, entry, self.leverage)), MARGIN_STEP)


def initial_rate(contract: Contract, size: Decimal, price: Decimal, leverage: Decimal | None) -> Decimal:
    """Initial margin as a part of the value: the level's, or 1 / leverage where that is more."""
    level = contract.level(size, price).initial
    return level if leverage is None else max(level, divide(Decimal(1), leverage, VALUE_STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One margin account at current marks, in its asset. `set_aside`: margins of isolated positions, also inside `initial`."""

    balance: Decimal
    pnl: Decimal
    funding: Decimal
    initial: Decimal
    with_orders: Decimal
    maintenance: Decimal
    cross_pnl: Decimal
    set_aside: Decimal

    @property
    def equity(self) -> Decimal:
        """Balance with all unrealised profit and funding: what would be left if everything were closed at the mark."""
        return self.balance + self.pnl + self.funding

    @property
    def available(self) -> Decimal:
        """What new positions and transfers may use."""
        return self.balance + self.cross_pnl - self.with_orders


def standing(balance: Decimal, holdings: Sequence[Holding], orders: Mapping[Contract, Decimal], marks: Marks) -> Standing:
    """Standing of an account. `orders`: margin that live orders add to their contract's position."""
    initial = pnl = cross_pnl = maintenance = aside = funding = ZERO
    for holding in holdings:
        mark, position = marks(holding.contract), holding.position
        profit = holding.pnl(mark)
        pnl += profit
        funding += position.unrealized_funding
        maintenance += holding.maintenance(mark)
        initial += holding.initial(mark)
        aside += holding.set_aside
        if not holding.isolated:
            cross_pnl += profit + position.unrealized_funding
    return Standing(
        balance=balance,
        pnl=pnl,
        funding=funding,
        initial=initial,
        with_orders=initial + sum(orders.values(), ZERO),
        maintenance=maintenance,
        cross_pnl=cross_pnl,
        set_aside=aside,
    )


def requirement(contract: Contract, size: Decimal, mark: Decimal, leverage: Decimal | None) -> Decimal:
    """Initial margin of a position of this size at a mark price."""
    rate = initial_rate(contract, size, mark, leverage)
    return up(mul(abs(contract.value(size, mark)), rate), MARGIN_STEP) if size else ZERO


def order_margin(contract: Contract, size: Decimal, orders: Sequence[FuturesOrder], mark: Decimal, leverage: Decimal | None) -> Decimal:
    """What live orders add: margin of the largest position they could lead to, less the margin of the one there is."""
    buys = sum((order.remaining for order in orders if order.side == BUY), ZERO)
    sells = sum((order.remaining for order in orders if order.side != BUY), ZERO)
    most = max(size + buys, sells - size, abs(size))
    return requirement(contract, most, mark, leverage) - requirement(contract, size, mark, leverage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Positions that stand or fall together: one isolated one, or all cross ones of an account. `funds`: money behind them."""

    account: str
    funds: Decimal
    holdings: tuple[Holding, ...]

    def surplus(self, marks: Marks) -> Decimal:
        """What is there above the maintenance margin; below zero the pool is liquidated."""
        total = self.funds
        for holding in self.holdings:
            mark = marks(holding.contract)
            value = abs(holding.contract.value(holding.position.size, mark))
            total += holding.pnl(mark) + holding.position.unrealized_funding - mul(value, holding.maintenance_rate)
        return total

    def liquidation_price(self, holding: Holding, marks: Marks) -> Decimal | None:
        """Mark price of one position at which the surplus is gone while the others stay; None where no price does that."""
        contract, position, mark = holding.contract, holding.position, marks(holding.contract)
        own = holding.pnl(mark) - mul(abs(contract.value(position.size, mark)), holding.maintenance_rate)
        rest = self.surplus(marks) - own - position.basis
        slope = position.size + abs(position.size) * holding.maintenance_rate * (1 if contract.inverse else -1)
        above, below = (slope, rest) if contract.inverse else (-rest, slope)
        if not below:
            return None
        price = divide(above, below, quantum(16))
        return price if price > ZERO else None


def pools(balances: Mapping[str, Decimal], holdings: Sequence[Holding]) -> list[Pool]:
    """The pools of all accounts, isolated ones first. `balances`: what each margin account holds of its asset."""
    alone = [holding for holding in holdings if holding.isolated]
    found = [Pool(account=FLEX, funds=holding.set_aside, holdings=(holding,)) for holding in alone]
    aside = sum((holding.set_aside for holding in alone), ZERO)
    for account, balance in balances.items():
        together = tuple(holding for holding in holdings if not holding.isolated and holding.contract.account == account)
        if together:
            found.append(Pool(account=account, funds=balance - aside if account == FLEX else balance, holdings=together))
    return found
