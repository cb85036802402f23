"""`python -m tests.kill --point NAME --seed S [--occurrence N]`: one real SIGKILL, judged; exit 1 when something is wrong.

`--point all`: every point at its first and second hit, each in two fresh directories whose journals must be equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.kill.points import POINTS
from tests.kill.run import run_kill
from tests.session_kit import Stage, fetch_history

ALL = "all"
OCCURRENCES = (1, 2)


def main() -> int:
    """Parse, run, print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--point", required=True, choices=[ALL, *sorted(POINTS)])
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--occurrence", type=int, default=1, help="which hit of the point kills, in the life it is armed in")
    parser.add_argument("--hours", type=float, default=4.0, help="simulated hours in all")
    parser.add_argument("--keep", type=Path, help="leave the state directories here")
    parser.add_argument("--history", type=Path, help="candles of this seed that were fetched before")
    words = parser.parse_args()
    if words.occurrence < 1 or words.seed < 0 or not 0 < words.hours <= 48:
        parser.error("--occurrence is 1 or more, --seed 0 or more, --hours above 0 and at most 48")
    if words.point == ALL:
        return _all(words.seed, words.hours)
    outcome = run_kill(words.point, words.seed, occurrence=words.occurrence, hours=words.hours, keep=words.keep, history=words.history)
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["ok"] else 1


def _all(seed: int, hours: float) -> int:
    with tempfile.TemporaryDirectory(prefix="trader-kills-") as scratch:
        history = fetch_history(Stage.of(seed), Path(scratch) / "history")

        def play(point: str, occurrence: int) -> dict[str, Any]:
            return run_kill(point, seed, occurrence=occurrence, hours=hours, history=history)

        report = campaign(POINTS, play)
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


def campaign(points: Iterable[str], play: Callable[[str, int], dict[str, Any]]) -> dict[str, Any]:
    """Every point at each of `OCCURRENCES`: what failed, and what was not reached in the time given. A point that never killed fails."""
    failed: dict[str, list[str]] = {}
    unreached: list[str] = []
    killed: dict[str, int] = {}
    for point in points:
        for occurrence in OCCURRENCES:
            name = f"{point} {occurrence}"
            try:
                outcome = play(point, occurrence)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failed[name] = [f"{type(error).__name__}: {str(error)[:300]}"]
                continue
            wrong = [check for check, good in outcome["checks"].items() if not good and (outcome["killed"] or check != "killed")]
            if wrong:
                failed[name] = wrong
            if outcome["killed"]:
                killed[point] = killed.get(point, 0) + 1
            else:
                unreached.append(name)
            print(f"{name}: {'FAILED ' + ', '.join(wrong) if wrong else 'ok' if outcome['killed'] else 'not reached'}", file=sys.stderr)
    never = [point for point in points if point not in killed]
    return {
        "ok": not failed and not never, "kills": sum(killed.values()), "points": len(killed), "failed": failed, "unreached": unreached,
        "never_killed": never,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
