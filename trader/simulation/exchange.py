"""Matching engine of the twin: one account, many pairs, no I/O; time and prices are passed in.

Prices come from the market only (our orders never move them). Rules of triggers and fills: SIMULATION.md section 5.
"""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal

import numpy as np

from trader.domain.money import ZERO, mul, round_to
from trader.simulation import exchange_checks as checks
from trader.simulation.exchange_account import Account
from trader.simulation.exchange_orders import (
    BUY,
    CANCELED,
    CLOSED,
    EXPIRED,
    INSUFFICIENT_FUNDS,
    INVALID_PRICE,
    LIMIT,
    MARKET,
    POST_ONLY,
    SELL,
    STOP_LOSS,
    UNKNOWN_ORDER,
    OrderRequest,
    PairRules,
    Refused,
    TwinOrder,
    TwinTrade,
    content_id,
    invalid,
)
from trader.simulation.fills import Tick, acts_below, resting_price, to_price


class TwinExchange(Account):
    """Orders, balances and fills of one account. Every method that changes something writes one line to the books."""

    # --- orders ----------------------------------------------------------------------------------------------------
    def place(self, request: OrderRequest, now_us: int, *, swallow: bool = False) -> TwinOrder:
        """Accept an order and fill what it can at once. Raises Refused with Kraken's string and changes nothing then.

        `swallow`: acknowledge but keep neither this stop order nor the conditional close it carries (a fault).
        """
        order, rules, at_once = self._judge(request, now_us)
        order.close_swallowed = swallow
        self.state.counters["order"] = order.number
        if swallow and order.ordertype == STOP_LOSS:
            self._commit(now_us)
            return order
        self._open(order, now_us)
        if at_once is not None:
            quantity = order.remaining if order.ordertype == MARKET else self.fills.portion(order, rules)
            self._fill(order, at_once, quantity, now_us, at=self.last(order.pair))
        if order.live and order.timeinforce == "IOC":
            self._end(order, CANCELED, now_us, "No match at limit price" if not order.executed else "IOC remainder")
        self._commit(now_us)
        return order

    def check(self, request: OrderRequest, now_us: int) -> TwinOrder:
        """What `place` would open, placed nowhere. Raises Refused as `place` does."""
        return self._judge(request, now_us)[0]

    def _judge(self, request: OrderRequest, now_us: int) -> tuple[TwinOrder, PairRules, Decimal | None]:
        """(order, its rules, price it fills at once) where nothing speaks against it; raises Refused."""
        rules = self.rule(request.pair)
        self.expire(now_us)
        checks.request(request, rules, now_us, self.open_orders())
        last = self.last(request.pair)
        if request.ordertype == STOP_LOSS and checks.passed(request.side, request.trigger, last):
            raise Refused(INVALID_PRICE)
        at_once = self._immediate_price(request, last, rules)
        if request.post_only and at_once is not None:
            raise Refused(POST_ONLY)
        order = self._new_order(request, now_us)
        order.held = self._hold(order, rules, at_once)
        if order.held > self.available(self._held_asset(order)):
            raise Refused(INSUFFICIENT_FUNDS)
        return order, rules, at_once

    def amend(
        self,
        order: TwinOrder,
        now_us: int,
        *,
        volume: Decimal | None = None,
        price: Decimal | None = None,
        trigger: Decimal | None = None,
        post_only: bool | None = None,
    ) -> str:
        """Change a live order in place, same txid; returns the amend id. Raises Refused and changes nothing then.

        A volume at or below what is filled cancels the rest.
        """
        if not order.live:
            raise Refused(UNKNOWN_ORDER)
        rules = self.rule(order.pair)
        if volume is price is trigger is None:
            raise invalid("order_qty")
        checks.amendment(order, rules, volume=volume, price=price, trigger=trigger)
        last = self.last(order.pair)
        if trigger is not None and checks.passed(order.side, trigger, last):
            raise Refused(INVALID_PRICE)
        changed = dataclasses.replace(
            order,
            volume=order.volume if volume is None else volume,
            price=order.price if price is None else price,
            trigger=order.trigger if trigger is None else trigger,
            post_only=order.post_only if post_only is None else post_only,
        )
        at_once = self.fills.marketable(order.side, changed.level, last, rules) if order.ordertype == LIMIT else None
        if changed.post_only and at_once is not None:
            raise Refused(POST_ONLY)
        held = self._hold(changed, rules, at_once) if changed.remaining > ZERO else ZERO
        if held - order.held > self.available(self._held_asset(order)):
            raise Refused(INSUFFICIENT_FUNDS)
        order.volume, order.price, order.trigger, order.post_only = changed.volume, changed.price, changed.trigger, changed.post_only
        order.held, order.amends = held, order.amends + 1
        self._note("amended", order, now_us)
        if order.remaining <= ZERO:
            order.volume = order.executed
            self._end(order, CANCELED, now_us, "User requested")
        elif at_once is not None:
            self._fill(order, at_once, self.fills.portion(order, rules), now_us, at=last)
        self._commit(now_us)
        return content_id("T", self._seed, "amend", order.txid, order.amends)

    def cancel(self, order: TwinOrder, now_us: int, reason: str = "User requested") -> None:
        """End a live order. Raises Refused(unknown order) for any other."""
        if not order.live:
            raise Refused(UNKNOWN_ORDER)
        self._end(order, CANCELED, now_us, reason)
        self._commit(now_us)

    def cancel_all(self, now_us: int) -> int:
        """End every live order; returns how many."""
        orders = self.open_orders()
        for order in orders:
            self._end(order, CANCELED, now_us, "User requested")
        self._commit(now_us)
        return len(orders)

    def expire(self, now_us: int) -> None:
        """End the orders whose time is over."""
        late = [order for order in self.open_orders() if 0 < order.expire_us <= now_us]
        for order in late:
            self._end(order, EXPIRED, now_us, "Order expired")
        if late:
            self._commit(now_us)

    # --- prices ----------------------------------------------------------------------------------------------------
    def advance(self, tick: Tick) -> None:
        """Take over the prices of a tick and match what they reach. Costs nothing for pairs without orders."""
        now_us = max(tick.time_us, self.state.mark_us)
        before = self._last
        self._last = np.where(np.isnan(tick.prices), before, tick.prices)  # a pair without a candle keeps its price
        if self._resting:
            self.expire(now_us)
            for index in sorted(self._resting):
                self._walk(index, float(before[index]), float(self._last[index]), gap=tick.gap, now_us=now_us)
        self.state.tick_us = tick.time_us
        if self._dirty or tick.part == 4:
            self._commit(now_us)

    def _walk(self, index: int, start: float, end: float, *, gap: bool, now_us: int) -> None:
        """Fill in path order what a price reaches on its way from `start` to `end` (a gap: at `end` at once)."""
        rules = self.rules[index]
        if math.isnan(end) or not any(self._reached(order, end) for order in self._resting[index]):
            return
        at = target = to_price(end, rules)
        if not gap and not math.isnan(start):
            at = to_price(start, rules)
        falling, done = target <= at, []
        while True:
            due = [order for order in self._resting.get(index, ()) if order.txid not in done and self._reached(order, end)]
            if not due:
                return
            order = min(due, key=lambda item: (abs(item.level - at) if not gap else ZERO, item.number))
            done.append(order.txid)
            at = max(min(at, order.level), target) if falling else min(max(at, order.level), target)
            quantity = self.fills.portion(order, rules) if order.ordertype == LIMIT else order.remaining
            price = resting_price(order, at, self.fills, rules)
            self._fill(order, price, quantity, now_us, at=at, maker=order.ordertype == LIMIT)

    @staticmethod
    def _reached(order: TwinOrder, price: float) -> bool:
        level = float(order.level)
        return price <= level if acts_below(order) else price >= level

    # --- the life of one order -------------------------------------------------------------------------------------
    def _new_order(self, request: OrderRequest, now_us: int, refid: str | None = None) -> TwinOrder:
        number = self.state.counters.get("order", 0) + 1
        owner = self.state.orders[refid].ours if refid else bool(request.cl_ord_id and request.cl_ord_id.startswith(self._prefix))
        return TwinOrder(
            txid=content_id("O", self._seed, number, request.pair, request.side, str(request.volume), now_us),
            number=number,
            pair=request.pair,
            side=request.side,
            ordertype=request.ordertype,
            volume=request.volume,
            opened_us=now_us,
            price=request.price,
            trigger=request.trigger,
            timeinforce=request.timeinforce,
            expire_us=request.expire_us,
            post_only=request.post_only,
            oflags=request.oflags,
            cl_ord_id=request.cl_ord_id,
            userref=request.userref,
            refid=refid,
            close_trigger=request.close_trigger,
            ours=owner,
        )

    def _open(self, order: TwinOrder, now_us: int) -> None:
        self.state.orders[order.txid] = order
        self._rest(order)
        self._note("pending_new", order, now_us)
        self._note("new", order, now_us)

    def _end(self, order: TwinOrder, status: str, now_us: int, reason: str | None) -> None:
        order.status, order.reason, order.closed_us, order.held = status, reason, now_us, ZERO
        index = self.by_symbol[order.pair].index
        self._resting[index].remove(order)
        if not self._resting[index]:
            del self._resting[index]
        self._note("filled" if status == CLOSED else status, order, now_us, reason=reason)

    def _fill(self, order: TwinOrder, price: Decimal, quantity: Decimal, now_us: int, *, at: Decimal, maker: bool = False) -> None:
        """Trade `quantity` at `price` while the market stands at `at`."""
        rules = self.by_symbol[order.pair]
        cost = round_to(mul(price, quantity), rules.quote_step)
        fee = self.fills.fee(cost, maker=maker, rules=rules)
        if order.side == BUY and cost + fee > self.available(rules.quote) + order.held:
            self._end(order, CANCELED, now_us, "Insufficient funds")
            return
        number = self.state.counters.get("trade", 0) + 1
        self.state.counters["trade"] = number
        fee_base = self._fee_in_base(order, quantity, maker=maker, rules=rules)
        trade = TwinTrade(
            trade_id=content_id("T", self._seed, number, order.txid, str(price), str(quantity), now_us),
            number=number,
            txid=order.txid,
            pair=order.pair,
            side=order.side,
            ordertype=order.ordertype,
            price=price,
            quantity=quantity,
            cost=cost,
            fee=fee,
            fee_asset=rules.base if fee_base else rules.quote,
            fee_base=fee_base,
            time_us=now_us,
            maker=maker,
            ours=order.ours,
        )
        self._settle(order, trade, rules)
        self._note("trade", order, now_us, trade=trade)
        if order.remaining == ZERO:
            self._end(order, CLOSED, now_us, None)
        if order.close_trigger is not None and not order.close_swallowed:
            self._close_with(order, quantity - (fee_base if order.side == BUY else ZERO), now_us, at)

    def _close_with(self, entry: TwinOrder, quantity: Decimal, now_us: int, at: Decimal) -> None:
        """The conditional close appears with the first fill and grows with the next ones."""
        close = self.state.orders.get(entry.close_txid or "")
        rules = self.by_symbol[entry.pair]
        if close is not None and close.live:
            close.volume += quantity
            close.held = self._hold(close, rules, None)
            self._note("restated", close, now_us)
        else:
            side = SELL if entry.side == BUY else BUY
            request = OrderRequest(
                pair=entry.pair,
                side=side,
                ordertype=STOP_LOSS,
                volume=quantity,
                trigger=entry.close_trigger,
                oflags=entry.oflags,
                userref=entry.userref,
            )
            close = self._new_order(request, now_us, refid=entry.txid)
            close.held = self._hold(close, rules, None)
            self.state.counters["order"] = close.number
            entry.close_txid = close.txid
            self._open(close, now_us)
        if close.live and checks.passed(close.side, close.trigger, at):
            self._fill(close, self.fills.taken(close.side, at, rules), close.remaining, now_us, at=at)

    # --- money -----------------------------------------------------------------------------------------------------
    def _immediate_price(self, request: OrderRequest, last: Decimal, rules: PairRules) -> Decimal | None:
        if request.ordertype == MARKET:
            return self.fills.taken(request.side, last, rules)
        if request.ordertype == LIMIT and request.price is not None:
            return self.fills.marketable(request.side, request.price, last, rules)
        return None
