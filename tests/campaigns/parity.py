"""One decision path: the compiled kernel against the session, trade by trade, every field of every exit leg.

    python -m tests.campaigns.parity replay|demo [--edition full|small] [--strategies MODE/VARIATION ...] [--planted] [--json]

`replay`: kernel and the session in process, over recorded and generated candles. `demo`: kernel, the session in process, and the
session over the twin. Exit code 1 on any differing field, and below the edition's counts (parity_legs.py), so that an empty
comparison never passes. `--planted` slips the kernel's fills a little more than the session's: the campaign must turn red. Only the
default state of the twin takes part: no faults, AI off.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaigns.parity_legs import ALL, EDITIONS, Least, Leg
from trader.bootstrap.kernel_run import KernelRun, kernel_session
from trader.bootstrap.replay import Replayed, demo_session, replay_session
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.domain.market import MINUTE
from trader.domain.messages import stamp
from trader.research.parity import Comparison, compare
from trader.simulation.market import Market

PLANTED = {"costs.slippage_fraction": 0.0006}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One strategy on one leg: its settings, world and the moment up to which exits are compared."""

    leg: Leg
    strategy: str
    settings: Settings
    world: World
    market: Market
    planted: Mapping[str, Any]

    @property
    def minutes(self) -> int:
        return int(self.leg.days * 1_440)

    @property
    def end_us(self) -> int:
        return self.world.epoch_us + self.minutes * MINUTE

    def kernel(self) -> KernelRun:
        """The kernel's side; with the planted difference where one is asked for."""
        settings = flagged(self.leg, self.strategy, self.planted)
        return kernel_session(settings, self.world, end_us=self.end_us, short=self.leg.short, market=self.market)

    def replay(self) -> Replayed:
        """The session in process."""
        return replay_session(self.settings, self.world, minutes=self.minutes, short=self.leg.short, market=self.market)

    def demo(self) -> Replayed:
        """The session over the twin."""
        return demo_session(self.settings, self.world, minutes=self.minutes)

    def closed(self, lines: Sequence[str]) -> list[str]:
        """Legs that closed before the end: the bar in which a session is told to stop is nobody's."""
        return [line for line in lines if line.split(" ")[3] < stamp(self.end_us)]


@dataclass(slots=True, kw_only=True)
class Totals:
    """What was compared so far; `trades` by strategy, `reasons` by exit reason (all ratchet levels as one)."""

    legs: int = 0
    differing: int = 0
    contested: int = 0
    trades: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def take(self, strategy: str, lines: Sequence[str], contested: int, found: Sequence[Comparison]) -> None:
        """Add one case; `lines` are the session's."""
        words = [line.split(" ") for line in lines]
        self.legs += len(lines)
        self.contested += contested
        self.differing += sum(len(one.differences) for one in found)
        self.trades[strategy] += len({tuple(word[:3]) for word in words})
        self.reasons.update("RATCHET" if word[8].startswith("RATCHET") else word[8] for word in words)

    def lacks(self, least: Least) -> list[str]:
        """Counts that are too small to prove anything, in words."""
        found = [f"{self.trades.total()} trades of {least.trades}"] if self.trades.total() < least.trades else []
        found += [
            f"{self.reasons[reason]} exits {reason} of {least.reason}" for reason in least.reasons if self.reasons[reason] < least.reason
        ]
        if self.contested < least.contested:
            found.append(f"{self.contested} candles with stop and target of {least.contested}")
        return found

    def proves(self, least: Least) -> bool:
        """Whether nothing differed in enough."""
        return not self.differing and not self.lacks(least)

    def as_dict(self, least: Least, strategies: Sequence[str]) -> dict[str, Any]:
        """The sum, JSON-ready."""
        return {
            "trades": self.trades.total(), "legs": self.legs, "different_fields": self.differing, "by_strategy": dict(self.trades),
            "silent": [name for name in strategies if self.trades[name] < least.strategy], "reasons": dict(sorted(self.reasons.items())),
            "contested_candles": self.contested, "lacking": self.lacks(least),
        }  # fmt: skip


def flagged(leg: Leg, strategy: str, more: Mapping[str, Any]) -> Settings:
    """A strategy's settings on a leg."""
    mode, variation = strategy.split("/")
    return load({"ai.mode": "off", "mode": mode, "variation": variation} | leg.settings | more, environ={})


def cases(legs: Sequence[Leg], strategies: Sequence[str], planted: Mapping[str, Any], folder: Path) -> Iterator[Case]:
    """Every strategy on every leg; a leg's market is built once."""
    for leg in legs:
        file, market = leg.file(folder), None
        for strategy in (name for name in leg.strategies if name in strategies):
            settings = flagged(leg, strategy, {})
            world = world_of(settings, replay=file, start=leg.start)
            market = market or world.market()
            yield Case(leg=leg, strategy=strategy, settings=settings, world=world, market=market, planted=planted)


def run(case: Case, against: str, totals: Totals, replayed: Replayed | None = None) -> dict[str, Any]:
    """Compare one case and count it; returns its line. `replayed`: where the session was played before."""
    kernel, replayed = case.kernel(), replayed or case.replay()
    mine, theirs = case.closed(kernel.lines), case.closed(replayed.lines)
    found = {"kernel=replay": compare(mine, theirs)}
    cpu = {"kernel": kernel.cpu_s, "replay": replayed.cpu_s}
    if against == "demo":
        demo = case.demo()
        theirs = case.closed(demo.lines)
        found |= {"kernel=demo": compare(mine, theirs), "replay=demo": compare(case.closed(replayed.lines), theirs)}
        cpu["demo"] = demo.cpu_s
    totals.take(case.strategy, theirs, kernel.found.contested, list(found.values()))
    return {
        "leg": case.leg.name, "strategy": case.strategy, "warmup": "short" if case.leg.short else "exact", "pairs": kernel.pairs,
        "left_out": kernel.left_out, **{name: one.as_dict() for name, one in found.items()}, "contested_candles": kernel.found.contested,
        "refusals": dict(kernel.found.refusals), "cpu_s": cpu,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.parity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("against", choices=("replay", "demo"))
    parser.add_argument("--edition", choices=("full", "small"), default="full")
    parser.add_argument("--strategies", nargs="+", default=list(ALL), choices=ALL, metavar="MODE/VARIATION")
    parser.add_argument("--legs", nargs="+", help="only these, by name; the counts stay the edition's")
    parser.add_argument("--planted", action="store_true", help="slip the kernel's fills more: must turn red")
    parser.add_argument("--json", action="store_true", help="JSON lines only")
    asked = parser.parse_args(arguments)
    legs, least = EDITIONS[asked.against, asked.edition]
    totals = Totals()
    chosen = [leg for leg in legs if not asked.legs or leg.name in asked.legs]
    with tempfile.TemporaryDirectory(prefix="trader-parity-") as folder:
        for case in cases(chosen, asked.strategies, PLANTED if asked.planted else {}, Path(folder)):
            print(json.dumps(run(case, asked.against, totals)), flush=True)
    played = [name for name in asked.strategies if any(name in leg.strategies for leg in chosen)]
    said = totals.as_dict(least, played)
    print(json.dumps({"total": said}) if asked.json else _words(said))
    return 0 if totals.proves(least) else 1


def _words(said: Mapping[str, Any]) -> str:
    silent = f"; silent: {', '.join(said['silent'])}" if said["silent"] else ""
    lacking = f"; too little to prove anything: {', '.join(said['lacking'])}" if said["lacking"] else ""
    return f"{said['trades']} trades in {said['legs']} legs compared, {said['different_fields']} differing fields{silent}{lacking}"


if __name__ == "__main__":
    sys.exit(main())
