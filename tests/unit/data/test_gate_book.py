"""What the gate remembers: results per pair and range, repairs that end, and what a named person accepted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data import ingest
from trader.data.catalog import TABLES
from trader.data.history import HistoryStore
from trader.data.ingest import Fetched, IngestReport, Request, StagedBatch
from trader.data.parts import Source
from trader.domain.market import MINUTE, Timeframe
from trader.errors import CorruptError, RejectedError

M1 = Timeframe.M1
NOW = kit.EPOCH + 60 * MINUTE
GAP, SPIKE, LOW = (f"expect_column_values_to_be_{kind}" for kind in ("in_set(step_s)", "between(spike)", "between(low)"))
AT_20 = pl.col("time").to_physical() == kit.EPOCH + 20 * MINUTE
PRICES = ("open", "high", "low", "close", "vwap")


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "history")


def commit(store: HistoryStore, rows: dict[str, pl.DataFrame], at_us: int = NOW) -> IngestReport:
    """One batch of the last hour's minutes, judged by the Polars engine."""
    fetched = tuple(
        Fetched(request=Request(pair=pair, timeframe=M1, since_us=kit.EPOCH, until_us=NOW), rows=one) for pair, one in rows.items()
    )
    batch = StagedBatch(source=Source.REST, fetched=fetched, errors={}, calls=len(rows), fetched_us=at_us)
    return ingest.commit(store, batch, ingest.judge_staged(batch), at_us)


def hour(pair: str, change: pl.Expr | None = None) -> pl.DataFrame:
    rows = kit.frame([pair], 60)
    return rows if change is None else rows.filter(change)


def times(factor: float) -> pl.DataFrame:
    return kit.frame(["A/EUR"], 60).with_columns(pl.when(AT_20).then(pl.col(c) * factor).otherwise(c).alias(c) for c in PRICES)


def test_results_are_kept_per_pair_and_range(store: HistoryStore) -> None:
    commit(store, {"A/EUR": times(-1.0), "B/EUR": hour("B/EUR")})
    (bad,) = store.gate_results("A/EUR", kit.EPOCH, NOW)
    (good,) = store.gate_results("B/EUR", kit.EPOCH, NOW)
    assert (good.rows, good.start_us, good.end_us, good.failures, good.engine, good.tf) == (60, kit.EPOCH, NOW, (), "polars", "1m")
    assert LOW in [f.expectation for f in bad.failures] and "low=-" in " ".join(f.detail for f in bad.failures)
    assert store.gate_results("B/EUR", NOW, NOW + MINUTE) == store.gate_results("C/EUR", kit.EPOCH, NOW) == []


def test_a_hole_is_fetched_again_once_and_then_either_repaired_or_confirmed(store: HistoryStore) -> None:
    commit(store, {"A/EUR": hour("A/EUR", ~AT_20), "B/EUR": hour("B/EUR", ~AT_20)})
    start = kit.EPOCH + 20 * MINUTE
    assert [(r.pair, r.start_us, r.end_us, r.expectation) for r in store.repairs()] == [
        (pair, start, start + MINUTE, GAP) for pair in ("A/EUR", "B/EUR")
    ]
    plan = ingest.plan(store, ["A/EUR", "B/EUR"], (), NOW, rows=60)
    assert [(r.pair, r.since_us) for r in plan.requests] == [("A/EUR", start), ("B/EUR", start)]
    commit(store, {"A/EUR": hour("A/EUR"), "B/EUR": hour("B/EUR", ~AT_20)}, NOW + 1)
    assert store.repairs() == [] and ingest.plan(store, ["A/EUR", "B/EUR"], (), NOW, rows=60).requests == ()
    outcomes = store.catalog.rows("SELECT pair, outcome, done_us FROM repair ORDER BY pair")
    assert outcomes == [("A/EUR", "repaired", NOW + 1), ("B/EUR", "confirmed", NOW + 1)]
    commit(store, {"B/EUR": hour("B/EUR", ~AT_20)}, NOW + 2)
    assert store.repairs() == [], "nobody asks a third time"


def test_a_named_person_accepts_an_unlikely_candle_but_never_an_impossible_one(store: HistoryStore) -> None:
    for factor, expectation, passes in ((100.0, SPIKE, True), (-1.0, LOW, False)):
        report = commit(store, {"A/EUR": times(factor)})
        assert list(report.quarantined) == ["A/EUR 1m"] and store.catalog.blocks("spot")[0].expectation.endswith(")")
        (block,) = store.clear("A/EUR", by="ann", reason="seen on two venues", now_us=NOW + 5)
        assert store.catalog.blocks("spot") == []
        again = commit(store, {"A/EUR": times(factor)}, NOW + 9)
        assert bool(again.quarantined) is not passes, expectation
        assert passes == (block.expectation == SPIKE)
    assert store.catalog.rows("SELECT DISTINCT cleared_by, cleared_reason FROM pair_block WHERE cleared_us IS NOT NULL") == [
        ("ann", "seen on two venues")
    ]
    assert list(commit(store, {"A/EUR": times(90.0)}, NOW + 9).quarantined) == ["A/EUR 1m"], "other values were not accepted"


def test_clearing_needs_a_blocked_pair_a_name_and_a_reason(store: HistoryStore) -> None:
    commit(store, {"A/EUR": times(-1.0)})
    with pytest.raises(RejectedError, match=r"pair 'B/EUR': the gate does not block it; blocked: A/EUR"):
        store.clear("B/EUR", by="ann", reason="because", now_us=NOW)
    with pytest.raises(RejectedError, match="a name and a reason"):
        store.clear("A/EUR", by=" ", reason="because", now_us=NOW)


def test_a_catalog_of_the_first_schema_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "catalog.sqlite")
    old.executescript(TABLES)
    old.execute("INSERT INTO pair_block VALUES ('spot', '1m', 'A/EUR', 7, 'rule', '1m words', NULL)")
    old.commit()
    old.close()
    store = HistoryStore(tmp_path)
    assert [b.pair for b in store.catalog.blocks("spot")] == ["A/EUR"] and store.repairs() == []
    fresh = HistoryStore(tmp_path / "fresh")
    query = "SELECT name, sql FROM sqlite_master ORDER BY name"
    assert store.catalog.rows(query) == fresh.catalog.rows(query) and len(fresh.catalog.rows(query)) > 12
    store.catalog.rows("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(CorruptError, match="schema version 9"):
        HistoryStore(tmp_path)
