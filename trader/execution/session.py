"""The trading session: one async loop that beats, decides at candle closes and guards positions beside both.

Everything comes in through ports; environments differ only in what `bootstrap` puts behind them. A session recovers
before it trades, ends when asked, and leaves stops resting on the exchange.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from trader.domain.halts import AUTH, FOREIGN
from trader.domain.market import SECOND, Candle, Timeframe
from trader.domain.messages import BarsClosed, FeedReset, Filled, OrderChanged, PairStatus, Tick
from trader.domain.orders import Fill
from trader.errors import AuthError, FatalError, LeaseLostError, RejectedError, RetryableError, TraderError
from trader.execution.close import CloseStage
from trader.execution.controls import Controls
from trader.execution.desk import OrderDesk
from trader.execution.held_bars import HeldBars
from trader.execution.joiner import Joiner
from trader.execution.keeper import Keeper
from trader.execution.missed_bars import MissedBars
from trader.execution.pulse import Pulse
from trader.execution.recovery import Recovery
from trader.execution.wiring import Wiring
from trader.ports import Halt, SessionSummary

log = logging.getLogger(__name__)
T = TypeVar("T")
WIND_UP_S = 30.0  # for what is under way with orders: a stop or an exit without an answer is settled in 12 s, the lease holds 35


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a watcher of the session may look at while it runs."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    first_ready_us: int | None = None
    failure: BaseException | None = None


class Session:
    """One bounded session. `run` returns a summary; a FatalError ends it with the reason."""

    def __init__(self, wiring: Wiring) -> None:
        self.w = wiring
        self.summary = SessionSummary()
        self.progress = Progress()
        self.stopping = asyncio.Event()
        self.desk = OrderDesk(
            exchange=wiring.exchange, ledger=wiring.ledger, clock=wiring.clock, kill=wiring.kill, account=wiring.account,
            tag=wiring.tag, on_fills=self.on_fills, speed=wiring.speed,
        )  # fmt: skip
        self.keeper = Keeper(
            desk=self.desk, exchange=wiring.exchange, ledger=wiring.ledger, clock=wiring.clock,
            instruments=wiring.instruments, spawn=self.spawn,
        )  # fmt: skip
        self.recovery = Recovery(wiring, self.desk, self.keeper, self.on_fills)
        self.closing = CloseStage(wiring, self.desk, self.keeper, self.summary, self.spawn)
        self.held_bars = HeldBars(self.closing.engine.pairs, self.closing.engine.marks)
        self.missed_bars = MissedBars(wiring, self.keeper, self.spawn)
        self.joiner = Joiner(wiring, self.closing.engine, self.summary, self.closing.blocked)
        self.closing.on_block = self.joiner.block
        self.closing.before_equity = self.recovery.funding_due
        self.controls = Controls(wiring, self.keeper, self.closing.accounting, spawn=self.spawn, stop=self.stop)
        self.controls.started = False
        self._loops: list[asyncio.Task[None]] = []
        self._work: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Lock()
        self._ticking: list[str] = []

    # --- life ----------------------------------------------------------------------------------------------------------
    async def run(self) -> SessionSummary:
        """Lease, recover, protect, then trade until `stopping` is set."""
        w = self.w
        self.desk.lease = w.ledger.acquire_lease(w.account, w.holder, w.clock.now_us(), w.timing.lease_ttl_us)
        w.kill.reach("lease_acquired")
        rules = {"strategy": w.strategy, "ai": w.ai_mode, "settings": w.rules, "environment": w.environment}
        w.ledger.note("system.started", rules, w.clock.now_us())
        try:
            for loop, name in ((self._lease, "lease"), (self._controls, "controls"), (self._start, "start")):
                self._begin(loop, name)  # what a start finds out may take a minute, longer than a lease lasts or a person waits
            await self.stopping.wait()
        except asyncio.CancelledError:
            self.summary.ended = self.summary.ended or "cancelled"
            raise
        finally:
            await self._wind_up()
        if self.progress.failure is not None:
            raise self.progress.failure
        return self.summary

    async def _start(self) -> None:
        """Reconcile and protect, then trade."""
        w = self.w
        self.summary.differences = await w.stage("reconcile", partial(self._kept, self.recovery.run, "reconcile"))
        self.controls.started = True
        self._watch()
        self.missed_bars.begin()
        w.kill.reach("before_ready")
        for loop, name in (
            (self._feed, "feed"), (self._beats, "beats"), (self._prescan, "prescan"), (self._join, "join"),
        ):  # fmt: skip
            self._begin(loop, name)

    def _begin(self, loop: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._loops.append(asyncio.create_task(self._supervised(loop), name=name))

    async def _supervised(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - any failure of a loop ends the session visibly; it is re-raised by run
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.progress.failure is None:
            self.progress.failure = error
        self.stopping.set()
        if isinstance(error, AuthError):  # later sessions enter nothing until a person has looked at the key
            self._noted(lambda now: self.w.ledger.set_halt(Halt(cause=AUTH, level="REDUCING", since_us=now, reason=str(error))), str(error))

    def stop(self, why: str) -> None:
        """Ask the session to end; it finishes what it is doing with orders."""
        self.summary.ended = self.summary.ended or why
        self.stopping.set()

    async def _wind_up(self) -> None:
        self.closing.entries_off = True
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        give_up = asyncio.get_running_loop().time() + WIND_UP_S
        while self._work and (left := give_up - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._work, timeout=left)
        for task in self._work:
            task.cancel()
        w = self.w
        await self.closing.flush_history()
        if not isinstance(self.progress.failure, LeaseLostError):
            w.ledger.came_back(w.clock.now_us())
            w.ledger.note("system.stopped", {"ended": self.summary.ended or "failed"}, w.clock.now_us())
            w.kill.reach("mid_shutdown")
            if self.desk.lease is not None:
                w.ledger.release_lease(self.desk.lease, w.clock.now_us())

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run order work beside the loop; a failure is written down and, when fatal, ends the session."""
        task = asyncio.create_task(coroutine, name=name)
        self._work.add(task)
        task.add_done_callback(self._finished)

    async def _kept(self, work: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        """Await order work that goes on where the loop that waits for it is cancelled: the end of a session waits for work, not for
        loops, and half of it would leave a position bare."""
        task = asyncio.create_task(work(), name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._finished)  # nobody else hears of its failure now
            raise

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, FatalError) or not isinstance(error, Exception):
            self._fail(error)
        words = f"{type(error).__name__}: {error}"
        failed = {"task": task.get_name(), "error": words}
        self._noted(lambda now: self.w.ledger.note("task.failed", failed, now), f"task {task.get_name()} failed: {words}")

    def _noted(self, write: Callable[[int], None], words: str) -> None:
        """Write to the ledger at this moment; a ledger that takes nothing is often why there is something to write."""
        try:
            write(self.w.clock.now_us())
        except TraderError as trouble:
            log.error("%s; not written down: %s", words, trouble)

    # --- feed and guard ------------------------------------------------------------------------------------------------
    def on_fills(self, fills: Sequence[Fill], source: str) -> None:
        """Book fills exactly once and let the keeper react; the one door for stream and REST."""
        changes = self.w.ledger.apply_fills(fills, self.w.clock.now_us(), source=source)
        self.summary.fills += len(changes)
        self.closing.accounting.changed()
        for fill, intent in changes:
            if intent is None:
                self.w.ledger.set_halt(
                    Halt(cause=f"{FOREIGN} {fill.pair.split('/')[0]}", level="REDUCING", since_us=self.w.clock.now_us(),
                         reason=f"fill {fill.trade_id} of order {fill.txid} is not ours")
                )  # fmt: skip
        self.keeper.booked(changes)
        self._watch()

    def _watch(self) -> None:
        pairs = self.keeper.pairs()
        if pairs != self._ticking:
            self._ticking = pairs
            self.spawn(self.w.market.watch_ticks(pairs), "watch ticks")
            if strange := [pair for pair in pairs if pair not in self.closing.engine.pairs]:
                self.spawn(self._subscribe(strange), "bars of what is held")

    async def _subscribe(self, pairs: Sequence[str]) -> None:
        """Candles of held pairs that nobody has joined: after a restart, and what is not ranked never is. The running bar's first ones
        come by REST; where they do not, exits go by the next bar."""
        for pair in pairs:
            bar_us = Timeframe.M15.floor(self.w.clock.now_us())
            try:
                await self.w.market.add_pairs([pair])
                self._follow_exits(await self.w.market.history(pair, self.w.base, bar_us), ())
            except (RetryableError, RejectedError) as error:
                self.w.ledger.note("history.unknown", {"pair": pair, "error": str(error)}, self.w.clock.now_us())

    async def _feed(self) -> None:
        async for event in self.w.market.stream([], self.w.base):
            if isinstance(event, Tick):
                self.keeper.on_tick(event.pair, event.price)
            elif isinstance(event, Filled):
                await self._stream_fill(event.fill)
            elif isinstance(event, BarsClosed):
                self._bars(event)
            elif isinstance(event, FeedReset):
                self.spawn(self._reconcile(event.reason), "reconcile")
            elif isinstance(event, OrderChanged):
                self.desk.heard(event.order)
                self.keeper.heard(event.order)
            elif isinstance(event, PairStatus):
                self.closing.rules.told(event.pair, event.status)

    async def _stream_fill(self, fill: Fill) -> None:
        """A fill of an order the ledger does not know yet may be a conditional close or an ack still under way; one that sells more
        than was booked has overtaken the fill that bought it."""
        if self.recovery.premature(fill):
            self.spawn(self.recovery.explain(fill), f"explain {fill.pair}")
        else:
            self.on_fills([fill], "stream")

    def _bars(self, event: BarsClosed) -> None:
        self.summary.candles += len(event.candles)
        closed = self.closing.absorb(event)
        fifteen = [candle for candle in closed if candle.timeframe is Timeframe.M15]
        self._follow_exits(event.candles, fifteen)
        if event.close_us % Timeframe.M15.us == 0:
            self.spawn(self._close(event.close_us, fifteen), "close")

    def _follow_exits(self, candles: Sequence[Candle], closed: Sequence[Candle]) -> None:
        for bar in self.held_bars.take(self.keeper.pairs(), candles, closed):
            self.keeper.on_close(bar)

    async def _close(self, close_us: int, candles: Sequence[Candle]) -> None:
        async with self._closing:
            await self.w.stage("decide", lambda: self.closing.decide(close_us, candles))

    async def _reconcile(self, why: str) -> None:
        try:
            differences = await self.recovery.run()
        except RetryableError as error:
            self.w.ledger.note("reconcile.failed", {"why": why, "error": str(error)}, self.w.clock.now_us())
            return
        self.summary.differences += differences

    # --- loops beside the feed -----------------------------------------------------------------------------------------
    async def _beats(self) -> None:
        w = self.w
        now = w.clock.now_us()
        pulse = Pulse.joining(base_s=w.timing.beat_base_s, start_us=w.timing.beats_from_us or now, now_us=now)
        while True:
            await w.clock.sleep_until(pulse.next_due_us)
            beat = pulse.begin(w.clock.now_us())
            self.summary.beats += 1
            if beat.restart:
                await self._kept(partial(self._reconcile, "a gap of more than two beats"), "reconcile")
            await w.stage("check", partial(self._kept, self.recovery.cheap_check, "check"))
            await w.stage("protect", partial(self._kept, self.recovery.stops_present, "protect"))
            self.missed_bars.look()
            await w.stage("universe", self._universe)
            await w.stage("report", partial(self.closing.report, beat.number, beat.late_us))
            await self._kept(self._redecide, "redecide")

    async def _redecide(self) -> None:
        async with self._closing:  # beside a close under way, each would judge an account that lacks the other's entries
            await self.closing.redecide_deferred()

    async def _universe(self) -> None:
        await self.joiner.refresh()
        await self.closing.rules.refresh()

    async def _join(self) -> None:
        """Pairs become READY one by one, by quote volume; trading never waits for all."""
        while True:
            if await self.joiner.step() and not self.progress.ready.is_set():
                self.progress.first_ready_us = self.w.clock.now_us()
                self.progress.ready.set()
            await asyncio.sleep(self.joiner.pause_s)

    async def _lease(self) -> None:
        w = self.w
        while True:
            await asyncio.sleep(w.timing.lease_renew_s)
            assert self.desk.lease is not None
            self.desk.lease = w.ledger.renew_lease(self.desk.lease, w.clock.now_us(), w.timing.lease_ttl_us)
            w.kill.reach("lease_renewal")
            if w.ledger.came_back(w.clock.now_us()):
                self.spawn(self._reconcile("the ledger takes writes again"), "reconcile")

    async def _controls(self) -> None:
        w = self.w
        while True:
            await asyncio.sleep(w.timing.control_poll_s)
            self.controls.poll()

    async def _prescan(self) -> None:
        """Scans on a fixed grid that ends one second before each 15m close, so that the last one sees nearly all of the bar."""
        w = self.w
        step, window = int(w.timing.prescan_s * SECOND), int(w.timing.prescan_window_s * SECOND)
        while True:
            now = w.clock.now_us()
            close = Timeframe.M15.floor(now + SECOND) + Timeframe.M15.us
            last = close - SECOND
            left = (last - now - 1) // step
            await w.clock.sleep_until(last - min(left, max(0, window // step - 1)) * step)
            self.closing.take_verdicts()
            self.closing.prescan()
