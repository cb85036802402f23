"""One trading session against peers that run in other processes: what the flow `trade_intraday` and `trader trade` start."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from trader.bootstrap import wire
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.config import Settings
from trader.errors import ConfigError, LeaseLostError
from trader.execution.session import Session
from trader.execution.wiring import Timing, run_directly
from trader.ports import KillPoints, SessionSummary, Stage
from trader.simulation.clock import LoopClock, load_clock


@contextmanager
def sole_trader(paths: Paths) -> Iterator[None]:
    """The operating system's lock on this account: freed by the kernel however the process ends.

    Raises LeaseLostError when another session of this machine holds it.
    """
    handle = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeaseLostError(f"another session trades this account on this machine ({paths.lock} is locked)") from None
        yield
    finally:
        os.close(handle)


def demo_clock(settings: Settings, paths: Paths) -> LoopClock:
    """The clock that the supervisor's processes share; raises ConfigError when nobody has started it."""
    if settings.environment != "demo":
        raise ConfigError(f"environment {settings.environment!r} is not part of this release; allowed: demo")
    try:
        return load_clock(paths.clock)
    except FileNotFoundError as error:
        raise ConfigError(f"{paths.clock}: no demo is running here; start it with `trader up --env demo`") from error


async def trade(settings: Settings, *, seconds: float, stage: Stage = run_directly, kill: KillPoints | None = None) -> SessionSummary:
    """One session of `seconds` of the machine's time; raises LeaseLostError when another one runs."""
    paths = Paths(settings.state).make()
    with sole_trader(paths):
        async with AsyncExitStack() as stack:
            clock = demo_clock(settings, paths)
            world = World.load(paths.world)
            source = world.shape()
            exchange, market = wire.adapters(wire.Endpoints.loopback(settings), clock, stack=stack, key_dir=paths.root)
            instruments = await exchange.instruments()
            taker, _maker = await exchange.fee_rates()
            ledger = wire.open_ledger(paths, kill)
            stack.callback(ledger.close)
            history = wire.process_history(paths, clock, lookbacks(settings))
            stack.push_async_callback(history.close)
            verdicts = await wire.worker_verdicts(paths, stack)
            session = Session(
                wire.wiring(
                    settings,
                    clock=clock,
                    exchange=exchange,
                    market=market,
                    instruments=instruments,
                    ledger=ledger,
                    history=history,
                    verdicts=verdicts,
                    base=source.base,
                    quote=source.quote,
                    taker=float(taker),
                    seed=world.seed,
                    timing=Timing(
                        beat_base_s=settings.beat.base_s,
                        prescan_s=settings.ai.prescan_s,
                        prescan_window_s=settings.ai.prescan_window_s,
                        speed=clock.speed,
                    ),
                    stage=stage,
                    kill=kill,
                )
            )
            asyncio.get_running_loop().call_later(seconds, session.stop, "its time is over")
            return await session.run()
