"""A demo that the AI twin confirmed, played again from its cassette: the same verdicts at the same moments, trade by trade.

    python -m tests.campaigns.cassette [--edition full|small] [--planted] [--json]

Each case plays one demo over both twins in veto mode, under a plan in which the AI twin now and then is slow, hangs or fails. Its
verdict store becomes a cassette file; from that file alone the session is played in process, and over the Kraken twin. Compared are all
fields of every exit leg and, of every candidate, its values, its ruling and the verdict behind it. Exit code 1 on a difference and below
the edition's counts. `--planted` turns one verdict on the cassette that let an entry pass: the campaign must turn red.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.session_kit import Stage
from trader.bootstrap.cassettes import Tape
from trader.bootstrap.replay import Replayed, demo_session, verify
from trader.bootstrap.stand_ins import Plans
from trader.bootstrap.world import World
from trader.config import Settings
from trader.gemini.cassette import Cassette, Heard
from trader.gemini.cassette import load as load_cassette
from trader.gemini.replay import Miss
from trader.research.parity import Comparison, compare, first_diverging
from trader.simulation.faults import FaultPlan
from trader.simulation.gemini_faults import gemini_plan

TROUBLE = """
[[fault]]
where = "decisions"
action = "503"
nth = [3, 4, 5]
[[fault]]
where = "decisions"
action = "slow"
arg = 1.0
p = 0.1
[[fault]]
where = "decisions"
action = "hang"
p = 0.1
[[fault]]
where = "decisions"
action = "503"
p = 0.1
[[fault]]
where = "decisions"
action = "nan"
p = 0.1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Demos by seed, how long each is, and how much must have been compared: exit legs, and rulings of each kind."""

    seeds: tuple[int, ...]
    minutes: int
    legs: int
    rulings: dict[str, int]


EDITIONS = {
    "full": Edition(seeds=(3, 5, 7, 11, 13, 17), minutes=1_440, legs=30, rulings={"allow": 20, "veto": 5, "defer": 5}),
    "small": Edition(seeds=(3,), minutes=360, legs=3, rulings={"allow": 4, "defer": 1}),
}


@dataclass(slots=True, kw_only=True)
class Totals:
    """What was compared so far."""

    legs: int = 0
    candidates: int = 0
    differing: int = 0
    rulings: Counter[str] = field(default_factory=Counter)

    def take(self, told: Replayed, found: list[Comparison], causes: list[str]) -> None:
        """Add a case: the demo's side, and how each replay compares."""
        self.legs += len(told.lines)
        self.candidates += len(told.heard)
        self.differing += sum(len(one.differences) for one in found) + sum(not cause.startswith("none:") for cause in causes)
        self.rulings.update(told.summary.verdicts)

    def lacks(self, least: Edition) -> list[str]:
        """Counts that are too small to prove anything."""
        found = [f"{self.legs} exit legs of {least.legs}"] if self.legs < least.legs else []
        return found + [f"{self.rulings[name]} {name} of {count}" for name, count in least.rulings.items() if self.rulings[name] < count]


def stages(edition: Edition) -> Iterator[tuple[Settings, World]]:
    """Settings and world of each case: eight pairs before their first signal, the AI in veto mode."""
    for seed in edition.seeds:
        stage = Stage.of(seed)
        ai = stage.settings.ai.model_copy(update={"mode": "veto"})
        yield stage.settings.model_copy(update={"ai": ai}), stage.world


def recorded(settings: Settings, world: World, minutes: int, file: Path) -> tuple[Replayed, Cassette]:
    """A demo with the AI twin, and its cassette as it comes back from the file."""
    plans = Plans(kraken=FaultPlan(seed=world.seed), gemini=gemini_plan(TROUBLE, seed=world.seed))
    demo = demo_session(settings, world, minutes=minutes, plans=plans)
    assert demo.tape is not None
    demo.tape.save(file)
    return demo, load_cassette(file)


def turned(cassette: Cassette, demo: Replayed) -> Cassette:
    """The cassette with the other answer to the first question that let an entry pass."""
    verdict = next(one.values["verdict_id"] for one in demo.heard if one.values["final"] == "ENTER" and one.values.get("verdict_id"))
    call_id, _, name = str(verdict).partition("-")
    return replace(cassette, calls=tuple(_turned(call, name) if call.call_id == call_id else call for call in cassette.calls))


def _turned(call: Heard, name: str) -> Heard:
    reply = json.loads(call.reply)
    reply["answers"][name] |= {"noul": 0.97, "confidence": 0.97}
    return replace(call, reply=json.dumps(reply).encode())


def run(settings: Settings, world: World, minutes: int, totals: Totals, *, planted: bool) -> dict[str, Any]:
    """Record one demo and play it again both ways; returns its line."""
    with tempfile.TemporaryDirectory(prefix="trader-cassette-") as folder:
        demo, cassette = recorded(settings, world, minutes, Path(folder) / "cassette.jsonl")
    tape = Tape(cassette=turned(cassette, demo), miss=Miss.ABSTAIN) if planted else Tape(cassette=cassette)
    replayed, again, _ = verify(settings, world, minutes=minutes, tape=tape)
    sides = {"replay": replayed, "demo": again}
    found = {name: compare(side.lines, demo.lines) for name, side in sides.items()}
    causes = {name: first_diverging(side.heard, demo.heard) for name, side in sides.items()}
    totals.take(demo, list(found.values()), list(causes.values()))
    return {
        "seed": world.seed, "cassette": tape.cassette.sha256, "calls": len(cassette.calls), "rulings": dict(demo.summary.verdicts),
        **{name: one.as_dict() | {"inputs": causes[name]} for name, one in found.items()},
        "cpu_s": {"recorded": demo.cpu_s} | {name: side.cpu_s for name, side in sides.items()},
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.cassette", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edition", choices=tuple(EDITIONS), default="full")
    parser.add_argument("--planted", action="store_true", help="turn one verdict on each cassette: must turn red")
    parser.add_argument("--json", action="store_true", help="JSON lines only")
    asked = parser.parse_args(arguments)
    edition, totals = EDITIONS[asked.edition], Totals()
    for settings, world in stages(edition):
        print(json.dumps(run(settings, world, edition.minutes, totals, planted=asked.planted)), flush=True)
    lacking = totals.lacks(edition)
    said = {
        "legs": totals.legs, "candidates": totals.candidates, "differing": totals.differing,
        "rulings": dict(sorted(totals.rulings.items())), "lacking": lacking,
    }  # fmt: skip
    print(json.dumps({"total": said}) if asked.json else _words(said))
    return 1 if totals.differing or lacking else 0


def _words(said: dict[str, Any]) -> str:
    rulings = ", ".join(f"{count} {name}" for name, count in said["rulings"].items())
    lacking = f"; too little to prove anything: {', '.join(said['lacking'])}" if said["lacking"] else ""
    return (
        f"{said['legs']} exit legs and {said['candidates']} candidates ({rulings}) compared twice, {said['differing']} differences{lacking}"
    )


if __name__ == "__main__":
    sys.exit(main())
