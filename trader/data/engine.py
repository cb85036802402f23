"""Opening databases the one right way: durable settings, one-writer transactions, schema check, errors by reaction.

A *place* is where a ledger lies: a SQLite file, `:memory:`, or the URL of a Postgres database (postgres.py).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.pool import NullPool, StaticPool

from trader.data import postgres
from trader.data.tables import HEAD
from trader.errors import ConfigError, CorruptError, FatalError, RetryableError, TraderError, UnwritableError

MEMORY = ":memory:"
BUSY_MS = 5000
PRAGMAS = (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON")
CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
UNWRITABLE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN")
SIDE_FILES = ("-wal", "-shm", "-journal")
DATABASE_ERRORS = (StatementError, sqlite3.Error)


MEND = "put a backup back with `trader db restore FILE --yes`, which sets the damaged file aside"

TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    postgres.NAME: "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}


def place_of(path_or_url: str | Path) -> str:
    """The place a path or URL names: files without `sqlite:///`, Postgres as its URL. ConfigError for any other database."""
    text = str(path_or_url)
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    kind = scheme.split("+")[0]
    if kind in ("postgresql", "postgres"):
        return postgres.url_of(f"postgresql://{rest}").render_as_string(hide_password=False)
    if kind != "sqlite":
        raise ConfigError(f"ledger {scheme}://...: not a database a ledger can live in; allowed: a path, sqlite:///path, postgresql://...")
    return rest.removeprefix("/") or MEMORY


def is_url(place: str | Path) -> bool:
    """Whether the place is a server's database and no file."""
    return "://" in str(place)


def shown(place: str | Path) -> str:
    """The place for messages: never with a password."""
    return postgres.shown(str(place)) if is_url(place) else str(place)


def exists(place: str | Path) -> bool:
    """Whether there is something to open; of a server only opening tells."""
    return is_url(place) or Path(place).exists()


def is_blank(place: str | Path) -> bool:
    """Whether there is no file, or nothing in it; opening it for writing would put a header there."""
    return not exists(place) or (not is_url(place) and not Path(place).stat().st_size)


def identity(place: str | Path) -> tuple[int, int]:
    """What tells one ledger from the next at the same place: a file's device and number; a server's database stays itself.

    Raises FileNotFoundError where there is no file.
    """
    if is_url(place):
        return 0, 0
    about = Path(place).stat()
    return about.st_dev, about.st_ino


def create_private(path: Path) -> None:
    """Make an empty file readable by its owner only (0600), in a directory of the same kind (0700 where it is new).

    Raises UnwritableError where that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)  # SQLite gives its -wal and -shm files the mode of the database
    except OSError as error:
        raise UnwritableError(f"{path}: {error.strerror}") from error


def remove(path: Path) -> None:
    """Take a database away, with the files that SQLite keeps beside it."""
    for name in (path, *(path.with_name(path.name + suffix) for suffix in SIDE_FILES)):
        if name.is_file():
            name.unlink()


def writer_engine(path: str) -> Engine:
    """Engine of a writer. Its connections are in autocommit; changes go through `writing`, which lets in one writer at a time."""
    if is_url(path):
        return postgres.engine(path, busy_ms=BUSY_MS)
    if path != MEMORY:
        create_private(Path(path))
    url = f"sqlite+pysqlite:///{'' if path == MEMORY else Path(path).absolute()}"
    engine = create_engine(
        url, isolation_level="AUTOCOMMIT", poolclass=StaticPool if path == MEMORY else NullPool, connect_args={"check_same_thread": False}
    )
    _on_connect(engine, PRAGMAS)
    return engine


def reader_engine(path: str | Path) -> Engine:
    """Engine of a reader: never creates or writes; each `with reading(connection)` is one snapshot. CorruptError without a file."""
    if is_url(path):
        return postgres.engine(str(path), busy_ms=BUSY_MS, read_only=True)
    file = Path(path).absolute()
    if not file.exists():
        raise CorruptError(f"{file}: there is no such database; it appears when a session first runs")
    engine = create_engine(
        "sqlite+pysqlite://",
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        creator=lambda: sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, check_same_thread=False),
    )
    _on_connect(engine, (f"busy_timeout={BUSY_MS}", "query_only=ON"))
    return engine


def _on_connect(engine: Engine, pragmas: tuple[str, ...]) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()


class translated:
    """Database errors inside become errors of ours: locked is retryable, damage is CorruptError, the rest is fatal."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DATABASE_ERRORS):
            raise in_our_words(self._what, error) from error


def in_our_words(what: str, error: StatementError | sqlite3.Error) -> TraderError:
    """The error of ours that a database's error is; for a `try` where `translated` is too much on each call."""
    if isinstance(error, sqlite3.Error):
        return _by_name(getattr(error, "sqlite_errorname", ""), f"{what}: {error}", error)
    text = f"{shown(what)}: {' '.join(str(error.orig).split())}"
    known = postgres.error_for(error.orig, text, busy_s=BUSY_MS / 1000)
    return known or _by_name(getattr(error.orig, "sqlite_errorname", ""), text, error)


def _by_name(name: str, text: str, error: Exception) -> TraderError:
    if name.startswith(BUSY):
        return RetryableError(f"{text} (another process is writing for over {BUSY_MS / 1000:g} s)")
    if name.startswith(CORRUPT):
        return CorruptError(f"{text}; {MEND}")
    if name.startswith(UNWRITABLE):
        return UnwritableError(text)
    return FatalError(text if isinstance(error, (DBAPIError, sqlite3.Error)) else f"{text} (value refused)")


@contextmanager
def writing(connection: Connection, what: str = "ledger") -> Iterator[Connection]:
    """One transaction beside no other writer's: commit at the end, roll back on anything that is raised."""
    with translated(what):
        try:
            if connection.dialect.name == postgres.NAME:
                postgres.begin_writing(connection)
            else:
                _say(connection, "BEGIN IMMEDIATE")
            yield connection
            _say(connection, "COMMIT")
        except BaseException:
            _roll_back(connection)
            raise


@contextmanager
def reading(connection: Connection, what: str = "ledger") -> Iterator[Connection]:
    """One consistent snapshot for several statements."""
    with translated(what):
        try:
            if connection.dialect.name == postgres.NAME:
                postgres.begin_reading(connection)
            else:
                _say(connection, "BEGIN")
            yield connection
        finally:
            _roll_back(connection)


def _say(connection: Connection, word: str) -> None:
    """A word without parameters or rows; SQLite's driver takes it from us in a tenth of the time that SQLAlchemy takes."""
    if connection.dialect.name == postgres.NAME:
        connection.exec_driver_sql(word)
    else:
        raw: Any = connection.connection.dbapi_connection
        raw.execute(word).close()


def _roll_back(connection: Connection) -> None:
    if connection.invalidated or connection.closed:
        return  # the server forgets what was not committed
    raw: Any = connection.connection.dbapi_connection
    if postgres.in_transaction(raw) if connection.dialect.name == postgres.NAME else raw.in_transaction:
        connection.exec_driver_sql("ROLLBACK")


def knock(place: str) -> None:
    """Open a ledger's place once and let go of it. Raises RetryableError where a server does not answer."""
    with translated(place):
        reader_engine(place).connect().close()


def open_ledger(place: str, check: Callable[[Connection], None] | None = None) -> Connection:
    """A writer's connection to a sound ledger of this program's schema, made or upgraded where needed, after `check` of it.

    Raises CorruptError for a damaged file, one that is no ledger, or one made by a newer program; UnwritableError where the disk
    takes nothing; RetryableError where a server does not answer. A file that it made itself is gone again then.
    """
    new = place != MEMORY and not exists(place)
    try:
        return _opened(place, check)
    except TraderError:
        if new:
            remove(Path(place))
        raise


def _opened(place: str, check: Callable[[Connection], None] | None) -> Connection:
    engine = writer_engine(place)
    with translated(place):
        opened = engine.connect()
    try:
        with translated(place):
            require_sound(opened, place, check)
            if schema_version(opened, place) != HEAD:
                _upgrade(opened, place)
    except BaseException:
        opened.close()
        raise
    return opened


def require_sound(connection: Connection, place: str, check: Callable[[Connection], None] | None = None) -> None:
    """Raise CorruptError for a damaged file, and what `check` raises."""
    if not is_url(place):
        _check_file(connection, place)
    if check is not None:
        check(connection)


def _check_file(connection: Connection, path: str) -> None:
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise CorruptError(f"{path}: damaged ({found}); {MEND}")


def schema_version(connection: Connection, place: str) -> str | None:
    """Revision of the database, None when it is empty; CorruptError when this program can't know it."""
    names = {row[0] for row in connection.exec_driver_sql(TABLES[connection.dialect.name])}
    if not names:
        return None
    if "alembic_version" not in names:
        raise CorruptError(f"{shown(place)}: not a ledger of this program (no schema version in it)")
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version is None or str(version) > HEAD:
        raise CorruptError(f"{shown(place)}: its schema is {version}, newer than {HEAD} of this program; run the program that wrote it")
    return str(version)


def _upgrade(connection: Connection, place: str) -> None:
    with writing(connection, place):
        if schema_version(connection, place) != HEAD:  # somebody else may have upgraded it while we waited for the lock
            from trader.data.migrations.run import migrate  # imports alembic, 0.8 s

            migrate(connection)


def upgrade(path_or_url: str | Path) -> str:
    """Bring a ledger to this program's schema (creating it if need be); returns the revision."""
    connection = open_ledger(place_of(path_or_url))
    connection.close()
    return HEAD
