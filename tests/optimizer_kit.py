"""A state directory whose history holds a small world: one with an edge that the optimizer finds, or one of noise."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.noise import World, made
from benchmarks.worlds import candles_of, stored
from trader.data.ledger import SqlLedger

EDGE = World(seed=1, number=0, days=56, pairs=10, edge=0.9)
NOISE = World(seed=1, number=1, days=56, pairs=6)


@cache
def _history(world: World) -> tuple[Path, str]:
    """The world's history, made once a process, and the strategy in use there."""
    folder = Path(tempfile.mkdtemp(prefix="trader-world-"))
    atexit.register(shutil.rmtree, folder, True)
    _, current, shape = made(world)
    stored(candles_of(shape), folder)
    return folder / "history", current


def state_with(world: World, state: Path) -> dict[str, str]:
    """Put the world's history and an empty ledger into `state`; the variables under which its strategy is in use there."""
    history, current = _history(world)
    shutil.copytree(history, state / "history")
    SqlLedger(state / "ledger.sqlite", account="demo").close()
    _, mode, variation = current.split("/")
    return {
        "TRADER_STATE_DIR": str(state), "TRADER_MODE": mode, "TRADER_VARIATION": variation, "TRADER_OPTIMIZER__WARMUP": "short",
        "TRADER_AI__MODE": "off",
    }  # fmt: skip
