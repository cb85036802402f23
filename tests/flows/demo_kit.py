"""A small demo that runs on real sockets in the test's own loop: the exchange twin on a clock that other processes can read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import HOST, Plans, kraken_twin, read_plans
from trader.bootstrap.world import world_of
from trader.config import Settings, load
from trader.domain.market import MINUTE
from trader.simulation.clock import load_clock, save_clock

PAIRS = 6


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def environment(state: Path) -> dict[str, str]:
    """TRADER_* variables of a small demo in `state`, as the supervisor sets them for the worker."""
    return {
        "TRADER_STATE_DIR": str(state),
        "TRADER_MARKET__PAIRS": str(PAIRS),
        "TRADER_UNIVERSE": str(PAIRS),
        "TRADER_AI__MODE": "off",
        "TRADER_HISTORY__ARCHIVE_DAYS": "20",
        "TRADER_PORTS__KRAKEN_TWIN": str(free_port()),
        "TRADER_PORTS__GEMINI_TWIN": str(free_port()),
    }


@asynccontextmanager
async def running_demo(state: Path, monkeypatch: pytest.MonkeyPatch, *, speed: float = 60.0) -> AsyncIterator[Settings]:
    """The exchange twin up and its market moving; settings reach flows through the environment alone."""
    monkeypatch.delenv("TRADER_SHARED_DATA", raising=False)
    for name, value in environment(state).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(state)
    settings = load()
    paths = Paths(state).make()
    world = world_of(settings)
    world.save(paths.world)
    save_clock(paths.clock, origin_us=world.epoch_us + 10 * MINUTE, wall_s=time.time(), speed=speed)
    plans: Plans = read_plans(None, world.seed)
    twin = kraken_twin(world, world.market(), load_clock(paths.clock), paths=paths, plan=plans.kraken)
    await twin.start(HOST, settings.ports.kraken_twin)
    market = asyncio.create_task(twin.run_market(None), name="market")
    try:
        yield settings
    finally:
        market.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await market
        await twin.close()
