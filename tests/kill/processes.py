"""The two processes of a kill: the exchange, which owns time and survives, and one life of the session.

Run as `python -m tests.kill.processes exchange|life JSON`; each prints one JSON object at its end. On the stepped clock they pass a
baton; with `paced` (the three numbers of a paced clock) both read the machine's clock, and SIGTERM ends them in peace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.deaths import Reaper, saving
from tests.chaos.world import busy
from tests.kill.person import TOUCH_US, happening, timetable
from tests.kill.points import HELD, MIGRATING, POINTS, CountedLedger, Kill, Suicide, mortal_migrations
from tests.kill.watch import Watch
from tests.session_kit import PAIRS, TIMING, Stage, catch_up, live, opened
from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import HOST, kraken_twin
from trader.bootstrap.world import World
from trader.config import load
from trader.domain.market import SECOND
from trader.execution.session import Session
from trader.execution.wiring import Timing
from trader.simulation.baton import GuestChange, run_guest, run_owner
from trader.simulation.clock import LoopClock, PacedClock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin

DOWNTIME_S = 20.0
PACED = Timing(lease_ttl_s=15.0, lease_renew_s=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What both processes are told: the state directory, ports, the kill, and the paced clock where time is the machine's."""

    root: str
    port: int
    control: int = 0
    kill: Mapping[str, Any]
    until_us: int
    paced: tuple[int, float, float] | None = None

    @property
    def paths(self) -> Paths:
        return Paths(Path(self.root))

    @property
    def what(self) -> Kill | None:
        return Kill(**self.kill) if self.kill else None

    @property
    def act(self) -> str:
        return POINTS[self.what.point].act if self.what is not None and self.what.point else ""

    def stage(self) -> Stage:
        """The stage whose world is saved in the state directory."""
        world = World.load(self.paths.world)
        flags = {
            "market.pairs": world.pairs, "universe": PAIRS, "ai.mode": "off", "market.seed": world.seed, "ports.kraken_twin": self.port,
        }  # fmt: skip
        return Stage(settings=load(flags, environ={}), world=world)

    def clock(self, stage: Stage) -> LoopClock:
        return PacedClock(*self.paced) if self.paced else LoopClock(stage.world.epoch_us)


# --- the exchange ------------------------------------------------------------------------------------------------------------
class Exchange:
    """Serves until a life says that it is done; what it answers late is sent when the asker is dead."""

    def __init__(self, place: Place) -> None:
        self.place, self.stage = place, place.stage()
        self.deaths: list[dict[str, Any]] = []
        self.plan = FaultPlan(self._faults(), seed=self.stage.world.seed)
        self.twin: KrakenTwin
        self.watch: Watch
        self.end: dict[str, Any] = {}

    def _faults(self) -> list[Fault]:
        """What the point needs of the exchange; the answer that is held is that of the life's own purchase."""
        what = self.place.what
        return [] if what is None or not what.point else [*POINTS[what.point].faults, *self._held(what, 0)]

    @staticmethod
    def _held(what: Kill, life: int) -> list[Fault]:
        """The fault that holds back the answer in this life, where it is the one to die of it."""
        arms = what.arms()
        if what.point != HELD or life != len(arms) - 1:
            return []
        return [Fault(where="AddOrder", match={"type": "buy"}, nth=(arms[life].hits,), action="hold_reply")]

    async def serve(self) -> None:
        """The twin with its market, its watch and what the market does to a stop, until cancelled."""
        clock = self.place.clock(self.stage)
        self.twin = kraken_twin(self.stage.world, self.stage.world.market(), clock, paths=self.place.paths, plan=self.plan)
        self.watch = Watch(self.twin)
        await self.twin.start(HOST, self.place.port)
        print("ready", flush=True)
        if self.place.act == "in_parts":
            self.twin.exchange.fills = replace(self.twin.exchange.fills, trades=2)
        work = {"market": self.twin.run_market(None), "watch": self.watch.run(), "touch": self._touch(clock)}
        beside = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
        try:
            await asyncio.Event().wait()
        finally:
            report = self.twin.protection_report()
            self.end = {"deaths": self.deaths, "bare": self.watch.end(), "unprotected": dict(report.unprotected)}
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.twin.close()

    async def _touch(self, clock: LoopClock) -> None:
        """The market takes out the oldest resting stop, a second after the life was told that it would."""
        if self.place.act != "touch_stop":
            return
        await clock.sleep_until(self.stage.world.epoch_us + TOUCH_US + SECOND)
        stops = [order for order in self.twin.exchange.open_orders() if order.ordertype == "stop-loss"]
        if stops:
            self.twin.exchange.fill_now(stops[0], clock.now_us())
            await self.twin.hub.flush()

    def changed(self, change: GuestChange) -> None:
        """A life ended: what the exchange still held for it is let go."""
        if change is not GuestChange.DIED:
            return
        released = self.twin.middleware.release()
        self.deaths.append({"at_us": self.twin.clock.now_us(), "released": released, "orders": len(self.twin.exchange.state.orders)})
        if self.place.what is not None:
            for fault in self._held(self.place.what, len(self.deaths)):
                self.plan.add(fault)


def exchange(place: Place) -> dict[str, Any]:
    """The whole life of the exchange."""
    one = Exchange(place)
    if place.paced:
        asyncio.run(_until_told(one.serve))
    else:
        run_owner(one.serve, control_port=place.control, downtime_s=DOWNTIME_S, on_change=one.changed)
    return one.end


async def _until_told(main: Callable[[], Awaitable[None]]) -> None:
    """Run until SIGTERM."""
    task = asyncio.ensure_future(main())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


# --- the session ------------------------------------------------------------------------------------------------------------
def life(place: Place, *, number: int, holder: str = "session") -> dict[str, Any]:
    """The `number`-th session of the story until it ends or kills itself, where it is its turn to."""
    reaper, stage = Reaper(Suicide()), place.stage()
    arms = place.what.arms() if place.what is not None else []
    reaper.armed = arms[number : number + 1]
    if reaper.armed and reaper.armed[0].chain == (MIGRATING,):
        mortal_migrations(reaper)

    async def main() -> dict[str, Any]:
        clock = place.clock(stage)
        if place.paced:
            await catch_up(stage, place.paths, clock)
        while True:
            ended = await _session(place, stage, clock, reaper, holder)
            if place.act not in ("kill_switch_set", "ending") or clock.now_us() >= place.until_us:
                return ended
            await clock.sleep(DOWNTIME_S)  # stopped by a person, who starts it again

    return asyncio.run(main()) if place.paced else run_guest(main, control_port=place.control)


async def _session(place: Place, stage: Stage, clock: LoopClock, reaper: Reaper, holder: str) -> dict[str, Any]:
    """One session with what happens beside it, until time is over or somebody ends it."""
    async with _opened(place, stage, clock, reaper, holder) as session:
        plan = timetable(place.act, place.until_us - stage.world.epoch_us)
        happens = happening(session, place.paths.ledger, clock, reaper, begins_us=stage.world.epoch_us, plan=plan)
        beside = asyncio.create_task(happens, name="what happens")
        try:
            if place.paced:
                print("up", flush=True)
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, session.stop, "told to end")
            summary = await live(session, clock, place.until_us)
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
        return {"summary": asdict(summary), "journal": session.w.ledger.journal_hash()}


@asynccontextmanager
async def _opened(place: Place, stage: Stage, clock: LoopClock, reaper: Reaper, holder: str) -> AsyncIterator[Session]:
    """A session whose every point is one to die at."""
    timing = replace(PACED, speed=place.paced[2]) if place.paced else TIMING
    async with opened(
        stage, place.paths, clock, kill=reaper, timing=timing, holder=holder, shape=busy, ledger_type=CountedLedger,
        key_dir=place.paths.root,
    ) as session:  # fmt: skip
        client: Any = session.w.exchange._rest.transport  # type: ignore[attr-defined]
        client.save_nonce = partial(saving, client.save_nonce, reaper)
        session.w.history.store.reach = reaper.reach  # type: ignore[attr-defined]
        yield session


def main(role: str, words: str) -> None:
    """Play the role and print what came of it."""
    told = json.loads(words)
    place = Place(**told.pop("place"))
    print(json.dumps({"exchange": exchange, "life": life}[role](place, **told)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
