"""Trading never waits for all: pairs whose history is stored trade while the others are still being fetched."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from session_kit import HOUR, Stage, live, state_dir, trader

from trader.bootstrap import wire
from trader.bootstrap.ingestion import judge_tails, lookbacks, universe_of
from trader.bootstrap.paths import Paths
from trader.data import ingest
from trader.data.history import HistoryStore
from trader.domain.market import MINUTE
from trader.simulation.loops import run_stepped

pytestmark = pytest.mark.slow


def test_pairs_become_ready_one_by_one_while_the_session_trades(tmp_path: Path) -> None:
    stage = Stage.of(1)
    Paths(tmp_path / "empty").make()
    paths = state_dir(stage, tmp_path / "run", Paths(tmp_path / "empty").history)
    ready: list[int] = []

    async def main() -> None:
        async with trader(stage, paths) as world, AsyncExitStack() as stack:
            exchange, market = wire.adapters(wire.Endpoints.loopback(stage.settings), world.clock, stack=stack, keys=None)
            pairs = await universe_of(market, await exchange.instruments(), quote="EUR", universe=stage.settings.universe)
            store, needs = HistoryStore(paths.history), lookbacks(stage.settings)

            async def fetching() -> None:
                """Two pairs every ten minutes, as a slow limit would bring them."""
                for chunk in ingest.plan(store, pairs, ingest.DECIDING, world.clock.now_us()).chunks(4):
                    fresh = ingest.plan(store, list(dict.fromkeys(r.pair for r in chunk.requests)), ingest.DECIDING, world.clock.now_us())
                    batch = await ingest.fetch(fresh, market, clock=world.clock)
                    ingest.commit(store, batch, ingest.judge_staged(batch, store), world.clock.now_us())
                    judge_tails(store, pairs, needs, world.clock.now_us())
                    for _ in range(10):
                        await world.clock.sleep_until((world.clock.now_us() // MINUTE + 1) * MINUTE)
                        ready.append(world.session.summary.ready_pairs)

            task = asyncio.create_task(fetching(), name="fetching")
            summary = await live(world.session, world.clock, stage.world.epoch_us + HOUR)
            await asyncio.wait_for(task, 5)
            store.close()
            assert summary.ready_pairs == len(pairs)
            assert summary.decisions > 0

    run_stepped(main)
    steps = [count for i, count in enumerate(ready) if i == 0 or count != ready[i - 1]]
    assert steps == sorted(steps)
    assert {2, 4, 6, 8} <= {*steps}, f"pairs ready, minute by minute: {ready}"
