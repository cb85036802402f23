"""A small installation whose exchange has lived from one evening into the next day: what a night looks back on."""

from __future__ import annotations

from pathlib import Path

from trader.bootstrap.demo import play
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import read_plans, world_of
from trader.config import Settings, load
from trader.simulation.loops import run_stepped

DAY, DAY_US = "2026-01-06", 1_767_657_600_000_000


def lived(state: Path, *, evening: str = "2026-01-05T23:30:00Z", hours: int = 6, pairs: int = 12, seed: int = 7) -> Settings:
    """Play `hours` from the evening on, over the twins with the AI's stand-in; the settings it was played with."""
    flags = {"state_dir": str(state), "market.epoch": evening, "market.pairs": pairs, "universe": pairs, "market.seed": seed}
    settings = load(flags, environ={})
    paths, world = Paths(settings.state).make(), world_of(settings)
    world.save(paths.world)
    plans = read_plans(None, world.seed)
    run_stepped(lambda: play(settings, world, paths, plans, minutes=60 * hours))
    return settings
