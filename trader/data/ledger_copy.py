"""Copies of a ledger: a backup is always one SQLite file, whatever database it was taken from, and is checked before it counts.

A file is copied by SQLite's online backup, a Postgres database row by row from one snapshot; the session may go on meanwhile.
The same file restores into either, so a backup also moves a ledger from one to the other.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, insert, select
from sqlalchemy import Table as SqlTable

from trader.data import ledger_sql as sql
from trader.data.audit import audit
from trader.data.engine import (
    MEND,
    SIDE_FILES,
    create_private,
    exists,
    is_url,
    open_ledger,
    reader_engine,
    reading,
    remove,
    shown,
    translated,
    writing,
)  # fmt: skip
from trader.data.lease import TAKEOVER_GRACE_US
from trader.data.tables import journal, lease, metadata
from trader.errors import CorruptError, LeaseLostError, UnsafeError

BATCH = 1000  # rows of one insert


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The newest journal row: what names a state of a ledger. Number 0 and no hash where nothing was written yet."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy that was checked: its newest journal row, and the rows of each table, none of them empty of meaning."""

    tip: Tip
    rows: Mapping[str, int]


# --- backup -------------------------------------------------------------------------------------------------------------
def back_up(place: str, target: Path) -> Copied:
    """Copy the ledger at `place` into a new file (0600), check it, and only then give it its name.

    Raises CorruptError where the ledger or the copy is not sound, UnsafeError where the target is there already.
    """
    if target.exists():
        raise UnsafeError(f"{target}: is there already, and a backup never overwrites one; name another file")
    if not exists(place):
        raise CorruptError(f"{shown(place)}: there is no ledger to back up")
    scratch = target.with_name(f"{target.name}.part")
    remove(scratch)
    create_private(scratch)
    try:
        _copy(place, scratch)
        copied = checked(scratch)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.rename(target)
        return copied
    finally:
        remove(scratch)


def _copy(place: str, target: Path) -> None:
    if is_url(place):
        _rows_into_file(place, target)
    else:
        source = Path(place).absolute()
        with translated(place), closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old:
            _pages(old, target)
    _one_file(target)


def _rows_into_file(place: str, target: Path) -> None:
    with translated(place):
        source = reader_engine(place).connect()
    with closing(source), closing(open_ledger(str(target))) as copy, reading(source, place), writing(copy, str(target)):
        _rows(source, copy)


def _rows(source: Connection, target: Connection) -> None:
    """Every row of every table through the column types, which are exact in both databases."""
    for table in metadata.sorted_tables:
        found = source.execute(select(table), execution_options={"yield_per": BATCH})
        for part in found.mappings().partitions(BATCH):
            target.execute(insert(table), [dict(row) for row in part])


def _pages(source: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _one_file(path: Path) -> None:
    """Fold the write-ahead log in: a backup is moved about as one file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()


def checked(path: Path) -> Copied:
    """What a backup holds. Raises CorruptError where its pages, its hash chain, or a row against the journal is off."""
    facts = audit(path)
    if facts.problems:
        first = facts.problems[0]
        raise CorruptError(f"{path}: {len(facts.problems)} rows are off; {first.check}: {first.row}: {first.detail}")
    return Copied(tip=tip_of(str(path)), rows=facts.counts)


@contextmanager
def as_file(place: str) -> Iterator[Path]:
    """The ledger as a SQLite file: itself, or of a server's database a copy that is gone afterwards."""
    if not is_url(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="trader-ledger-") as folder:
        path = Path(folder) / "ledger.sqlite"
        _copy(place, path)
        yield path


# --- restore ------------------------------------------------------------------------------------------------------------
@contextmanager
def of_backup() -> Iterator[None]:
    """Damage found inside is the backup's own, which putting it back cannot mend."""
    try:
        yield
    except CorruptError as error:
        raise CorruptError(f"{str(error).removesuffix(f'; {MEND}')}; it is no sound backup, nothing was restored") from error


def restore(backup: Path, place: str, *, now_us: int) -> Copied:
    """Put a backup where the ledger lies. The caller holds the account's lock, so that no session of this machine runs.

    Nothing that was written is ever lost by it: a ledger that knows more than the backup, or another story, is refused
    (UnsafeError), as is one whose lease runs (LeaseLostError). A damaged file is set aside under another name.
    """
    with of_backup():
        copied = checked(backup)
    if exists(place):
        try:
            _may_replace(place, backup, copied.tip, now_us)
        except CorruptError:
            if is_url(place):
                raise
            _set_aside(Path(place), now_us)
    if is_url(place):
        _rows_into_server(backup, place)
    else:
        create_private(Path(place))
        with translated(place), closing(sqlite3.connect(backup)) as old:
            _pages(old, Path(place))
    _must_be(place, copied)
    return copied


def _may_replace(place: str, backup: Path, tip: Tip, now_us: int) -> None:
    held = _lease(place)
    if held is not None and now_us < held[1] + TAKEOVER_GRACE_US:
        raise LeaseLostError(f"{shown(place)}: {held[0]!r} trades on it; stop the session first; nothing was restored")
    found = tip_of(place)
    if is_url(place) and found.seq:
        raise UnsafeError(f"{shown(place)}: holds a ledger of {found.seq} journal rows, which are never deleted; name an empty schema")
    if found.seq > tip.seq:
        ahead = f"its journal goes to row {found.seq}, the backup's to {tip.seq}"
        raise UnsafeError(f"{shown(place)}: is newer than the backup ({ahead}); move it away yourself if that is what you want")
    if found.seq and _hash_at(backup, found.seq) != found.hash:
        raise UnsafeError(f"{shown(place)}: is another ledger than the one in {backup}; move it away yourself if that is what you want")


def tip_of(place: str) -> Tip:
    """The newest journal row of a ledger. Raises CorruptError where there is none or it cannot be read."""
    with translated(place), closing(reader_engine(place).connect()) as connection:
        row = sql.JOURNAL_TIP.first(connection) if _is_ledger(connection) else None
    return Tip(seq=row.seq, hash=row.hash) if row is not None else Tip(seq=0, hash="")


def _is_ledger(connection: Connection) -> bool:
    return connection.dialect.has_table(connection, journal.name)


def _lease(place: str) -> tuple[str, int] | None:
    """Holder and expiry of a lease that was not given back."""
    with translated(place), closing(reader_engine(place).connect()) as connection:
        rows = connection.execute(select(lease)).all() if _is_ledger(connection) else []
    return next(((row.holder, row.expires_us) for row in rows if not row.released), None)


def _hash_at(path: Path, seq: int) -> str:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT hash FROM journal WHERE seq = ?", (seq,)).fetchone()
    return "" if row is None else str(row[0])


def _set_aside(path: Path, now_us: int) -> None:
    for name in (path, *(path.with_name(path.name + suffix) for suffix in SIDE_FILES)):
        if name.exists():
            name.rename(name.with_name(f"{name.name}.damaged-{now_us}"))


def _rows_into_server(backup: Path, place: str) -> None:
    with translated(str(backup)):
        source = reader_engine(backup).connect()
    with closing(source), closing(open_ledger(place)) as target, reading(source, str(backup)), writing(target, place):
        _rows(source, target)


def _must_be(place: str, copied: Copied) -> None:
    """Raises CorruptError unless the ledger now ends as the backup does, with as many rows in each table."""
    with translated(place), closing(reader_engine(place).connect()) as connection:
        tip = sql.JOURNAL_TIP.first(connection)
        rows = {name: _count(connection, metadata.tables[name]) for name in copied.rows}
    seen = Tip(seq=0, hash="") if tip is None else Tip(seq=tip.seq, hash=tip.hash)
    if seen != copied.tip or rows != copied.rows:
        raise CorruptError(f"{shown(place)}: holds something else than the backup after the copy ({seen}, {rows})")


def _count(connection: Connection, table: SqlTable) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
