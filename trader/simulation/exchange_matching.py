"""What prices do to resting orders: triggers, trailing, fills, conditional closes (SIMULATION.md section 5).

Prices come from the market only (our orders never move them) and are walked in path order, so a run is deterministic.
"""

from __future__ import annotations

import math
from decimal import Decimal

from trader.domain.money import ZERO, mul, round_to
from trader.simulation import exchange_checks as checks
from trader.simulation.exchange_account import Account
from trader.simulation.exchange_orders import CANCELED, CLOSED, OPEN, OrderRequest, PairRules, TwinOrder, TwinTrade, content_id
from trader.simulation.exchange_pricing import closing, signed_close, trail
from trader.simulation.exchange_terms import BUY
from trader.simulation.fills import acts_below, to_price

NO_FUNDS = "Insufficient funds"


class Matching(Account):
    """The life of orders in the book. TwinExchange adds how they get there."""

    def _walk(self, index: int, start: float, end: float, *, gap: bool, now_us: int) -> None:
        """Do in path order what a price sets off on its way from `start` to `end` (a gap: at `end` at once)."""
        if math.isnan(end):
            return
        rules = self.rules[index]
        at = target = to_price(end, rules)
        if not gap and not math.isnan(start):
            at = to_price(start, rules)
        falling, done = target <= at, []
        while True:
            due = [order for order in self._resting.get(index, ()) if (order.txid, order.waiting) not in done and self._reached(order, end)]
            if not due:
                break
            order = min(due, key=lambda item: (abs(item.level - at) if not gap else ZERO, item.number))
            done.append((order.txid, order.waiting))
            at = max(min(at, order.level), target) if falling else min(max(at, order.level), target)
            if order.waiting:
                self._trigger(order, now_us, at, done)
            else:
                self._fill(order, order.level, self.fills.portion(order, rules), now_us, at=at, maker=True)
        for order in self._resting.get(index, ()):
            if order.trailing and order.waiting and trail(order, target, rules):
                order.held = self._hold(order, rules, None)
                self._note("status", order, now_us)

    def _calm(self, index: int) -> tuple[float, float]:
        """A price between these two sets nothing off in a pair. Nearly every price is, so they are kept until one of its orders changes."""
        low, high = -math.inf, math.inf
        for order in self._resting[index]:
            if order.trailing:
                low = math.inf  # follows every price
            elif order.status == OPEN and acts_below(order):
                low = max(low, float(order.level))
            elif order.status == OPEN:
                high = min(high, float(order.level))
        self._ranges[index] = low, high
        return low, high

    @staticmethod
    def _reached(order: TwinOrder, price: float) -> bool:
        if order.status != OPEN:
            return False
        level = float(order.level)
        return price <= level if acts_below(order) else price >= level

    def _trigger(self, order: TwinOrder, now_us: int, at: Decimal, done: list[tuple[str, bool]] | None = None) -> None:
        """A trigger was reached while the market stands at `at`: sell or buy at market, or become a live limit order.

        `done`: takes note of a limit that had its touch at once, so that the same move does not touch it twice.
        """
        rules = self.by_symbol[order.pair]
        order.triggered = True
        self._note("status", order, now_us)
        if not order.limited or order.price is None:
            self._fill(order, self.fills.taken(order.side, at, rules), order.remaining, now_us, at=at)
            return
        order.held = self._hold(order, rules, None)
        if (price := self.fills.marketable(order.side, order.price, at, rules)) is not None:
            if done is not None:
                done.append((order.txid, False))
            self._fill(order, price, self.fills.portion(order, rules), now_us, at=at)

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
            changed_us=now_us,
            price=request.price,
            price_by=request.price_by,
            trigger=request.trigger,
            trigger_by=request.trigger_by,
            timeinforce=request.timeinforce,
            start_us=request.start_us,
            expire_us=request.expire_us,
            post_only=request.post_only,
            oflags=request.oflags,
            cl_ord_id=request.cl_ord_id,
            userref=request.userref,
            refid=refid,
            cash=request.cash,
            display=request.display,
            close=signed_close(request.close, request.side),
            ours=owner,
        )

    def _open(self, order: TwinOrder, now_us: int) -> None:
        """Put a new order into the book; one with a later start only into the list."""
        self.state.counters["order"] = order.number
        self.state.orders[order.txid] = order
        self._rest(order)
        self._note("pending_new", order, now_us)
        if order.status == OPEN:
            self._note("new", order, now_us)

    def _end(self, order: TwinOrder, status: str, now_us: int, reason: str | None) -> None:
        order.status, order.reason, order.closed_us, order.held = status, reason, now_us, ZERO
        index = self.by_symbol[order.pair].index
        rest = [other for other in self._resting.pop(index) if other is not order]
        if rest:
            self._resting[index] = rest
        self._note("filled" if status == CLOSED else status, order, now_us, reason=reason)

    def _fill(self, order: TwinOrder, price: Decimal, quantity: Decimal, now_us: int, *, at: Decimal, maker: bool = False) -> None:
        """Trade `quantity` at `price` while the market stands at `at`."""
        rules = self.by_symbol[order.pair]
        cost = round_to(mul(price, quantity), rules.quote_step)
        fee = self.fills.fee(cost, maker=maker, rules=rules)
        if order.side == BUY and cost + fee > self.available(rules.quote) + order.held:
            self._end(order, CANCELED, now_us, NO_FUNDS)
            return
        fee_base = self._fee_in_base(order, quantity, maker=maker, rules=rules)
        trade = self._trade(order, rules, price=price, quantity=quantity, cost=cost, fee=fee, fee_base=fee_base, now_us=now_us, maker=maker)
        self._settle(order, trade, rules)
        self._note("trade", order, now_us, trade=trade)
        if order.remaining == ZERO:
            self._end(order, CLOSED, now_us, None)
        elif order.display is not None:
            self._note("iceberg_refill", order, now_us)
        if not order.close_swallowed:
            self._close_with(order, quantity - (fee_base if order.side == BUY else ZERO), now_us, at)

    def _trade(
        self,
        order: TwinOrder,
        rules: PairRules,
        *,
        price: Decimal,
        quantity: Decimal,
        cost: Decimal,
        fee: Decimal,
        fee_base: Decimal,
        now_us: int,
        maker: bool,
    ) -> TwinTrade:
        number = self.state.counters.get("trade", 0) + 1
        self.state.counters["trade"] = number
        return TwinTrade(
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

    def _close_with(self, entry: TwinOrder, quantity: Decimal, now_us: int, at: Decimal) -> None:
        """Open the conditional close of one fill: its own order in the filled quantity, whatever other fills opened before."""
        rules = self.by_symbol[entry.pair]
        request = closing(entry, quantity, at, rules)
        if request is None:
            return
        close = self._new_order(request, now_us, refid=entry.txid)
        close.peak = at if close.trailing else None
        close.held = self._hold(close, rules, None)
        short = close.held > self.available(self._held_asset(close))
        entry.closes.append(close.txid)
        self._open(close, now_us)
        if short:
            self._end(close, CANCELED, now_us, NO_FUNDS)
        elif close.waiting:
            if close.trigger is not None and checks.passed(close.ordertype, close.side, close.trigger, at):
                self._trigger(close, now_us, at)
        elif close.price is not None and (price := self.fills.marketable(close.side, close.price, at, rules)) is not None:
            self._fill(close, price, self.fills.portion(close, rules), now_us, at=at)
