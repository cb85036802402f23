"""`trader ingest` on files alone: plan, import, words, exit codes; no demo, no network."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from unittest import mock

import archive_kit as kit
import pytest

from trader import cli
from trader.data.history import HistoryStore


def trader(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADER_")}
    with mock.patch.dict(os.environ, kept, clear=True), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return cli.run(words), out.getvalue(), err.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rows = kit.lines(300)
    rows[50] = "hello"
    return kit.zipped(tmp_path / "a.zip", {"XBTEUR_15.csv": kit.text(rows), "ETHEUR_240.csv": kit.text(kit.lines(90, minutes=240))})


def test_the_plan_of_an_archive_is_printed_and_nothing_is_stored(archive: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    code, out, _ = trader("ingest", "--archive", str(archive), "--plan", "--state", state)
    assert code == 0 and "15m, 1 files" in out and "4h, 1 files" in out and "0 calls" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    code, out, _ = trader("ingest", "--archive", str(archive), "--plan", "--json", "--state", state)
    plan = json.loads(out)
    assert code == 0 and plan["calls"] == 0 and [step["source"] for step in plan["steps"]] == ["archive", "archive"]
    assert not list((tmp_path / "state" / "history" / "parts").iterdir())


@pytest.mark.slow
def test_files_are_imported_with_one_line_and_every_refusal_named(archive: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    code, out, err = trader("ingest", "--archive", str(archive), "--state", str(state))
    assert code == 1, "a row was refused"
    assert "XBTEUR_15.csv row 51: 1 columns instead of 7: 'hello'" in err
    assert out == "389 new candles, 0 filled, 0 calls, 0 trades, 2 files (0 known), 1 rows refused\n"
    code, out, _ = trader("ingest", "--archive", str(archive), "--json", "--state", str(state))
    again = json.loads(out)
    assert (code, again["rows"], again["skipped"]) == (0, 0, 2)
    store = HistoryStore(state / "history")
    assert kit.stored(store)["pair"].unique().to_list() == ["BTC/EUR"]
    store.close()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--archive", "nowhere.zip"), 2, "archive nowhere.zip: no such file or folder"),
        (("--archive", "http://127.0.0.1:9/a.zip"), 4, "archive http://127.0.0.1:9/a.zip: ClientConnectorError"),
        (("--pairs", "BTC/EUR,,"), 2, "--pairs 'BTC/EUR,,': names separated by commas"),
        ((), 2, "no demo is running here"),
        (("--backfill", "-1"), 2, "--backfill"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, words: tuple[str, ...], code: int, says: str) -> None:
    found, out, err = trader("ingest", *words, "--state", str(tmp_path / "state"))
    assert (found, out) == (code, "")
    assert says in err and err.count("\n") == 1
