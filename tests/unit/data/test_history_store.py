"""The history store: what is written is read, once, whatever the order and source it came in."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data import parts
from trader.data.compaction import sweep
from trader.data.coverage import Coverage, covered, lay_over
from trader.data.history import HistoryStore
from trader.data.intake import Intake
from trader.data.parts import Source
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.errors import CorruptError, RejectedError

M1, M15, H4 = Timeframe.M1, Timeframe.M15, Timeframe.H4
HOUR = 60 * MINUTE


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "history")


def fill(store: HistoryStore, names: list[str], count: int, *, start: int = kit.EPOCH) -> None:
    """Minutes through the session's door, two seconds after each close."""
    intake = Intake(store)
    for candles in kit.minutes(names, count, start=start):
        assert intake.take(candles, candles[0].close_us + 2_000_000) == []
    store.flush(start + count * MINUTE + 2_000_000)


def test_appended_minutes_come_back_equal_in_hour_parts(store: HistoryStore) -> None:
    names = kit.pairs(3)
    fill(store, names, 130)
    rows = store.snapshot(tf=M1, provisional=True).scan().collect().sort("pair", "time")
    assert rows.equals(kit.frame(names, 130, source=Source.STREAM).sort("pair", "time"))
    assert [(p.rung, p.status) for p in store.catalog.parts("spot", M1)] == [("hour", "provisional")] * 3


def test_finished_day_is_folded_into_one_part_with_equal_rows(store: HistoryStore) -> None:
    names = kit.pairs(2)
    fill(store, names, 1440)
    before = store.snapshot(tf=M1, provisional=True).scan().collect().sort("pair", "time")
    assert len(store.catalog.parts("spot", M1)) == 24
    store.maintain(kit.EPOCH + DAY + 6 * MINUTE)
    found = store.catalog.parts("spot", M1)
    assert [(p.rung, p.rows) for p in found] == [("day", 2880)]
    assert store.snapshot(tf=M1, provisional=True).scan().collect().equals(before)


def test_late_minute_goes_into_the_day_part_that_owns_it(store: HistoryStore) -> None:
    names = kit.pairs(2)
    rows = kit.frame(names, 1440)
    put_late = rows.filter(pl.col("time").to_physical() == kit.EPOCH + 700 * MINUTE)
    kit.put(store, rows.filter(pl.col("time").to_physical() != kit.EPOCH + 700 * MINUTE), M1, name="a", now_us=kit.EPOCH + 2 * DAY)
    done = kit.put(store, put_late, M1, name="b", now_us=kit.EPOCH + 2 * DAY)
    assert (done.added, done.parts) == (2, 1)
    assert [(p.rung, p.rows) for p in store.catalog.parts("spot", M1)] == [("day", 2880)]


def test_upserting_the_same_rows_again_writes_nothing(store: HistoryStore) -> None:
    rows = kit.frame(kit.pairs(4), 300)
    first = kit.put(store, rows, M1, name="a")
    again = kit.put(store, rows.reverse(), M1, name="b", now_us=kit.EPOCH + 301 * MINUTE)
    assert (first.added, again.added, again.revisions, again.parts) == (1200, 0, 0, 0)
    assert store.snapshot(tf=M1).scan().collect().height == 1200


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (Source.STREAM, Source.REST, "second"), (Source.REST, Source.STREAM, "first"), (Source.TRADES, Source.REST, "first"),
        (Source.REST, Source.REST, "second"), (Source.REST, Source.ARCHIVE, "second"),
    ],
)  # fmt: skip
def test_higher_ranked_or_newer_source_wins_and_both_values_are_kept(
    store: HistoryStore, first: Source, second: Source, winner: str
) -> None:
    rows = kit.frame(["A/EUR"], 60, source=first)
    other = rows.with_columns(close=pl.col("close") * 1.0001, source=pl.lit(int(second), pl.UInt8))
    kit.put(store, rows, M1, name="a")
    done = kit.put(store, other, M1, name="b")
    kept = store.snapshot(tf=M1, provisional=True).scan().collect()
    assert kept.equals(rows if winner == "first" else other)
    assert done.revisions == 60
    logged = store.catalog.rows("SELECT kept_close, other_close FROM revision ORDER BY time_us")
    assert logged[0] == ((rows if winner == "first" else other)["close"][0], (other if winner == "first" else rows)["close"][0])
    with pytest.raises(sqlite3.DatabaseError, match="append-only"):
        store.catalog.rows("DELETE FROM revision")


def test_research_sees_a_minute_only_once_rest_confirmed_it(store: HistoryStore) -> None:
    fill(store, ["A/EUR"], 60)
    assert store.snapshot(tf=M1).scan().collect().height == 0
    kit.put(store, kit.frame(["A/EUR"], 40), M1, name="rest")
    assert store.snapshot(tf=M1).scan().collect().height == 40
    assert store.snapshot(tf=M1, provisional=True).scan().collect().height == 60
    assert store.snapshot(tf=M1).sql("SELECT count(*) AS n FROM candles")["n"][0] == 40


def test_unfetched_hole_is_never_bridged(store: HistoryStore) -> None:
    rows = kit.frame(["A/EUR"], 100).filter(pl.col("time").to_physical() != kit.EPOCH + 30 * MINUTE)
    kit.put(store, rows, M1, name="a")
    snapshot = store.snapshot(tf=M1)
    assert [len(s) for s in snapshot.segments("A/EUR")] == [30, 69]
    assert len(snapshot.arrays("A/EUR")) == 69
    assert len(store.series(["A/EUR"], M1, 500)["A/EUR"]) == 69
    assert [(c.start_us, c.end_us) for c in store.catalog.coverage("spot", M1)["A/EUR"]] == [
        (kit.EPOCH, kit.EPOCH + 30 * MINUTE), (kit.EPOCH + 31 * MINUTE, kit.EPOCH + 100 * MINUTE),
    ]  # fmt: skip


def test_fifteen_minutes_built_from_minutes_extend_and_replace_native_ones(store: HistoryStore) -> None:
    kit.put(store, kit.frame(["A/EUR"], 8, tf=M15, seed=5), M15, name="native")
    fill(store, ["A/EUR"], 100, start=kit.EPOCH + 90 * MINUTE)
    got = store.series(["A/EUR"], M15, 500)["A/EUR"]
    assert len(got) == 12  # six native, two of which minutes replace no more, six built; the last ten minutes fill no bucket
    native = kit.series("A/EUR", 8, tf=M15, seed=5)
    minutes = kit.series("A/EUR", 100, start=kit.EPOCH + 90 * MINUTE)
    assert got.close[:6].tolist() == [c.close for c in native[:6]]
    assert got.close[6:].tolist() == [minutes[i].close for i in range(14, 90, 15)]
    assert store.get_history("A/EUR", "15m", 3)["close"].to_list() == got.close[-3:].tolist()


def test_short_warm_up_sees_minutes_although_month_parts_end_in_the_future(store: HistoryStore) -> None:
    kit.put(store, kit.frame(["A/EUR"], 10, tf=H4), H4, name="native")
    fill(store, ["A/EUR"], 500, start=kit.EPOCH + 40 * HOUR)
    got = store.series(["A/EUR"], H4, 3)["A/EUR"]
    assert got.time.tolist() == [kit.EPOCH + h * HOUR for h in (36, 40, 44)]
    assert store.tails(["A/EUR"], Timeframe.M15, 3)[0].rows == 3


def test_tails_tell_whole_pairs_from_holed_late_short_and_unknown_ones(store: HistoryStore) -> None:
    bars = {name: kit.series(name, 21, tf=M15) for name in ("WHOLE", "HOLED", "LATE", "SHORT")}
    stored = [*bars["WHOLE"][:20], *bars["HOLED"][:15], *bars["HOLED"][16:20], *bars["LATE"][:17], *bars["SHORT"][15:20]]
    kit.put(store, parts.frame_of(stored, Source.REST), M15, name="stored")
    newest = bars["WHOLE"][20].time_us
    store.append([bars[name][at] for name in ("SHORT", "HOLED", "WHOLE") for at in (19, 20)], M15, newest + M15.us)
    seen = {tail.pair: (tail.rows, tail.gaps, tail.newest_us) for tail in store.tails([*bars, "NOBODY"], M15, 10)}
    assert seen == {
        "WHOLE": (10, 0, newest), "HOLED": (10, 1, newest), "LATE": (10, 0, newest - 4 * M15.us), "SHORT": (6, 0, newest),
        "NOBODY": (0, 0, None),
    }  # fmt: skip
    assert [tail.rows for tail in store.tails(["LATE", "WHOLE", "WHOLE"], M15, 21)] == [17, 21, 21]


def test_ranges_of_rows_do_not_depend_on_their_order() -> None:
    rows = kit.frame(["B/EUR", "A/EUR"], 6).filter(pl.col("time").to_physical() != kit.EPOCH + 3 * MINUTE)
    shuffled = pl.concat([rows, rows.head(2)]).sample(fraction=1.0, shuffle=True, seed=4)
    found = [(c.pair, (c.start_us - kit.EPOCH) // MINUTE, (c.end_us - kit.EPOCH) // MINUTE) for c in covered(shuffled, M1, "rest", "b")]
    assert found == [("A/EUR", 0, 3), ("A/EUR", 4, 6), ("B/EUR", 0, 3), ("B/EUR", 4, 6)]


def test_buffered_minutes_are_read_before_they_are_on_disk(store: HistoryStore) -> None:
    intake = Intake(store)
    for candles in kit.minutes(["A/EUR"], 7):
        intake.take(candles, candles[0].close_us)
    assert store.catalog.parts("spot", M1) == [] and store.waiting == 7
    assert len(store.series(["A/EUR"], M1, 10)["A/EUR"]) == 7
    assert store.get_history("A/EUR", M1).height == 7


def test_get_history_of_an_unknown_pair_is_an_error_and_of_a_short_one_is_not(store: HistoryStore) -> None:
    kit.put(store, kit.frame(["A/EUR"], 5), M1, name="a")
    assert store.get_history("A/EUR", "1m", periods=500).height == 5
    with pytest.raises(RejectedError, match=r"'B/EUR'.*A/EUR"):
        store.get_history("B/EUR", "1m")


def test_damaged_part_is_an_error_that_names_the_file(store: HistoryStore) -> None:
    kit.put(store, kit.frame(kit.pairs(2), 200), M1, name="a")
    snapshot = store.snapshot(tf=M1)
    path = snapshot.files[1]
    name, data = path.name, path.read_bytes()
    path.write_bytes(data[:-40])
    for read in (
        lambda: snapshot.window(None, 500),
        lambda: snapshot.arrays("P000/EUR"),
        lambda: snapshot.sql("SELECT sum(close) FROM candles"),
    ):
        with pytest.raises(CorruptError, match=name):
            read()
    path.unlink()
    with pytest.raises(CorruptError, match=name):
        parts.read(path)


def test_flipped_bit_is_found_before_its_rows_are_used(store: HistoryStore, tmp_path: Path) -> None:
    kit.put(store, kit.frame(kit.pairs(2), 200), M1, name="a")
    snapshot = store.snapshot(tf=M1)
    assert snapshot.verify() == 4
    path = snapshot.files[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    fresh = HistoryStore(store.directory)  # nothing in memory
    for read in (snapshot.verify, lambda: fresh.series(["P000/EUR"], M1, 500), lambda: fresh.get_history("P000/EUR", M1)):
        with pytest.raises(CorruptError, match=path.name):
            read()
    with pytest.raises(CorruptError, match=path.name):
        kit.put(fresh, kit.frame(["P000/EUR"], 200, source=Source.ARCHIVE), M1, name="b")


def test_overlapping_parts_are_refused_by_the_catalog_itself(store: HistoryStore) -> None:
    kit.put(store, kit.frame(["A/EUR"], 30), M1, name="a")
    part = store.catalog.parts("spot", M1)[0]
    twin = dataclasses.replace(part, part_id="x", path="x.parquet", rung="day", end_us=kit.EPOCH + DAY)
    with pytest.raises(sqlite3.IntegrityError, match="may not overlap"), store.catalog.write():
        store.catalog.replace([], twin, schema_version=1, at_us=0)
    assert len(store.catalog.parts("spot", M1)) == 1


def test_replaced_files_wait_an_hour_and_pinned_ones_longer(store: HistoryStore) -> None:
    kit.put(store, kit.frame(["A/EUR"], 30), M1, name="a")
    old = store.snapshot(tf=M1)
    now = kit.EPOCH + 2 * HOUR
    kit.put(store, kit.frame(["A/EUR"], 40), M1, name="b", now_us=now)
    store.pin(old, now + 5 * HOUR)
    assert sweep(store, now + HOUR // 2) == []
    assert sweep(store, now + 2 * HOUR) == []
    assert old.scan().collect().height == 30
    assert sweep(store, now + 6 * HOUR) == [old.files[0].name]
    assert not old.files[0].exists() and store.snapshot(tf=M1).scan().collect().height == 40


def test_orphan_of_a_killed_writer_is_swept_by_the_machine_clock_only(store: HistoryStore) -> None:
    orphan = store.folder / ("0" * 32 + ".parquet")
    orphan.write_bytes(b"x")
    changed_us = orphan.stat().st_mtime_ns // 1000
    assert sweep(store, kit.EPOCH) == []
    assert sweep(store, kit.EPOCH, machine_us=changed_us + HOUR // 2) == []
    assert sweep(store, kit.EPOCH, machine_us=changed_us + 2 * HOUR) == [orphan.name]


def test_a_name_left_by_a_killed_writer_is_not_adopted(store: HistoryStore, tmp_path: Path) -> None:
    rows = kit.frame(["A/EUR"], 30)
    kit.put(store, rows, M1, name="a")
    first = store.snapshot(tf=M1).files[0]
    other = HistoryStore(tmp_path / "other")
    (other.folder / first.name).write_bytes(b"half a file")
    kit.put(other, rows, M1, name="a")
    assert other.snapshot(tf=M1).files[0].name != first.name
    assert other.snapshot(tf=M1).scan().collect().equals(rows)


def test_equal_runs_have_equal_stores(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        store = HistoryStore(tmp_path / name)
        fill(store, kit.pairs(3), 200)
        digests.append((store.snapshot(tf=M1, provisional=True).digest, sorted(p.name for p in store.folder.iterdir())))
        store.close()
    assert digests[0] == digests[1] and len(digests[0][1]) >= 4


def test_empty_snapshot_has_the_schema(store: HistoryStore) -> None:
    snapshot = store.snapshot(tf=H4)
    assert snapshot.files == () and len(snapshot.arrays("A/EUR")) == 0
    for rows in (snapshot.window(["A/EUR"], 5), snapshot.scan().collect(), snapshot.sql("SELECT * FROM candles")):
        assert rows.height == 0 and rows.columns == list(parts.COLUMNS)


QUERIES = {
    "SELECT * FROM candles WHERE pair = ? ORDER BY time": lambda f: f.filter(pl.col("pair") == "P001/EUR").sort("time"),
    "SELECT pair, max(high) AS high FROM candles WHERE pair >= ? GROUP BY pair ORDER BY pair": lambda f: (
        f.filter(pl.col("pair") >= "P001/EUR").group_by("pair").agg(pl.col("high").max()).sort("pair")
    ),
    "SELECT date_trunc('day', time) AS day, count(*) AS n FROM candles WHERE pair = ? GROUP BY day ORDER BY day": lambda f: (
        f.filter(pl.col("pair") == "P001/EUR").group_by(day=pl.col("time").dt.truncate("1d")).agg(n=pl.len().cast(pl.Int64)).sort("day")
    ),
    "SELECT pair, time, close FROM (SELECT *, row_number() OVER (PARTITION BY pair ORDER BY time DESC) AS k FROM candles WHERE pair > ?)"
    " WHERE k <= 20 ORDER BY pair, time": lambda f: (
        f.filter(pl.col("pair") > "P001/EUR")
        .sort("pair", "time")
        .group_by("pair", maintain_order=True)
        .tail(20)
        .select("pair", "time", "close")
    ),
}


@pytest.mark.parametrize("query", QUERIES)
def test_duckdb_and_polars_answer_alike(store: HistoryStore, query: str) -> None:
    kit.put(store, kit.frame(kit.pairs(4), 1500, start=kit.EPOCH + 5 * HOUR), M1, name="a")
    snapshot = store.snapshot(tf=M1, since=kit.EPOCH + 6 * HOUR, until=kit.EPOCH + 26 * HOUR)
    answer, expected = snapshot.sql(query, ["P001/EUR"]), QUERIES[query](snapshot.scan().collect())
    assert answer.height > 0
    assert [str(t) for t in answer.dtypes] == [str(t) for t in expected.dtypes]
    assert answer.equals(expected)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_days_are_utc_whatever_the_machine_zone(tmp_path: Path, zone: str) -> None:
    code = (
        "import sys; from pathlib import Path; from trader.data.history import HistoryStore\n"
        "s = HistoryStore(Path(sys.argv[1])).snapshot(tf='1m')\n"
        "q = s.sql(\"SELECT strftime(date_trunc('day', time), '%Y-%m-%dT%H:%M') AS d, count(*) AS n FROM candles GROUP BY d ORDER BY d\")\n"
        "print(q.rows())"
    )
    store = HistoryStore(tmp_path / "history")
    kit.put(store, kit.frame(["A/EUR"], 1500), M1, name="a")
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "history")], capture_output=True, text=True, env={"TZ": zone}, check=False
    )
    assert done.stdout.strip() == "[('2026-01-05T00:00', 1440), ('2026-01-06T00:00', 60)]", done.stderr


def test_window_is_the_newest_rows_of_each_pair_and_reads_no_more_parts_than_needed(store: HistoryStore) -> None:
    kit.put(store, kit.frame(kit.pairs(3), 600), M1, name="a")
    snapshot = store.snapshot(tf=M1)
    snapshot.files[0].unlink()  # the oldest hour: not needed for 30 rows
    rows = snapshot.window(["P000/EUR", "P002/EUR"], 90)
    expected = kit.frame(["P000/EUR", "P002/EUR"], 600).group_by("pair", maintain_order=True).tail(90)
    assert rows.sort("pair", "time").equals(expected.sort("pair", "time"))


def test_late_trade_reaches_the_filled_minutes_behind_it(store: HistoryStore) -> None:
    candles = kit.series("A/EUR", 10)
    archive = parts.fill(parts.frame_of([candles[i] for i in (0, 1, 6, 7)], Source.ARCHIVE), M1)
    assert archive.height == 8 and archive["filled"].to_list() == [False, False, True, True, True, True, False, False]
    assert archive["close"].to_list()[1:6] == [candles[1].close] * 5
    kit.put(store, archive, M1, name="a")
    kit.put(store, parts.frame_of([candles[3]], Source.ARCHIVE), M1, name="late")
    rows = store.snapshot(tf=M1).scan().collect()
    assert rows["close"].to_list()[1:6] == [candles[1].close, candles[1].close, candles[3].close, candles[3].close, candles[3].close]
    assert rows["filled"].to_list()[2:6] == [True, False, True, True]


def test_coverage_intervals_stay_disjoint_and_merge_with_equal_neighbours() -> None:
    def item(start: int, end: int, state: str = "fetched", batch: str = "a") -> Coverage:
        return Coverage(pair="A", start_us=start, end_us=end, state=state, source="rest", batch_id=batch)

    laid = lay_over([item(0, 10), item(20, 30)], item(10, 20))
    assert laid == [item(0, 30)]
    assert lay_over(laid, item(5, 8, "quarantined")) == [item(0, 5), item(5, 8, "quarantined"), item(8, 30)]
    assert lay_over(laid, item(0, 30, batch="b")) == [item(0, 30, batch="b")]


def test_a_file_that_is_no_catalog_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"this is not a database, not at all, whatever the name says" * 20)
    with pytest.raises(CorruptError, match=r"catalog\.sqlite"):
        HistoryStore(tmp_path)


def test_a_part_that_no_longer_grows_is_not_kept_in_memory(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "history", commit_every_us=0)
    for candles in kit.minutes(kit.pairs(2), 180):
        store.append(candles, Timeframe.M1, candles[0].close_us)
    assert len(store.catalog.parts("spot", Timeframe.M1)) >= 3
    assert [len(frame) for frame in store._cache.values()] == [120]
    assert len(store.series(kit.pairs(2), Timeframe.M1, 500)["P000/EUR"]) == 180
