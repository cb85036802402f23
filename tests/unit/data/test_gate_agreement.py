"""Candles against what is stored: shorter timeframes, other sources, and files written in somebody's local time."""

from __future__ import annotations

from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data import agreement, quality
from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.data.resample import resample_frame
from trader.domain.market import MINUTE, Timeframe

M1, M15, H1 = Timeframe.M1, Timeframe.M15, Timeframe.H1
PAIRS = ["A/EUR", "B/EUR"]
CROSS, RIVAL, ZONE = (f"expect_column_values_to_be_{kind}" for kind in ("between(cross)", "between(rival)", "in_set(zone_h)"))


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    store = HistoryStore(tmp_path)
    kit.put(store, kit.frame(PAIRS, 600, source=Source.TRADES), M1, name="trades")
    return store


def failing(store: HistoryStore, rows: pl.DataFrame, tf: Timeframe) -> dict[str, list[str]]:
    """Expectations broken per pair, of the Polars engine."""
    result = quality.check(agreement.compare(store, rows, tf), tf, kit.EPOCH + 30 * 24 * 60 * MINUTE)
    return {v.pair: [f.expectation for f in v.failures] for v in result.verdicts}


def altered(rows: pl.DataFrame, row: int, column: str, factor: float) -> pl.DataFrame:
    """One cell of pair B multiplied."""
    here = (pl.col("pair") == "B/EUR") & (pl.int_range(pl.len()).over("pair") == row)
    return rows.with_columns(pl.when(here).then(pl.col(column) * factor).otherwise(column).alias(column))


def test_native_candles_agree_with_those_built_from_minutes_or_warn(store: HistoryStore) -> None:
    native = resample_frame(kit.frame(PAIRS, 600), M1, M15)
    assert len(native) == 80 and failing(store, native, M15) == {"A/EUR": [], "B/EUR": []}
    for column, factor in (("volume", 1.01), ("high", 1.001)):
        assert failing(store, altered(native, 7, column, factor), M15) == {"A/EUR": [], "B/EUR": [CROSS]}


def test_ohlc_agrees_with_trades_or_warns(store: HistoryStore) -> None:
    rest = kit.frame(PAIRS, 600, source=Source.REST)
    assert failing(store, rest, M1) == {"A/EUR": [], "B/EUR": []}
    assert failing(store, altered(rest, 300, "volume", 0.9), M1) == {"A/EUR": [], "B/EUR": [RIVAL]}
    own = altered(kit.frame(PAIRS, 600, source=Source.TRADES), 300, "volume", 0.9)
    assert failing(store, own, M1) == {"A/EUR": [], "B/EUR": []}, "a source may correct itself"


@pytest.mark.parametrize("hours", [-5, 2, 9])
def test_a_file_in_local_time_is_refused_for_its_pair_alone(store: HistoryStore, hours: int) -> None:
    """Rows 2 hours late, as a reader in Athens writes them, of one pair; the other comes in UTC."""
    late = kit.frame(["B/EUR"], 600, source=Source.ARCHIVE).with_columns(pl.col("time").dt.offset_by(f"{hours}h"))
    rows = pl.concat([kit.frame(["A/EUR"], 600, source=Source.ARCHIVE), late])
    found = failing(store, rows, M1)
    assert found["A/EUR"] == [] and ZONE in found["B/EUR"]
    verdict = quality.check(agreement.compare(store, rows, M1), M1, kit.EPOCH + 30 * 24 * 60 * MINUTE).of(M1)["B/EUR"]
    assert verdict.critical is not None and f"zone_h={hours}" in verdict.critical.detail


def test_nothing_is_said_where_nothing_is_stored(tmp_path: Path) -> None:
    compared = agreement.compare(HistoryStore(tmp_path), kit.frame(PAIRS, 40), M15)
    assert compared.select(pl.col("cross", "rival").is_null().all()).row(0) == (True, True)
    assert compared["zone_h"].to_list() == [0.0] * 80
    assert agreement.compare(HistoryStore(tmp_path), kit.frame(PAIRS, 40).head(0), M15).height == 0
