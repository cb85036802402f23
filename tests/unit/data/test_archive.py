"""Import of archives: whatever is wrong with a file or row is named, and what is good stays."""

from __future__ import annotations

from pathlib import Path

import archive_kit as kit
import candle_kit
import pytest

from trader.data.archive_files import contents, pair_of
from trader.data.history import HistoryStore
from trader.domain.market import MINUTE, Timeframe
from trader.errors import ConfigError

M15 = Timeframe.M15
US = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "history")


def names(path: Path) -> list[tuple[str, str]]:
    return [(file.pair, str(file.timeframe)) for file in contents(path).files]


def test_folder_zip_and_file_are_read_and_names_become_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "XBTEUR_15.csv").write_text(kit.text(kit.lines(3)))
    kit.zipped(
        folder / "Kraken_OHLCVT_Q1_2025.zip", {"Kraken_OHLCVT/XDGUSDT_60.csv": "", "Kraken_OHLCVT/1INCHUSD_1440.csv": "x", "README": ""}
    )
    assert names(folder) == [("BTC/EUR", "15m"), ("DOGE/USDT", "1h"), ("1INCH/USD", "1d")]
    assert names(folder / "deep" / "XBTEUR_15.csv") == [("BTC/EUR", "15m")]
    assert names(folder / "Kraken_OHLCVT_Q1_2025.zip") == [("DOGE/USDT", "1h"), ("1INCH/USD", "1d")]
    assert contents(folder, {"XBTEUR": "OTHER/EUR"}).files[0].pair == "OTHER/EUR", "the venue's own names win"


@pytest.mark.parametrize(
    ("altname", "pair"),
    [
        ("XBTUSD", "BTC/USD"), ("XBTUSDT", "BTC/USDT"), ("ETHXBT", "ETH/BTC"), ("USDTUSD", "USDT/USD"), ("XRPRLUSD", "XRP/RLUSD"),
        ("EURUSD", "EUR/USD"), ("DOTEUR", "DOT/EUR"), ("ATOMETH", "ATOM/ETH"), ("TUSDUSD", "TUSD/USD"), ("DAIUSDC", "DAI/USDC"),
    ],
)  # fmt: skip
def test_altnames_are_split_at_their_quote_asset(altname: str, pair: str) -> None:
    assert pair_of(altname, {}) == pair


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("XBTEUR_30.csv", "30 minutes are not stored"),
        ("XBTEUR_7.csv", "7 minutes is no timeframe"),
        ("NOBODYKNOWS_15.csv", "'NOBODYKNOWS' is no pair: it ends with none of the known quote assets"),
        ("notes.csv", "not named ALTNAME_MINUTES.csv"),
        ("inner.zip", "a zip inside a zip"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_are(tmp_path: Path, name: str, reason: str) -> None:
    path = kit.zipped(tmp_path / "a.zip", {name: "", "ETHEUR_15.csv": kit.text(kit.lines(3))})
    found = contents(path)
    assert [file.pair for file in found.files] == ["ETH/EUR"]
    assert reason in found.unusable[name]


def test_nothing_usable_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        contents(tmp_path / "none")
    (tmp_path / "cut.zip").write_bytes(kit.zipped(tmp_path / "b.zip", {"ETHEUR_15.csv": kit.text(kit.lines(300))}).read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"cut.zip: not a whole zip file.*fetch it again"):
        contents(tmp_path / "cut.zip")


BAD_ROWS = {
    "columns": ("1,2,3", "3 columns instead of 7"),
    "text": (kit.line(5, c="hello"), "close is 'hello', not a number"),
    "text in trades": (kit.line(5, n="4.5"), "count is '4.5', not a whole number"),
    "NaN": (kit.line(5, h="NaN"), "expect_column_values_to_not_be_null(high)"),
    "infinite": (kit.line(5, h="inf"), "expect_column_values_to_be_in_set(finite)"),
    "negative": (kit.line(5, v=-1), "expect_column_values_to_be_between(volume)"),
    "zero": (kit.line(5, l=0), "expect_column_values_to_be_between(low)"),
    "high below": (kit.line(5, h=1), "expect_column_pair_values_a_to_be_greater_than_b(high, body_hi)"),
    "x100": (kit.line(5, o=10500, h=10650, l=10450, c=10600), "a jump up and back"),
    "x100 high": (kit.line(5, h=10650), "expect_column_values_to_be_between(wick)"),
    "milliseconds": (kit.line(5, at=(kit.START_S + 4500) * 1000), "is not in seconds (milliseconds?)"),
    "future": (kit.line(5, at=1_893_456_000), "not closed yet: clock or zone"),
    "before": (kit.line(5, at=900), "is before 2010"),
    "off grid": (kit.line(5, at=kit.START_S + 4501), "is not on the 15m grid"),
    "out of order": (kit.line(5, at=kit.START_S - 900), "out of order"),
    "twice": (kit.line(4, v=99), "another row for this time has other values"),
    "huge number": (kit.line(5, at="9" * 30), "out of all range"),
    "binary": ("\x00\x01\x02", "1 columns instead of 7"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_bad_row_is_named_with_file_and_line_and_leaves_a_hole_in_the_coverage(store: HistoryStore, tmp_path: Path, what: str) -> None:
    row, reason = BAD_ROWS[what]
    rows = kit.lines(20)
    rows[5] = row
    path = tmp_path / "XBTEUR_15.csv"
    path.write_text(kit.text(rows))
    report = kit.load(store, path)
    named = [problem for problem in report.problems if problem.startswith("XBTEUR_15.csv row ")]
    assert named and reason in named[-1], report.problems
    assert any(problem.startswith("XBTEUR_15.csv row 6:") for problem in named), "lines count from 1"
    kept = kit.stored(store)
    lost = 2 if what == "twice" else 1
    assert len(kept) == report.rows == 20 - lost and report.refused == lost
    begin = kit.START_S * US
    hole = [(begin + (4 if what == "twice" else 5) * M15.us, begin + 6 * M15.us)]
    covered = [(c.start_us, c.end_us) for c in store.catalog.coverage("spot", M15)["BTC/EUR"]]
    assert covered == [(begin, hole[0][0]), (hole[0][1], begin + 20 * M15.us)], "nobody knows what a refused row held"
    assert [(m.start_us, m.end_us, m.open) for m in report.missing] == [(*hole[0], True)]


def test_bars_without_a_row_are_filled_listed_and_covered(store: HistoryStore, tmp_path: Path) -> None:
    rows = kit.lines(20)
    path = tmp_path / "XBTEUR_15.csv"
    path.write_text(kit.text([*rows[:7], *rows[10:]]))
    report = kit.load(store, path)
    assert (report.rows, report.filled, report.added, report.refused) == (17, 3, 20, 0)
    assert [(m.pair, m.bars, m.open) for m in report.missing] == [("BTC/EUR", 3, False)]
    kept = kit.stored(store)
    quiet = kept.filter("filled")
    assert quiet["close"].to_list() == [kept["close"][6]] * 3 and quiet["volume"].sum() == 0
    assert [(c.start_us, c.end_us) for c in store.catalog.coverage("spot", M15)["BTC/EUR"]] == [
        (kit.START_S * US, kit.START_S * US + 20 * M15.us)
    ]


def test_the_same_row_once_more_costs_nothing(store: HistoryStore, tmp_path: Path) -> None:
    rows = kit.lines(20)
    path = tmp_path / "XBTEUR_15.csv"
    path.write_text(kit.text([*rows[:8], rows[7], *rows[8:]]))
    report = kit.load(store, path)
    assert (report.rows, report.repeated, report.refused, report.problems) == (20, 1, 0, [])
    assert len(store.catalog.coverage("spot", M15)["BTC/EUR"]) == 1


def test_a_file_cut_in_the_middle_of_a_row_keeps_the_rows_before(store: HistoryStore, tmp_path: Path) -> None:
    path = tmp_path / "XBTEUR_15.csv"
    path.write_text(kit.text(kit.lines(20))[:-3])
    report = kit.load(store, path)
    assert report.rows == 19 and "row 20: no line end: the file is cut off here" in report.problems[0]


def test_six_columns_are_the_older_layout_and_an_empty_file_is_named(store: HistoryStore, tmp_path: Path) -> None:
    (tmp_path / "XBTEUR_15.csv").write_text(kit.text([row.rsplit(",", 1)[0] for row in kit.lines(20)]))
    (tmp_path / "ETHEUR_15.csv").write_text("")
    report = kit.load(store, tmp_path)
    assert report.rows == 20 and report.problems == ["ETHEUR_15.csv: no usable row"]
    assert kit.stored(store)["count"].sum() == 0 and not kit.stored(store)["filled"].any()


def test_a_damaged_member_is_named_and_the_others_are_stored(store: HistoryStore, tmp_path: Path) -> None:
    path = kit.zipped(tmp_path / "a.zip", {"XBTEUR_15.csv": kit.text(kit.lines(500)), "ETHEUR_15.csv": kit.text(kit.lines(20))})
    data = bytearray(path.read_bytes())
    data[200:260] = b"\xff" * 60
    path.write_bytes(data)
    report = kit.load(store, path)
    assert kit.stored(store)["pair"].unique().to_list() == ["ETH/EUR"]
    assert report.problems[0].startswith("XBTEUR_15.csv: damaged (")


@pytest.mark.parametrize("hours", [-5, 1, 2])
def test_local_times_are_told_from_stored_candles(store: HistoryStore, tmp_path: Path, hours: int) -> None:
    known = candle_kit.series("BTC/EUR", 200, tf=M15, start=kit.START_S * US)
    candle_kit.put(store, candle_kit.frame(["BTC/EUR"], 200, tf=M15, start=kit.START_S * US), M15, name="rest")
    rows = [f"{c.time_us // US + hours * 3600},{c.open!r},{c.high!r},{c.low!r},{c.close!r},{c.volume!r},3" for c in known]
    (tmp_path / "XBTEUR_15.csv").write_text(kit.text(rows))
    report = kit.load(store, tmp_path / "XBTEUR_15.csv")
    words = f"its times are {abs(hours)} h {'ahead of' if hours > 0 else 'behind'} the stored candles: not UTC"
    assert [words in problem for problem in report.problems] == [True] and report.added == 0


def test_the_archive_agrees_with_rest_and_takes_its_vwap(store: HistoryStore, tmp_path: Path) -> None:
    known = candle_kit.series("BTC/EUR", 200, tf=M15, start=kit.START_S * US)
    candle_kit.put(store, candle_kit.frame(["BTC/EUR"], 200, tf=M15, start=kit.START_S * US), M15, name="rest")
    before = kit.stored(store)
    rows = [f"{c.time_us // US},{c.open!r},{c.high!r},{c.low!r},{c.close!r},{c.volume!r}" for c in known]
    (tmp_path / "XBTEUR_15.csv").write_text(kit.text(rows))
    report = kit.load(store, tmp_path / "XBTEUR_15.csv")
    assert (report.rows, report.added, report.revisions, report.problems) == (200, 0, 0, [])
    assert kit.stored(store).drop("source").equals(before.drop("source"))
    assert kit.stored(store)["source"].unique().to_list() == [4]


def test_files_are_imported_once_and_an_increment_adds_to_the_whole(store: HistoryStore, tmp_path: Path) -> None:
    first = kit.zipped(tmp_path / "Q1.zip", {"XBTEUR_15.csv": kit.text(kit.lines(96))})
    kit.load(store, first)
    again = kit.load(store, first)
    assert (again.skipped, again.files, again.rows) == (1, 0, 0)
    second = kit.zipped(tmp_path / "Q2.zip", {"XBTEUR_15.csv": kit.text(kit.lines(200)[90:])})
    more = kit.load(store, second)
    assert (more.rows, more.added, more.revisions) == (110, 104, 0)
    assert len(kit.stored(store)) == 200


def test_a_run_that_was_stopped_says_what_is_left_and_the_next_one_ends_it(store: HistoryStore, tmp_path: Path) -> None:
    files = {f"{base}EUR_15.csv": kit.text(kit.lines(50)) for base in ("XBT", "ETH", "ADA")}
    path = kit.zipped(tmp_path / "a.zip", files)
    asked = iter([False, False, True])
    report = kit.load(store, path, stopping=lambda: next(asked, True))
    assert report.unread >= 2 and len(kit.stored(store)) < 150
    kit.load(store, path)
    assert len(kit.stored(store)) == 150
    assert not (store.directory / "archive.new").exists()


def test_a_wrong_gate_verdict_keeps_one_pair_out(store: HistoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A breach planted behind the row rules: the gate still refuses, and only that pair."""
    monkeypatch.setattr("trader.data.archive_rows.row_rules", lambda _: ())
    rows = kit.lines(20)
    rows[5] = kit.line(5, h=104)
    path = kit.zipped(tmp_path / "a.zip", {"XBTEUR_15.csv": kit.text(rows), "ETHEUR_15.csv": kit.text(kit.lines(20))})
    report = kit.load(store, path)
    assert list(report.quarantined) == ["BTC/EUR 15m"]
    assert kit.stored(store)["pair"].unique().to_list() == ["ETH/EUR"]
    assert [block.pair for block in store.catalog.blocks("spot")] == ["BTC/EUR"]


def test_months_of_many_pairs_become_one_part_each(store: HistoryStore, tmp_path: Path) -> None:
    days = 70
    files = {f"{base}EUR_{m}.csv": kit.text(kit.lines(days * 1440 // m, minutes=m)) for base in ("XBT", "ETH") for m in (15, 240)}
    report = kit.load(store, kit.zipped(tmp_path / "a.zip", files))
    assert report.added == 2 * days * (96 + 6)
    assert store.catalog.rows("SELECT tf, rung, count(*) FROM part GROUP BY tf, rung ORDER BY tf") == [
        ("15m", "month", 3),
        ("4h", "month", 3),
    ]
    assert [part.end_us - part.start_us for part in store.catalog.parts("spot", "15m")] == [d * 1440 * MINUTE for d in (31, 28, 31)]
