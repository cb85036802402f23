"""One rule table, two engines: Great Expectations, in a process of its own, and Polars give equal verdicts."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import candle_kit as kit
import numpy as np
import polars as pl
import pytest

from trader.data import parts, quality, rules, tails
from trader.data.ingest import StagedBatch, stage
from trader.data.judged import GateResult, Verdict
from trader.data.parts import Source
from trader.data.tails import Tail
from trader.domain.market import Timeframe

pytestmark = pytest.mark.slow
NOW = kit.EPOCH + 200 * Timeframe.H4.us
LENGTH = {Timeframe.M1: 60, Timeframe.M15: 40, Timeframe.H4: 50}
NUMBERS = ("open", "high", "low", "close", "volume", "vwap")
BAD = (None, math.nan, math.inf, -math.inf, 0.0, -1.0, 1e9, 1e-9)


EACH = """
import sys
from tasks.quality_gate import main
sys.exit(sum(main(["--batch", batch, "--out", f"{batch}.json"]) for batch in sys.argv[1:]))
"""


def gates(*batches: Path) -> list[GateResult]:
    """The gate's word on each, from one process: what costs is to import Great Expectations."""
    done = subprocess.run([sys.executable, "-c", EACH, *map(str, batches)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = [GateResult.load(batch.with_name(f"{batch.name}.json")) for batch in batches]
    assert all(result.engine.startswith("great_expectations 1.") for result in results)
    return results


def corrupted(rng: np.random.Generator, tf: Timeframe, count: int) -> pl.DataFrame:
    """Rows of `count` pairs; in two thirds of them a few random cells, times or orders are spoiled."""
    pieces = []
    for name in kit.pairs(count):
        rows = kit.frame([name], LENGTH[tf], tf=tf)
        for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.7 else 0):
            rows = spoil(rng, rows)
        pieces.append(compared(rng, rows))
    return pl.concat(pieces)


def compared(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that staging derives from the store: mostly agreement or nothing to compare with, now and then neither."""
    values = {"cross": (None, 0.0, 0.5), "rival": (None, 0.0, 2e-4), "zone_h": (0.0, 0.0, 2.0)}
    return rows.with_columns(
        pl.Series(name, [some[int(rng.choice(3, p=(0.5, 0.495, 0.005)))] for _ in range(len(rows))], dtype=pl.Float64)
        for name, some in values.items()
    )


def spoil(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    at, number = int(rng.integers(0, len(rows))), pl.int_range(pl.len())
    match int(rng.integers(0, 10)):
        case 0:
            return pl.concat([rows, rows.slice(at, 1)])
        case 1:
            return rows.reverse()
        case 2:
            return rows.filter(number != at)
        case 3:
            return rows.with_columns(time=pl.when(number == at).then(pl.col("time").dt.offset_by("13s")).otherwise("time"))
        case 4:
            return rows.with_columns(time=pl.when(number == at).then(None).otherwise("time"))
        case 5:
            return rows.with_columns(time=pl.when(number == at).then(pl.lit(NOW).cast(parts.TIME)).otherwise("time"))
        case 6:
            return rows.with_columns(pair=pl.when(number == at).then(None).otherwise("pair"))
        case _:
            column, value = NUMBERS[int(rng.integers(0, len(NUMBERS)))], BAD[int(rng.integers(0, len(BAD)))]
            return rows.with_columns(pl.when(number == at).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column))


def key(verdict: Verdict) -> tuple[str, str, int, tuple[tuple[str, str, int, str], ...]]:
    return (
        str(verdict.timeframe), verdict.pair, verdict.rows,
        tuple((f.expectation, str(f.severity), f.rows, f.detail) for f in verdict.failures),
    )  # fmt: skip


def test_both_engines_judge_corrupted_batches_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    staged, expected = [], []
    batches: dict[Timeframe, pl.DataFrame] = {}
    noticed: set[str] = set()
    for tf in LENGTH:
        rows = batches[tf] = corrupted(rng, tf, 60)
        expected.extend(quality.check(rows, tf, NOW).verdicts)
        staged.append(rows.with_columns(tf=pl.lit(str(tf)), judged_us=pl.lit(NOW)))
    batch = tmp_path / "batch.parquet"
    pl.concat(staged).write_parquet(batch)
    (result,) = gates(batch)
    assert result.suite_version == rules.suite_version() and result.refused == ""
    assert result.validations == len(LENGTH), "one validation a timeframe"
    assert [key(v) for v in result.verdicts] == [key(v) for v in expected]
    for tf in LENGTH:
        for missing in rules.row_rules(tf):
            table = [rule for rule in rules.row_rules(tf) if rule != missing]
            less = list(quality.judge(quality.prepare(batches[tf], tf, NOW), tf, table))
            if any(f.expectation == missing.name for v in result.of(tf).values() for f in v.failures):
                assert [key(v) for v in less] != [key(v) for v in result.verdicts if v.timeframe is tf], missing.name
                noticed.add(missing.name)
    kinds = {f.expectation for v in expected for f in v.failures}
    names = {r.name for tf in LENGTH for r in rules.row_rules(tf)}
    assert 180 < len(expected) <= 183 and 40 <= sum(v.critical is None for v in expected) <= 140
    assert kinds == names == noticed, "the corruptions reach every rule, and one engine without a rule would be noticed"


def test_both_engines_judge_tails_and_bad_tables_alike(tmp_path: Path) -> None:
    newest = Timeframe.M15.floor(NOW) - Timeframe.M15.us
    found = [
        Tail(timeframe=Timeframe.M15, pair=f"P{i}/EUR", rows=380 + i, gaps=i % 3, newest_us=newest - i % 4 * Timeframe.M15.us)
        for i in range(8)
    ] + [Tail(timeframe=Timeframe.M15, pair="NONE/EUR", rows=0, gaps=0, newest_us=None)]
    rows = tails.tail_frame(found, {Timeframe.M15: 384}, NOW)
    rows.write_parquet(tmp_path / "tails.parquet")
    good = kit.frame(["A/EUR"], 5)
    good.drop("vwap").with_columns(tf=pl.lit("1m"), judged_us=pl.lit(NOW)).write_parquet(tmp_path / "thin.parquet")
    stage(StagedBatch(source=Source.REST, fetched=(), errors={}, calls=0, fetched_us=NOW), tmp_path / "none.parquet")
    judged, thin, none = gates(*(tmp_path / f"{name}.parquet" for name in ("tails", "thin", "none")))

    expected = tails.check_tails(rows)
    assert [key(v) for v in judged.verdicts] == [key(v) for v in expected.verdicts]
    assert 0 < sum(v.critical is not None for v in expected.verdicts) < len(found)
    assert thin.refused == quality.check(good.drop("vwap"), Timeframe.M1, NOW).refused != ""
    assert none.refused == quality.check(good.head(0), Timeframe.M1, NOW).refused != ""


def test_an_unreadable_batch_ends_the_gate_with_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    command = [sys.executable, "-m", "tasks.quality_gate", "--batch", str(tmp_path / "bad.parquet"), "--out", str(tmp_path / "o.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "bad.parquet: not a readable batch" in done.stderr
    assert not (tmp_path / "o.json").exists()
