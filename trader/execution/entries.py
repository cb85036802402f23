"""Entries: an approved candidate becomes an intent, an IOC limit order (on spot with its stop riding on it), and a position."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from trader.domain.account import Position, PositionState
from trader.domain.market import MINUTE
from trader.domain.messages import Refusal
from trader.domain.money import ZERO
from trader.domain.orders import Acked, Ambiguous, Intent, Leg, OrderType, Rejected, client_order_id, entry_key
from trader.errors import BeginRefused, RetryableError
from trader.execution.desk import Order, OrderDesk
from trader.execution.keeper import Keeper
from trader.execution.risk import Approved
from trader.execution.venue_rules import VenueRules
from trader.execution.wiring import Wiring
from trader.ports import SessionSummary

Spawn = Callable[[Coroutine[Any, Any, None], str], None]


class Entries:
    """Sends approved entries one after the other and follows each to its end."""

    def __init__(  # noqa: PLR0917 - parts of one session
        self, wiring: Wiring, desk: OrderDesk, keeper: Keeper, summary: SessionSummary, rules: VenueRules, spawn: Spawn
    ) -> None:
        self.w, self.desk, self.keeper, self.summary, self.rules, self.spawn = wiring, desk, keeper, summary, rules, spawn

    async def enter(self, approved: Approved) -> None:
        """Commit and send; an ambiguous answer is resolved beside the loop while the pair stays reserved."""
        decision = approved.decision
        key = entry_key(decision.pair, decision.strategy, decision.close_us, decision.side)
        riding = None if self.w.instruments[decision.pair].futures else approved.stop_trigger  # futures: placed once the entry fills
        position_id = client_order_id(self.desk.tag, self.desk.account, key, Leg.ENTRY, 0)
        intent = self.desk.intent(
            Order(
                key=key, leg=Leg.ENTRY, position_id=position_id, pair=decision.pair, side=decision.side, order_type=OrderType.LIMIT,
                quantity=approved.quantity, limit_price=approved.cap_price, close_trigger=riding, immediate=True,
                reason=f"score {decision.score:g}",
            )
        )  # fmt: skip
        position = Position(
            position_id=position_id, pair=decision.pair, side=decision.side, strategy=decision.strategy, entry_key=key, plan=approved.plan,
            opened_us=intent.created_us, state=PositionState.OPENING,
        )  # fmt: skip
        try:
            answer = await self.desk.send(intent, position=position)
        except BeginRefused as refused:
            self._count(Refusal.HALTED.value if refused.code == "HALTED" else refused.code)
            self.w.ledger.note("entry.refused", {"pair": decision.pair, "code": refused.code, "why": str(refused)}, self.w.clock.now_us())
            return
        self.summary.orders += 1
        self.keeper.load()
        if isinstance(answer, Acked):
            self.spawn(self._follow(intent, answer.txid), f"follow {decision.pair}")
        elif isinstance(answer, Ambiguous):
            self.spawn(self._resolve(intent, answer), f"resolve {decision.pair}")
        else:
            self._rejected(intent, answer)

    def _count(self, code: str) -> None:
        self.summary.refusals[code] = self.summary.refusals.get(code, 0) + 1

    def _rejected(self, intent: Intent, answer: Rejected) -> None:
        self._count(f"EXCHANGE_{answer.kind.upper()}")
        self.rules.refused(intent.pair, answer)
        self.w.ledger.drop_opening(intent.position_id, self.w.clock.now_us())
        self.keeper.load()

    async def _resolve(self, intent: Intent, doubt: Ambiguous) -> None:
        answer = await self.desk.resolve(intent, late=doubt.late)
        if isinstance(answer, Acked):
            await self._follow(intent, answer.txid)
        elif isinstance(answer, Rejected):
            self._rejected(intent, answer)

    async def _follow(self, intent: Intent, txid: str) -> None:
        """Until the order is final: booked fills become a position, none at all is a MISSED entry."""
        self.rules.taken(intent.pair)
        final = await self.desk.settle(txid, intent.created_us, patience_s=60.0)
        if final is None:
            self.w.ledger.note(
                "order.unresolved", {"cl_ord_id": intent.cl_ord_id, "pair": intent.pair, "why": "still live"}, self.w.clock.now_us()
            )
            return
        if final.filled == ZERO and not await self._late_fills(intent, txid):
            self._count(Refusal.ENTRY_BAND.value)
            self.w.ledger.note("entry.missed", {"pair": intent.pair, "cap": intent.limit_price}, self.w.clock.now_us())
            self.w.ledger.drop_opening(intent.position_id, self.w.clock.now_us())
            self.keeper.load()

    async def _late_fills(self, intent: Intent, txid: str) -> bool:
        """Whether an order that ended "without a fill" has trades after all, or nobody could say: trades win over status."""
        try:
            found = [fill for fill in await self.w.exchange.fills(intent.created_us - MINUTE) if fill.txid == txid]
        except RetryableError as error:
            self.w.ledger.note("fills.unread", {"txid": txid, "error": str(error)}, self.w.clock.now_us())
            return True
        self.desk.on_fills(found, "rest")
        return bool(found)
