"""How often a signal meets a verdict that is ready: `python -m benchmarks.readiness [--hours 24] [--replay FILE] [--json]`.

Plays the demo at default settings, with the stand-in behind the real client, for --hours of each market; markets of further seeds are
added until there are --signals signals to judge by. A --replay is one market; without --from it begins 120 days into the file, which
leaves indicators the past they need. Counted are the signals that came to a look-up: ready =
the first look-up of a signal found a verdict it could use. What is not ready is named by its reason.
JSON lines on stdout, with --json one object. Exit code 1 where, of the demo market, fewer than 95 % are ready or a signal takes more
than 20 calls; a replay is only reported. --knob NAME=VALUE changes a setting of `ai`, for the study of the defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.kernel import figure
from tests.amounts import above, whole
from trader.bootstrap.demo import DemoOptions, run_demo
from trader.bootstrap.paths import Paths
from trader.config import load
from trader.data.reader import LedgerReader
from trader.data.verdicts import SqliteVerdictStore
from trader.execution.asking import USED

READY_LEAST, CALLS_MOST, SIGNALS_LEAST = 0.95, 20.0, 50
USD_PER_MILLION = 0.10  # published for Decisions; what a day would cost there
MARKETS_MOST = 10
WARM_UP_DAYS = 120  # 690 candles of 4h are 115


@dataclass(slots=True, kw_only=True)
class Seen:
    """Sums over markets. `lookups`: how the first look-up of each signal ended."""

    hours: float = 0.0
    markets: int = 0
    lookups: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    questions: int = 0
    tokens: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def signals(self) -> int:
        return self.lookups.total()

    def figures(self) -> dict[str, Any]:
        """What is printed; shares and ratios are None where nothing was counted."""
        days, signals = self.hours / 24, self.signals
        return {
            "markets": self.markets, "hours": self.hours, "signals": signals, "ready": self.lookups["HIT"],
            "ready_share": self.lookups["HIT"] / signals if signals else None, "lookups": dict(sorted(self.lookups.items())),
            "calls": self.calls, "calls_per_signal": self.calls / signals if signals else None,
            "outcomes": dict(sorted(self.outcomes.items())),
            "calls_a_day": self.calls / days, "questions_a_day": self.questions / days, "tokens_a_day": self.tokens / days,
            "usd_a_day": self.tokens / days * USD_PER_MILLION / 1e6,
        }  # fmt: skip


def play(seen: Seen, seed: int, asked: argparse.Namespace, state: Path) -> None:
    """One market for the hours asked for; its counts are added."""
    knobs = dict(knob.split("=", 1) for knob in asked.knob)
    flags = {"market.seed": seed, "market.pairs": asked.pairs, "ai.mode": "veto"} | {f"ai.{name}": value for name, value in knobs.items()}
    settings = load(flags, environ={})
    start = asked.start or (None if asked.replay is None else after_warm_up(asked.replay))
    run_demo(settings, DemoOptions(minutes=round(60 * asked.hours), replay=asked.replay, start=start, state=state))
    paths = Paths(state)
    reader, store = LedgerReader(paths.ledger), SqliteVerdictStore(paths.ai, read_only=True)
    try:
        first: dict[str, str] = {}
        for note in reader.events_of((USED,), until_us=2**62):
            for row in note.payload["rows"]:
                first.setdefault(row["decision_id"], row["lookup"])
        spell = store.spell(0, 2**62)
    finally:
        reader.close()
        store.close()
    seen.hours, seen.markets = seen.hours + asked.hours, seen.markets + 1
    seen.lookups.update(first.values())
    seen.outcomes.update(spell.outcomes)
    seen.calls, seen.questions, seen.tokens = seen.calls + spell.calls, seen.questions + spell.questions, seen.tokens + spell.tokens_in


def after_warm_up(file: Path) -> str:
    """The first day of a file of candles that has enough past behind it."""
    first: datetime = pl.scan_parquet(file).select(pl.col("time").min()).collect().item()
    return (first + timedelta(days=WARM_UP_DAYS)).date().isoformat()


def measure(asked: argparse.Namespace) -> Seen:
    """Markets until there are enough signals, at least one."""
    seen = Seen()
    for seed in range(asked.seed, asked.seed + (1 if asked.replay else MARKETS_MOST)):
        with tempfile.TemporaryDirectory(prefix="trader-readiness-") as folder:
            play(seen, seed, asked, Path(folder) / "state")
        print(f"market {seed}: {json.dumps(seen.figures())}", file=sys.stderr, flush=True)
        if seen.signals >= asked.signals:
            break
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readiness", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=above(), default=24.0, help="simulated, of each market")
    parser.add_argument("--pairs", type=whole(), default=150)
    parser.add_argument("--seed", type=whole(0), default=11, help="of the first market")
    parser.add_argument("--signals", type=whole(), default=SIGNALS_LEAST, help="how many to judge by")
    parser.add_argument("--replay", type=Path, default=None, help="a Parquet file of real candles instead of the demo market")
    parser.add_argument(
        "--from", dest="start", default=None, help="first moment of a replay, e.g. 2024-07-15 (default: 120 days into the file)"
    )
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="of the settings' section ai; may be repeated")
    parser.add_argument("--json", action="store_true", help="one object")
    asked = parser.parse_args(arguments)
    found = measure(asked).figures()
    if asked.json:
        print(json.dumps({"knobs": asked.knob} | found))
    else:
        for name, value in found.items():
            if isinstance(value, int | float):
                figure(f"readiness.{name}", value, "")
        print(json.dumps({"lookups": found["lookups"], "outcomes": found["outcomes"]}))
    goals = (
        ("signals", found["signals"], found["signals"] >= asked.signals),
        ("ready_share", found["ready_share"], (found["ready_share"] or 0.0) >= READY_LEAST),
        ("calls_per_signal", found["calls_per_signal"], (found["calls_per_signal"] or CALLS_MOST + 1) <= CALLS_MOST),
    )
    missed = [f"{name} {value}" for name, value, reached in goals if not reached]
    for words in missed:
        print(f"MISS {words}", file=sys.stderr)
    return 1 if missed and asked.replay is None else 0


if __name__ == "__main__":
    sys.exit(main())
