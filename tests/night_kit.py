"""A small installation whose session has lived from one evening into the next day: what a night looks back on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from trader.bootstrap import wire
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.playback import Doors, Progress, play_session
from trader.bootstrap.stand_ins import HOST, gemini_twin, read_plans
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.data.history import HistoryStore
from trader.data.ingest import judge_staged
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.venue import Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

DAY, DAY_US = "2026-01-06", 1_767_657_600_000_000


def lived(state: Path, *, evening: str = "2026-01-05T22:30:00Z", hours: int = 7, pairs: int = 12, seed: int = 7) -> Settings:
    """Play `hours` from the evening on, straight on the matching engine, with verdicts of the AI's stand-in; its settings."""
    flags = {"state_dir": str(state), "market.epoch": evening, "market.pairs": pairs, "universe": pairs, "market.seed": seed}
    settings = load(flags, environ={})
    live(settings, 60 * hours)
    return settings


def live(settings: Settings, minutes: int, progress: Progress | None = None) -> None:
    """One session of so many minutes from the settings' epoch, on the ledger and the history of their state directory."""
    paths, world = Paths(settings.state).make(), world_of(settings)
    world.save(paths.world)
    run_stepped(lambda: _session(settings, world, paths, minutes, progress))


async def _session(settings: Settings, world: World, paths: Paths, minutes: int, progress: Progress | None) -> None:
    clock, market = LoopClock(world.epoch_us), world.market()
    async with AsyncExitStack() as stack:
        oracle = gemini_twin(world, clock, read_plans(None, world.seed).gemini)
        await oracle.start(HOST, settings.ports.gemini_twin)
        stack.push_async_callback(oracle.close)
        venue = Venue(market, clock, seed=world.seed, tag=tag_of(world.seed), starting_cash=Decimal(world.cash))
        stack.callback(venue.close)
        await venue.run_market(clock.now_us())
        trading = asyncio.create_task(venue.run_market(), name="market")
        stack.callback(trading.cancel)
        store, ledger = HistoryStore(paths.history), wire.open_ledger(paths)
        stack.callback(store.close)
        stack.callback(ledger.close)
        doors = Doors(
            exchange=VenueExchange(venue), market=VenueMarketData(venue), ledger=ledger, store=store, judge=judge_staged, base=market.base,
            quote=market.quote, verdicts=wire.direct_verdicts(settings, wire.Endpoints.loopback(settings), clock, paths, stack),
        )  # fmt: skip
        await play_session(settings, world, clock, doors, minutes=minutes, progress=progress)
