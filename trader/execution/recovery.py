"""Recovery: read the exchange, apply what `reconcile` finds, protect. Start, restart and periodic check alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from trader.domain.account import PositionState
from trader.domain.futures import MarketKind
from trader.domain.halts import FOREIGN, MISMATCH, SKEW, asset_of
from trader.domain.market import MINUTE, SECOND
from trader.domain.money import ZERO, sub
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, Outcome, RemoteOrder
from trader.errors import FatalError, RetryableError
from trader.execution.desk import OrderDesk
from trader.execution.held import Held
from trader.execution.joint import together
from trader.execution.keeper import Keeper
from trader.execution.reconcile import (
    Acknowledge,
    AdoptStop,
    ApplyFills,
    CancelOrphan,
    DropOpening,
    Fix,
    Foreign,
    LocalView,
    Mismatch,
    Missing,
    Recover,
    RemoteView,
    Resolve,
    SetStatus,
    SetTerms,
    forgotten,
    reconcile_balances,
    reconcile_orders,
    reconcile_positions,
)
from trader.execution.recovered import forgotten_entries
from trader.execution.wiring import Wiring
from trader.ports import Halt

MAX_SKEW_US, MAX_SKEW_RUNNING_US = 1 * SECOND, 5 * SECOND
FULL_EVERY_US = 10 * MINUTE
WATERMARK = "reconcile_watermark_us"
FUNDING_WATERMARK = "funding_watermark_us"
EXPLAIN_S = (0.0, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 10.0, 10.0)  # a REST answer may be a minute behind the stream


class Recovery:
    """Reconciles the ledger with the exchange; `run` twice writes nothing the second time."""

    def __init__(self, wiring: Wiring, desk: OrderDesk, keeper: Keeper, on_fills: Callable[[Sequence[Fill], str], None]) -> None:
        self.w, self.desk, self.keeper, self.on_fills = wiring, desk, keeper, on_fills
        self._lock = asyncio.Lock()
        self._last_full_us = 0
        self._foreign: set[str] = set()  # orders that were looked up and are not ours

    async def run(self) -> int:
        """A full reconciliation; the number of differences that were found. Raises FatalError for a clock that is too far off."""
        async with self._lock:
            return await self._run()

    async def _run(self) -> int:
        w = self.w
        started = w.clock.now_us()
        await self._judge_clock()
        since = int(w.ledger.meta(WATERMARK) or started) - FULL_EVERY_US
        remote = await self._read(since)
        if not w.ledger.cash():
            opening = {a: b.total for a, b in remote.balances.items() if b.total != ZERO}
            w.ledger.set_opening_cash(opening, started)
            self._quarantine(opening, started)
            w.ledger.set_meta(FUNDING_WATERMARK, str(started))
        differences = self._recall(remote) + await self._orders(remote)
        differences += await self._balances()
        w.ledger.set_meta(WATERMARK, str(started))
        self._last_full_us = started
        w.ledger.note("reconcile", {"differences": differences}, w.clock.now_us())
        return differences

    async def _judge_clock(self) -> None:
        """No start on a clock more than 1 s off; a running session ends, halted, at more than 5 s: no deadline would hold then."""
        w = self.w
        before = w.clock.now_us()
        told = await w.exchange.server_time()
        skew = max(0, before - told, told - w.clock.now_us())  # it was told at some moment between
        allowed = MAX_SKEW_US if self._last_full_us == 0 else MAX_SKEW_RUNNING_US
        if skew > allowed * max(1.0, w.speed):
            words = f"clock differs from the exchange's by {skew / SECOND:.1f} s; at most {allowed // SECOND} s is allowed"
            if self._last_full_us:
                self._halt(SKEW, words, w.clock.now_us(), level="HALTED")
            raise FatalError(words)
        if skew <= MAX_SKEW_US * max(1.0, w.speed) and any(halt.cause == SKEW for halt in w.ledger.halts()):
            w.ledger.clear_halt(SKEW, "system", f"the clock is {skew / SECOND:.1f} s off", w.clock.now_us())

    def _quarantine(self, amounts: Mapping[str, Decimal], now: int) -> None:
        """Coins that were there before our first start are not ours to sell, so none of them are bought either until a person allows it."""
        bases = {instrument.base for instrument in self.w.instruments.values()} if self.w.kind is MarketKind.SPOT else set()
        for asset in sorted(bases & amounts.keys() - {self.w.quote}):
            self._halt(f"{FOREIGN} {asset}", f"{amounts[asset]} {asset} were on the account before the first start", now)

    def _recall(self, remote: RemoteView) -> int:
        """Entries that an older backup has forgotten become ours again, with their exits; how many."""
        w = self.w
        assert self.desk.lease is not None
        found = forgotten_entries(self._local(), remote, costs=w.costs, exit_kind=w.exit_plan)
        for intent, position in found:
            w.ledger.recall(intent, self.desk.lease, w.clock.now_us(), position=position)
            why = f"order {intent.cl_ord_id} of {intent.quantity} was on the exchange and not in the ledger, as after an older backup"
            w.ledger.note("order.recovered", {"pair": intent.pair, "position_id": intent.position_id, "why": why}, w.clock.now_us())
        return len(found)

    async def _orders(self, remote: RemoteView) -> int:
        """Orders, fills, positions, protection, orphans. Proving an entry absent takes a minute, so it waits for all stops; a stop
        that nobody knows of holds its position's room, so its few seconds come first."""
        fixes = reconcile_orders(self._local(), remote)
        differences = 0
        for fix in fixes:
            if not isinstance(fix, Resolve):
                differences += await self._apply(fix)
        differences += await self._protect_all()
        for reducing in (True, False):
            if questions := [fix for fix in fixes if isinstance(fix, Resolve) and fix.reducing is reducing]:
                differences += await together([self._resolve(fix) for fix in questions])
                differences += await self._protect_all()
        for fix in reconcile_positions(self._local()):
            differences += await self._apply(fix)
        self.keeper.load()
        return differences

    async def _read(self, since: int) -> RemoteView:
        w = self.w
        opened = await w.exchange.open_orders()
        self.desk.kill.reach("after_read_open")
        closed = await w.exchange.closed_orders(since)
        fills = await w.exchange.fills(since)
        self.desk.kill.reach("after_read_trades")
        return RemoteView(open=opened, closed=closed, fills=fills, balances=await w.exchange.balances())

    def _local(self) -> LocalView:
        ledger = self.w.ledger
        return LocalView(intents=ledger.intents(), positions=ledger.positions(), cash=ledger.cash(), tag=self.w.tag, account=self.w.account)

    async def _apply(self, fix: Fix) -> int:
        """Carry out one fix; 1 when it was a difference, 0 when the ledger already said so."""
        if isinstance(fix, ApplyFills):
            return await self._apply_fills(fix.fills)
        if isinstance(fix, Missing):
            return await self._find(fix.txid)
        if isinstance(fix, CancelOrphan):
            self.desk.kill.reach("before_cancel_orphan")
            orphan = self.w.ledger.intent_by_txid(fix.txid)
            if orphan is not None:
                await self.desk.cancel(orphan)
            return 1
        return self._write(fix, self.w.clock.now_us())

    def _write(self, fix: Fix, now: int) -> int:
        """The fixes that change the ledger alone."""
        ledger = self.w.ledger
        if isinstance(fix, Acknowledge):
            ledger.resolve(fix.cl_ord_id, Outcome.ACKED, now, txid=fix.txid)
        elif isinstance(fix, AdoptStop):
            self.keeper.adoption.book(fix.order, fix.entry)
        elif isinstance(fix, Recover):
            ledger.adopt(forgotten(fix, now), now)
        elif isinstance(fix, SetStatus):
            return self._set_status(fix, now)
        elif isinstance(fix, SetTerms):
            ledger.set_terms(fix.txid, now, quantity=fix.quantity, trigger_price=fix.trigger_price)
            self.keeper.load()
            self.keeper.found_at(*(i for i in ledger.intents(live_only=True) if i.txid == fix.txid))
        elif isinstance(fix, DropOpening):
            ledger.drop_opening(fix.position_id, now)
        elif isinstance(fix, Foreign):
            if fix.second and self._last_full_us == 0:
                raise FatalError(f"order {fix.txid} in {fix.pair} was {fix.detail}; one account takes one trader")
            return self._halt(f"{FOREIGN} {fix.pair.split('/')[0]}", f"order {fix.txid} is {fix.detail}", now)
        elif isinstance(fix, Mismatch):
            return self._halt(f"{MISMATCH} {fix.asset}", f"ledger has {fix.ledger} {fix.asset}, the exchange {fix.exchange}", now)
        return 1

    async def _resolve(self, fix: Resolve) -> int:
        intent = next(i for i in self.w.ledger.intents() if i.cl_ord_id == fix.cl_ord_id)
        if intent.outcome is not Outcome.SENT or intent.cl_ord_id in self.desk.resolving:
            return 0  # proved meanwhile, or whoever sent it is at it already
        await self.desk.resolve(intent)
        return 1

    def _halt(self, cause: str, reason: str, now: int, *, level: str = "REDUCING") -> int:
        """Stop entries until a person has looked; 0 where it stands already."""
        if cause in {halt.cause for halt in self.w.ledger.halts()}:
            return 0
        self.w.ledger.set_halt(Halt(cause=cause, level=level, since_us=now, reason=reason))
        return 1

    def _set_status(self, fix: SetStatus, now: int) -> int:
        intent = self.w.ledger.intent_by_txid(fix.txid)
        if intent is None or (not fix.status.live and intent.filled < fix.filled):
            return 0  # its trades are not listed yet: the next pass concludes
        self.w.ledger.set_status(fix.txid, fix.status, now)
        if found := intent.status is ExchangeStatus.LOST:
            self.w.ledger.note("order.found", {"txid": fix.txid, "pair": intent.pair, "leg": intent.leg, "status": fix.status}, now)
        return int(found or not fix.status.live)

    async def _apply_fills(self, fills: Sequence[Fill]) -> int:
        """Book what is ours; what is of an order we do not know is looked up first, since an answer may be under way."""
        ledger = self.w.ledger
        before = len(ledger.trade_legs())
        strange = sorted({f.txid for f in fills if ledger.intent_by_txid(f.txid) is None})
        strange = [txid for txid in strange if txid not in self._foreign]
        for order in await self.w.exchange.orders(strange) if strange else ():
            if not await self._ours(order):
                self._foreign.add(order.txid)
        self.on_fills([f for f in fills if f.txid in self._foreign or ledger.intent_by_txid(f.txid) is not None], "rest")
        return int(len(ledger.trade_legs()) != before)

    async def _find(self, txid: str) -> int:
        """An acknowledged order that no list shows: ask by its id."""
        intent = self.w.ledger.intent_by_txid(txid)
        return int(intent is not None and intent.live and await self.desk.ended(intent))

    async def _protect_all(self) -> int:
        """Every open position gets its guard and its stop before any entry; how many needed something."""
        self.keeper.load()
        for held in self.keeper.held.values():
            self.keeper.begin_guard(held)  # what filled while we were away has no exit state yet
        self.desk.kill.reach("before_protect")
        return await together([self._protect(held) for held in self.keeper.held.values() if held.position.state is PositionState.OPEN])

    async def _protect(self, held: Held) -> int:
        before = self.keeper.stop_of(held.position.position_id)
        await self.keeper.protect(held)
        return int(before is None)

    async def _balances(self) -> int:
        """Compare coins. A difference is believed when three reads a second apart show the same one and no order is unresolved:
        fills may be under way."""
        w = self.w
        steady: dict[str, Mismatch] = {}
        for attempt in range(3):
            await self.book_funding()
            remote = RemoteView(open=(), closed=(), fills=(), balances=await w.exchange.balances())
            found = {f.asset: f for f in reconcile_balances(self._local(), remote, quote=w.quote) if isinstance(f, Mismatch)}
            steady = found if attempt == 0 else {a: f for a, f in found.items() if a in steady and _same(f, steady[a])}
            if not steady:
                return 0
            await asyncio.sleep(1.0)
            since = int(w.ledger.meta(WATERMARK) or w.clock.now_us()) - FULL_EVERY_US
            await self._apply_fills(await w.exchange.fills(since))
        if any(intent.outcome is Outcome.SENT for intent in w.ledger.intents(live_only=True)):
            return 0  # what an unresolved order did is not known yet; the next reconciliation compares again
        total = 0
        for fix in steady.values():
            total += await self._apply(fix)
        return total

    async def book_funding(self) -> None:
        """Book what futures positions paid since the last payment we know. A payment is told by content, so twice is once.

        Raises RetryableError where the venue does not answer.
        """
        w = self.w
        if w.kind is not MarketKind.FUTURES:
            return
        known = int(w.ledger.meta(FUNDING_WATERMARK) or w.clock.now_us())
        payments = await w.exchange.funding(known - 1)
        for payment in payments:
            if payment.amount != ZERO:
                w.ledger.external_move(payment.asset, payment.amount, f"funding {payment.pair}", payment.time_us)
        if payments:
            w.ledger.set_meta(FUNDING_WATERMARK, str(payments[-1].time_us))

    async def funding_due(self) -> None:
        """`book_funding`, ahead of equity; a venue that does not answer is written down and asked again at the next close."""
        await self._guarded(self.book_funding)

    async def explain(self, fill: Fill) -> None:
        """A streamed fill whose order we do not know: our own (ack under way), a conditional close, or foreign."""
        answered = False
        for delay in EXPLAIN_S:
            await asyncio.sleep(delay)
            try:
                if self.w.ledger.intent_by_txid(fill.txid) is None:
                    found = next(iter(await self.w.exchange.orders([fill.txid])), None)
                    answered = True
                    if found is None:
                        continue  # not listed yet
                    if not await self._ours(found):
                        break
                if await self._book(fill):
                    return
            except RetryableError:
                continue  # a failed query is "unknown", never "not ours"
        if answered and self.w.ledger.intent_by_txid(fill.txid) is None:
            self._foreign.add(fill.txid)
            self.on_fills([fill], "stream")
        else:
            self.w.ledger.note("fill.unexplained", {"trade_id": fill.trade_id, "txid": fill.txid}, self.w.clock.now_us())

    def premature(self, fill: Fill) -> bool:
        """Whether a fill cannot be booked yet: nobody knows its order, or it sells what is not booked as bought. A fill of an order
        that has no room for it is one that was booked before."""
        intent = self.w.ledger.intent_by_txid(fill.txid)
        if intent is None or not intent.leg.reducing or intent.remaining < fill.quantity:
            return intent is None
        position = self.w.ledger.position(intent.position_id)
        return position is None or position.quantity < fill.quantity

    async def _book(self, fill: Fill) -> bool:
        """Book a streamed fill; an exit's only after the entry's that it reduces, which may not be listed yet: False then."""
        if self.premature(fill):
            await self._apply_fills(await self.w.exchange.fills(fill.time_us - FULL_EVERY_US))
            if self.premature(fill):
                return False
        self.on_fills([fill], "stream")
        return True

    async def _ours(self, order: RemoteOrder) -> bool:
        """Take in an order found by its id: an intent of ours, or the conditional close of one. False: not ours."""
        if self._claim(order):
            return True
        if order.refid is None:
            return False
        if self._entry_of(order.refid) is None:
            for entry in await self.w.exchange.orders([order.refid]):
                self._claim(entry)
        parent = self._entry_of(order.refid)
        if parent is not None:
            self.keeper.adoption.book(order, parent)
        return parent is not None

    def _claim(self, order: RemoteOrder) -> bool:
        """Acknowledge the intent whose id the order carries."""
        for intent in self.w.ledger.intents():
            if intent.txid == order.txid:
                return True
            if intent.cl_ord_id == order.cl_ord_id and intent.txid is None:
                self.w.ledger.resolve(intent.cl_ord_id, Outcome.ACKED, self.w.clock.now_us(), txid=order.txid)
                return True
        return False

    def _entry_of(self, refid: str | None) -> Intent | None:
        entry = self.w.ledger.intent_by_txid(refid) if refid else None
        return entry if entry is not None and entry.leg is Leg.ENTRY else None

    # --- on the beat ---------------------------------------------------------------------------------------------------
    async def cheap_check(self) -> None:
        """Open orders against live intents; a surprise, or ten minutes, asks for the full reconciliation."""
        w = self.w
        if w.clock.now_us() - self._last_full_us >= FULL_EVERY_US * max(1.0, w.speed / 3):
            await self._guarded(self.run)
            return
        await self._guarded(self._compare)

    async def _compare(self) -> int:
        remote = {order.txid for order in await self.w.exchange.open_orders()}
        coins = RemoteView(open=(), closed=(), fills=(), balances=await self.w.exchange.balances())
        self.keeper.shortfall.looked(self.keeper.held.values(), coins.balances)
        live = self.w.ledger.intents(live_only=True)
        local = {i.txid for i in live if i.outcome is Outcome.ACKED and i.txid}
        moving = any(i.outcome is Outcome.SENT or i.leg is not Leg.STOP for i in live)
        if any(held.lock.locked() for held in self.keeper.held.values()):
            return 0
        differ = remote != local or (not moving and self._coins_differ(coins))
        return await self.run() if differ else 0

    def _coins_differ(self, remote: RemoteView) -> bool:
        """Whether an asset that no halt is about has other totals here and there; the full check says what it is."""
        if self.w.kind is MarketKind.FUTURES:
            return False  # funding moves money there, and the full check books it
        known = {asset_of(halt.cause) for halt in self.w.ledger.halts()}
        found = reconcile_balances(self._local(), remote, quote=self.w.quote)
        return any(isinstance(fix, Mismatch) and fix.asset not in known for fix in found)

    async def _guarded(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except RetryableError as error:
            self.w.ledger.note("check.failed", {"error": str(error)}, self.w.clock.now_us())

    async def stops_present(self) -> None:
        """Every open position has a live stop of its size; what has not gets one now."""
        stops = {i.position_id: i for i in self.w.ledger.intents(live_only=True) if i.leg is Leg.STOP and i.txid}
        for held in list(self.keeper.held.values()):
            if held.position.state is not PositionState.OPEN or held.lock.locked():
                continue
            stop = stops.get(held.position.position_id)
            if stop is None or stop.remaining != held.position.quantity:
                await self.keeper.protect(held)


def _same(a: Mismatch, b: Mismatch) -> bool:
    """Whether two readings differ by the same amount, however much both moved meanwhile."""
    return sub(a.exchange, a.ledger) == sub(b.exchange, b.ledger)
