"""Three hundred real kills and what they came to: nothing lost, nothing doubled, stops in time, the ledger the exchange's own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kill.points import POINTS, UNREACHED, Kill, editions
from tests.kill.run import run_kill
from tests.kill.wall import stories
from tests.session_kit import Stage, fetch_history
from trader.simulation.exchange_orders import unit_hash

Play = Callable[[Kill, bool], dict[str, Any]]
LOST = ("verify_fills_match", "verify_orders_known", "verify_outcomes_proved")
EQUAL = ("verify_ledger_sound", "verify_balances_match", "verify_no_foreign_activity", "verify_no_oversell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is played: `kills` in all, of which the editions of so many `points` come first; `wall`: more in the machine's time."""

    kills: int = 300
    points: int = len(POINTS)
    repeat: int = 20
    wall: int = 10
    hours: float = 1.0


def kills(seed: int, size: Size, lines: int) -> list[Kill]:
    """The numbered ones, then lines of the journal of which a calm run has so many, drawn from the seed."""
    names = list(POINTS)
    chosen = [names[place * len(names) // size.points] for place in range(min(size.points, len(names)))]
    numbered = [Kill(point=name, when=when) for name in chosen for when in editions(name)][: size.kills]
    drawn = range(size.kills - len(numbered))
    return numbered + [Kill(line=1 + int(unit_hash(seed, "line", n) * (lines - 1)), kept=n % 2 == 1) for n in drawn]


def campaign(seed: int, size: Size, *, jobs: int) -> dict[str, Any]:
    """Play everything, `jobs` at a time."""
    with tempfile.TemporaryDirectory(prefix="trader-kills-") as scratch:
        history = fetch_history(Stage.of(seed), Path(scratch) / "history")
        calm = run_kill(None, seed, hours=size.hours, history=history, repeat=False)
        if not calm["ok"]:
            return {"ok": False, "calm": calm}
        wanted = kills(seed, size, calm["lines"])

        def play(kill: Kill, repeat: bool) -> dict[str, Any]:
            return run_kill(kill, seed, hours=size.hours, history=history, repeat=repeat)

        report = summary(wanted, played(wanted, play, repeat=size.repeat, jobs=jobs))
        wall = stories(seed, size.wall, history) if size.wall else {"ok": True}
    return report | {"ok": report["ok"] and wall["ok"], "wall": wall, "unreached": UNREACHED}


def played(wanted: Sequence[Kill], play: Play, *, repeat: int, jobs: int) -> Iterator[dict[str, Any]]:
    """What each kill came to, in order; the repeated ones are spread over all."""
    twice = {place * len(wanted) // repeat for place in range(repeat)} if repeat else frozenset[int]()

    def one(place: int) -> dict[str, Any]:
        try:
            return play(wanted[place], place in twice)
        except Exception as error:  # noqa: BLE001 - a story that broke is told as one; the others are still to be played
            return {"killed": False, "broken": f"{type(error).__name__}: {str(error)[-600:]}", "checks": {}}

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, range(len(wanted)))


def summary(wanted: Sequence[Kill], outcomes: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Counts, and whatever was wrong; a kill that never came is wrong, too."""
    rows: list[dict[str, Any]] = []
    failed: dict[str, Any] = {}
    for kill, outcome in zip(wanted, outcomes, strict=True):
        wrong = [outcome["broken"]] if "broken" in outcome else [name for name, good in outcome["checks"].items() if not good]
        if wrong:
            failed[kill.name] = {"wrong": wrong, "problems": outcome.get("problems", {})}
        rows.append(outcome)
        print(f"{kill.name}: {'FAILED ' + ', '.join(wrong) if wrong else 'ok'}", file=sys.stderr, flush=True)
    good = [row for row in rows if "broken" not in row]
    return {
        "ok": not failed, "kills": sum(len(row["deaths"]) for row in good), "stories": len(rows),
        "lost": _wrong(good, LOST), "doubled": _wrong(good, ("not_doubled",)), "late_stops": _wrong(good, ("stop_in_time", "protected")),
        "ledger_differs": _wrong(good, EQUAL), "longest_bare_s": max((row["bare_s"] for row in good), default=0.0),
        "repeated": sum("same_journal" in row["checks"] for row in good),
        "repeated_unequal": _wrong(good, ("same_journal", "same_twin")),
        "compared": {name: sum(row["compared"][name] for row in good) for name in ("fills_match", "orders_known", "balances_match")},
        "failed": failed,
    }  # fmt: skip


def _wrong(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> int:
    return sum(not row["checks"].get(name, True) for row in rows for name in names)
