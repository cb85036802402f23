"""The ledger on Postgres, by URL: the sessions' settings, one writer at a time, errors by what they ask for.

The schema is the one of SQLite (tables.py). What SQLite gives by its file lock, one writer at a time, is here an advisory lock
per schema of the database, held to the end of the transaction.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from trader.errors import ConfigError, CorruptError, FatalError, RetryableError, TraderError

NAME = "postgresql"
CONNECT_S = 10
AGAIN_S = 2  # libpq's least
UNHEARD_MS = 10_000  # of bytes without the server's acknowledgement, as behind a cable that was cut
LOCK = 0x7472  # first half of our advisory locks' key; the second names the schema
BUSY = ("55P03", "40001", "40P01")  # lock not available in time, serialization failure, deadlock
DAMAGED = ("XX001", "XX002")  # data corrupted, index corrupted
AWAY = ("08", "57P", "53300")  # connection exceptions, operator intervention, too many connections
_OPEN_TRANSACTION = (2, 3)  # libpq's PQTRANS_INTRANS and PQTRANS_INERROR


def url_of(text: str) -> URL:
    """The URL with our driver in it. Raises ConfigError for one that cannot be read or names no database; never shows it."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("ledger URL: not readable; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if not url.database:
        raise ConfigError(f"ledger URL {shown(text)}: it names no database; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url.set(drivername="postgresql+psycopg")


def hasty(text: str) -> str:
    """The URL with little patience for a server that does not answer: a session's loop waits for it."""
    url = url_of(text)
    asked = url if "connect_timeout" in url.query else url.update_query_dict({"connect_timeout": str(AGAIN_S)})
    return asked.render_as_string(hide_password=False)


def shown(text: str) -> str:
    """The URL without its password, for messages."""
    return make_url(text).set(drivername=NAME).render_as_string(hide_password=True)


def engine(text: str, *, busy_ms: int, read_only: bool = False) -> Engine:
    """Connections in autocommit, whose transactions are durable when they are committed, whatever the server's default is."""
    url = url_of(text)
    known = {name: value for name, value in (("connect_timeout", CONNECT_S), ("tcp_user_timeout", UNHEARD_MS)) if name not in url.query}
    made = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=known)

    @event.listens_for(made, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        for setting in (
            f"lock_timeout = {busy_ms}", "synchronous_commit = on", "application_name = 'trader'",
            f"default_transaction_read_only = {'on' if read_only else 'off'}",
        ):  # fmt: skip
            connection.execute(f"SET {setting}")

    return made


def begin_writing(connection: Connection) -> None:
    """Open a transaction that sees everything committed before it, and no other writer beside it."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK}, hashtext(current_schema()))")


def begin_reading(connection: Connection) -> None:
    """Open a transaction that sees one moment."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def in_transaction(raw: Any) -> bool:
    """Whether a psycopg connection has something to roll back; one that is lost has not."""
    return raw.info.transaction_status in _OPEN_TRANSACTION


def error_for(error: Any, text: str, *, busy_s: float) -> TraderError | None:
    """An error of psycopg as one of ours; None where another driver raised it."""
    if not hasattr(error, "sqlstate"):
        return None
    state = str(error.sqlstate or "")
    if state in BUSY:
        return RetryableError(f"{text} (another process is writing for over {busy_s:g} s)")
    if state in DAMAGED:
        return CorruptError(f"{text}; the server's files are damaged: restore a backup into a sound database")
    if state.startswith(AWAY) or (not state and type(error).__name__ == "OperationalError"):
        return RetryableError(f"{text} (the database server does not answer)")
    return FatalError(text)
