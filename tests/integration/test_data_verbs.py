"""`trader data coverage|check|export|clear` on a store with a hole, a refused pair and a damaged file."""

from __future__ import annotations

import json
from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.bootstrap.data_desk import audit
from trader.cli import run
from trader.data import ingest
from trader.data.history import HistoryStore
from trader.data.ingest import Fetched, Request, StagedBatch
from trader.data.parts import Source
from trader.domain.market import MINUTE, Timeframe

Capture = pytest.CaptureFixture[str]
M1 = Timeframe.M1
NOW = kit.EPOCH + 60 * MINUTE


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An hour of two pairs: A lacks three minutes, B was refused for a row a hundred times too high."""
    state = tmp_path / "state"
    store = HistoryStore(state / "history")
    time = pl.col("time").to_physical()
    a = kit.frame(["A/EUR"], 60).filter(~time.is_between(kit.EPOCH + 20 * MINUTE, kit.EPOCH + 22 * MINUTE))
    spike = time == kit.EPOCH + 30 * MINUTE
    b = kit.frame(["B/EUR"], 60).with_columns(
        pl.when(spike).then(pl.col(c) * 100).otherwise(c).alias(c) for c in ("open", "high", "low", "close")
    )
    fetched = tuple(
        Fetched(request=Request(pair=str(rows["pair"][0]), timeframe=M1, since_us=kit.EPOCH, until_us=NOW), rows=rows) for rows in (a, b)
    )
    batch = StagedBatch(source=Source.REST, fetched=fetched, errors={}, calls=2, fetched_us=NOW)
    ingest.commit(store, batch, ingest.judge_staged(batch), NOW)
    store.close()
    return state


def trader(state: Path, capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = run(["data", *words, "--state", str(state)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_coverage_shows_what_is_stored_and_every_missing_bar(state: Path, capsys: Capture) -> None:
    code, out, _ = trader(state, capsys, "coverage")
    assert code == 0 and max(map(len, out.splitlines())) <= 100
    assert "A/EUR  1m  2026-01-05 00:00  2026-01-05 00:59    57        3        0  rest" in out
    assert "missing  A/EUR 1m: 3 from 2026-01-05 00:20 to 2026-01-05 00:23" in out
    rows = json.loads(trader(state, capsys, "coverage", "--json")[1])
    assert [(r["pair"], r["bars"], r["missing"], r["quarantined"]) for r in rows] == [("A/EUR", 57, 3, 0), ("B/EUR", 0, 0, 60)]
    assert sum(hole["bars"] for r in rows for hole in r["holes"]) == 3


def test_check_warns_of_the_hole_and_fails_on_a_damaged_file(state: Path, capsys: Capture) -> None:
    code, out, _ = trader(state, capsys, "check")
    assert code == 0 and "1 series, 57 rows judged by polars: 0 critical, 1 warnings" in out
    store = HistoryStore(state / "history")
    kit.put(store, kit.frame(["A/EUR"], 3, start=kit.EPOCH + 60 * MINUTE).with_columns(low=-1.0), M1, name="unjudged")
    store.close()
    code, out, _ = trader(state, capsys, "check", "--full", "--json")
    told = json.loads(out)
    assert code == 1 and told["engine"].startswith("great_expectations") and told["critical"] >= 1
    assert {f["pair"] for f in told["failures"] if f["severity"] == "critical"} == {"A/EUR"}
    assert [f["detail"] for f in told["failures"] if f["expectation"].endswith("(low)")] == ["3 rows stored up to 2026-01-05T01:02:00Z"]
    part = next((state / "history" / "parts").glob("*.parquet"))
    part.chmod(0o600)
    part.write_bytes(part.read_bytes()[:-9])
    code, out, _ = trader(state, capsys, "check", "--full")
    assert code == 1 and f"damaged   {part}" in out


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_writes_a_range_once(state: Path, capsys: Capture, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"a.{suffix}"
    words = ("export", "A/EUR", "1m", str(target), "--since", "2026-01-05T00:10Z", "--until", "2026-01-05T00:30Z")
    code, out, _ = trader(state, capsys, *words, "--json")
    assert code == 0 and json.loads(out)["rows"] == 17
    rows = pl.read_csv(target) if suffix == "csv" else pl.read_parquet(target)
    assert (
        rows.height == 17
        and rows["close"].to_list() == kit.frame(["A/EUR"], 30).slice(10)["close"].gather([*range(10), *range(13, 20)]).to_list()
    )
    code, _, err = trader(state, capsys, *words)
    assert code == 2 and "exists already" in err and trader(state, capsys, *words, "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "A/EUR", "1m", "a.txt"), "the name must end in .csv or .parquet"),
        (("export", "X/EUR", "1m", "a.csv"), "pair 'X/EUR': not in this history; known: A/EUR, B/EUR"),
        (("export", "A/EUR", "2m", "a.csv"), "--timeframe '2m' is unknown; allowed: 1m, 5m"),
        (("export", "A/EUR", "1m", "a.csv", "--since", "soon"), "--since 'soon' is not a date or time"),
        (("export", "A/EUR", "1m", "a.csv", "--since", "2030-01-01"), "no candle in this range"),
        (("export", "A/EUR", "1m", "nowhere/a.csv"), "nowhere: no such directory"),
        (("coverage", "--pair", "X/EUR"), "pair 'X/EUR': not in this history"),
    ],
)
def test_bad_input_is_one_sentence(state: Path, capsys: Capture, words: tuple[str, ...], said: str) -> None:
    code, out, err = trader(state, capsys, *words)
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_a_state_without_history_is_named(tmp_path: Path, capsys: Capture) -> None:
    code, _, err = trader(tmp_path, capsys, "coverage")
    assert code == 2 and "no history store" in err and list(tmp_path.iterdir()) == []


def test_clear_ends_a_block_by_name(state: Path, capsys: Capture) -> None:
    code, _, err = trader(state, capsys, "clear", "A/EUR", "--reason", "fine")
    assert code == 1 and "pair 'A/EUR': the gate does not block it; blocked: B/EUR" in err
    code, out, _ = trader(state, capsys, "clear", "B/EUR", "--reason", "it happened", "--by", "ann", "--json")
    told = json.loads(out)
    assert code == 0 and told["by"] == "ann" and told["cleared"][0]["expectation"].endswith("(spike)")
    store = HistoryStore(state / "history")
    assert store.catalog.blocks("spot") == []
    store.close()


def test_the_nightly_audit_blocks_what_was_stored_unjudged(state: Path) -> None:
    store = HistoryStore(state / "history")
    kit.put(store, kit.frame(["C/EUR"], 60).with_columns(volume=-1.0), M1, name="unjudged")
    store.close()
    told = audit(state)
    assert told["engine"].startswith("great_expectations") and told["critical"] == 1 and told["series"] == 2
    store = HistoryStore(state / "history")
    assert {b.pair for b in store.catalog.blocks("spot")} == {"B/EUR", "C/EUR"}
    assert store.snapshot(tf=M1).scan().collect()["pair"].unique().to_list() == ["A/EUR"]
    store.close()
