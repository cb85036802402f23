"""The one way from any door (REST, WebSocket) to the matching engine: rates, deadlines and checks exist here once.

Every method raises Refused with Kraken's string. Readers of requests are called after the rate counter was charged, since
Kraken charges the fixed part on receipt, even where validation fails (KRAKEN.md section 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import DEADLINE, UNKNOWN_ORDER, Amendment, OrderRequest, Refused, Target, TwinOrder, invalid
from trader.simulation.kraken_server.spot.limits import RateLimits

BATCH = (2, 15)  # orders AddOrderBatch takes
CANCEL_BATCH = 50  # ids CancelOrderBatch takes

Read = Callable[[], OrderRequest]


class OrderDesk:
    """Orders of one account. `swallow`: play the fault that acknowledges stops and keeps none."""

    def __init__(self, exchange: TwinExchange, clock: Clock, limits: RateLimits) -> None:
        self._exchange, self._clock, self._limits = exchange, clock, limits

    def add(self, pair: str, read: Read, *, validate: bool = False, swallow: bool = False, share: Decimal | None = None) -> TwinOrder:
        """Place the order that `read` makes out, or only judge it. `share`: the part that fills when it meets the market (a fault)."""
        self._limits.add(pair, self._clock.now_us())
        if share is None:
            return self._place(read, validate=validate, swallow=swallow)
        with self._exchange.giving(share):
            return self._place(read, validate=validate, swallow=swallow)

    def add_batch(self, pair: str, reads: Sequence[Read], *, validate: bool = False, swallow: bool = False) -> list[TwinOrder | Refused]:
        """Place 2 to 15 orders of one pair, each for itself: what is refused leaves the others as they are."""
        self._limits.add_batch(pair, len(reads), self._clock.now_us())
        if not BATCH[0] <= len(reads) <= BATCH[1]:
            raise invalid("orders")
        answers: list[TwinOrder | Refused] = []
        for read in reads:
            try:
                answers.append(self._place(read, validate=validate, swallow=swallow))
            except Refused as refusal:
                answers.append(refusal)
        return answers

    def _place(self, read: Read, *, validate: bool, swallow: bool) -> TwinOrder:
        request = read()
        if validate:
            return self._exchange.check(request, self._clock.now_us())
        return self._exchange.place(request, self._clock.now_us(), swallow=swallow)

    def amend(self, target: Target, change: Amendment) -> str:
        """Change a live order in place; returns the amend id."""
        now_us = self._clock.now_us()
        order = self._exchange.find(target, now_us)
        self._limits.change("amend", order.pair, order.changed_us, now_us)
        if change.deadline_us is not None and now_us > change.deadline_us:
            raise Refused(DEADLINE)
        return self._exchange.amend(order, now_us, change)

    def edit(self, target: Target, read: Callable[[TwinOrder], OrderRequest], *, validate: bool = False) -> tuple[TwinOrder, TwinOrder]:
        """Cancel a live order and place what `read` makes of it: (the old one, the new one). A refusal leaves the old one alive."""
        now_us = self._clock.now_us()
        order = self._exchange.find(target, now_us)
        self._limits.change("edit", order.pair, order.changed_us, now_us)
        request = read(order)
        if validate:
            return order, self._exchange.check(request, now_us, instead_of=order)
        return order, self._exchange.replace(order, request, now_us)

    def cancel(self, target: Target, *, ignored: bool = False) -> int:
        """Cancel the order a txid or client id names, or all that carry a userref; returns how many. `ignored`: say so only (a fault)."""
        orders = self._named(target)
        if not orders:
            raise Refused(UNKNOWN_ORDER)
        return len(orders) if ignored else self._end(orders)

    def take(self, target: Target) -> None:
        """Fill the live orders a target names at the market, whatever they wait for (a fault)."""
        for order in self._named(target):
            self._exchange.fill_now(order, self._clock.now_us())

    def cancel_batch(self, targets: Sequence[Target]) -> int:
        """Cancel up to 50 orders; ids that name no live order count for nothing, unless none does."""
        if not 1 <= len(targets) <= CANCEL_BATCH:
            raise invalid("orders")
        orders = {order.txid: order for target in targets for order in self._named(target)}
        if not orders:
            raise Refused(UNKNOWN_ORDER)
        return self._end(list(orders.values()))

    def cancel_all(self) -> int:
        """Cancel every live order; returns how many. Uncharged: what Kraken counts for it is not known."""
        return self._exchange.cancel_all(self._clock.now_us())

    def cancel_all_after(self, timeout_s: int) -> int:
        """Arm the dead-man's switch; returns when it fires (us). 0 disarms, then 0."""
        return self._exchange.arm(timeout_s, self._clock.now_us())

    def _named(self, target: Target) -> list[TwinOrder]:
        return self._exchange.matching(target, self._clock.now_us())

    def _end(self, orders: Sequence[TwinOrder]) -> int:
        """Charge each cancel by the order's age, then cancel; over the limit, what was cancelled before stays so."""
        now_us = self._clock.now_us()
        for order in orders:
            self._limits.change("cancel", order.pair, order.changed_us, now_us)
            self._exchange.cancel(order, now_us)
        return len(orders)
