"""A state directory whose history holds a small world: one with an edge that the optimizer finds, or one of noise."""

from __future__ import annotations

from pathlib import Path

from benchmarks.noise import World, made
from benchmarks.worlds import candles_of, stored
from trader.data.ledger import SqlLedger

EDGE = World(seed=1, number=0, days=56, pairs=10, edge=0.9)
NOISE = World(seed=1, number=1, days=56, pairs=6)


def state_with(world: World, state: Path) -> dict[str, str]:
    """Make history and an empty ledger in `state`; the variables under which the world's strategy is in use there."""
    _, current, shape = made(world)
    stored(candles_of(shape), state)
    SqlLedger(state / "ledger.sqlite", account="demo").close()
    _, mode, variation = current.split("/")
    return {
        "TRADER_STATE_DIR": str(state), "TRADER_MODE": mode, "TRADER_VARIATION": variation, "TRADER_OPTIMIZER__WARMUP": "short",
        "TRADER_AI__MODE": "off",
    }  # fmt: skip
