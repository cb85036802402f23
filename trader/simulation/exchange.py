"""Matching engine of the twin: one account, many pairs, no I/O; time and prices are passed in.

Rules of triggers and fills: SIMULATION.md section 5; life of an order and dead-man's switch: KRAKEN.md section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from trader.domain.money import ZERO
from trader.simulation import exchange_checks as checks
from trader.simulation.exchange_orders import (
    CANCELED,
    INSUFFICIENT_FUNDS,
    OPEN,
    PENDING,
    POST_ONLY,
    UNKNOWN_ORDER,
    Amend,
    Amendment,
    OrderRequest,
    Refused,
    Target,
    TwinOrder,
    content_id,
)
from trader.simulation.exchange_pricing import amended, resolved, terms_of
from trader.simulation.exchange_venue import Judged, Venue

USER, REPLACED = "User requested", "Order replaced"


class TwinExchange(Venue):
    """Orders, balances and fills of one account. Every method that changes something writes one line to the books.

    `open_limit`: live orders a pair may have; `post_only_style`: refuse or cancel, what becomes of a post-only order that would
    trade (which of the two Kraken does is not known).
    """

    open_limit: int | None = None
    post_only_style: str = "refuse"

    # --- orders ----------------------------------------------------------------------------------------------------
    def place(self, request: OrderRequest, now_us: int, *, swallow: bool = False) -> TwinOrder:
        """Accept an order and fill what it can at once. Raises Refused with Kraken's string and changes nothing then.

        `swallow`: acknowledge but keep neither this triggered order nor the conditional close it carries (a fault).
        """
        judged = self._judge(request, now_us)
        judged.order.close_swallowed = swallow
        if swallow and judged.order.waiting:
            self.state.counters["order"] = judged.order.number
        else:
            self._accept(judged, now_us)
        self._commit(now_us)
        return judged.order

    @contextmanager
    def giving(self, share: Decimal) -> Iterator[None]:
        """Inside, an order that meets the market fills this share of its volume at most (a fault)."""
        usual, self.fills = self.fills, replace(self.fills, share=share)
        try:
            yield
        finally:
            self.fills = usual

    def fill_now(self, order: TwinOrder, now_us: int) -> None:
        """Fill the rest of a live order at the market, whatever it waits for (a fault)."""
        last, rules = self.last(order.pair), self.rule(order.pair)
        order.triggered = order.triggered or order.waiting
        self._fill(order, self.fills.taken(order.side, last, rules), order.remaining, now_us, at=last)
        self._commit(now_us)

    def check(self, request: OrderRequest, now_us: int, *, instead_of: TwinOrder | None = None) -> TwinOrder:
        """What `place` (or `replace`) would open, placed nowhere. Raises Refused as they do."""
        return self._judge(request, now_us, instead_of).order

    def replace(self, order: TwinOrder, request: OrderRequest, now_us: int) -> TwinOrder:
        """Cancel a live order and place another in one step. Raises Refused and changes nothing where the new one is refused."""
        judged = self._judge(request, now_us, order)
        self._end(order, CANCELED, now_us, REPLACED)
        self._accept(judged, now_us)
        self._commit(now_us)
        return judged.order

    def _judge(self, request: OrderRequest, now_us: int, instead_of: TwinOrder | None = None) -> Judged:
        """The order where nothing speaks against it; raises Refused. Nothing but the clock has moved then."""
        rules = self.rule(request.pair)
        self.elapse(now_us)
        if instead_of is not None and not instead_of.live:
            raise Refused(UNKNOWN_ORDER)
        checks.mode(self.system_status, ordertype=request.ordertype, post_only=request.post_only)
        live = [order for order in self.open_orders() if order is not instead_of]
        checks.request(request, rules, now_us, live, limit=self.open_limit)
        if request.start_us > now_us:
            order = self._new_order(request, now_us)
            order.status = PENDING
            return Judged(order, rules, None)
        last = self.last(request.pair)
        request = resolved(request, last, self.fills.taken(request.side, last, rules), rules)
        checks.against_market(request, last, rules)
        order = self._new_order(request, now_us)
        order.peak = last if order.trailing else None
        at_once = self._at_once(order, last, rules)
        if order.post_only and at_once is not None and self.post_only_style == "refuse":
            raise Refused(POST_ONLY)
        order.held = self._hold(order, rules, at_once)
        free = self.available(self._held_asset(order))
        if instead_of is not None and self._held_asset(instead_of) == self._held_asset(order):
            free += instead_of.held
        if order.held > free:
            raise Refused(INSUFFICIENT_FUNDS)
        return Judged(order, rules, at_once)

    def _accept(self, judged: Judged, now_us: int) -> None:
        self._open(judged.order, now_us)
        for due in (judged.order.start_us, judged.order.expire_us):
            if due > now_us:
                self._announce(due)
        if judged.order.status == OPEN:
            self._enter(judged, now_us)

    def amend(self, order: TwinOrder, now_us: int, change: Amendment) -> str:
        """Change a live order in place, same txid; returns the amend id. Raises Refused and changes nothing then.

        A volume at or below what is filled cancels the rest.
        """
        if not order.live:
            raise Refused(UNKNOWN_ORDER)
        rules, last = self.rule(order.pair), self.last(order.pair)
        checks.mode(self.system_status)
        checks.mode(rules.status)
        checks.amendment(order, change, rules)
        changed = amended(order, change, last, rules)
        if changed.remaining > ZERO:
            checks.against_market(terms_of(changed), last, rules)
        at_once = self._at_once(changed, last, rules) if changed.status == OPEN else None
        if changed.post_only and at_once is not None:
            raise Refused(POST_ONLY)
        held = self._hold(changed, rules, at_once) if changed.status == OPEN else ZERO
        if held - order.held > self.available(self._held_asset(order)):
            raise Refused(INSUFFICIENT_FUNDS)
        return self._take_over(order, changed, held, at_once, now_us)

    def _take_over(self, order: TwinOrder, changed: TwinOrder, held: Decimal, at_once: Decimal | None, now_us: int) -> str:
        """Give `order` the terms of `changed`, note both, and do at once what the new terms ask for."""
        if not order.amends:
            self._remember(order, "original", order.opened_us)
        for name in ("volume", "price", "price_by", "trigger", "trigger_by", "display", "post_only"):
            setattr(order, name, getattr(changed, name))
        order.held, order.amends, order.changed_us = held, order.amends + 1, now_us
        amend_id = self._remember(order, "user", now_us)
        self._note("amended", order, now_us)
        if order.remaining <= ZERO:
            order.volume = order.executed
            self._end(order, CANCELED, now_us, USER)
        elif at_once is not None:
            self._fill(order, at_once, self.fills.portion(order, self.rule(order.pair)), now_us, at=self.last(order.pair))
        self._commit(now_us)
        return amend_id

    def _remember(self, order: TwinOrder, kind: str, time_us: int) -> str:
        """Write down the terms an order has had since `time_us`; returns the id of that amend."""
        amend = Amend(
            amend_id=content_id("T", self._seed, "amend", order.txid, order.amends),
            txid=order.txid,
            kind=kind,
            volume=order.volume,
            remaining=max(order.remaining, ZERO),
            time_us=time_us,
            price=order.price,
            trigger=order.trigger,
            display=order.display,
            post_only=order.post_only,
        )
        self.state.amends.setdefault(order.txid, []).append(amend)
        self._new_amends.append(amend)
        return amend.amend_id

    def cancel(self, order: TwinOrder, now_us: int, reason: str = USER) -> None:
        """End a live order. Raises Refused(unknown order) for any other."""
        self._serving()
        if not order.live:
            raise Refused(UNKNOWN_ORDER)
        self._end(order, CANCELED, now_us, reason)
        self._commit(now_us)

    def cancel_all(self, now_us: int) -> int:
        """End every live order; returns how many."""
        self.elapse(now_us)
        self._serving()
        orders = self.open_orders()
        for order in orders:
            self._end(order, CANCELED, now_us, USER)
        self._commit(now_us)
        return len(orders)

    def matching(self, target: Target, now_us: int) -> list[TwinOrder]:
        """Live orders that a target names, oldest first."""
        self.elapse(now_us)
        if target.userref is not None:
            return [order for order in self.open_orders() if order.userref == target.userref]
        orders = self.open_orders()
        return [o for o in orders if o.txid == target.txid or (target.cl_ord_id is not None and o.cl_ord_id == target.cl_ord_id)]

    def find(self, target: Target, now_us: int) -> TwinOrder:
        """The live order a target names. Raises Refused(unknown order)."""
        found = self.matching(target, now_us)
        if not found:
            raise Refused(UNKNOWN_ORDER)
        return found[0]
