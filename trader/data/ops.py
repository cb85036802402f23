"""ops.sqlite: operational rows that several processes write in short transactions; here the outbox and its delivery."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, Connection, ForeignKey, Index, Integer, MetaData, Table, Text

from trader.data.engine import translated, writer_engine, writing
from trader.data.tables import NAMES
from trader.data.types import Micros
from trader.errors import CorruptError

VERSION = 1  # PRAGMA user_version of the file
BUSY_MS = 200  # whoever posts must not wait longer

metadata = MetaData(naming_convention=NAMES)

outbox = Table(
    "outbox", metadata, Column("seq", Integer, primary_key=True), Column("dedupe_key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False), Column("level", Text, nullable=False), Column("priority", Integer, nullable=False),
    Column("thread_key", Text, nullable=False), Column("payload_json", Text, nullable=False), Column("environment", Text, nullable=False),
    Column("created_us", Micros, nullable=False), Column("not_before_us", Micros, nullable=False),
    CheckConstraint("level IN ('on', 'thread', 'off')", name="level"), sqlite_strict=True, sqlite_autoincrement=True,
)  # fmt: skip

delivery = Table(
    "delivery", metadata, Column("seq", Integer, ForeignKey("outbox.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False), Column("attempts", Integer, nullable=False), Column("channel", Text), Column("ts", Text),
    Column("file_id", Text), Column("last_error", Text, nullable=False), Column("next_try_us", Micros, nullable=False),
    CheckConstraint("state IN ('PENDING', 'SENDING', 'SENT', 'DIGESTED', 'DROPPED', 'FAILED')", name="state"),
    Index("ix_delivery_state", "state"), sqlite_strict=True,
)  # fmt: skip

projector = Table(
    "projector", metadata, Column("name", Text, primary_key=True, nullable=False), Column("seq", Integer, nullable=False),
    Column("hash", Text, nullable=False), sqlite_strict=True,
)  # fmt: skip


def open_ops(path: str) -> Connection:
    """A connection to ops.sqlite, made where it is missing; CorruptError for a file of a newer program."""
    engine = writer_engine(path)
    with translated(path):
        connection = engine.connect()
        connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
        if _version(connection) != VERSION:
            with writing(connection, path):
                _create(connection, path)
    return connection


def _version(connection: Connection) -> int:
    found: Any = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return int(found)


def _create(connection: Connection, path: str) -> None:
    version = _version(connection)  # somebody else may have made it while we waited for the lock
    if version > VERSION:
        raise CorruptError(f"{path}: its schema is {version}, newer than {VERSION} of this program; run the program that wrote it")
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
