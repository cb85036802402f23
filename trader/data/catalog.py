"""SQLite catalog of the history store: which parts count, what is covered, where it came from, and what the gate said.

Times are UTC microseconds, intervals half-open [start, end). A writer holds `BEGIN IMMEDIATE` from its first read to COMMIT;
the kernel frees that lock when the process dies. Readers take one SELECT and are done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from trader.data.coverage import Coverage, lay_over
from trader.data.parts import VALUES
from trader.errors import CorruptError, RetryableError

TABLES: Final = """
CREATE TABLE part (part_id TEXT PRIMARY KEY, market TEXT NOT NULL, tf TEXT NOT NULL, rung TEXT NOT NULL
  CHECK (rung IN ('hour', 'day', 'month')), start_us INTEGER NOT NULL, end_us INTEGER NOT NULL CHECK (end_us > start_us),
  path TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, sha256 TEXT NOT NULL, status TEXT NOT NULL
  CHECK (status IN ('provisional', 'accepted')), schema_version INTEGER NOT NULL, created_us INTEGER NOT NULL) STRICT;
CREATE INDEX part_interval ON part (market, tf, start_us);
CREATE TRIGGER part_no_overlap BEFORE INSERT ON part
  WHEN EXISTS (SELECT 1 FROM part WHERE market = new.market AND tf = new.tf AND start_us < new.end_us AND new.start_us < end_us)
  BEGIN SELECT RAISE(ABORT, 'parts of one market and timeframe may not overlap'); END;
CREATE TABLE coverage (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL CHECK (end_us > start_us), state TEXT NOT NULL CHECK (state IN ('fetched', 'quarantined', 'unavailable')),
  source TEXT NOT NULL, batch_id TEXT NOT NULL, PRIMARY KEY (market, tf, pair, start_us)) STRICT, WITHOUT ROWID;
CREATE TABLE batch (batch_id TEXT PRIMARY KEY, source TEXT NOT NULL, client TEXT NOT NULL, requested_start_us INTEGER NOT NULL,
  requested_end_us INTEGER NOT NULL, received_start_us INTEGER, received_end_us INTEGER, rows INTEGER NOT NULL, sha256 TEXT NOT NULL,
  fetched_us INTEGER NOT NULL, suite_version TEXT NOT NULL, gate_json TEXT NOT NULL) STRICT;
CREATE TABLE cursor (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, source TEXT NOT NULL, position TEXT NOT NULL,
  updated_us INTEGER NOT NULL, PRIMARY KEY (market, tf, pair, source)) STRICT, WITHOUT ROWID;
CREATE TABLE pair_block (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, since_us INTEGER NOT NULL,
  expectation TEXT NOT NULL, detail TEXT NOT NULL, cleared_us INTEGER) STRICT;
CREATE UNIQUE INDEX pair_block_open ON pair_block (market, tf, pair) WHERE cleared_us IS NULL;
CREATE TABLE revision (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, time_us INTEGER NOT NULL,
  kept_source INTEGER NOT NULL, kept_open REAL, kept_high REAL, kept_low REAL, kept_close REAL, kept_volume REAL, kept_vwap REAL,
  kept_count INTEGER, kept_filled INTEGER, other_source INTEGER NOT NULL, other_open REAL, other_high REAL, other_low REAL,
  other_close REAL, other_volume REAL, other_vwap REAL, other_count INTEGER, other_filled INTEGER, batch_id TEXT NOT NULL,
  at_us INTEGER NOT NULL) STRICT;
CREATE TRIGGER revision_no_update BEFORE UPDATE ON revision BEGIN SELECT RAISE(ABORT, 'revision is append-only'); END;
CREATE TRIGGER revision_no_delete BEFORE DELETE ON revision BEGIN SELECT RAISE(ABORT, 'revision is append-only'); END;
CREATE TABLE trash (path TEXT PRIMARY KEY, at_us INTEGER NOT NULL) STRICT;
CREATE TABLE pin (snapshot_id TEXT PRIMARY KEY, paths TEXT NOT NULL, expires_us INTEGER NOT NULL) STRICT;
CREATE TABLE gate_tail (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, verdict TEXT NOT NULL,
  checked_us INTEGER NOT NULL, PRIMARY KEY (market, tf, pair)) STRICT, WITHOUT ROWID;
CREATE TABLE sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES ('part', 0);
PRAGMA user_version = 1;
"""
GATE_TABLES: Final = """
CREATE TABLE repair (market TEXT NOT NULL, tf TEXT NOT NULL, pair TEXT NOT NULL, start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL CHECK (end_us > start_us), expectation TEXT NOT NULL, detail TEXT NOT NULL, since_us INTEGER NOT NULL,
  done_us INTEGER, outcome TEXT, PRIMARY KEY (market, tf, pair, start_us, end_us, expectation)) STRICT, WITHOUT ROWID;
ALTER TABLE pair_block ADD COLUMN cleared_by TEXT;
ALTER TABLE pair_block ADD COLUMN cleared_reason TEXT;
PRAGMA user_version = 2;
"""
VERSIONS: Final = (TABLES, GATE_TABLES)
"""What brings a catalog from each schema version to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A catalogued file: `path` is its name in the parts folder."""

    part_id: str
    market: str
    tf: str
    rung: str
    start_us: int
    end_us: int
    path: str
    rows: int
    sha256: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Provenance of one write."""

    batch_id: str
    source: str
    client: str
    requested: tuple[int, int]
    received: tuple[int, int] | None
    rows: int
    sha256: str
    fetched_us: int
    suite_version: str
    gate_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An open block of a pair by the data gate."""

    tf: str
    pair: str
    since_us: int
    expectation: str
    detail: str


PART_COLUMNS: Final = "part_id, market, tf, rung, start_us, end_us, path, rows, sha256, status"


class Catalog:
    """One connection to `catalog.sqlite`; writes only inside `write()`. Raises CorruptError when the file is not a catalog."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        try:
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA recursive_triggers=ON")
            self._create()
        except sqlite3.DatabaseError as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise RetryableError(f"{path}: another writer holds the catalog ({error})") from error
            raise CorruptError(f"{path}: not a history catalog ({error})") from error
        path.chmod(0o600)

    def _create(self) -> None:
        if self._version() == len(VERSIONS):
            return
        with self.write():
            for script in VERSIONS[self._version() :]:
                for statement in _statements(script):
                    self._db.execute(statement)

    def _version(self) -> int:
        """Raises CorruptError for a catalog that a newer program made."""
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(VERSIONS):
            raise CorruptError(f"{self._path}: schema version {version} of the history catalog; this program knows {len(VERSIONS)}")
        return version

    @contextmanager
    def write(self) -> Iterator[None]:
        """The one writer: BEGIN IMMEDIATE ... COMMIT. Raises RetryableError when another writer holds on for 5 s."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise RetryableError(f"{self._path}: another writer holds the catalog ({error})") from error
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
                raise RetryableError(f"{self._path}: the disk is full; nothing was stored; free space and ingest again") from error
            raise

    def close(self) -> None:
        self._db.close()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a SELECT."""
        return self._db.execute(query, parameters).fetchall()

    def run(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Inside `write()`: a statement once for each row of parameters."""
        self._db.executemany(statement, rows)

    def state(self) -> tuple[int, int]:
        """Another value once anybody has written: commits of other connections, and rows this one changed; cheaper than a SELECT."""
        return self.rows("PRAGMA data_version")[0][0], self._db.total_changes

    # --- parts ---------------------------------------------------------------------------------------------------------
    def parts(self, market: str, tf: str, since_us: int | None = None, until_us: int | None = None) -> list[Part]:
        """Parts that overlap [since, until), ascending in time; one SELECT."""
        found = self.rows(
            f"SELECT {PART_COLUMNS} FROM part WHERE market = ? AND tf = ? AND end_us > ? AND start_us < ? ORDER BY start_us",
            (market, tf, -(2**62) if since_us is None else since_us, 2**62 if until_us is None else until_us),
        )
        return [Part(**dict(zip(PART_COLUMNS.split(", "), row, strict=True))) for row in found]

    def next_sequence(self) -> int:
        """A number that grows with every part written; rolled back with its transaction."""
        found = self._db.execute("UPDATE sequence SET value = value + 1 WHERE name = 'part' RETURNING value").fetchall()
        return int(found[0][0])

    def replace(self, old: Iterable[Part], new: Part | None, *, schema_version: int, at_us: int) -> None:
        """Swap parts inside the running transaction; the old files go to the trash, not away."""
        for part in old:
            self._db.execute("DELETE FROM part WHERE part_id = ?", (part.part_id,))
            self._db.execute("INSERT INTO trash (path, at_us) VALUES (?, ?)", (part.path, at_us))
        if new is not None:
            values = [getattr(new, name) for name in PART_COLUMNS.split(", ")]
            self._db.execute(
                f"INSERT INTO part ({PART_COLUMNS}, schema_version, created_us) VALUES ({_marks(12)})", [*values, schema_version, at_us]
            )

    # --- coverage, provenance, cursor ----------------------------------------------------------------------------------
    def coverage(self, market: str, tf: str, pairs: Sequence[str] | None = None) -> dict[str, list[Coverage]]:
        """Disjoint intervals per pair, ascending."""
        found = self.rows(
            "SELECT pair, start_us, end_us, state, source, batch_id FROM coverage WHERE market = ? AND tf = ? ORDER BY pair, start_us",
            (market, tf),
        )
        wanted = None if pairs is None else frozenset(pairs)
        out: dict[str, list[Coverage]] = {}
        for pair, start, end, state, source, batch in found:
            if wanted is None or pair in wanted:
                out.setdefault(pair, []).append(Coverage(pair=pair, start_us=start, end_us=end, state=state, source=source, batch_id=batch))
        return out

    def cover(self, market: str, tf: str, ranges: Sequence[Coverage]) -> None:
        """Lay ranges over what is known: they win where they overlap, neighbours of equal state and batch are merged."""
        if not ranges:
            return
        low, high = min(r.start_us for r in ranges), max(r.end_us for r in ranges)
        known: dict[str, list[Coverage]] = {}
        for row in self.rows(
            "SELECT pair, start_us, end_us, state, source, batch_id FROM coverage"
            " WHERE market = ? AND tf = ? AND start_us <= ? AND end_us >= ? ORDER BY pair, start_us", (market, tf, high, low),
        ):  # fmt: skip
            known.setdefault(row[0], []).append(
                Coverage(pair=row[0], start_us=row[1], end_us=row[2], state=row[3], source=row[4], batch_id=row[5])
            )
        fresh: dict[str, list[Coverage]] = {}
        for item in ranges:
            fresh.setdefault(item.pair, []).append(item)
        drop: list[tuple[Any, ...]] = []
        put: list[tuple[Any, ...]] = []
        for pair, items in fresh.items():
            before = known.get(pair, [])
            after = before
            for item in items:
                after = lay_over(after, item)
            kept = {(c.start_us, c.end_us, c.state, c.source, c.batch_id) for c in after}
            had = {(c.start_us, c.end_us, c.state, c.source, c.batch_id) for c in before}
            drop.extend((market, tf, pair, c.start_us) for c in before if (c.start_us, c.end_us, c.state, c.source, c.batch_id) not in kept)
            put.extend(
                (market, tf, pair, c.start_us, c.end_us, c.state, c.source, c.batch_id)
                for c in after
                if (c.start_us, c.end_us, c.state, c.source, c.batch_id) not in had
            )
        self._db.executemany("DELETE FROM coverage WHERE market = ? AND tf = ? AND pair = ? AND start_us = ?", drop)
        self._db.executemany(f"INSERT INTO coverage VALUES ({_marks(8)})", put)

    def record_batch(self, batch: Batch) -> None:
        """Write provenance; a batch that grows (the session's stream of one day) is updated in place."""
        received = batch.received or (None, None)
        self._db.execute(
            f"INSERT INTO batch VALUES ({_marks(12)}) ON CONFLICT (batch_id) DO UPDATE SET rows = rows + excluded.rows,"
            " requested_start_us = min(requested_start_us, excluded.requested_start_us),"
            " requested_end_us = max(requested_end_us, excluded.requested_end_us),"
            " received_start_us = min(received_start_us, excluded.received_start_us),"
            " received_end_us = max(received_end_us, excluded.received_end_us), sha256 = excluded.sha256, fetched_us = excluded.fetched_us",
            (batch.batch_id, batch.source, batch.client, *batch.requested, *received, batch.rows, batch.sha256, batch.fetched_us,
             batch.suite_version, batch.gate_json),
        )  # fmt: skip

    def set_cursors(self, market: str, tf: str, source: str, positions: Iterable[tuple[str, str]], at_us: int) -> None:
        self._db.executemany(
            "INSERT INTO cursor VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET position = excluded.position, updated_us = excluded.updated_us",
            [(market, tf, pair, source, position, at_us) for pair, position in positions],
        )

    def cursor(self, market: str, tf: str, pair: str, source: str) -> str | None:
        """How far a source has been read for a pair, in that source's own words."""
        found = self.rows("SELECT position FROM cursor WHERE market = ? AND tf = ? AND pair = ? AND source = ?", (market, tf, pair, source))
        return str(found[0][0]) if found else None

    def revise(self, market: str, tf: str, lost: pl.DataFrame, batch_id: str, at_us: int) -> None:
        """Keep both values of every candle that two writes disagree on."""
        names = ("source", *VALUES)
        columns = ["pair", pl.col("time").to_physical(), *(f"{n}_kept" for n in names), *(f"{n}_other" for n in names)]
        self._db.executemany(
            f"INSERT INTO revision VALUES (?, ?, {_marks(20)}, ?, ?)",
            [(market, tf, *row, batch_id, at_us) for row in lost.select(columns).iter_rows()],
        )

    # --- the gate ------------------------------------------------------------------------------------------------------
    def blocks(self, market: str) -> list[Block]:
        """Open blocks, oldest first."""
        found = self.rows(
            "SELECT tf, pair, since_us, expectation, detail FROM pair_block WHERE market = ? AND cleared_us IS NULL"
            " ORDER BY since_us, pair, tf",
            (market,),
        )
        return [Block(tf=r[0], pair=r[1], since_us=r[2], expectation=r[3], detail=r[4]) for r in found]

    def block(self, market: str, blocks: Iterable[Block]) -> None:
        """Open blocks; an open one of the same pair and timeframe keeps its start and takes the new words."""
        self._db.executemany(
            "INSERT INTO pair_block (market, tf, pair, since_us, expectation, detail) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (market, tf, pair) WHERE cleared_us IS NULL"
            " DO UPDATE SET expectation = excluded.expectation, detail = excluded.detail",
            [(market, b.tf, b.pair, b.since_us, b.expectation, b.detail) for b in blocks],
        )

    def clear(self, market: str, tf: str, pairs: Iterable[str], at_us: int) -> None:
        self._db.executemany(
            "UPDATE pair_block SET cleared_us = ? WHERE market = ? AND tf = ? AND pair = ? AND cleared_us IS NULL",
            [(at_us, market, tf, pair) for pair in pairs],
        )

    def put_tails(self, market: str, tails: Iterable[tuple[str, str, str]], checked_us: int) -> None:
        """`tails`: (timeframe, pair, verdict)."""
        self._db.executemany(
            "INSERT INTO gate_tail VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET verdict = excluded.verdict, checked_us = excluded.checked_us",
            [(market, tf, pair, verdict, checked_us) for tf, pair, verdict in tails],
        )

    def tails(self, market: str) -> list[tuple[str, str, str, int]]:
        """(timeframe, pair, verdict, checked_us) by pair and timeframe."""
        return [
            (r[0], r[1], r[2], r[3])
            for r in self.rows("SELECT tf, pair, verdict, checked_us FROM gate_tail WHERE market = ? ORDER BY pair, tf", (market,))
        ]

    # --- pins and trash ------------------------------------------------------------------------------------------------
    def pin(self, snapshot_id: str, paths_json: str, expires_us: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO pin VALUES (?, ?, ?)", (snapshot_id, paths_json, expires_us))

    def expire_pins(self, now_us: int) -> None:
        self._db.execute("DELETE FROM pin WHERE expires_us <= ?", (now_us,))

    def forget(self, paths: Iterable[str]) -> None:
        self._db.executemany("DELETE FROM trash WHERE path = ?", [(path,) for path in paths])


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one, so that they stay inside the running transaction."""
    text = ""
    for line in script.splitlines():
        text += line + "\n"
        if sqlite3.complete_statement(text):
            yield text
            text = ""
