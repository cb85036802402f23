"""Runs every benchmark there is and, with --check, compares its figures with goals.toml.

    python -m benchmarks.run_all [--quick] [--check]

stdout: the figures as JSON lines; stderr: everything else, and the verdicts. Exit code 1 on a miss, on a figure that is
missing, or when a benchmark fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
MODULES = ("kernel", "optimizer", "beat", "history", "ledger", "verdict", "simulation", "prefect_beat")
KEYS = ["name", "value", "unit", "ratio_to", "ratio"]
GOAL_KEYS = {"module", "ratio", "value", "at_least", "quick"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_all", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true", help="compare with goals.toml")
    arguments = parser.parse_args()
    figures: dict[str, Mapping[str, Any]] = {}
    problems: list[str] = []
    for module in MODULES:
        begin = time.monotonic()
        problems += run(module, ["--quick"] if arguments.quick else [], figures)
        print(f"{module}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    if arguments.check:
        problems += misses(tomllib.loads((FOLDER / "goals.toml").read_text()), figures, quick=arguments.quick)
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    if not problems:
        print(f"{len(figures)} figures, {'all goals met' if arguments.check else 'no benchmark failed'}", file=sys.stderr)
    return 1 if problems else 0


def run(module: str, more: Sequence[str], figures: dict[str, Mapping[str, Any]]) -> list[str]:
    """Run one benchmark, print and collect its figures; what was wrong with it."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *more], cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False
    )
    problems = [f"{module}: exit code {done.returncode}"] if done.returncode else []
    for line in done.stdout.splitlines():
        try:
            figure = json.loads(line)
        except json.JSONDecodeError:
            figure = None
        if not isinstance(figure, dict) or list(figure) != KEYS or figure["name"] in figures:
            problems.append(f"{module}: not a figure of its own: {line[:120]}")
            continue
        figures[figure["name"]] = figure
        print(line, flush=True)
    return problems


def misses(goals: Mapping[str, Mapping[str, Any]], figures: Mapping[str, Mapping[str, Any]], *, quick: bool = False) -> list[str]:
    """What is above its goal, or missing. `ratio` and `value` are upper bounds, `at_least` is a lower bound of the value.

    `quick`: the figures are of a small size, for which a goal may name its own bound, of what else is bounded, under that name.
    """
    found: list[str] = []
    for name, goal in goals.items():
        if unknown := sorted(set(goal) - GOAL_KEYS):
            found.append(f"{name}: goals.toml: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(GOAL_KEYS))}")
            continue
        figure = figures.get(name)
        if figure is None:
            found.append(f"{name}: missing (module {goal.get('module', '?')})")
            continue
        bounded = "at_least" if "at_least" in goal else "ratio"
        bounds = goal | {bounded: goal["quick"]} if quick and "quick" in goal else goal
        for key, seen in (("ratio", figure["ratio"]), ("value", figure["value"]), ("at_least", figure["value"])):
            if key in bounds and not _meets(key, seen, bounds[key]):
                found.append(
                    f"{name}: {'value' if key == 'at_least' else key} {seen}, goal {'>=' if key == 'at_least' else '<='} {bounds[key]}"
                )
    return found


def _meets(key: str, seen: float | None, goal: float) -> bool:
    if seen is None:
        return False
    return seen >= goal if key == "at_least" else seen <= goal


if __name__ == "__main__":
    sys.exit(main())
