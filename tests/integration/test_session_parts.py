"""A whole session whose entries fill in parts: each fill opens a stop of its own, and the stops always cover exactly what is held."""

from __future__ import annotations

import asyncio
import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest
from session_kit import HOUR, Stage, Trader, fetch_history, live, state_dir, trader

from trader.domain.market import MINUTE
from trader.simulation.loops import run_stepped

pytestmark = pytest.mark.slow

SEED = 1  # enters twenty minutes after its liveliest hour begins
BARE_US = 5_000_000


def coverage(world: Trader) -> dict[str, tuple[Decimal, Decimal]]:
    """Pair -> (coins of ours, what live stops cover), from the exchange's own books."""
    exchange = world.twin.exchange
    held = exchange.protection_report(world.clock.now_us()).positions
    stops = [order for order in exchange.open_orders() if order.side == "sell" and order.ordertype == "stop-loss"]
    return {pair: (quantity, sum((o.remaining for o in stops if o.pair == pair), Decimal(0))) for pair, quantity in held.items()}


def test_stops_of_parts_cover_exactly_what_is_held_all_the_time(tmp_path: Path) -> None:
    stage = Stage.of(SEED)
    paths = state_dir(stage, tmp_path / "run", fetch_history(stage, tmp_path / "history"))
    seen: list[tuple[Decimal, Decimal]] = []

    async def watch(world: Trader) -> None:
        """Ten seconds after each minute, when what the minute brought is settled."""
        while True:
            await world.clock.sleep_until((world.clock.now_us() // MINUTE + 1) * MINUTE + 10_000_000)
            seen.extend(coverage(world).values())

    async def main() -> None:
        clock_end = stage.world.epoch_us + HOUR
        async with trader(stage, paths) as world:
            world.twin.exchange.fills = dataclasses.replace(world.twin.exchange.fills, share=Decimal("0.7"), trades=3)
            watching = asyncio.create_task(watch(world), name="watch")
            await live(world.session, world.clock, clock_end)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            entries = [order for order in world.twin.exchange.state.orders.values() if order.side == "buy" and order.executed]
            assert len(entries) >= 3, "the session entered"
            assert all(len(entry.trades) == len(entry.closes) == 3 for entry in entries), "each in three parts with three stops"
            assert world.twin.protection_report().max_unprotected_us <= BARE_US

    run_stepped(main)
    assert len(seen) >= 60, "a minute of a position counts once"
    assert [pair for pair in seen if pair[0] != pair[1]] == []
