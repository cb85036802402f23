"""Break each rule of the table once, by one altered row in a batch of 144 pairs, and judge clean batches beside.

`python -m tests.gate_table [--pairs 144] [--clean 200] [--rules all|NAME ...]` prints one line a rule. Each batch is judged by Great
Expectations and by Polars (equal verdicts, under the rule's own name), committed to a store of its own, and the engine decides
the next bar: a critical rule blocks the altered pair alone and every other pair has a decision. Exit code 1 on any difference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasks.quality_gate import judge_frame
from tests import candle_kit as kit
from tests.amounts import whole
from tests.gate_table.cases import CASES, unaltered
from trader.data import ingest, parts, quality, rules, tails
from trader.data.history import HistoryStore
from trader.data.ingest import Fetched, Request, StagedBatch
from trader.data.intake import gates
from trader.data.judged import GateResult, Verdict
from trader.data.parts import Source
from trader.domain.costs import Costs
from trader.domain.market import Candle, Timeframe
from trader.domain.messages import Refusal
from trader.execution.engine import Engine
from trader.strategy.modes import lookback_4h, lookback_15m, parameters

M15, H4 = Timeframe.M15, Timeframe.H4
MODE = parameters("viable", "mitraillette", "AGGRESSIVE")
COSTS = Costs(taker=0.0040, maker=0.0025, slippage=0.0005)
NEEDS = {M15: lookback_15m(MODE), H4: lookback_4h(MODE)}
BATCH = 60
NOW = kit.EPOCH + 400 * H4.us
HOLED = (f"{rules.NOT_NULL}(pair)", f"{rules.IN_SET}(step_s)")
"""Rules whose altered row leaves a hole in its pair: the tail rule `gaps` blocks it, whatever the row rule's severity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A store that holds all but the newest 60 15m candles of each pair, those candles, and the next one."""

    base: Path
    rows: pl.DataFrame
    following: tuple[Candle, ...]
    pairs: tuple[str, ...]


def world(folder: Path, count: int) -> World:
    """144 pairs (or `count`) with as much history as the strategy looks back on."""
    names = kit.pairs(count)
    bars = NEEDS[M15] + 200
    fifteen = {name: kit.series(name, bars + 1, tf=M15, start=NOW - bars * M15.us) for name in names}
    store = HistoryStore(folder / "base")
    kit.put(store, parts.frame_of([c for s in fifteen.values() for c in s[: bars - BATCH]], Source.REST), M15, name="before", now_us=NOW)
    fours = NEEDS[H4] + 20
    kit.put(store, kit.frame(names, fours, tf=H4, start=NOW - fours * H4.us), H4, name="fours", now_us=NOW)
    store.close()
    newest = parts.frame_of([c for s in fifteen.values() for c in s[bars - BATCH : bars]], Source.REST)
    return World(base=folder / "base", rows=unaltered(newest), following=tuple(s[-1] for s in fifteen.values()), pairs=tuple(names))


def altered(made: World, name: str, victim: str) -> pl.DataFrame:
    """The newest candles with one row of one pair altered."""
    return pl.concat([
        CASES[name](rows, M15) if pair == victim else rows
        for (pair,), rows in made.rows.group_by("pair", maintain_order=True)
    ])  # fmt: skip


def decided(made: World, rows: pl.DataFrame, verdicts: list[Verdict], folder: Path) -> tuple[dict[str, str], set[str], HistoryStore]:
    """Commit the batch as judged; the pairs the gate blocks and why, and those with a decision on the next bar."""
    shutil.copytree(made.base, folder)
    store = HistoryStore(folder)
    served = rows.drop(rules.COMPARED)
    whose = pl.col("pair").fill_null(made.pairs[0])  # a row without a name came with the first answer
    fetched = tuple(
        Fetched(request=Request(pair=pair, timeframe=M15, since_us=NOW - BATCH * M15.us, until_us=NOW), rows=served.filter(whose == pair))
        for pair in made.pairs
    )
    batch = StagedBatch(source=Source.REST, fetched=fetched, errors={}, calls=len(fetched), fetched_us=NOW)
    result = GateResult(engine="great_expectations", suite_version=rules.suite_version(), verdicts=tuple(verdicts))
    ingest.commit(store, batch, result, NOW)
    store.put_tails(tails.check_tails(ingest.tails_of(store, made.pairs, NEEDS, NOW)), NOW)
    words = gates(store, list(NEEDS), NOW)
    blocked = {pair: words[pair].reason for pair in made.pairs if words[pair].reason}
    engine = Engine(parameters=MODE, costs=COSTS, reference="BTC/EUR")
    ready = [pair for pair in made.pairs if pair not in blocked]
    warm = {tf: store.series(ready, tf, need + 8) for tf, need in NEEDS.items()}
    for pair in ready:
        engine.join(pair, warm[M15][pair], warm[H4][pair], ())
    engine.absorb(made.following)
    found = engine.decide(NOW + M15.us, made.pairs, blocked)
    return blocked, {d.pair for d in found if d.refusal is not Refusal.NOT_READY}, store


def broken(made: World, name: str, victim: str, folder: Path) -> list[str]:
    """What is wrong with one rule's case; empty when all is as it should be."""
    rows = altered(made, name, victim)
    gx, ours = judge_frame(rows, M15, NOW), list(quality.check(rows, M15, NOW).verdicts)
    severity = next(r.severity for r in rules.row_rules(M15) if r.name == name)
    owner = "" if name == HOLED[0] else victim
    wrong = [] if gx == ours else ["the engines differ"]
    wrong += [] if any(v.pair == owner and name in [f.expectation for f in v.failures] for v in gx) else ["the rule did not fail"]
    wrong += [f"{v.pair} failed {v.failures[0].expectation}" for v in gx if v.failures and v.pair not in (victim, owner)]
    blocked, decisions, store = decided(made, rows, gx, folder)
    stopped = severity is rules.Severity.CRITICAL or name in HOLED
    wrong += [] if set(blocked) == ({victim} if stopped else set()) else [f"blocked {blocked}"]
    wrong += [] if decisions == set(made.pairs) - set(blocked) else [f"{len(decisions)} decisions"]
    if severity is rules.Severity.WARNING and victim not in {r.pair for r in store.repairs() if r.expectation == name}:
        wrong += [] if name.endswith(("(cross)", "(rival)")) else ["no repair queued"]  # those are judged anew against the store
    store.close()
    told = f"{len(blocked)} blocked, {len(decisions)} of {len(made.pairs)} pairs decided the next bar"
    print(f"{'FAIL' if wrong else 'ok':<5}{name:<62}{severity:<9} {told}{': ' if wrong else ''}{'; '.join(wrong)}", flush=True)
    return wrong


def clean(count: int, names: list[str]) -> int:
    """Judge `count` good batches of all pairs by both engines; how many critical failures there were."""
    critical = rows = 0
    for seed in range(count):
        frame = kit.frame(names, BATCH, tf=M15, start=NOW - BATCH * M15.us, seed=100 + seed)
        rows += len(frame)
        for verdicts in (judge_frame(frame, M15, NOW), quality.check(frame, M15, NOW).verdicts):
            critical += sum(v.critical is not None for v in verdicts)
    print(f"clean: {count} batches of {len(names)} pairs, {rows} rows, judged by both engines: {critical} critical failures", flush=True)
    return critical


def main() -> int:
    """Entry point; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.gate_table", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=whole(), default=144)
    parser.add_argument("--clean", type=whole(), default=200, help="good batches to judge (default: %(default)s)")
    parser.add_argument("--rules", nargs="+", default=["all"], help="rule names, or all")
    chosen = parser.parse_args()
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    names = list(CASES) if chosen.rules == ["all"] else chosen.rules
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder), chosen.pairs)
        failed = [
            name for i, name in enumerate(names) if broken(made, name, made.pairs[(7 * i + 3) % chosen.pairs], Path(folder) / f"case{i}")
        ]
        print(f"rules: {len(names)} broken once each among {chosen.pairs} pairs, {len(failed)} not as they should be")
        critical = clean(chosen.clean, list(made.pairs))
    return 1 if failed or critical else 0


if __name__ == "__main__":
    sys.exit(main())
