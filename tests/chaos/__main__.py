"""Chaos on the whole trader: `python -m tests.chaos --seeds N --days D --faults all|IDS --json`.

Plays the real session, adapter, ledger and AI gate against the exchange's twin on a simulated clock, with faults drawn from the
seed, and judges the twenty invariants afterwards. Exit code 1 where one broke, or where a fault that was asked for never met a
pending order, stop or fill.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from tests.amounts import above, whole
from tests.chaos.campaign import Result, Task, in_processes, play_all, report
from tests.chaos.catalogue import Row, chosen
from tests.chaos.kills import POINTS, WHEN, kill_task, kills_report
from trader.domain.market import DAY


def main(words: list[str] | None = None) -> int:
    """Run the campaign that the words describe and print its report."""
    given = _parser().parse_args(words)
    try:
        rows = () if given.faults == "none" else _rows("--faults", given.faults)
        only = _rows("--only", given.only) if given.only else ()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    fault_us = int(given.days * DAY)
    if given.kills:
        return _kills(given.first, given.jobs)
    seeds = range(given.first, given.first + given.seeds)
    tasks = [
        Task(
            seed=seed, fault_us=fault_us, ids=tuple(row.id for row in rows), transport=given.transport, pairs=given.pairs,
            twice=seed - given.first < given.twice, both=seed - given.first < given.both, shrink=not given.no_shrink,
            only=tuple(row.id for row in only),
        )
        for seed in seeds
    ]  # fmt: skip
    results = play_all(tasks, given.jobs, _tell)
    outcome = report(results, only or rows, fault_us=fault_us)
    print(json.dumps(outcome, indent=1) if given.json else _table(outcome))
    return 0 if outcome["ok"] else 1


def _rows(option: str, words: str) -> tuple[Row, ...]:
    """The rows that an option names. Raises ValueError that names the option and what it was given."""
    try:
        return chosen([name for name in words.split(",") if name])
    except ValueError as error:
        raise ValueError(f"{option} {words!r}: {error}") from error


def _kills(first: int, jobs: int) -> int:
    """Every kill point at its first hit, its second, and during a recovery."""
    tasks = [(name, when, first) for name, point in POINTS.items() if not point.unreached for when in WHEN]
    points: dict[str, dict[str, list[str]]] = {name: {} for name in POINTS}
    for (name, when, _), problems in zip(tasks, in_processes(kill_task, tasks, jobs), strict=True):
        points[name][when] = problems
        print(f"{name} {when}: {'; '.join(problems) or 'ok'}", file=sys.stderr, flush=True)
    outcome = kills_report(points)
    print(json.dumps(outcome, indent=1))
    return 0 if outcome["ok"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=whole(), default=10, help="how many seeds (default 10)")
    parser.add_argument("--first", type=whole(), default=1, help="the first seed (default 1)")
    parser.add_argument("--days", type=above(), default=0.25, help="simulated days of faults each (default 0.25)")
    parser.add_argument("--faults", default="all", help="all, none for no fault, or ids of the catalogue with commas: H2,K4,W3")
    parser.add_argument("--only", default="", help="of each seed's plan, what these rows do: a failing seed's smallest plan again")
    parser.add_argument("--transport", choices=("direct", "wire"), default="direct")
    parser.add_argument("--pairs", type=whole(), default=8)
    parser.add_argument("--jobs", type=whole(), default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--twice", type=whole(0), default=0, help="play the first so many seeds twice and compare journals and books")
    parser.add_argument("--both", type=whole(0), default=0, help="play the first so many seeds over both transports and compare")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for the smallest plan that fails")
    parser.add_argument("--kills", action="store_true", help="instead: every kill point, first, second and during a recovery")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout (--kills prints no other)")
    return parser


def _tell(result: Result) -> None:
    state = "ok" if not result.problems else f"FAILED {', '.join(result.problems)}"
    print(
        f"seed {result.seed}: {state}; {sum(result.delivered.values())} faults under pending work, {result.deaths} deaths", file=sys.stderr
    )
    for name, found in result.problems.items():
        print(f"  {name}: {found[0]}", file=sys.stderr)
    for line in result.smallest:
        print(f"  smallest plan: {line}", file=sys.stderr)


def _table(outcome: dict[str, object]) -> str:
    faults: dict[str, dict[str, object]] = outcome["faults"]  # type: ignore[assignment]
    lines = [f"{name:4} {fault['under_pending']:>6}  seed {fault['seed']!s:>4}  {fault['what']}" for name, fault in faults.items()]
    lines += [f"{name:4} not injected here: {why}" for name, why in outcome["not_injectable"].items()]  # type: ignore[attr-defined]
    words = ("seeds", "days_each", "violations", "deaths", "beats", "beats_per_cpu_s", "never_delivered", "without_fills", "compared")
    return "\n".join([*lines, *(f"{word}: {outcome[word]}" for word in words), "ok" if outcome["ok"] else "NOT OK"])


if __name__ == "__main__":
    sys.exit(main())
