"""The verdict store: what goes in comes out, the file is private, damage is named."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from trader.data.verdicts import SqliteVerdictStore
from trader.domain.market import DAY
from trader.domain.orders import Side
from trader.domain.verdicts import AskedQuestion, AskOutcome, CallRecord, Question, Verdict, VerdictKey
from trader.errors import CorruptError, FatalError

NOW = 1_767_571_200_000_000
KEY = VerdictKey(pair="ABC/EUR", side=Side.BUY, strategy="viable/sniper/DEFAULT")


def call(name: str = "c1", *, outcome: AskOutcome = AskOutcome.OK, asked_us: int = NOW) -> CallRecord:
    return CallRecord(
        call_id=name, asked_us=asked_us, provider="gemini-decisions", model_requested="m", model_served="scripted-twin-1",
        api_version="v1beta", is_twin=True, prompt_version="1", request_sha256="ab", request=b"question" * 99, response=b"\x00\xff",
        http_status=200, outcome=outcome, detail="", questions=1, queue_ms=1.0, network_ms=2.0, parse_ms=0.0, tokens_in=12,
    )  # fmt: skip


def asked(name: str = "c1", p: float | None = 0.25) -> AskedQuestion:
    question = Question(
        key=KEY, asked_us=NOW, asked_price=100.0, band_lo=99.0, band_hi=101.0, features={"rsi": 30.0, "h4": "neutral", "x": float("nan")}
    )
    verdict = Verdict(
        key=KEY, outcome=AskOutcome.OK if p is not None else AskOutcome.INVALID, asked_us=NOW, expires_us=NOW + 5, band_lo=99.0,
        band_hi=101.0, p_loss=p, detail="" if p is not None else "value: noul is bool", verdict_id=f"{name}-C01",
    )  # fmt: skip
    return AskedQuestion(opaque_id="C01", question=question, verdict=verdict)


def test_a_call_and_its_verdicts_are_read_back_and_recorded_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ai.sqlite"
    store = SqliteVerdictStore(path)
    for _ in range(2):
        store.record(call(), [asked()])
    store.record(call("c2", outcome=AskOutcome.INVALID), [asked("c2", None)])
    reader = SqliteVerdictStore(path, read_only=True)
    summary = reader.summary()
    assert (summary.calls, summary.questions, summary.usable, summary.twin_calls, summary.tokens_in) == (2, 2, 1, 2, 24)
    assert summary.outcomes == {"OK": 1, "INVALID": 1}
    first, second = reader.verdicts()
    assert (first.verdict_id, first.pair, first.p_loss, first.outcome, first.is_twin) == ("c1-C01", "ABC/EUR", 0.25, "OK", True)
    assert (second.p_loss, second.detail) == (None, "value: noul is bool")
    assert reader.bodies("c1") == (b"question" * 99, b"\x00\xff")
    assert reader.bodies("nobody") is None
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    reader.close()
    store.close()


def test_state_is_replaced_by_name_and_survives_reopening(tmp_path: Path) -> None:
    store = SqliteVerdictStore(tmp_path / "ai.sqlite")
    assert store.load_state("gate") is None
    store.save_state("gate", "one")
    store.save_state("gate", "two")
    store.close()
    again = SqliteVerdictStore(tmp_path / "ai.sqlite")
    assert again.load_state("gate") == "two"
    again.close()


def test_bodies_are_dropped_after_90_days_and_rows_are_kept(tmp_path: Path) -> None:
    store = SqliteVerdictStore(tmp_path / "ai.sqlite")
    store.record(call("old", asked_us=NOW - 91 * DAY), [asked("old")])
    store.record(call("new"), [asked("new")])
    assert store.drop_bodies(NOW) == 1
    assert store.drop_bodies(NOW) == 0
    assert store.bodies("old") is None
    assert store.bodies("new") is not None
    assert store.summary().calls == 2
    store.close()


def test_a_foreign_file_or_a_newer_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database, but it is long enough to be looked at as one" * 20)
    with pytest.raises(CorruptError, match="not a usable verdict store"):
        SqliteVerdictStore(tmp_path / "text")
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(CorruptError, match="schema version 99"):
        SqliteVerdictStore(tmp_path / "newer")


def test_a_failed_write_is_fatal_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    SqliteVerdictStore(tmp_path / "ai.sqlite").close()
    reader = SqliteVerdictStore(tmp_path / "ai.sqlite", read_only=True)
    with pytest.raises(FatalError, match="cannot be written"):
        reader.record(call(), [asked()])
    assert reader.summary().calls == 0
    reader.close()
