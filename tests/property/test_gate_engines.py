"""Whatever is done to a frame, Great Expectations and Polars say the same about it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader.data import parts, quality
from trader.data.judged import GateResult
from trader.data.rules import COMPARED
from trader.domain.market import Timeframe

Judge = Callable[[pl.DataFrame], GateResult]
TF = Timeframe.M15
NOW = kit.EPOCH + 40 * TF.us
GOOD = kit.frame(["A/EUR", "B/EUR", "C/EUR"], 8, tf=TF).with_columns(pl.lit(None, pl.Float64).alias(name) for name in COMPARED)
ROOT = Path(__file__).parents[2]
NUMBERS = ("open", "high", "low", "close", "volume", "vwap", *COMPARED)
number = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 100.0, 1e4, 1e-6]), st.floats(0.01, 1e6))
cell = st.tuples(st.sampled_from(NUMBERS), number)
moment = st.tuples(st.just("time"), st.one_of(st.none(), st.integers(-3, 45).map(lambda n: kit.EPOCH + n * TF.us), st.integers(0, 10**12)))
name = st.tuples(st.just("pair"), st.sampled_from([None, "A/EUR", "D/EUR"]))
change = st.tuples(st.integers(0, len(GOOD) - 1), st.one_of(cell, moment, name))
frames = st.tuples(st.lists(change, max_size=6), st.lists(st.integers(0, len(GOOD) - 1), min_size=1, max_size=24), st.booleans())


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Great Expectations in one warm process of its own."""
    peer = subprocess.Popen(
        [sys.executable, "-m", "tests.gate_table.peer"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("gate") / "batch.parquet"
    assert peer.stdin is not None and peer.stdout is not None

    def ask(rows: pl.DataFrame) -> GateResult:
        assert peer.stdin is not None and peer.stdout is not None
        rows.with_columns(tf=pl.lit(str(TF)), judged_us=pl.lit(NOW)).write_parquet(path)
        peer.stdin.write(f"{path}\n")
        peer.stdin.flush()
        return GateResult.from_json(peer.stdout.readline())

    yield ask
    peer.stdin.close()
    peer.wait(timeout=120)
    peer.stdout.close()


def corrupted(changes: list[tuple[int, tuple[str, object]]], order: list[int], shuffled: bool) -> pl.DataFrame:
    """The good frame with cells replaced; `shuffled`: rows left out, repeated and in any order."""
    rows = GOOD
    for row, (column, value) in changes:
        kind = pl.Int64() if column == "time" else rows.schema[column]
        new = pl.lit(value, kind).cast(parts.TIME) if column == "time" else pl.lit(value, kind)
        rows = rows.with_columns(pl.when(pl.int_range(pl.len()) == row).then(new).otherwise(column).alias(column))
    return rows[order] if shuffled else rows


def test_both_engines_agree_on_any_corruption(judge: Judge) -> None:
    seen: list[int] = []

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(frames)
    def agree(made: tuple[list[tuple[int, tuple[str, object]]], list[int], bool]) -> None:
        rows = corrupted(*made)
        gx, ours = judge(rows), quality.check(rows, TF, NOW)
        assert gx.verdicts == ours.verdicts and gx.refused == ours.refused and gx.validations == 1
        seen.append(sum(len(v.failures) for v in ours.verdicts))

    agree()
    assert len(seen) >= 25 and sum(map(bool, seen)) >= 15, "most of them must break something"
