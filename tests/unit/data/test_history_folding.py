"""The ladder of parts: hours become days, days months; every fold is proved, bounded, and reads the same afterwards."""

from __future__ import annotations

from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest
from pyarrow import parquet

from benchmarks.candles import generated
from trader.data import compaction, part_files, parts
from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.domain.market import DAY, Timeframe
from trader.errors import CorruptError

M1, M5, M15, H1 = Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1
JANUARY, FEBRUARY = 1_767_225_600_000_000, 1_769_904_000_000_000
MARCH = 1_772_323_200_000_000


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path, commit_every_us=0)


def month(names: list[str], tf: Timeframe) -> pl.DataFrame:
    """All of January 2026, generated, sorted by (pair, time)."""
    return generated(names, (FEBRUARY - JANUARY) // tf.us, tf, start=JANUARY)


def by_days(store: HistoryStore, rows: pl.DataFrame, tf: Timeframe) -> None:
    days = rows["time"].to_physical() // DAY
    for day in days.unique().sort():
        kit.put(store, rows.filter(days == day), tf, name=f"d{day}", now_us=int(day + 1) * DAY)


@pytest.mark.parametrize(("tf", "groups"), [(M15, 1), (M5, 1), (M1, 3)])
def test_days_of_a_finished_month_become_one_part_with_row_groups_of_whole_pairs(store: HistoryStore, tf: Timeframe, groups: int) -> None:
    rows = month(kit.pairs(3), tf)
    by_days(store, rows, tf)
    assert store.compact(FEBRUARY).months == 0, "midnight is not five past"
    report = store.compact(FEBRUARY + DAY)
    assert (report.months, report.replaced, report.rows, report.skipped) == (1, 31, len(rows), 0)
    (part,) = store.catalog.parts("spot", tf)
    assert (part.rung, part.start_us, part.end_us, part.status) == ("month", JANUARY, FEBRUARY, "accepted")
    assert parquet.ParquetFile(store.folder / part.path).num_row_groups == groups
    assert parts.read(store.folder / part.path).equals(rows)
    assert store.snapshot(tf=tf).verify() == 1
    assert store.compact(FEBRUARY + DAY).rows == 0, "nothing is folded twice"


def test_hours_go_all_the_way_up_and_a_late_row_lands_in_the_month(store: HistoryStore) -> None:
    rows = generated(["A/EUR"], 2 * 1440, M1, start=JANUARY)
    for hour in range(48):
        kit.put(store, rows.slice(hour * 60, 60), M1, name=f"h{hour}", now_us=JANUARY + hour * 3_600_000_000)
    assert {part.rung for part in store.catalog.parts("spot", M1)} == {"hour"}
    report = store.compact(MARCH)
    assert (report.days, report.months) == (2, 1)
    late = rows.tail(1).with_columns(close=pl.lit(1.0), low=pl.lit(1.0), source=pl.lit(int(Source.ARCHIVE), pl.UInt8))
    assert kit.put(store, late, M1, name="late").revisions == 1
    (part,) = store.catalog.parts("spot", M1)
    assert part.rung == "month" and part.rows == len(rows)
    assert store.get_history("A/EUR", M1, 1)["close"].to_list() == [1.0]


def test_longer_timeframes_live_in_months_from_the_start(store: HistoryStore) -> None:
    kit.put(store, month(["A/EUR"], H1), H1, name="a")
    assert [part.rung for part in store.catalog.parts("spot", H1)] == ["month"]
    assert store.compact(MARCH).rows == 0


def test_memory_stays_bounded_while_a_month_is_folded(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = month(kit.pairs(5), M15)
    by_days(store, rows, M15)
    monkeypatch.setattr(compaction, "CHUNK_ROWS", len(rows) // 4)
    seen: list[int] = []
    store.reach = lambda name: seen.append(0) if name == "part_created" else None
    old = store.catalog.parts("spot", M15)
    chunks = list(compaction._chunks(store, old))
    assert [len(chunk) for chunk in chunks] == [len(rows) // 5] * 5
    assert pl.concat(chunks).equals(rows)
    assert store.compact(FEBRUARY + DAY).rows == len(rows) and seen == [0]


def test_a_fold_that_does_not_prove_equal_changes_nothing(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    by_days(store, month(["A/EUR"], M15), M15)
    before, real = store.catalog.parts("spot", M15), part_files.write_sorted

    def shuffled(folder: Path, chunks: list[pl.DataFrame], **more: object) -> part_files.Written:
        changed = [
            chunk.with_columns(close=pl.col("close") + pl.when(pl.int_range(pl.len()) == 99).then(1e-9).otherwise(0.0)) for chunk in chunks
        ]
        return real(folder, changed, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(part_files, "write_sorted", shuffled)
    with pytest.raises(CorruptError, match=r"folding 15m: rows 0 to 2976 .* differ"):
        store.compact(FEBRUARY + DAY)
    assert store.catalog.parts("spot", M15) == before


def test_a_fold_gives_way_to_a_writer_who_was_faster(store: HistoryStore) -> None:
    rows = month(["A/EUR"], M15)
    by_days(store, rows, M15)
    other = HistoryStore(store.directory)
    changed = rows.head(1).with_columns(volume=pl.lit(77.0), source=pl.lit(int(Source.ARCHIVE), pl.UInt8))
    store.reach = lambda name: kit.put(other, changed, M15, name="x") if name == "fold_proved" else None  # type: ignore[func-returns-value]
    report = store.compact(FEBRUARY + DAY)
    assert (report.months, report.skipped) == (0, 1)
    store.reach = part_files.nowhere
    assert store.compact(FEBRUARY + DAY).months == 1
    assert store.get_history("A/EUR", M15, 10_000)["volume"].to_list()[0] == 77.0


def test_a_damaged_day_is_named_and_not_folded(store: HistoryStore) -> None:
    by_days(store, month(["A/EUR"], M15), M15)
    path = store.snapshot(tf=M15).files[7]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptError, match=path.name):
        store.compact(FEBRUARY + DAY)
    assert len(store.catalog.parts("spot", M15)) == 31
