"""One run of chaos: exchange, AI and trader on a simulated clock; sessions that die and come back; what was seen on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.beats import Looker
from tests.chaos.catalogue import HINDERING, ROWS
from tests.chaos.deaths import Arm, MortalLedger, Reaper, copy_ledger, restore_ledger, saving
from tests.chaos.keys import KEYS
from tests.chaos.plan import ChaosPlan
from tests.chaos.transport import Border, direct
from tests.chaos.watching import Bare, Delivery, LockedHistory, LogLines, Seen, Skew, Trouble, WatchedPlan
from tests.session_kit import NoVerdicts, Stage
from trader.bootstrap import wire
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.stand_ins import DEMO_KEY, HOST, gemini_twin, kraken_twin
from trader.config import Settings
from trader.domain.market import SECOND, Timeframe
from trader.domain.orders import Outcome
from trader.errors import TraderError
from trader.execution.session import Session
from trader.execution.wiring import Timing, Wiring
from trader.simulation.clock import LoopClock
from trader.simulation.market import Market

TIMING = Timing(lease_ttl_s=180.0, lease_renew_s=45.0, control_poll_s=10.0)
DOWN_S = 20.0  # from an end to the next start, as a supervisor would take
LONGEST_DOWN_S = 120.0  # the pause doubles up to this while it fails again
LASTS_S = {  # an order call without an end holds the turn so long; what the exchange asks us to wait
    "H3": 10.0, "H8": 60.0, "H10": 900.0,
    "H12": TIMING.control_poll_s,  # a way out refused at the end of a round is begun anew at a look for controls, here a rare one
}  # fmt: skip
ORDERS = ("AddOrder", "AmendOrder", "CancelOrder")
REPORT = "report"  # a beat's last stage
BESIDE_ORDERS = ("lease_renewal",)  # points that have nothing to do with an order, so a death there waits for one


class World:
    """A running ordeal. `market`: where its prices come from; `transport`: wire (aiohttp over in-memory sockets) or direct (the
    twin's core in process)."""

    def __init__(self, stage: Stage, paths: Paths, plan: ChaosPlan, market: Market, *, transport: str = "wire") -> None:
        self.stage, self.paths, self.plan, self.transport = stage, paths, plan, transport
        self.settings: Settings = stage.settings.model_copy(
            update={"ai": stage.settings.ai.model_copy(update={"mode": "veto" if plan.ai else "off"})}
        )
        self.clock = LoopClock(stage.world.epoch_us, loop=asyncio.get_running_loop())
        self.seen, self.reaper, self.logs = Seen(), Reaper(self), LogLines()
        self.holder = "session"
        self.session: Session | None = None
        self.exchange: Any = None
        self.slow_stages_until_us = self.history_locked_until_us = 0
        self.shifted_us = self.healed_us = self.clock_end_us = 0
        self.skewed: list[Skew] = []
        self.pair_states = asyncio.Lock()  # one act at a time changes what pairs let through, as its end puts back what was before
        self.dying = False
        self.resume_files: Path | None = None  # ledger files that the next life begins with
        self._gone: asyncio.Event = asyncio.Event()
        self._border: Border | None = None
        faults = [fault for one in plan.injections for fault in one.faults]
        natural: dict[str, list[str]] = {}
        for one in plan.injections:
            for where in ROWS[one.row].natural if one.row in ROWS else ():
                natural.setdefault(where, []).append(one.row)
        kraken = [fault for fault in faults if fault.where != "decisions"]
        self.faults = WatchedPlan(kraken, seed=plan.seed, natural=natural, told=self.happened, soon=self.soon, pending=self.pending)
        asked = [fault for fault in faults if fault.where == "decisions"]
        self.ai_faults = WatchedPlan(asked, seed=plan.seed, natural={}, told=self.happened, soon=self.soon, pending=self.pending)
        for one in plan.injections:
            self.reaper.armed += [
                Arm(row=one.row, chain=(point,), after_s=after, hits=hit, waits=point in BESIDE_ORDERS, heir=one.act == "take_over")
                for point, after, hit in one.kills
            ]
        self.reaper.armed += [Arm(row=row, chain=chain, hits=hits, after_s=after) for row, chain, hits, after in plan.deaths]
        self.twin = kraken_twin(stage.world, market, self.clock, paths=paths, plan=self.faults, keys=KEYS)
        self.looker = Looker(paths.ledger, self.twin.exchange, tag_of(stage.world.seed), self.skewed, self.seen)
        self._looked: Session | None = None
        self._bare: dict[str, int] = {}
        self._twins_bare = self.twin.exchange.state.bare_since = Bare(self._covered)

    @property
    def alive(self) -> bool:
        """Whether a session runs that has not been killed yet."""
        return self.session is not None and not self.dying

    # --- what happens ------------------------------------------------------------------------------------------------
    def happened(self, row: str, where: str) -> None:
        """A fault was delivered."""
        now = self.clock.now_us()
        self.seen.deliveries.append(Delivery(row=row, time_us=now, pending=where in ORDERS or self.pending()))
        if row in HINDERING:
            self.trouble(LASTS_S.get(row, 0.0))

    def soon(self) -> int:
        """The moment, in Unix seconds, until which an exchange that throttles from now on does so."""
        return self.clock.now_us() // SECOND + int(LASTS_S["H8"])

    def pending(self) -> bool:
        """Whether an order of ours rests or is under way."""
        if any(order.ours for order in self.twin.exchange.open_orders()):
            return True
        ledger = self.session.w.ledger if self.session is not None and not self.dying else None
        return ledger is not None and any(i.outcome is Outcome.SENT for i in ledger.intents(live_only=True))

    async def until_pending(self) -> None:
        """Wait for work that a fault could spoil."""
        while not self.pending():
            await self.clock.sleep(5.0)

    def trouble(self, seconds: float, pair: str = "") -> None:
        """What is wrong now, with one pair or with all, stays wrong for so long."""
        now = self.clock.now_us()
        self.seen.troubles.append(Trouble(since_us=now, until_us=now + int(seconds * SECOND), pair=pair))

    def die(self, why: str) -> None:
        """The process is killed at this instant: its committed ledger stays, nothing it does from now on counts."""
        if self.dying or self.session is None:
            return
        self.dying = True
        self.seen.deaths.append((why, self.clock.now_us()))
        if self._border is not None:
            self._border.cut()
        self.resume_files = copy_ledger(self.paths, self.paths.root / "grave")
        self._gone.set()

    def hand_over(self) -> None:
        """Whoever starts next is another: it waits until the lease of the dead one has expired."""
        self.holder = f"{self.holder}'s heir"

    def end(self) -> None:
        """Ask the session to end; the next one starts as usual."""
        if self.session is not None:
            self.session.stop("asked to end")

    # --- lives -------------------------------------------------------------------------------------------------------
    async def lives(self, until_us: Callable[[], int]) -> None:
        """Sessions, one after the other, until the end."""
        pause_s = DOWN_S
        while self.clock.now_us() < until_us():
            try:
                async with self.life(self.holder) as session:
                    self._up(session)
                    try:
                        await self._live(session, until_us)
                    finally:
                        self.session = None  # before its ledger is closed
                        self.looker.close()
                pause_s = DOWN_S
            except TraderError as error:
                pause_s = DOWN_S if self.healed_us else min(2 * pause_s, LONGEST_DOWN_S)
                self.seen.ends.append(f"{type(error).__name__}: {error}")
            if self.resume_files is not None:
                restore_ledger(self.paths, self.resume_files)
                self.resume_files = None
            self.dying = False
            self._gone.clear()
            if self.clock.now_us() < until_us():
                await self.clock.sleep(pause_s)
                self.trouble(0)

    async def _live(self, session: Session, until_us: Callable[[], int]) -> None:
        running = asyncio.create_task(session.run(), name="session")
        dead = asyncio.create_task(self._gone.wait(), name="dead")
        try:
            while self.clock.now_us() < until_us() and not running.done() and not dead.done():
                waiting = asyncio.create_task(self.clock.sleep_until(until_us()), name="until")
                await asyncio.wait({running, waiting, dead}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            if dead.done():
                await self._bury(session, running)
            elif running.done():
                running.result()
                self.seen.ends.append(session.summary.ended)
            else:
                await self.at_the_end(session)
                session.stop("time over")
                await running
        finally:
            dead.cancel()
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def at_the_end(self, session: Session) -> None:
        """Looked at while the last session still lives: a second reconciliation must find and write nothing."""
        for _ in range(2):
            differences = await session.recovery.run()
        self.seen.behaviour["second reconciliation"] = f"{differences} differences"
        if differences:
            self.seen.breach("INV-11", f"a second reconciliation found {differences} differences")
        self.seen.tasks.append(len(asyncio.all_tasks()))

    async def _bury(self, session: Session, running: asyncio.Task[Any]) -> None:
        """Take the dead session's tasks off the loop; what their endings write goes to a ledger that is thrown away."""
        tasks = [running, *session._loops, *session._work]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def life(self, holder: str) -> AsyncIterator[Session]:
        """A session that is ready to run, wired as the program wires it."""
        async with AsyncExitStack() as stack:
            endpoints = wire.Endpoints.loopback(self.settings)
            exchange, market = wire.adapters(endpoints, self.clock, stack=stack, seed=self.stage.world.seed, key_dir=self.paths.root)
            client = exchange._rest.transport  # type: ignore[attr-defined]
            if self.transport == "direct":
                direct(client, self.twin)
            border = Border(client, answered=self._counters)
            client.save_nonce = partial(saving, client.save_nonce, self.reaper)
            instruments = await exchange.instruments()
            taker, _ = await exchange.fee_rates()
            store, history = wire.direct_history(self.paths, self.clock, lookbacks(self.settings))
            store.reach = self.reaper.reach
            stack.callback(store.close)
            ledger = MortalLedger(self.paths.ledger, account=wire.ACCOUNT, kill=self.reaper, emergency=self.paths.emergency)
            stack.callback(ledger.close)
            verdicts = wire.direct_verdicts(self.settings, endpoints, self.clock, self.paths, stack) if self.plan.ai else NoVerdicts()
            self._border, self.exchange = border, exchange
            yield Session(
                busy(wire.wiring(
                    self.settings, clock=self.clock, exchange=exchange, market=market, instruments=instruments, ledger=ledger,
                    history=LockedHistory(history, lambda: self.clock.now_us() < self.history_locked_until_us), verdicts=verdicts,
                    base=Timeframe.M1, quote="EUR", taker=float(taker), seed=self.stage.world.seed, timing=TIMING, stage=self._stage,
                    kill=self.reaper, holder=holder,
                ))
            )  # fmt: skip

    async def _stage(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """A stage of the session, slow while whoever runs it is; what its beat has brought is looked at with its last one."""
        self._begin_looking()
        if self.clock.now_us() < self.slow_stages_until_us:
            await self.clock.sleep(10.0)
        done = await work()
        if name == REPORT and not self._down:
            self.looker.look()
        return done

    # --- watching ----------------------------------------------------------------------------------------------------
    def _up(self, session: Session) -> None:
        """A trader lives: for what is bare, its time begins now."""
        self.session = session
        self._bare = dict.fromkeys(self._twins_bare, self.clock.now_us())

    def _begin_looking(self) -> None:
        """A life's looks begin with its first stage, when it has its lease and has sent nothing yet."""
        if not self._down and self.session is not self._looked:
            self._looked = self.session
            self.looker.begin()

    @property
    def _down(self) -> bool:
        return self.session is None or self.dying  # the time of a dead trader is not its own

    def _bare_from(self, pair: str) -> int:
        """Since when a living and untroubled trader has let this holding be bare."""
        since = self._twins_bare[pair]
        return max(since, self._bare.get(pair, since), self.seen.troubled_until_us(pair))

    def _covered(self, pair: str) -> None:
        """Its stops have its size again."""
        if not self._down:
            self.seen.bare.append((pair, self._bare_from(pair), self.clock.now_us()))
        self._bare.pop(pair, None)

    def _counters(self) -> None:
        """Both sides' counters where they can have come apart: with each answer."""
        if self.session is None or self.dying:
            return
        now = self.clock.now_us()
        theirs = self.twin.limits.rest_value(DEMO_KEY.fingerprint, now)
        ours = self.exchange._rest.limiter.rest.at(now)
        if ours + 1e-6 < theirs:
            self.seen.limiter.append((now, ours, theirs))


def busy(wiring: Wiring) -> Wiring:
    """The wiring with a strategy that buys often and sells soon: every fault wants orders to spoil."""
    often = {
        "rsi_oversold": 48.0,
        "composite_limit": 60.0,
        "min_score": 20.0,
        "cooldown_bars": 1,
        "cooldown_stop_bars": 1,
        "max_hold_bars": 6,
    }
    return replace(wiring, parameters=replace(wiring.parameters, **often))


@asynccontextmanager
async def served(world: World) -> AsyncIterator[None]:
    """The twins of a world, serving, with the market running."""
    await world.twin.start(HOST, world.settings.ports.kraken_twin)
    oracle = gemini_twin(world.stage.world, world.clock, world.ai_faults) if world.plan.ai else None
    if oracle is not None:
        await oracle.start(HOST, world.settings.ports.gemini_twin)
    market = asyncio.create_task(world.twin.run_market(None), name="market")
    logging.getLogger("trader").addHandler(world.logs)
    try:
        yield
    finally:
        world.clock_end_us = world.clock.now_us()
        logging.getLogger("trader").removeHandler(world.logs)
        market.cancel()
        await asyncio.gather(market, return_exceptions=True)
        if oracle is not None:
            await oracle.close()
        await world.twin.close()
