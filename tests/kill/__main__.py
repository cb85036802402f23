"""`python -m tests.kill --point NAME --seed S [--occurrence N]`: one real SIGKILL, judged; exit 1 when something is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.kill.points import POINTS
from tests.kill.run import run_kill


def main() -> int:
    """Parse, run, print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--point", required=True, choices=sorted(POINTS))
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--occurrence", type=int, default=1, help="which hit of the point kills, in the life it is armed in")
    parser.add_argument("--hours", type=float, default=4.0, help="simulated hours in all")
    parser.add_argument("--keep", type=Path, help="leave the state directories here")
    parser.add_argument("--history", type=Path, help="candles of this seed that were fetched before")
    words = parser.parse_args()
    if words.occurrence < 1 or words.seed < 0 or not 0 < words.hours <= 48:
        parser.error("--occurrence is 1 or more, --seed 0 or more, --hours above 0 and at most 48")
    outcome = run_kill(words.point, words.seed, occurrence=words.occurrence, hours=words.hours, keep=words.keep, history=words.history)
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
