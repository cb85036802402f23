"""The account behind the matching engine: balances, holds, positions, protection clocks, and one line a change in the books."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from trader.domain.money import ZERO, mul, up
from trader.simulation.exchange_books import Books, State
from trader.simulation.exchange_codec import to_row
from trader.simulation.exchange_orders import (
    OPEN,
    UNKNOWN_PAIR,
    Amend,
    BalanceChange,
    Event,
    PairRules,
    Refused,
    TwinOrder,
    TwinTrade,
    content_id,
)
from trader.simulation.exchange_terms import BUY, MARKET, SELL
from trader.simulation.fills import FillRules, Prices, to_price


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionReport:
    """How well our holdings were covered by live sell orders, from the exchange's own books.

    `unprotected`: pair -> since when (us) it holds at least the minimum of coins bought under our tag with live sells
    of less. `foreign_orders`: ids of all orders not of our tag.
    """

    max_unprotected_us: int
    unprotected: Mapping[str, int]
    positions: Mapping[str, Decimal]
    foreign_orders: tuple[str, ...]


class Account:
    """State of one account and what may be read from it. Its heirs add the orders' life.

    Listeners hear of order events, of balance changes, and of a time (us) at which something is due without a price.
    """

    def __init__(
        self, rules: Sequence[PairRules], *, cash: Mapping[str, Decimal], fills: FillRules, books: Books, seed: int, tag: str, start_us: int
    ) -> None:
        self.rules = tuple(rules)
        self.by_symbol = {rule.symbol: rule for rule in self.rules}
        self.fills = fills
        self.state = State()
        self.listeners: list[Callable[[Event], None]] = []
        self.balance_listeners: list[Callable[[BalanceChange], None]] = []
        self.due_listeners: list[Callable[[int], None]] = []
        self._books, self._seed, self._prefix = books, seed, f"t{tag}"
        self._last: Prices = np.full(len(self.rules), math.nan)
        self._before: Prices = self._last  # of the tick before the newest one
        self._resting: dict[int, list[TwinOrder]] = {}
        self._ranges: dict[int, tuple[float, float]] = {}  # pair -> between which prices none of its orders acts
        self._positions: dict[str, Decimal] = {}
        self._events: list[Event] = []
        self._changes: list[BalanceChange] = []
        self._dirty: dict[str, TwinOrder] = {}
        self._new_trades: list[TwinTrade] = []
        self._new_amends: list[Amend] = []
        if not books.load(self.state):
            self.state.mark_us = self.state.tick_us = start_us
            self.state.balances, self.state.opening, self.state.opened_us = dict(cash), dict(cash), start_us
            self._commit(start_us, opening=True)
        for order in self.state.orders.values():
            if order.live:
                self._rest(order)
        for trade in self.state.trades.values():
            self._book_position(trade)

    # --- reading ---------------------------------------------------------------------------------------------------
    def last(self, symbol: str) -> Decimal:
        """Last price of a pair. Raises Refused for an unknown pair or one without a price yet."""
        rules = self.rule(symbol)
        value = float(self._last[rules.index])
        if math.isnan(value):
            raise Refused("EService:Unavailable")
        return to_price(value, rules)

    def before(self, symbol: str) -> Decimal | None:
        """Price of a pair at the tick before the newest one; None where it had none."""
        rules = self.rule(symbol)
        value = float(self._before[rules.index])
        return None if math.isnan(value) else to_price(value, rules)

    def priced(self, symbol: str) -> bool:
        """Whether the market has shown a price of this pair."""
        return not math.isnan(float(self._last[self.rule(symbol).index]))

    def rule(self, symbol: str) -> PairRules:
        """Rules of a pair. Raises Refused(unknown pair)."""
        if (rules := self.by_symbol.get(symbol)) is None:
            raise Refused(UNKNOWN_PAIR)
        return rules

    def held(self, asset: str) -> Decimal:
        """What live orders reserve of an asset."""
        return self.holds().get(asset, ZERO)

    def holds(self) -> dict[str, Decimal]:
        """What live orders reserve, by asset."""
        totals: dict[str, Decimal] = {}
        for orders in self._resting.values():
            for order in orders:
                asset = self._held_asset(order)
                totals[asset] = totals.get(asset, ZERO) + order.held
        return totals

    def available(self, asset: str) -> Decimal:
        """Balance less holds."""
        return self.state.balances.get(asset, ZERO) - self.held(asset)

    def open_orders(self) -> list[TwinOrder]:
        """Live orders, oldest first."""
        return sorted((order for orders in self._resting.values() for order in orders), key=lambda order: order.number)

    def protection_report(self, now_us: int) -> ProtectionReport:
        """See ProtectionReport; a holding that is bare now counts with its time so far."""
        bare = dict(self.state.bare_since)
        longest = max([self.state.max_unprotected_us, *(now_us - since for since in bare.values())])
        foreign = tuple(order.txid for order in self.state.orders.values() if not order.ours)
        return ProtectionReport(
            max_unprotected_us=longest,
            unprotected=bare,
            positions={pair: quantity for pair, quantity in self._positions.items() if quantity},
            foreign_orders=foreign,
        )

    def use_nonce(self, key: str, nonce: int) -> bool:
        """Take a nonce of an API key: False where it does not exceed the highest one seen."""
        if nonce <= self.state.nonces.get(key, -1):
            return False
        state = self.state
        state.nonces[key], state.line = nonce, state.line + 1
        self._books.append({"n": state.line, "t": state.mark_us, "k": state.tick_us, "nonce": {key: nonce}}, state)
        return True

    def set_prices(self, prices: Prices) -> None:
        """Prices as they stand, without matching: for the first start and after a restart."""
        self._before = self._last = prices

    def _rest(self, order: TwinOrder) -> None:
        self._resting.setdefault(self.by_symbol[order.pair].index, []).append(order)

    def _settle(self, order: TwinOrder, trade: TwinTrade, rules: PairRules) -> None:
        """Book a trade on its order, the balances and our position."""
        self.state.trades[trade.trade_id] = trade
        self._new_trades.append(trade)
        order.executed += trade.quantity
        order.cost += trade.cost
        order.fee += trade.fee
        order.trades.append(trade.trade_id)
        order.held = self._hold(order, rules, None) if order.remaining else ZERO
        sign = 1 if order.side == BUY else -1
        fee = ZERO if trade.fee_base else trade.fee
        self._move(rules.base, sign * trade.quantity - trade.fee_base, trade.fee_base, trade)
        self._move(rules.quote, -sign * trade.cost - fee, fee, trade)
        self._book_position(trade)

    def _book_position(self, trade: TwinTrade) -> None:
        if trade.ours:
            sign = 1 if trade.side == BUY else -1
            self._positions[trade.pair] = self._positions.get(trade.pair, ZERO) + sign * trade.quantity - trade.fee_base

    def _hold(self, order: TwinOrder, rules: PairRules, at_once: Decimal | None) -> Decimal:
        """What the rest of an order reserves: coins of a sell; cost and taker fee of a buy at the worst price it may get."""
        if order.side == SELL or order.remaining <= ZERO:
            return max(order.remaining, ZERO)
        if order.limited and order.price is not None:
            price = order.price
        elif order.ordertype == MARKET:
            price = at_once if at_once is not None else self.fills.taken(BUY, self.last(order.pair), rules)
        else:
            price = self.fills.taken(BUY, order.trigger or self.last(order.pair), rules)
        cost = up(mul(price, order.remaining), rules.quote_step)
        return cost + self.fills.fee(cost, maker=False, rules=rules)

    def _held_asset(self, order: TwinOrder) -> str:
        rules = self.by_symbol[order.pair]
        return rules.quote if order.side == BUY else rules.base

    def _fee_in_base(self, order: TwinOrder, quantity: Decimal, *, maker: bool, rules: PairRules) -> Decimal:
        """Kraken's preference: without `fciq` a sell pays in base where coins are left for it, `fcib` makes a buy do so."""
        if "fciq" in order.oflags or (order.side == BUY and "fcib" not in order.oflags):
            return ZERO
        fee = up(mul(quantity, self.fills.maker if maker else self.fills.taker), rules.lot)
        return fee if order.side == BUY or fee <= self.available(rules.base) else ZERO

    def _move(self, asset: str, amount: Decimal, fee: Decimal, trade: TwinTrade) -> None:
        balance = self.state.balances.get(asset, ZERO) + amount
        self.state.balances[asset] = balance
        ledger_id = content_id("L", trade.trade_id, asset)
        self._changes.append(
            BalanceChange(
                asset=asset,
                amount=amount,
                fee=fee,
                balance=balance,
                kind="trade",
                ref_id=trade.trade_id,
                ledger_id=ledger_id,
                time_us=trade.time_us,
            )
        )

    # --- books -----------------------------------------------------------------------------------------------------
    def _note(self, kind: str, order: TwinOrder, now_us: int, *, trade: TwinTrade | None = None, reason: str | None = None) -> None:
        self._dirty[order.txid] = order
        self._ranges.pop(self.by_symbol[order.pair].index, None)
        copy = dataclasses.replace(order, trades=list(order.trades), closes=list(order.closes))
        self._events.append(Event(kind=kind, order=copy, time_us=now_us, trade=trade, reason=reason))

    def _commit(self, now_us: int, *, opening: bool = False) -> None:
        """Write the operation as one line, then tell the listeners."""
        state = self.state
        state.line, state.mark_us = state.line + 1, max(now_us, state.mark_us)
        line: dict[str, Any] = {"n": state.line, "t": state.mark_us, "k": state.tick_us}
        if self._dirty:
            self._protect(state.mark_us)
            line |= {
                "o": [to_row(order) for order in self._dirty.values()],
                "bare": dict(state.bare_since),
                "max": state.max_unprotected_us,
            }
        if self._new_amends:
            line["a"] = [to_row(amend) for amend in self._new_amends]
        if self._new_trades:
            line["f"] = [to_row(trade) for trade in self._new_trades]
        if self._changes or opening:
            line["b"] = {asset: str(amount) for asset, amount in state.balances.items()}
        if opening:
            line |= {"opening": dict(line["b"]), "opened": state.opened_us}
        line |= {"c": dict(state.counters), "dead": state.deadman_us}
        events, changes = self._events, self._changes
        self._events, self._changes, self._dirty, self._new_trades, self._new_amends = [], [], {}, [], []
        self._books.append(line, state)
        for event in events:
            for listener in self.listeners:
                listener(event)
        for change in changes:
            for balance_listener in self.balance_listeners:
                balance_listener(change)

    def _protect(self, now_us: int) -> None:
        """Open or close the clock of each pair whose orders changed: coins of ours without enough live sells."""
        for pair in dict.fromkeys(order.pair for order in self._dirty.values()):
            self._look_after(pair, now_us)

    def _look_after(self, pair: str, now_us: int) -> None:
        rules, held = self.by_symbol[pair], self._positions.get(pair, ZERO)
        resting = self._resting.get(rules.index, ())
        covered = sum((o.remaining for o in resting if o.side == SELL and o.ours and o.status == OPEN), ZERO)
        bare = held >= rules.ordermin and mul(held, self.last(pair)) >= rules.costmin and covered < held
        if bare:
            self.state.bare_since.setdefault(pair, now_us)
        elif (since := self.state.bare_since.pop(pair, None)) is not None:
            self.state.max_unprotected_us = max(self.state.max_unprotected_us, now_us - since)
