"""Conditional closes of our entries, which the exchange makes by itself with each fill: found and booked as stops of ours."""

from __future__ import annotations

from trader.domain.market import MINUTE
from trader.domain.orders import Intent, Leg, RemoteOrder, client_order_id
from trader.errors import RetryableError
from trader.execution.desk import OrderDesk
from trader.execution.reconcile import conditional_close


class Adoption:
    """Takes closes into the ledger, which knows neither their ids nor that they exist."""

    def __init__(self, desk: OrderDesk) -> None:
        self.desk, self.ledger, self.exchange, self.clock = desk, desk.ledger, desk.exchange, desk.clock

    async def look_for(self, position_id: str) -> None:
        """Book the closes that came with the fills of a position's entry, found by their reference to it; nothing where the exchange
        does not answer within the adapter's patience: then we place our own rather than stay bare."""
        entry = next((i for i in self.ledger.intents(position_id=position_id) if i.leg is Leg.ENTRY), None)
        if entry is None or entry.txid is None or entry.close_trigger is None:
            return
        try:
            found = [order for order in await self.exchange.open_orders() if order.refid == entry.txid]
            for order in found or [o for o in await self.exchange.closed_orders(entry.created_us - MINUTE) if o.refid == entry.txid]:
                self.book(order, entry)
        except RetryableError:
            return

    def book(self, order: RemoteOrder, entry: Intent) -> None:
        """Book a close as the stop of its entry's position; idempotent."""
        if self.ledger.intent_by_txid(order.txid) is not None:
            return
        now = self.clock.now_us()
        attempt = self.ledger.next_attempt(entry.key, Leg.STOP)
        name = client_order_id(self.desk.tag, self.desk.account, entry.key, Leg.STOP, attempt)
        self.ledger.adopt(conditional_close(order, entry, name, attempt, now), now)
        self.ledger.set_status(order.txid, order.status, now)
