"""One real session against a running exchange twin: what the kill command and the whole-trader tests are built of.

The parts are `trader.bootstrap`'s own (adapters, wiring, ledger, history store); only the AI is left out, and history is
fetched once per market and copied, because the gate's process costs seconds.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trader.bootstrap import wire
from trader.bootstrap.ingestion import Judge, bootstrap_history, lookbacks, universe_of
from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import HOST, kraken_twin
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.data.ingest import judge_staged
from trader.data.ledger import SqlLedger
from trader.domain.costs import Costs
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.domain.verdicts import Question, Verdict
from trader.execution.session import Session
from trader.execution.wiring import Timing, Wiring
from trader.indicators.series import features
from trader.ports import KillPoints, SessionSummary
from trader.simulation.clock import LoopClock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.strategy.brain import candidates
from trader.strategy.modes import parameters

PAIRS = 8
HOUR = 60 * MINUTE
SEARCHED_DAYS = 20
LEAD_US = 20 * MINUTE
TIMING = Timing(lease_ttl_s=600.0, lease_renew_s=120.0, control_poll_s=15.0)


class NoVerdicts:
    """A verdict link with nobody at its other end; sessions here run with the AI off."""

    def want(self, questions: Sequence[Question]) -> None:
        raise AssertionError(f"asked {len(questions)} questions with the AI off")

    def take(self) -> Sequence[Verdict]:
        return ()

    def state(self) -> str:
        return "NO_WORKER"

    async def close(self) -> None:
        """Nothing to close."""


def signals(seed: int, pairs: int = PAIRS) -> list[int]:
    """Close times at which the demo strategy would enter, from the market itself, ascending; one per pair and bar."""
    market, chosen = SyntheticMarket(seed, count=pairs), parameters("viable", "mitraillette", "AGGRESSIVE")
    costs = Costs(taker=0.0040, maker=0.0025, slippage=0.0005)
    found: list[int] = []
    for pair in market.pairs:
        fifteen = market.candles(pair, Timeframe.M15, EPOCH_US - 12 * DAY, EPOCH_US + SEARCHED_DAYS * DAY)
        four = market.candles(pair, Timeframe.H4, EPOCH_US - 120 * DAY, EPOCH_US + SEARCHED_DAYS * DAY)
        hits = np.flatnonzero(candidates(features(fifteen, four, chosen), chosen, costs).enter)
        found += [int(fifteen.time[i]) + Timeframe.M15.us for i in hits]
    return sorted(time for time in found if time >= EPOCH_US + LEAD_US)


def lively(seed: int, pairs: int = PAIRS, *, within_us: int = HOUR) -> int:
    """A start 20 minutes before the hour with the most signals in twenty days: the market does something at once."""
    times = signals(seed, pairs)
    if not times:
        raise ValueError(f"seed {seed}: no signal in {SEARCHED_DAYS} days of {pairs} pairs; another seed has some")
    first = max(times, key=lambda t: (sum(t <= other < t + within_us for other in times), -t))
    return first - LEAD_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Settings and world of a small lively demo."""

    settings: Settings
    world: World

    @classmethod
    def of(cls, seed: int, *, pairs: int = PAIRS, port: int = 8701) -> Stage:
        settings = load(
            {"market.pairs": pairs, "universe": pairs, "ai.mode": "off", "market.seed": seed, "ports.kraken_twin": port}, environ={}
        )
        start = datetime.fromtimestamp(lively(seed, pairs) / 1e6, UTC).isoformat()
        return cls(settings=settings, world=world_of(settings, start=start))


def fetch_history(stage: Stage, root: Path, judge: Judge | None = judge_staged) -> Path:
    """History up to the stage's start, fetched from the twin by REST, gated and committed; returns its directory.

    `judge`: the gate's verdict, by its equal in Polars (None: Great Expectations, whose process costs seconds).
    """
    paths = Paths(root).make()

    async def main() -> None:
        clock = LoopClock(stage.world.epoch_us)
        twin = kraken_twin(stage.world, stage.world.market(), clock, paths=None, plan=FaultPlan())
        await twin.start(HOST, stage.settings.ports.kraken_twin)
        try:
            await catch_up(stage, paths, clock, judge)
        finally:
            await twin.close()

    run_stepped(main)
    return paths.history


async def catch_up(stage: Stage, paths: Paths, clock: LoopClock, judge: Judge | None = judge_staged) -> None:
    """History up to now from an exchange that serves, as the ingestion flow brings it before a session begins."""
    async with AsyncExitStack() as stack:
        exchange, market = wire.adapters(wire.Endpoints.loopback(stage.settings), clock, stack=stack)
        store, _ = wire.direct_history(paths, clock, lookbacks(stage.settings))
        stack.callback(store.close)
        pairs = await universe_of(market, await exchange.instruments(), quote="EUR", universe=stage.settings.universe)
        await bootstrap_history(store, market, clock, pairs, lookbacks(stage.settings), judge=judge)


def state_dir(stage: Stage, root: Path, history: Path) -> Paths:
    """A fresh state directory with the world and a copy of its history."""
    paths = Paths(root).make()
    shutil.rmtree(paths.history)
    shutil.copytree(history, paths.history)
    stage.world.save(paths.world)
    return paths


@asynccontextmanager
async def opened(
    stage: Stage,
    paths: Paths,
    clock: LoopClock,
    *,
    kill: KillPoints | None = None,
    timing: Timing = TIMING,
    holder: str = "session",
    shape: Callable[[Wiring], Wiring] = lambda wiring: wiring,
    ledger_type: type[SqlLedger] = SqlLedger,
    key_dir: Path | None = None,
) -> AsyncIterator[Session]:
    """A session, ready to run, on a twin that serves already; closes ledger, history and connections behind it.

    `shape`: what is different about its wiring; `key_dir`: where the key's lock and nonce floor lie, None for neither.
    """
    async with AsyncExitStack() as stack:
        endpoints = wire.Endpoints.loopback(stage.settings)
        exchange, market = wire.adapters(endpoints, clock, stack=stack, seed=stage.world.seed, key_dir=key_dir)
        instruments = await exchange.instruments()
        taker, _ = await exchange.fee_rates()
        store, history = wire.direct_history(paths, clock, lookbacks(stage.settings))
        stack.callback(store.close)
        ledger = ledger_type(paths.ledger_at, account=wire.ACCOUNT, kill=kill, emergency=paths.emergency)
        stack.callback(ledger.close)
        yield Session(
            shape(wire.wiring(
                stage.settings, clock=clock, exchange=exchange, market=market, instruments=instruments, ledger=ledger, history=history,
                verdicts=NoVerdicts(), base=Timeframe.M1, quote="EUR", taker=float(taker), seed=stage.world.seed, timing=timing,
                kill=kill, holder=holder,
            ))
        )  # fmt: skip


async def live(session: Session, clock: LoopClock, until_us: int) -> SessionSummary:
    """Run a session until this simulated moment."""
    running = asyncio.create_task(session.run(), name="session")
    waiting = asyncio.create_task(clock.sleep_until(until_us), name="until")
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    session.stop("time over")
    return await running


@dataclass
class Trader:
    """Twin and session on one stepped loop."""

    clock: LoopClock
    twin: KrakenTwin
    session: Session
    paths: Paths


@asynccontextmanager
async def trader(
    stage: Stage, paths: Paths, *faults: Fault, kill: KillPoints | None = None, plan_seed: int = 0, timing: Timing = TIMING
) -> AsyncIterator[Trader]:
    """Twin (books on disk) and a session that is ready to run, in memory, in one process; `plan_seed` draws faults with a chance."""
    clock = LoopClock(stage.world.epoch_us)
    twin = kraken_twin(stage.world, stage.world.market(), clock, paths=paths, plan=FaultPlan(faults, seed=plan_seed))
    await twin.start(HOST, stage.settings.ports.kraken_twin)
    market = asyncio.create_task(twin.run_market(None), name="market")
    try:
        async with opened(stage, paths, clock, kill=kill, timing=timing) as session:
            yield Trader(clock=clock, twin=twin, session=session, paths=paths)
    finally:
        market.cancel()
        await asyncio.gather(market, return_exceptions=True)
        await twin.close()
