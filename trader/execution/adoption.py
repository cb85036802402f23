"""Conditional closes of our entries, which the exchange makes by itself with each fill: found and booked as stops of ours."""

from __future__ import annotations

from trader.domain.market import MINUTE
from trader.domain.money import ZERO, add
from trader.domain.orders import Intent, Leg, RemoteOrder, client_order_id
from trader.errors import RetryableError
from trader.execution.desk import OrderDesk
from trader.execution.reconcile import conditional_close


class Adoption:
    """Takes closes into the ledger, which knows neither their ids nor that they exist."""

    def __init__(self, desk: OrderDesk) -> None:
        self.desk, self.ledger, self.clock = desk, desk.ledger, desk.clock

    async def look_for(self, position_id: str) -> None:
        """Book the closes that came with the fills of a position's entry, found by their reference to it; nothing where the exchange
        does not answer within the adapter's patience: then we place our own rather than stay bare."""
        entry = next((i for i in self.ledger.intents(position_id=position_id) if i.leg is Leg.ENTRY), None)
        if entry is None or entry.txid is None or entry.close_trigger is None:
            return
        try:
            for order in await self.desk.lookups.closes(entry.txid, entry.created_us - MINUTE):
                self.book(order, entry)
        except RetryableError:
            return

    def complete(self, position_id: str) -> bool:
        """Whether each coin that the entry bought has been under a stop the exchange acknowledged: none is under one nobody knows of."""
        intents = self.ledger.intents(position_id=position_id)
        entry = next((i for i in intents if i.leg is Leg.ENTRY), None)
        stopped = add(ZERO, *(i.quantity for i in intents if i.leg is Leg.STOP and i.txid))
        return entry is not None and not entry.live and stopped >= entry.filled

    def book(self, order: RemoteOrder, entry: Intent) -> None:
        """Book a close as the stop of its entry's position; idempotent."""
        if self.ledger.intent_by_txid(order.txid) is not None:
            return
        now = self.clock.now_us()
        attempt = self.ledger.next_attempt(entry.key, Leg.STOP)
        name = client_order_id(self.desk.tag, self.desk.account, entry.key, Leg.STOP, attempt)
        self.ledger.adopt(conditional_close(order, entry, name, attempt, now), now)
        self.ledger.set_status(order.txid, order.status, now)
