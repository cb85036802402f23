"""The nightly audit: counts per pair, the rules on the counts, and what is done about what they find."""

from __future__ import annotations

from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data import history_audit, quality, rules
from trader.data.history import HistoryStore
from trader.data.resample import resample_frame
from trader.domain.market import MINUTE, Timeframe

M1, M15 = Timeframe.M1, Timeframe.M15
NOW = kit.EPOCH + 400 * MINUTE
LOW, GAP, CROSS, LACKING = (
    f"expect_column_values_to_be_{kind}" for kind in ("between(low)", "in_set(step_s)", "between(cross)", "between(lacking)")
)
PAIRS = [f"P{i}/EUR" for i in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    """Six pairs, all good but three: a negative low, a hole, and a 15m candle that its minutes contradict."""
    store = HistoryStore(tmp_path)
    rows, at = kit.frame(PAIRS, 360), pl.col("time").to_physical() == kit.EPOCH + 200 * MINUTE
    bad = rows.with_columns(low=pl.when(at & (pl.col("pair") == "P1/EUR")).then(-1.0).otherwise("low"))
    kit.put(store, bad.filter(~(at & (pl.col("pair") == "P2/EUR"))), M1, name="minutes")
    native = resample_frame(rows, M1, M15)
    wrong = (pl.col("pair") == "P3/EUR") & (pl.col("time").to_physical() == kit.EPOCH + 15 * MINUTE)
    kit.put(store, native.with_columns(high=pl.when(wrong).then(pl.col("high") * 1.01).otherwise("high")), M15, name="native")
    return store


def test_the_counts_name_each_pair_and_rule(store: HistoryStore) -> None:
    summary = history_audit.summarise(store, lambda: NOW)
    assert len(summary) == 12 and int(summary["rows"].sum()) == 6 * 360 - 1 + 6 * 24
    found = {(v.pair, str(v.timeframe), f.expectation, f.rows) for v in history_audit.check_summary(summary).verdicts for f in v.failures}
    assert found == {("P1/EUR", "1m", LOW, 1), ("P2/EUR", "1m", GAP, 1), ("P3/EUR", "15m", CROSS, 1), ("P1/EUR", "15m", CROSS, 1)}


def test_the_counts_are_those_of_the_rules_row_by_row(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = history_audit.summarise(store, lambda: NOW)
    monkeypatch.setattr(history_audit, "ROWS_AT_ONCE", 700)
    pieces = history_audit.summarise(store, lambda: NOW)
    assert pieces.sort("tf", "pair").equals(whole.sort("tf", "pair")), "the size of a group changes nothing"
    rows = store.snapshot(tf=M1).scan().collect().sort("pair", "time")
    counted = {(v.pair, f.expectation): f.rows for v in quality.check(rows, M1, NOW).verdicts for f in v.failures}
    one = whole.filter(pl.col("tf") == "1m")
    names = {rules.count_column(r): r.name for r in rules.row_rules(M1)}
    seen = {(row["pair"], names[c]): row[c] for row in one.iter_rows(named=True) for c in names if row[c]}
    assert seen == counted and len(seen) == 2


def test_what_is_critical_is_set_aside_and_what_warns_is_queued(store: HistoryStore) -> None:
    named = history_audit.enforce(store, history_audit.check_summary(history_audit.summarise(store, lambda: NOW)), lambda: NOW)
    assert {v.pair for v in named if v.critical} == {"P1/EUR"}
    assert [(b.pair, b.expectation) for b in store.catalog.blocks("spot")] == [("P1/EUR", LOW)]
    assert "low=-1" in store.catalog.blocks("spot")[0].detail
    rows = store.snapshot(tf=M1).scan().collect()
    assert rows.filter(pl.col("pair") == "P1/EUR").height == 359 and rows.filter(pl.col("pair") == "P0/EUR").height == 360
    assert {(r.pair, str(r.tf), r.expectation) for r in store.repairs()} >= {("P2/EUR", "1m", GAP), ("P3/EUR", "15m", CROSS)}
    again = history_audit.check_summary(history_audit.summarise(store, lambda: NOW))
    assert all(v.critical is None for v in again.verdicts) and len(again.verdicts) == 12


def test_rows_that_coverage_promises_and_no_file_holds_are_missed(store: HistoryStore) -> None:
    with store.catalog.write():
        store.catalog.run("UPDATE coverage SET end_us = end_us + 7 * 60000000 WHERE pair = ? AND tf = '1m' AND end_us > ?",
                          [("P4/EUR", kit.EPOCH + 300 * MINUTE)])  # fmt: skip
    verdicts = history_audit.check_summary(history_audit.summarise(store, lambda: NOW)).verdicts
    assert [(v.pair, f.detail) for v in verdicts for f in v.failures if f.expectation == LACKING] == [
        ("P4/EUR", "1 row, first 2026-01-05T05:59:00Z: lacking=7")
    ]


def test_a_candle_that_came_while_the_audit_ran_is_no_candle_of_the_future(store: HistoryStore) -> None:
    """The session writes beside the audit: time is asked after the rows were read."""
    times = iter([kit.EPOCH + 366 * MINUTE, NOW])
    before = history_audit.check_summary(history_audit.summarise(store, lambda: kit.EPOCH + 359 * MINUTE))
    assert {v.pair for v in before.verdicts for f in v.failures if "closed_s" in f.expectation} == set(PAIRS), (
        "a row of the future is found"
    )
    late = kit.frame(PAIRS, 366).filter(pl.col("time").to_physical() >= kit.EPOCH + 360 * MINUTE)

    def now() -> int:
        kit.put(store, late, M1, name="late")  # between the first reading and the second
        return next(times)

    result = history_audit.check_summary(history_audit.summarise(store, now))
    named = history_audit.enforce(store, result, now)
    assert not [f for v in named for f in v.failures if "closed_s" in f.expectation]
    assert not [f for v in result.verdicts for f in v.failures if f.expectation == LACKING]
