"""Rows that an audit refuses after they were stored: out of every reader's sight, kept in the quarantine, their pair blocked."""

from __future__ import annotations

from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data import parts
from trader.data.catalog import Batch
from trader.data.history import HistoryStore
from trader.data.intake import gates
from trader.data.judged import Failure, Verdict
from trader.data.rules import Severity
from trader.domain.market import MINUTE, Timeframe

M1 = Timeframe.M1
BAD = (kit.EPOCH + 30 * MINUTE, kit.EPOCH + 90 * MINUTE)  # over the edge of an hour part


def verdict(pair: str, severity: Severity = Severity.CRITICAL) -> Verdict:
    failure = Failure(expectation="expect_column_values_to_be_between(low)", severity=severity, rows=60, detail="60 rows, first ...")
    return Verdict(timeframe=M1, pair=pair, rows=60, failures=(failure,))


def batch(now_us: int) -> Batch:
    return Batch(batch_id="audit", source="rest", client="test", requested=BAD, received=None, rows=0, sha256="", fetched_us=now_us,
                 suite_version="", gate_json="{}")  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    store = HistoryStore(tmp_path)
    kit.put(store, kit.frame(["A/EUR", "B/EUR"], 180), M1, name="good")
    return store


def test_no_reader_sees_rows_that_were_set_aside(store: HistoryStore) -> None:
    now = kit.EPOCH + 200 * MINUTE
    assert store.set_aside(verdict("A/EUR"), batch=batch(now), start_us=BAD[0], end_us=BAD[1]) == 60
    snapshot = store.snapshot(tf=M1)
    good = kit.frame(["A/EUR", "B/EUR"], 180).filter(
        ~((pl.col("pair") == "A/EUR") & pl.col("time").to_physical().is_between(*BAD, closed="left"))
    )
    assert snapshot.scan().collect().sort("pair", "time").equals(good)
    assert snapshot.window(None, 500).sort("pair", "time").equals(good)
    query = "SELECT * FROM candles WHERE pair = ? ORDER BY time"
    assert snapshot.sql(query, ["A/EUR"]).height == store.sql(query, ["A/EUR"]).height == 120
    assert store.get_history("A/EUR", M1, 500).height == 120
    assert [len(run) for run in snapshot.segments("A/EUR")] == [30, 90], "the hole is not bridged"
    assert len(snapshot.arrays("A/EUR")) == len(store.series(["A/EUR"], M1, 500)["A/EUR"]) == 90
    assert len(store.series(["B/EUR"], M1, 500)["B/EUR"]) == 180


def test_the_rows_are_kept_aside_their_range_is_quarantined_and_the_pair_blocked_until_cleared(store: HistoryStore) -> None:
    now = kit.EPOCH + 200 * MINUTE
    store.set_aside(verdict("A/EUR"), batch=batch(now), start_us=BAD[0], end_us=BAD[1])
    (aside,) = (store.directory / "quarantine").iterdir()
    assert parts.read(aside).height == 60
    (note,) = store.catalog.rows("SELECT gate_json FROM batch WHERE batch_id = 'audit-quarantine'")
    assert aside.name in note[0]
    states = [(c.start_us, c.end_us, c.state) for c in store.catalog.coverage("spot", M1)["A/EUR"]]
    assert states == [(kit.EPOCH, BAD[0], "fetched"), (*BAD, "quarantined"), (BAD[1], kit.EPOCH + 180 * MINUTE, "fetched")]
    word = gates(store, [M1], now)["A/EUR"]
    assert (word.reason, word.detail) == ("expect_column_values_to_be_between(low)", "1m 60 rows, first ...")
    assert "B/EUR" not in {block.pair for block in store.catalog.blocks("spot")}
    kit.put(store, kit.frame(["A/EUR"], 180), M1, name="again")
    store.clear("A/EUR", by="ann", reason="fetched again", now_us=now)
    assert store.catalog.blocks("spot") == [] and store.get_history("A/EUR", M1, 500).height == 180


def test_a_whole_part_may_go_and_a_warning_sets_nothing_aside(store: HistoryStore) -> None:
    for pair in ("A/EUR", "B/EUR"):
        store.set_aside(verdict(pair), batch=batch(kit.EPOCH + 200 * MINUTE), start_us=kit.EPOCH, end_us=kit.EPOCH + 60 * MINUTE)
    assert store.snapshot(tf=M1).scan().collect().height == 240
    assert len(store.catalog.parts("spot", M1)) == 2
    with pytest.raises(ValueError, match="nothing critical"):
        store.set_aside(verdict("A/EUR", Severity.WARNING), batch=batch(0), start_us=0, end_us=1)
