"""Recovery: read the exchange, apply what `reconcile` finds, protect. Start, restart and periodic check alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from trader.domain.account import PositionState
from trader.domain.market import MINUTE, SECOND
from trader.domain.money import ZERO
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, Outcome
from trader.errors import FatalError, RetryableError
from trader.execution.desk import OrderDesk
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
    RemoteView,
    Resolve,
    SetStatus,
    SetTerms,
    reconcile_balances,
    reconcile_orders,
    reconcile_positions,
)
from trader.execution.wiring import Wiring
from trader.ports import Halt

MAX_SKEW_US = 1 * SECOND
FULL_EVERY_US = 10 * MINUTE
WATERMARK = "reconcile_watermark_us"


class Recovery:
    """Reconciles the ledger with the exchange; `run` twice writes nothing the second time."""

    def __init__(self, wiring: Wiring, desk: OrderDesk, keeper: Keeper, on_fills: Callable[[Sequence[Fill], str], None]) -> None:
        self.w, self.desk, self.keeper, self.on_fills = wiring, desk, keeper, on_fills
        self._lock = asyncio.Lock()
        self._last_full_us = 0

    async def run(self) -> int:
        """A full reconciliation; the number of differences that were found. Raises FatalError on a clock skew > 1 s."""
        async with self._lock:
            return await self._run()

    async def _run(self) -> int:
        w = self.w
        started = w.clock.now_us()
        skew = abs(await w.exchange.server_time() - w.clock.now_us())
        if skew > MAX_SKEW_US * max(1.0, w.speed):
            raise FatalError(f"clock differs from the exchange's by {skew / SECOND:.1f} s; at most 1 s is allowed")
        since = int(w.ledger.meta(WATERMARK) or started) - FULL_EVERY_US
        remote = await self._read(since)
        if not w.ledger.cash():
            w.ledger.set_opening_cash({a: b.total for a, b in remote.balances.items() if b.total != ZERO}, started)
        differences = 0
        for fix in reconcile_orders(self._local(), remote):
            differences += await self._apply(fix)
        self.keeper.load()
        for fix in reconcile_positions(self._local()):
            differences += await self._apply(fix)
        self.keeper.load()
        self._first_guards()
        differences += await self._protect_all()
        differences += await self._balances()
        w.ledger.set_meta(WATERMARK, str(started))
        self._last_full_us = started
        w.ledger.note("reconcile", {"differences": differences}, w.clock.now_us())
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
        return LocalView(intents=ledger.intents(), positions=ledger.positions(), cash=ledger.cash(), tag=self.w.tag)

    async def _apply(self, fix: Fix) -> int:
        """Carry out one fix; 1 when it was a difference, 0 when the ledger already said so."""
        ledger, now = self.w.ledger, self.w.clock.now_us()
        if isinstance(fix, Acknowledge):
            ledger.resolve(fix.cl_ord_id, Outcome.ACKED, now, txid=fix.txid)
        elif isinstance(fix, AdoptStop):
            self.keeper.adopt(fix.order, fix.entry)
        elif isinstance(fix, SetStatus):
            ledger.set_status(fix.txid, fix.status, now)
            return 0 if fix.status in (ExchangeStatus.OPEN, ExchangeStatus.PENDING) else 1
        elif isinstance(fix, SetTerms):
            ledger.set_terms(fix.txid, now, quantity=fix.quantity, trigger_price=fix.trigger_price)
        elif isinstance(fix, ApplyFills):
            known = [f for f in fix.fills if ledger.intent_by_txid(f.txid) is not None]
            foreign = [f for f in fix.fills if ledger.intent_by_txid(f.txid) is None]
            before = len(ledger.trade_legs())
            self.on_fills(known, "rest")
            if foreign:
                self.on_fills(foreign, "rest")
            return int(len(ledger.trade_legs()) != before)
        elif isinstance(fix, Resolve):
            intent = next(i for i in ledger.intents() if i.cl_ord_id == fix.cl_ord_id)
            await self.desk.resolve(intent)
        elif isinstance(fix, CancelOrphan):
            self.desk.kill.reach("before_cancel_orphan")
            orphan = ledger.intent_by_txid(fix.txid)
            if orphan is not None:
                await self.desk.cancel(orphan)
        elif isinstance(fix, DropOpening):
            ledger.drop_opening(fix.position_id, now)
        elif isinstance(fix, Foreign):
            cause = f"foreign {fix.pair.split('/')[0]}"
            if cause in {halt.cause for halt in ledger.halts()}:
                return 0
            ledger.set_halt(Halt(cause=cause, level="REDUCING", since_us=now, reason=f"order {fix.txid} is {fix.detail}"))
        elif isinstance(fix, Mismatch):
            return self._mismatch(fix, now)
        return 1

    def _mismatch(self, fix: Mismatch, now: int) -> int:
        cause = f"mismatch {fix.asset}"
        if cause in {halt.cause for halt in self.w.ledger.halts()}:
            return 0
        reason = f"ledger has {fix.ledger} {fix.asset}, the exchange {fix.exchange}"
        self.w.ledger.set_halt(Halt(cause=cause, level="REDUCING", since_us=now, reason=reason))
        return 1

    def _first_guards(self) -> None:
        """Positions that filled while we were away have no exit state yet."""
        for held in self.keeper.held.values():
            self.keeper.begin_guard(held)

    async def _protect_all(self) -> int:
        """Every open position gets its stop before any entry; how many needed something."""
        self.desk.kill.reach("before_protect")
        changed = 0
        for held in list(self.keeper.held.values()):
            if held.position.state is PositionState.OPEN:
                before = self.keeper.stop_of(held.position.position_id)
                await self.keeper.protect(held)
                changed += int(before is None)
        return changed

    async def _balances(self) -> int:
        """Compare coins; two reads must agree before a mismatch is believed, since fills may be under way."""
        differences: dict[str, Mismatch] = {}
        for attempt in range(3):
            remote = RemoteView(open=(), closed=(), fills=(), balances=await self.w.exchange.balances())
            found = {f.asset: f for f in reconcile_balances(self._local(), remote, quote=self.w.quote) if isinstance(f, Mismatch)}
            differences = found if attempt == 0 else {a: f for a, f in found.items() if a in differences}
            if not differences:
                return 0
            await asyncio.sleep(1.0)
            since = int(self.w.ledger.meta(WATERMARK) or self.w.clock.now_us()) - FULL_EVERY_US
            self.on_fills([f for f in await self.w.exchange.fills(since) if self.w.ledger.intent_by_txid(f.txid)], "rest")
        total = 0
        for fix in differences.values():
            total += await self._apply(fix)
        return total

    async def explain(self, fill: Fill) -> None:
        """A streamed fill whose order we do not know: our own (ack under way), a conditional close, or foreign."""
        for delay in (0.0, 0.5, 1.0, 2.0):
            await asyncio.sleep(delay)
            if self.w.ledger.intent_by_txid(fill.txid) is not None:
                break
            try:
                for order in await self.w.exchange.orders([fill.txid]):
                    self._claim(order.refid, order.cl_ord_id, order.txid)
                    entry = self._entry_of(order.refid)
                    if entry is not None:
                        self.keeper.adopt(order, entry)
            except RetryableError:
                continue
        self.on_fills([fill], "stream")

    def _claim(self, _refid: str | None, cl_ord_id: str | None, txid: str) -> None:
        intent = next((i for i in self.w.ledger.intents(live_only=True) if i.cl_ord_id == cl_ord_id and i.txid is None), None)
        if intent is not None:
            self.w.ledger.resolve(intent.cl_ord_id, Outcome.ACKED, self.w.clock.now_us(), txid=txid)

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
        local = {i.txid for i in self.w.ledger.intents(live_only=True) if i.outcome is Outcome.ACKED and i.txid}
        busy = any(held.lock.locked() for held in self.keeper.held.values())
        if remote != local and not busy:
            return await self.run()
        return 0

    async def _guarded(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except RetryableError as error:
            self.w.ledger.note("check.failed", {"error": str(error)}, self.w.clock.now_us())

    async def stops_present(self) -> None:
        """Every open position has a live stop of its size; what has not gets one now."""
        for held in list(self.keeper.held.values()):
            if held.position.state is not PositionState.OPEN or held.lock.locked():
                continue
            stop = self.keeper.stop_of(held.position.position_id)
            if stop is None or stop.remaining != held.position.quantity:
                await self.keeper.protect(held)
