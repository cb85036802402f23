"""The order desk: the only place from which orders leave, once each, after their intent is on disk.

Order protocol of RELIABILITY.md section 2: commit the intent, send once, classify, and where nothing is proved look the
order up (open orders, closed orders, trades) until it is found or proved absent. Nothing is ever sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.account import Position
from trader.domain.halts import OF_REFUSALS
from trader.domain.market import MINUTE, SECOND
from trader.domain.money import ZERO
from trader.domain.orders import (
    Acked,
    Ambiguous,
    Answer,
    ExchangeStatus,
    Fill,
    Intent,
    Leg,
    OrderType,
    Outcome,
    Rejected,
    RemoteOrder,
    Side,
    client_order_id,
)
from trader.errors import RetryableError
from trader.execution.lookups import Lookups
from trader.ports import Clock, Exchange, Halt, KillPoints, Lease, Ledger

ENTRY_DEADLINE_S = 5.0
REDUCING_DEADLINE_S = 3.0
ENTRY_GRACE_S = 60.0
REDUCING_GRACE_S = 4.0
LISTED_WITHIN_S = 60.0  # the lists of the venue may be as far behind its acknowledgement
PASSES_S = (0.5, 1.0, 2.0, 4.0)
LATER_PASSES_S = 5.0
CONFIRM_S = 1.0  # from a clean pass that may prove absence to the one that confirms it
NONCES_REFUSED = 2  # of orders, with none acknowledged between: another program uses the key
REMEMBERED = 500  # final states the stream told and nobody asked for
AMENDS = 2  # attempts at a change that the venue calls late
CANCEL_PATIENCE_S = (4.0, 4.0, 6.0)  # a way out waits: what is said to be cancelled and is not is asked for again soon
GONE_PATIENCE_S = 2.0
SETTLE_S = (0.05, 0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send, before it has an id: everything of an intent that is a choice."""

    key: str
    leg: Leg
    position_id: str
    pair: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    close_trigger: Decimal | None = None
    immediate: bool = False
    reason: str = ""


class OrderDesk:
    """Sends, looks up and settles orders. `speed`: exchange seconds per second, which stretches deadlines (SIMULATION 5)."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        ledger: Ledger,
        clock: Clock,
        kill: KillPoints,
        account: str,
        tag: str,
        on_fills: Callable[[Sequence[Fill], str], None],
        speed: float = 1.0,
    ) -> None:
        self.exchange, self.ledger, self.clock, self.kill = exchange, ledger, clock, kill
        self.account, self.tag, self.speed = account, tag, speed
        self.on_fills = on_fills
        self.lease: Lease | None = None
        self.resolving: set[str] = set()
        self.lookups = Lookups(exchange)
        self._final: dict[str, RemoteOrder] = {}
        self.sent = 0
        self._nonces_refused = 0

    def intent(self, order: Order) -> Intent:
        """`order` with its id, attempt and exchange-side deadline."""
        attempt = 0 if order.leg is Leg.ENTRY else self.ledger.next_attempt(order.key, order.leg)
        now = self.clock.now_us()
        return Intent(
            cl_ord_id=client_order_id(self.tag, self.account, order.key, order.leg, attempt),
            key=order.key, leg=order.leg, attempt=attempt, position_id=order.position_id, pair=order.pair, side=order.side,
            order_type=order.order_type, quantity=order.quantity, limit_price=order.limit_price,
            trigger_price=order.trigger_price, close_trigger=order.close_trigger, immediate=order.immediate,
            deadline_us=self._deadline(order.leg, now), created_us=now, reason=order.reason,
        )  # fmt: skip

    def _deadline(self, leg: Leg, now_us: int) -> int:
        seconds = REDUCING_DEADLINE_S if leg.reducing else ENTRY_DEADLINE_S
        return now_us + int(min(60.0, seconds * self.speed) * SECOND)

    async def send(self, intent: Intent, *, position: Position | None = None) -> Answer:
        """Commit, send once, record what is proved. Raises BeginRefused or LeaseLostError before anything left."""
        self.kill.reach("before_intent" if intent.leg is Leg.ENTRY else f"before_{intent.leg}_intent")
        self.ledger.begin(intent, self._leased(), self.clock.now_us(), position=position)
        self.kill.reach(_point(intent.leg, "intent"))
        self.sent += 1
        answer = await self.exchange.submit(intent)
        self.kill.reach(_point(intent.leg, "ack"))
        now = self.clock.now_us()
        if isinstance(answer, Acked):
            self.ledger.resolve(intent.cl_ord_id, Outcome.ACKED, now, txid=answer.txid)
            self._nonces_refused = 0
            self.kill.reach("after_ack_commit")
        elif isinstance(answer, Rejected):
            self.ledger.resolve(intent.cl_ord_id, Outcome.REJECTED, now, reason=answer.message)
            self._heed(answer, now)
        else:
            self.ledger.note("order.unresolved", {"cl_ord_id": intent.cl_ord_id, "pair": intent.pair, "why": answer.message}, now)
        return answer

    def _leased(self) -> Lease:
        if self.lease is None:
            raise RuntimeError("the desk has no lease; a session sets it before its first order")
        return self.lease

    def _must_lead(self) -> None:
        """Raises LeaseLostError before a resting order is touched: without the lease no other could be begun in its place, as after a
        suspend, so it stays where it is."""
        self.ledger.check_lease(self._leased(), self.clock.now_us())

    def _heed(self, refused: Rejected, now_us: int) -> None:
        """A refusal that speaks of the key or the account, not of this order, stops all entries until a person has looked."""
        self._nonces_refused += refused.kind == "nonce"
        cause = OF_REFUSALS.get(refused.kind)
        if cause is not None and (refused.kind != "nonce" or self._nonces_refused >= NONCES_REFUSED):
            self.ledger.set_halt(Halt(cause=cause, level="REDUCING", since_us=now_us, reason=refused.message))

    async def send_and_resolve(self, intent: Intent, *, position: Position | None = None) -> Answer:
        """As `send`, but an ambiguous outcome is resolved before this returns."""
        answer = await self.send(intent, position=position)
        return await self.resolve(intent, late=answer.late) if isinstance(answer, Ambiguous) else answer

    async def resolve(self, intent: Intent, *, late: bool = False) -> Answer:
        """Find the order, or prove that it is absent; may take the deadline plus the grace, none where the venue said it was late."""
        self.resolving.add(intent.cl_ord_id)
        try:
            return await self._resolve(intent, late=late)
        finally:
            self.resolving.discard(intent.cl_ord_id)

    def _grace_s(self, intent: Intent) -> float:
        """How far behind the order itself the venue's lists may be, where a second order could do harm.

        A second sale could not fill where all coins are held by their stops; where coins of others lie beside ours it could.
        """
        strangers = self.ledger.cash().get(intent.pair.split("/")[0], ZERO) > ZERO
        return REDUCING_GRACE_S if intent.leg.reducing and not strangers else ENTRY_GRACE_S

    async def _resolve(self, intent: Intent, *, late: bool) -> Answer:
        grace = 0.0 if late else self._grace_s(intent)
        clean: list[int] = []
        index = 0
        while True:
            pause_s = PASSES_S[index] if index < len(PASSES_S) else LATER_PASSES_S
            await asyncio.sleep(CONFIRM_S if clean else pause_s)
            index += 1
            if isinstance(told := self._settled(intent), Acked):
                return told  # the stream was faster
            try:
                found = await self._look_up(intent)
                online = found is not None or await self.exchange.system_status() == "online"
            except RetryableError:
                clean.clear()  # a failed query is "unknown", never "none"
                continue
            now = self.clock.now_us()
            if found is not None:
                return await self._found(intent, found)
            if (known := self._settled(intent)) is not None:
                return known  # whoever sent it was answered meanwhile
            past = late or now > intent.deadline_us + int(grace * SECOND)
            clean = [*clean, now] if online and past else []
            if len(clean) >= 2 and clean[-1] - clean[0] >= SECOND:
                proof = {"passes_us": clean, "deadline_us": intent.deadline_us, "grace_s": grace, "late": late}
                self.ledger.resolve(intent.cl_ord_id, Outcome.ABSENT, now, proof=proof)
                return Rejected(kind="absent", message="proved absent")

    def _settled(self, intent: Intent) -> Answer | None:
        """What the ledger has of its outcome by now; None while that is open."""
        same = next(i for i in self.ledger.intents(position_id=intent.position_id) if i.cl_ord_id == intent.cl_ord_id)
        if same.outcome is Outcome.ACKED and same.txid is not None:
            return Acked(txid=same.txid)
        return None if same.outcome is Outcome.SENT else Rejected(kind="absent", message=f"{same.outcome} meanwhile")

    async def _found(self, intent: Intent, order: RemoteOrder) -> Answer:
        """Adopt what a look-up found: its id, then its fills, and a final status only once they are booked."""
        self.ledger.resolve(intent.cl_ord_id, Outcome.ACKED, self.clock.now_us(), txid=order.txid)
        try:
            await self.conclude(order, intent.created_us)
        except RetryableError as error:  # whoever settles or reconciles next reads the fills
            self.ledger.note("fills.unread", {"txid": order.txid, "error": str(error)}, self.clock.now_us())
        return Acked(txid=order.txid)

    async def _look_up(self, intent: Intent) -> RemoteOrder | None:
        """One pass: open, closed, trades, in that order, since an order only moves from open to closed."""
        since = intent.created_us - MINUTE
        for order in await self.lookups.lists(since):
            if order.cl_ord_id == intent.cl_ord_id:
                return order
        unknown = sorted({
            fill.txid for fill in await self.lookups.fills(since)
            if fill.pair == intent.pair and fill.side is intent.side and self.ledger.intent_by_txid(fill.txid) is None
        })  # fmt: skip
        if unknown:
            for order in await self.exchange.orders(unknown):
                if order.cl_ord_id == intent.cl_ord_id:
                    return order
        return None

    async def settle(self, txid: str, since_us: int, *, patience_s: float = 10.0) -> RemoteOrder | None:
        """Wait until the order is final and all its fills are booked; None when it is still live after `patience_s`."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + patience_s
        index = 0
        while loop.time() < give_up:
            await asyncio.sleep(min(SETTLE_S[min(index, len(SETTLE_S) - 1)], give_up - loop.time()))
            index += 1
            if (told := self._told(txid)) is not None:
                return told
            try:
                order = await self.lookups.order(txid)
                if order is not None and not order.status.live and await self.conclude(order, since_us):
                    return order
            except RetryableError:
                continue
        return None

    async def conclude(self, order: RemoteOrder, since_us: int) -> bool:
        """Book the fills an order says it has, then its status; False while trades lag behind it (trades win over status).

        A final status before its fills would free the quantity twice: once by the status, once by the position. What it sold
        waits for what its entry bought, whose last trade may be known nowhere yet.
        """
        intent = self.ledger.intent_by_txid(order.txid)
        if intent is None or intent.filled < order.filled:
            fills = await self.lookups.fills(min(since_us, order.opened_us) - MINUTE)
            intent = self.ledger.intent_by_txid(order.txid)
            if intent is not None and self._sells_unbought(intent, order):
                bought = {i.txid for i in self.ledger.intents(position_id=intent.position_id) if i.leg is Leg.ENTRY}
                self.on_fills([fill for fill in fills if fill.txid in bought], "rest")
                if self._sells_unbought(intent, order):
                    return False
            self.on_fills([fill for fill in fills if fill.txid == order.txid], "rest")
            intent = self.ledger.intent_by_txid(order.txid)
        if intent is None or (intent.filled < order.filled and not order.status.live):
            return False
        self.ledger.set_status(order.txid, order.status, self.clock.now_us())
        return True

    def _sells_unbought(self, intent: Intent, order: RemoteOrder) -> bool:
        """Whether a reducing order says that it filled more than is booked as held."""
        position = self.ledger.position(intent.position_id)
        return intent.leg.reducing and position is not None and position.quantity < order.filled - intent.filled

    def heard(self, order: RemoteOrder) -> None:
        """The stream reports an order of ours; a final state saves asking for it."""
        if not order.status.live:
            self._final[order.txid] = order
            while len(self._final) > REMEMBERED:
                del self._final[next(iter(self._final))]

    def _told(self, txid: str) -> RemoteOrder | None:
        """The final state the stream told, once the ledger has all its fills; costs no request."""
        order = self._final.get(txid)
        intent = self.ledger.intent_by_txid(txid)
        if order is None or intent is None or intent.filled != order.filled:
            return None
        self.ledger.set_status(txid, order.status, self.clock.now_us())
        return self._final.pop(txid)

    async def amend(
        self, intent: Intent, *, quantity: Decimal | None = None, trigger_price: Decimal | None = None, reason: str | None = None
    ) -> Answer:
        """Change a resting stop in place; Acked when the exchange has it. An ambiguous answer is read back. Raises LeaseLostError."""
        assert intent.txid is not None
        self._must_lead()
        self.kill.reach("after_amend_intent")
        for _ in range(AMENDS):
            deadline = self._deadline(Leg.STOP, self.clock.now_us())
            answer = await self.exchange.amend(
                intent.txid, pair=intent.pair, quantity=quantity, trigger_price=trigger_price, deadline_us=deadline
            )
            self.kill.reach("after_amend_ack")
            if not (isinstance(answer, Ambiguous) and answer.late):
                break  # a late one did nothing, and the adapter knows the venue's time since
        if isinstance(answer, Ambiguous):
            answer = await self._read_back(intent.txid, quantity, trigger_price, deadline)
        now = self.clock.now_us()
        if isinstance(answer, Acked):
            self.ledger.set_terms(intent.txid, now, quantity=quantity, trigger_price=trigger_price, reason=reason)
            return answer
        self.ledger.note("amend.refused", {"txid": intent.txid, "pair": intent.pair, "why": answer.message}, now)
        if isinstance(answer, Rejected) and answer.kind == "gone":
            await self.settle(intent.txid, intent.created_us, patience_s=GONE_PATIENCE_S)  # it filled or was cancelled: book that
        return answer

    async def _read_back(self, txid: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer:
        """Read the order until it shows the new terms, or has ended or passed the amend's deadline without them.

        A failed query is "unknown" and asked again; an id the venue does not know is left to the next reconciliation.
        """
        index = unknown = 0
        while unknown < len(PASSES_S):
            await asyncio.sleep(PASSES_S[index] if index < len(PASSES_S) else LATER_PASSES_S)
            index, asked_us = index + 1, self.clock.now_us()
            try:
                order = await self.lookups.order(txid)
            except RetryableError:
                continue
            if order is None:
                unknown += 1
            elif (quantity is None or order.quantity == quantity) and (trigger_price is None or order.trigger_price == trigger_price):
                return Acked(txid=txid)
            elif not order.status.live or asked_us > deadline_us:
                return Rejected(kind="gone", message="read back: the amend did not take effect")
        return Ambiguous(message="amend could not be read back")

    async def cancel(self, intent: Intent) -> RemoteOrder | None:
        """Cancel and settle; the final order, whatever it filled meanwhile, or None if it is still live.

        A cancel converges: where the order is still there after an answer that proved nothing, it is asked again. Raises LeaseLostError.
        """
        assert intent.txid is not None
        self._must_lead()
        self.kill.reach("before_cancel_stop")
        for patience_s in CANCEL_PATIENCE_S:
            answer = await self.exchange.cancel(intent.txid)
            self.kill.reach("after_cancel_ack")
            if isinstance(answer, Rejected) and answer.kind not in ("gone", "later"):
                self.ledger.note("cancel.refused", {"txid": intent.txid, "pair": intent.pair, "why": answer.message}, self.clock.now_us())
            final = await self.settle(intent.txid, intent.created_us, patience_s=patience_s)
            if final is not None or (isinstance(answer, Rejected) and answer.kind == "gone" and await self._seems_ended(intent)):
                return final
        return None

    async def _seems_ended(self, intent: Intent) -> bool:
        try:
            return await self.ended(intent)
        except RetryableError:
            return False  # unknown is not ended

    async def ended(self, intent: Intent) -> bool:
        """Whether an acknowledged order that seems gone has ended: by its own word, or because two answers a second apart,
        a minute after it was made, do not know its id. The latter is written down as lost: an exchange that acknowledged it and
        forgot it, or lists it even later; then it is ours again, and until then a second one would be refused for its coins."""
        assert intent.txid is not None
        for _ in range(2):
            found = await self.lookups.order(intent.txid)
            if found is not None:
                return not found.status.live and await self.conclude(found, intent.created_us)
            if self.clock.now_us() - intent.created_us <= LISTED_WITHIN_S * SECOND:
                return False
            await asyncio.sleep(1.0)
        now = self.clock.now_us()
        self.ledger.note("order.lost", {"txid": intent.txid, "pair": intent.pair, "leg": intent.leg}, now)
        self.ledger.set_status(intent.txid, ExchangeStatus.LOST, now)
        return True


def _point(leg: Leg, what: str) -> str:
    """Names of RELIABILITY.md section 10: `after_intent` for entries, `after_stop_intent`, `after_exit_ack` for others."""
    return f"after_{what}" if leg is Leg.ENTRY else f"after_{'exit' if leg in (Leg.TARGET, Leg.EXIT) else 'stop'}_{what}"
