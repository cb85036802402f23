"""The simulated past of a fresh demo: played at full speed beside the state directory, then put into it as a whole.

`python -m trader.bootstrap.past --minutes N`, settings from the environment. It plays into `past.new` there; a killed
one leaves nothing but that folder, which the next start deletes. Progress goes to stdout, one line a step.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from trader.bootstrap.demo import play
from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import read_plans
from trader.bootstrap.world import world_of
from trader.config import Settings, load
from trader.errors import TraderError
from trader.simulation.loops import run_stepped

SCRATCH, DONE = "past.new", "past.json"
PARTS = ("history", "twin", "ai.sqlite", "ledger.sqlite", "ledger.birth", "world.json")
"""What a past leaves, in the order it is moved."""


def wanted(paths: Paths) -> bool:
    """Whether this state directory has no past yet."""
    return not paths.ledger.exists()


def finish(paths: Paths) -> bool:
    """Move a past that was played to its end into the state directory; False where there is none.

    An unfinished one is deleted. A move that was cut off by a kill is gone on with.
    """
    scratch = paths.root / SCRATCH
    if not (scratch / DONE).exists():
        shutil.rmtree(scratch, ignore_errors=True)
        return False
    for part in PARTS:
        for source in sorted(scratch.glob(f"{part}*"), reverse=True):  # a database's own files before it
            target = paths.root / source.name
            if target.is_dir() and not any(target.iterdir()):
                target.rmdir()
            source.replace(target)
    shutil.rmtree(scratch)
    return True


def play_past(settings: Settings, minutes: int) -> int:
    """Play `minutes` and mark them finished; returns the simulated moment (UTC microseconds) it ended at."""
    scratch = Path(settings.state_dir) / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    paths = Paths(scratch).make()
    world = world_of(settings)
    world.save(paths.world)

    async def main() -> int:
        plans = read_plans(None, world.seed)
        outcome = await play(settings, world, paths, plans, minutes=minutes, progress=lambda text: print(text, flush=True))
        return outcome.ended_us

    ended_us = run_stepped(main)
    (scratch / DONE).write_text(json.dumps({"minutes": minutes, "ended_us": ended_us}) + "\n")
    return ended_us


def main() -> int:
    """Entry point; exit code 1 with one sentence for an expected error."""
    parser = argparse.ArgumentParser(prog="python -m trader.bootstrap.past")
    parser.add_argument("--minutes", type=int, required=True)
    minutes = parser.parse_args().minutes
    try:
        play_past(load(), minutes)
    except TraderError as error:
        print(f"simulated past: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
