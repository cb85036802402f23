"""`trader demo`: one session under the stepped clock, in one process, over the HTTP and WebSocket twins."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.cassettes import Tape
from trader.bootstrap.ingestion import Judge
from trader.bootstrap.ledger_place import settle
from trader.bootstrap.outcome import Outcome, describe
from trader.bootstrap.paths import Paths
from trader.bootstrap.playback import STEPPED, Doors, Progress, play_session
from trader.bootstrap.stand_ins import HOST, Plans, gemini_twin, kraken_twin, read_plans
from trader.bootstrap.world import World, world_of
from trader.config import Settings
from trader.data.history import HistoryStore
from trader.domain.market import SECOND
from trader.errors import ConfigError
from trader.execution.wiring import Timing
from trader.ports import KillPoints
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `trader demo` was asked for."""

    minutes: int
    replay: Path | None = None
    start: str | None = None
    plan: Path | None = None
    state: Path | None = None
    speed: str = "max"
    tape: Tape | None = None


def run_demo(
    settings: Settings, options: DemoOptions, progress: Progress | None = None, *, judge: Judge | None = None
) -> dict[str, Any]:  # fmt: skip
    """Play the session and return the object that `--json` prints; raises ConfigError for options that make no sense.

    `judge`: the data gate (None: Great Expectations in a process of its own).
    """
    speed = _speed(options.speed)
    world = world_of(settings, replay=options.replay, start=options.start)
    plans = read_plans(options.plan, world.seed)
    with contextlib.ExitStack() as stack:
        root = options.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trader-demo-")))
        if options.state is not None and (options.state / "ledger.sqlite").exists():
            raise ConfigError(f"--state {options.state}: a session has lived there already; name another directory or delete it")
        paths = Paths(root).make()
        settle(settings, paths)
        paths.world.unlink(missing_ok=True)  # of a start that came to no session
        world.save(paths.world)
        started = time.perf_counter()

        async def main() -> Outcome:
            return await play(
                settings, world, paths, plans, minutes=options.minutes, speed=speed, progress=progress, tape=options.tape, judge=judge
            )

        outcome = run_stepped(main) if speed is None else asyncio.run(main())
        told = describe(settings, world, paths, outcome, wall_s=round(time.perf_counter() - started, 1))
        return told if options.tape is None else told | {"ai": f"{settings.ai.mode}, cassette {options.tape.cassette.sha256}"}


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 10_000:
        raise ConfigError(f"--speed {text!r}: max, or a number above 0 and at most 10000")
    return value


async def play(
    settings: Settings,
    world: World,
    paths: Paths,
    plans: Plans,
    *,
    minutes: int,
    speed: float | None = None,
    progress: Progress | None = None,
    kill: KillPoints | None = None,
    tape: Tape | None = None,
    judge: Judge | None = None,
) -> Outcome:
    """Twins up, history in, one session for `minutes` after the first READY pair, books closed. A `tape` answers for the AI's twin."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(world.epoch_us if speed is None else world.epoch_us - int(loop.time() * speed * SECOND), speed or 1.0)
    async with AsyncExitStack() as stack:
        market_source = world.market()
        twin = kraken_twin(world, market_source, clock, paths=paths, plan=plans.kraken)
        await twin.start(HOST, settings.ports.kraken_twin)
        stack.push_async_callback(twin.close)
        oracle = gemini_twin(world, clock, plans.gemini)
        await oracle.start(HOST, settings.ports.gemini_twin)
        stack.push_async_callback(oracle.close)
        trading = asyncio.create_task(twin.run_market(None), name="market")
        stack.callback(trading.cancel)

        endpoints = wire.Endpoints.loopback(settings)
        exchange, market = wire.adapters(endpoints, clock, stack=stack, seed=world.seed, key_dir=paths.root)
        store = HistoryStore(paths.history)
        stack.callback(store.close)
        ledger = wire.open_ledger(paths, kill, account=settings.account)
        stack.callback(ledger.close)
        verdicts = tape.link(settings, clock, stack) if tape else wire.direct_verdicts(settings, endpoints, clock, paths, stack)
        doors = Doors(
            exchange=exchange, market=market, ledger=ledger, store=store, verdicts=verdicts, judge=judge, base=market_source.base,
            quote=market_source.quote,
        )  # fmt: skip
        timing = STEPPED if speed is None else Timing(speed=speed)
        played = await play_session(settings, world, clock, doors, minutes=minutes, timing=timing, progress=progress, kill=kill)
        return Outcome(
            summary=played.summary, twin=twin.protection_report(), ended_us=played.ended_us, first_ready_us=played.first_ready_us,
            journal=played.journal,
        )  # fmt: skip
