"""The verdict store: every call to the AI and every answer, in its own SQLite file. One writer, the AI worker.

Tables of AI.md section 6 (`ai_call`, `ai_verdict`) and `ai_state`, the small state of breaker and budget. Times are UTC
microseconds; bodies are zstd; neither keys nor headers are ever stored.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trader.data.verdict_rows import StoredVerdict, call_of, call_row, expand, stored_of, verdict_row
from trader.domain.market import DAY
from trader.domain.verdicts import AskedQuestion, CallRecord
from trader.errors import CorruptError, FatalError

SCHEMA_VERSION = 1
BODIES_DAYS = 90
_EVER = 2**62
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ai_call (
  call_id TEXT PRIMARY KEY, asked_at INTEGER NOT NULL, provider TEXT NOT NULL, model_requested TEXT NOT NULL,
  model_served TEXT NOT NULL, api_version TEXT NOT NULL, is_twin INTEGER NOT NULL, prompt_version TEXT NOT NULL,
  request_sha256 TEXT NOT NULL, request_zstd BLOB, response_zstd BLOB, http_status INTEGER, outcome TEXT NOT NULL,
  detail TEXT NOT NULL, questions INTEGER NOT NULL, queue_ms REAL NOT NULL, network_ms REAL NOT NULL, parse_ms REAL NOT NULL,
  attempt INTEGER NOT NULL, tokens_in INTEGER, tokens_out INTEGER, cost_usd REAL, breaker_state TEXT NOT NULL,
  budget_used_pct REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS ai_call_time ON ai_call (asked_at);
CREATE TABLE IF NOT EXISTS ai_verdict (
  verdict_id TEXT PRIMARY KEY, call_id TEXT NOT NULL REFERENCES ai_call, opaque_id TEXT NOT NULL, pair TEXT NOT NULL,
  side TEXT NOT NULL, strategy_version TEXT NOT NULL, features_json TEXT NOT NULL, asked_price REAL NOT NULL,
  band_lo REAL NOT NULL, band_hi REAL NOT NULL, snapshot_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, p_loss REAL,
  reason TEXT, parse_error TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS ai_verdict_time ON ai_verdict (snapshot_at);
CREATE TABLE IF NOT EXISTS ai_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_INSERT_CALL = f"INSERT OR IGNORE INTO ai_call VALUES ({', '.join('?' * 24)})"  # in the order of the schema
_INSERT_VERDICT = f"INSERT OR IGNORE INTO ai_verdict VALUES ({', '.join('?' * 15)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """Totals since a time: calls and questions, calls by outcome, and how many calls the twin answered."""

    calls: int
    questions: int
    usable: int
    outcomes: dict[str, int]
    twin_calls: int
    tokens_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who gave an answer: verdicts of different origin are never scored together."""

    provider: str
    model: str
    prompt_version: str
    is_twin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """Calls of a while. `answers`: questions that a reply came for, `invalid` of them unusable; `outcomes`: calls by outcome; times
    in ms over calls that were answered; `cost_usd` None: a price is not configured."""

    calls: int
    questions: int
    answers: int
    invalid: int
    drifted: int
    tokens_in: int
    cost_usd: float | None
    outcomes: dict[str, int]
    network_ms: tuple[float, ...]


class SqliteVerdictStore:
    """`ports.VerdictStore` on SQLite (WAL, mode 0600). `read_only` for everybody but the worker.

    Raises CorruptError where the file is not a verdict store of this version, FatalError where it cannot be written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        try:
            self._db = _connect(path, read_only=read_only)
        except sqlite3.DatabaseError as error:
            raise CorruptError(f"{path}: not a usable verdict store ({error})") from error

    def record(self, call: CallRecord, asked: Sequence[AskedQuestion]) -> None:
        """Store a call and its answers in one transaction; a call id that is already there changes nothing."""
        with _guard(self._path), self._db:
            self._db.execute(_INSERT_CALL, call_row(call))
            self._db.executemany(_INSERT_VERDICT, [verdict_row(call.call_id, one) for one in asked])

    def load_state(self, name: str) -> str | None:
        """A small text by name, None where never saved."""
        row = self._db.execute("SELECT value FROM ai_state WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def save_state(self, name: str, value: str) -> None:
        with _guard(self._path), self._db:
            self._db.execute("INSERT INTO ai_state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))

    def drop_bodies(self, now_us: int, days: int = BODIES_DAYS) -> int:
        """Retention: empty the bodies of calls older than `days`; the rows stay for ever. Returns how many."""
        with _guard(self._path), self._db:
            cursor = self._db.execute(
                "UPDATE ai_call SET request_zstd = NULL, response_zstd = NULL WHERE asked_at < ? AND request_zstd IS NOT NULL",
                (now_us - days * DAY,),
            )
        return cursor.rowcount

    def verdicts(self, *, limit: int = 100, since_us: int = 0) -> list[StoredVerdict]:
        """The newest verdicts first."""
        rows = self._db.execute(
            "SELECT verdict_id, pair, side, strategy_version, snapshot_at, expires_at, p_loss, outcome, parse_error, network_ms, is_twin "
            "FROM ai_verdict JOIN ai_call USING (call_id) WHERE snapshot_at >= ? ORDER BY snapshot_at DESC, verdict_id LIMIT ?",
            (since_us, limit),
        )
        return [stored_of(row) for row in rows]

    def summary(self, since_us: int = 0) -> StoreSummary:
        """Totals of calls made since `since_us`."""
        outcomes = dict(self._db.execute("SELECT outcome, count(*) FROM ai_call WHERE asked_at >= ? GROUP BY outcome", (since_us,)))
        calls, questions, twin, tokens = self._db.execute(
            "SELECT count(*), coalesce(sum(questions), 0), coalesce(sum(is_twin), 0), coalesce(sum(tokens_in), 0) "
            "FROM ai_call WHERE asked_at >= ?",
            (since_us,),
        ).fetchone()
        (usable,) = self._db.execute(
            "SELECT count(*) FROM ai_verdict JOIN ai_call USING (call_id) WHERE asked_at >= ? AND p_loss IS NOT NULL", (since_us,)
        ).fetchone()
        return StoreSummary(calls=calls, questions=questions, usable=usable, outcomes=outcomes, twin_calls=twin, tokens_in=tokens)

    def origins(self) -> dict[str, Origin]:
        """Verdict id -> who gave it, of every answer that carries a probability."""
        rows = self._db.execute(
            "SELECT verdict_id, provider, model_requested, prompt_version, is_twin FROM ai_verdict JOIN ai_call USING (call_id) "
            "WHERE p_loss IS NOT NULL"
        )
        return {row[0]: Origin(provider=row[1], model=row[2], prompt_version=row[3], is_twin=bool(row[4])) for row in rows}

    def newest_origin(self) -> Origin | None:
        """Who was asked last."""
        row = self._db.execute(
            "SELECT provider, model_requested, prompt_version, is_twin FROM ai_call ORDER BY asked_at DESC LIMIT 1"
        ).fetchone()
        return None if row is None else Origin(provider=row[0], model=row[1], prompt_version=row[2], is_twin=bool(row[3]))

    def budget_used(self) -> float | None:
        """Share of its day's budget that was used after the newest call."""
        row = self._db.execute("SELECT budget_used_pct FROM ai_call ORDER BY asked_at DESC LIMIT 1").fetchone()
        return None if row is None else float(row[0]) / 100.0

    def spell(self, since_us: int, until_us: int) -> Spell:
        """What was asked and answered from `since_us` to before `until_us`."""
        when = "asked_at >= ? AND asked_at < ?"
        span = (since_us, until_us)
        outcomes = dict(self._db.execute(f"SELECT outcome, count(*) FROM ai_call WHERE {when} GROUP BY outcome", span))
        calls, questions, tokens, cost, priced, drifted = self._db.execute(
            "SELECT count(*), coalesce(sum(questions), 0), coalesce(sum(tokens_in), 0), sum(cost_usd), count(cost_usd) = count(tokens_in), "
            f"coalesce(sum(outcome = 'INVALID' AND detail LIKE '%drift%'), 0) FROM ai_call WHERE {when}",
            span,
        ).fetchone()
        answers, invalid = self._db.execute(
            "SELECT count(*), coalesce(sum(p_loss IS NULL), 0) FROM ai_verdict JOIN ai_call USING (call_id) "
            f"WHERE outcome IN ('OK', 'INVALID') AND {when}",
            span,
        ).fetchone()
        took = self._db.execute(f"SELECT network_ms FROM ai_call WHERE outcome IN ('OK', 'INVALID') AND {when} ORDER BY 1", span)
        return Spell(
            calls=calls, questions=questions, answers=answers, invalid=invalid, drifted=drifted, tokens_in=tokens,
            cost_usd=cost if priced else None, outcomes=outcomes, network_ms=tuple(row[0] for row in took),
        )  # fmt: skip

    def calls(self, *, since_us: int = 0, until_us: int = _EVER) -> Iterator[CallRecord]:
        """Calls that ended in [since, until), oldest first; `request` is empty where its retention is over."""
        rows = self._db.execute("SELECT * FROM ai_call WHERE asked_at >= ? AND asked_at < ? ORDER BY rowid", (since_us, until_us))
        return map(call_of, rows)

    def named(self, call_ids: Sequence[str]) -> list[CallRecord]:
        """The calls of these ids, as far as there are any."""
        rows = (self._db.execute("SELECT * FROM ai_call WHERE call_id = ?", (name,)).fetchone() for name in call_ids)
        return [call_of(row) for row in rows if row is not None]

    def bodies(self, call_id: str) -> tuple[bytes, bytes] | None:
        """Request and response as sent and received, None where unknown or past retention."""
        row = self._db.execute("SELECT request_zstd, response_zstd FROM ai_call WHERE call_id = ?", (call_id,)).fetchone()
        return None if row is None or row[0] is None else (expand(row[0]), expand(row[1]))

    def close(self) -> None:
        self._db.close()


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if read_only:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
        db.execute("SELECT count(*) FROM sqlite_master")  # opening alone reads nothing
        return db
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its WAL the mode of the main file
    path.chmod(0o600)
    db = sqlite3.connect(path, timeout=5.0)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version not in (0, SCHEMA_VERSION):
        db.close()
        raise CorruptError(f"{path}: schema version {version} of the verdict store; this program knows {SCHEMA_VERSION}")
    db.executescript(_SCHEMA)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return db


class _guard:
    """Turns a failed write into FatalError: a verdict that cannot be written down is not used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise FatalError(f"{self._path}: the verdict store cannot be written ({error})") from error
