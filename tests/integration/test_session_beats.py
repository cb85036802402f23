"""What a session does at a beat and at a close when the exchange answers late, or not about one pair."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from session_kit import Stage, live, trader

from tests.unit.execution.test_risk import candidate
from trader.bootstrap.paths import Paths
from trader.domain.market import MINUTE
from trader.execution.close import Waiting
from trader.simulation.loops import run_stepped
from trader.strategy.modes import parameters

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A small demo; its session follows no pair, for there is no history."""
    stage = Stage.of(1)
    stage.world.save(Paths(tmp_path).make().world)
    return stage


def test_a_deferred_entry_is_not_decided_anew_while_a_close_is_being_decided(stage: Stage, tmp_path: Path) -> None:
    """Both review an account as it was before they asked for tickers: at the same time they would spend the same money twice."""
    seen: list[tuple[str, bool]] = []

    async def main() -> None:
        async with trader(stage, Paths(tmp_path)) as world:
            session, clock, start = world.session, world.clock, stage.world.epoch_us
            closing, waiting = session.closing, {"A/EUR": Waiting(decision=candidate().decision)}
            running = asyncio.create_task(live(session, clock, start + 16 * MINUTE), name="session")
            async with session._closing:  # as `_close` holds it, while the exchange is slow to answer
                closing._waiting = dict(waiting)
                await clock.sleep_until(start + 7 * MINUTE)
                seen.append(("a close under way", bool(closing._waiting)))
            await clock.sleep_until(start + 8 * MINUTE)
            seen.append(("after it", bool(closing._waiting)))
            assert (await running).beats >= 3, "the session beat on"

    run_stepped(main)
    assert seen == [("a close under way", True), ("after it", False)]


def test_a_pair_whose_book_is_gone_is_refused_alone(stage: Stage, tmp_path: Path) -> None:
    async def main() -> None:
        async with trader(stage, Paths(tmp_path)) as world:
            closing = world.session.closing
            listed = sorted(closing.w.instruments)[0]
            closing.w = replace(closing.w, parameters=parameters("viable", "sniper", "DEFAULT"))
            gates = await closing._gates([listed, "GONE/EUR"])
            assert set(gates) == {listed} and gates[listed].ask_depth, "the other pair's gate is as it was"

    run_stepped(main)
