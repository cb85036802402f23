"""The gate's rules in Polars: each corruption is flagged by the rule that names it, and only its pair is refused."""

from __future__ import annotations

import math
import sys

import candle_kit as kit
import polars as pl
import pytest

from trader.data import parts, quality
from trader.data import tails as gate_tails
from trader.data.judged import GateResult
from trader.data.parts import Source
from trader.data.rules import Severity
from trader.data.tails import Tail
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.errors import CorruptError

M1 = Timeframe.M1
NOW = kit.EPOCH + 61 * MINUTE
BETWEEN, IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
ABOVE = "expect_column_pair_values_a_to_be_greater_than_b"


def spoil(pair: str, row: int, **values: float | None) -> pl.DataFrame:
    """Two pairs' hour of minutes in which one row of `pair` has other values."""
    rows = kit.frame(["GOOD/EUR", "BAD/EUR"], 60)
    here = (pl.col("pair") == pair) & (pl.col("time").to_physical() == kit.EPOCH + row * MINUTE)
    return rows.with_columns(pl.when(here).then(pl.lit(value, pl.Float64)).otherwise(name).alias(name) for name, value in values.items())


BOTH = kit.frame(["GOOD/EUR", "BAD/EUR"], 60)
PRICES = ("open", "high", "low", "close", "vwap")
CASES = {
    "null price": (spoil("BAD/EUR", 5, open=None), "expect_column_values_to_not_be_null(open)"),
    "NaN price": (spoil("BAD/EUR", 5, close=math.nan), "expect_column_values_to_not_be_null(close)"),
    "infinite volume": (spoil("BAD/EUR", 5, volume=math.inf), f"{IN_SET}(finite)"),
    "infinite vwap": (spoil("BAD/EUR", 5, vwap=-math.inf), f"{IN_SET}(finite)"),
    "high below the body": (spoil("BAD/EUR", 5, high=90.0), f"{ABOVE}(high, body_hi)"),
    "low above the body": (spoil("BAD/EUR", 5, low=100.5, high=101.0), f"{ABOVE}(body_lo, low)"),
    "price of zero": (spoil("BAD/EUR", 5, low=0.0), f"{BETWEEN}(low)"),
    "negative price": (spoil("BAD/EUR", 5, low=-1.0), f"{BETWEEN}(low)"),
    "negative volume": (spoil("BAD/EUR", 5, volume=-0.1), f"{BETWEEN}(volume)"),
    "repeated row": (pl.concat([BOTH, BOTH.tail(1)]), "expect_compound_columns_to_be_unique(pair, time)"),
    "descending time": (pl.concat([kit.frame(["GOOD/EUR"], 60), kit.frame(["BAD/EUR"], 60).reverse()]), f"{BETWEEN}(step_s)"),
    "off the grid": (
        BOTH.with_columns(time=pl.when(pl.col("pair") == "BAD/EUR").then(pl.col("time").dt.offset_by("7s")).otherwise("time")),
        f"{IN_SET}(grid_s)",
    ),
    "row a hundred times too high": (spoil("BAD/EUR", 5, **dict.fromkeys(PRICES, 10000.0)), f"{BETWEEN}(spike)"),
    "newest row a hundredth": (spoil("BAD/EUR", 59, **dict.fromkeys(PRICES, 1.0)), f"{BETWEEN}(spike)"),
    "high a hundred times too high": (spoil("BAD/EUR", 5, high=1e4), f"{BETWEEN}(wick)"),
    "low a hundredth": (spoil("BAD/EUR", 5, low=1.0), f"{BETWEEN}(wick)"),
    "forming bar": (pl.concat([kit.frame(["GOOD/EUR"], 60), kit.frame(["BAD/EUR"], 62)]), f"{BETWEEN}(closed_s)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_corruption_is_named_and_refuses_only_its_pair(case: str) -> None:
    rows, expectation = CASES[case]
    result = quality.check(rows, M1, NOW)
    words = {v.pair: v for v in result.verdicts}
    assert words["GOOD/EUR"].failures == () and words["GOOD/EUR"].rows == 60
    assert expectation in [f.expectation for f in words["BAD/EUR"].failures if f.severity is Severity.CRITICAL]
    assert "2026-01-05T" in next(f.detail for f in words["BAD/EUR"].failures if f.expectation == expectation)


def test_gap_and_jump_are_warnings_and_refuse_nothing() -> None:
    rows = kit.frame(["A/EUR"], 60).filter(pl.col("time").to_physical() != kit.EPOCH + 9 * MINUTE)
    jump = rows.with_columns(
        pl.when(pl.col("time").to_physical() >= kit.EPOCH + 30 * MINUTE).then(pl.col(c) * 2).otherwise(c)
        for c in ("open", "high", "low", "close", "vwap")
    )
    verdict = quality.check(jump, M1, NOW).verdicts[0]
    assert verdict.critical is None and verdict.gaps == 1
    assert [(f.expectation, f.rows) for f in verdict.failures] == [(f"{IN_SET}(step_s)", 1), (f"{BETWEEN}(absret)", 1)]


def test_wrong_columns_or_no_rows_refuse_the_whole_batch() -> None:
    rows = kit.frame(["A/EUR"], 5)
    assert "expect_table_columns_to_match_set" in quality.check(rows.drop("vwap"), M1, NOW).refused
    assert "expect_table_row_count_to_be_between" in quality.check(rows.head(0), M1, NOW).refused
    assert quality.check(rows, M1, NOW).refused == ""


@pytest.mark.parametrize("case", CASES)
def test_the_quick_pass_never_lets_through_what_the_table_refuses(case: str) -> None:
    rows, _ = CASES[case]
    checked = refused = 0
    for row in rows.filter(pl.col("pair") == "BAD/EUR").iter_rows(named=True):
        values = {c: math.nan if row[c] is None else row[c] for c in ("open", "high", "low", "close", "volume", "vwap", "count", "filled")}
        candle = Candle(pair="BAD/EUR", timeframe=M1, time_us=round(row["time"].timestamp() * 1e6), **values)
        table = quality.check(parts.frame_of([candle], Source.STREAM), M1, NOW).verdicts[0].critical is None
        quick = quality.plainly_good([candle], M1, NOW)
        assert table or not quick
        checked, refused = checked + 1, refused + (not table)
    assert checked >= 60
    beside = ("repeated row", "descending time", "row a hundred times too high", "newest row a hundredth")
    assert refused or case in beside, "these need the rows beside them"


def test_gate_result_survives_json_and_damage_is_named() -> None:
    rows, _ = CASES["negative price"]
    result = quality.check(rows, M1, NOW)
    assert GateResult.from_json(result.to_json()) == result
    with pytest.raises(CorruptError, match="gate result"):
        GateResult.from_json('{"verdicts": [{}]}')


def test_tails_fail_when_short_holed_or_old() -> None:
    lookbacks = {M1: 100}
    end = M1.floor(NOW) - MINUTE
    seen = [
        ("FINE", 100, 0, end - 2 * MINUTE),
        ("SHORT", 99, 0, end),
        ("HOLE", 100, 2, end),
        ("OLD", 100, 0, end - 3 * MINUTE),
        ("NONE", 0, 0, None),
    ]
    tails = [Tail(timeframe=M1, pair=f"{name}/EUR", rows=rows, gaps=gaps, newest_us=newest) for name, rows, gaps, newest in seen]
    words = {
        v.pair: [f.expectation for f in v.failures] for v in gate_tails.check_tails(gate_tails.tail_frame(tails, lookbacks, NOW)).verdicts
    }
    assert words == {
        "FINE/EUR": [], "SHORT/EUR": [f"{BETWEEN}(missing)"], "HOLE/EUR": [f"{BETWEEN}(gaps)"], "OLD/EUR": [f"{BETWEEN}(age_bars)"],
        "NONE/EUR": [f"{BETWEEN}(missing)", f"{BETWEEN}(age_bars)"],
    }  # fmt: skip


def test_great_expectations_stays_out_of_this_process() -> None:
    import tasks.quality_gate

    assert tasks.quality_gate.judge is not None
    assert "great_expectations" not in sys.modules
