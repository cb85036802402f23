"""Real SIGKILLs, judged: `python -m tests.kill --point NAME --seed S [--when first|second|recovering]`; exit 1 when one is wrong.

`--point all`: the campaign (tests.kill.campaign): every point in every edition, lines of the journal drawn from the seed, the first so
many once more with equal journals, and what only the machine's own time can show.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.amounts import above, whole
from tests.chaos.kills import FIRST, SECOND, WHEN
from tests.kill.campaign import Size, campaign
from tests.kill.points import POINTS, Kill
from tests.kill.run import run_kill

ALL = "all"


def main() -> int:
    """Parse, run, print one JSON object."""
    words = _parser().parse_args()
    if words.point == ALL and not words.line:
        size = Size(kills=words.kills, points=words.points, repeat=words.repeat, wall=words.wall, hours=words.hours)
        outcome = campaign(words.seed, size, jobs=words.jobs)
    else:
        outcome = _one(words)
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["ok"] else 1


def _one(words: argparse.Namespace) -> dict[str, Any]:
    kill = Kill(line=words.line) if words.line else Kill(point=words.point, when=SECOND if words.occurrence == 2 else words.when)
    return run_kill(kill, words.seed, hours=words.hours, keep=words.keep, history=words.history)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--point", default=ALL, choices=[ALL, *sorted(POINTS)])
    parser.add_argument("--line", type=whole(0), default=0, help="instead of a point: the line of the journal at which it dies")
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--when", choices=WHEN, default=FIRST, help="at the first hit, the second, or while it recovers from a death")
    parser.add_argument("--occurrence", type=int, choices=(1, 2), default=1, help="2: the same as --when second")
    parser.add_argument("--hours", type=above(), default=1.0, help="simulated hours in all (default 1)")
    parser.add_argument("--keep", type=Path, help="leave the state directories here")
    parser.add_argument("--history", type=Path, help="candles of this seed that were fetched before")
    parser.add_argument("--kills", type=whole(), default=300, help="all: how many, numbered ones first, then lines of the journal")
    parser.add_argument("--points", type=whole(), default=len(POINTS), help="all: how many of the numbered points, spread over their order")
    parser.add_argument("--repeat", type=whole(0), default=20, help="all: so many are played twice, with equal journals")
    parser.add_argument("--wall", type=whole(0), default=10, help="all: so many more in the machine's own time, with its other stories")
    parser.add_argument("--jobs", type=whole(), default=os.cpu_count() or 1, help="all: how many at a time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
