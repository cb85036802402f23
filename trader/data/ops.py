"""ops.sqlite: operational rows that several processes write in short transactions: the outbox and its delivery, what became of
the AI's signals, and what the night suggested. The last two are append-only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
)

from trader.data.engine import translated, writer_engine, writing
from trader.data.tables import NAMES
from trader.data.types import Flag, Micros, Money, Real
from trader.errors import CorruptError

VERSION = 2  # PRAGMA user_version of the file; each version only adds tables
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

ai_outcome = Table(
    "ai_outcome", metadata, Column("decision_id", Text, nullable=False), Column("kind", Text, nullable=False),
    Column("strategy", Text, nullable=False), Column("close_us", Micros, nullable=False), Column("label_loss", Flag, nullable=False),
    Column("net_return", Real, nullable=False), Column("r_multiple", Real, nullable=False), Column("net", Money, nullable=False),
    Column("exit_reason", Text, nullable=False), Column("bars_held", Integer, nullable=False),
    Column("fill_model_version", Text, nullable=False), Column("scored_at", Micros, nullable=False),
    PrimaryKeyConstraint("decision_id", "fill_model_version"), Index("ix_ai_outcome_strategy", "strategy", "close_us"), sqlite_strict=True,
)  # fmt: skip

suggestion = Table(
    "suggestion", metadata, Column("suggestion_id", Text, primary_key=True, nullable=False), Column("night", Text, nullable=False),
    Column("kind", Text, nullable=False), Column("strategy", Text, nullable=False), Column("parameter", Text, nullable=False),
    Column("current", Text, nullable=False), Column("proposed", Text, nullable=False), Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False), Column("evidence_json", Text, nullable=False), Column("trial_json", Text, nullable=False),
    Column("model", Text, nullable=False), Column("is_twin", Flag, nullable=False), Column("made_us", Micros, nullable=False),
    Column("expires_us", Micros, nullable=False),
    CheckConstraint("kind IN ('PARAM_CHANGE', 'NEW_RULE', 'REFACTOR')", name="kind"), sqlite_strict=True,
)  # fmt: skip

suggestion_act = Table(
    "suggestion_act", metadata, Column("seq", Integer, primary_key=True),
    Column("suggestion_id", Text, ForeignKey("suggestion.suggestion_id"), nullable=False), Column("act", Text, nullable=False),
    Column("who", Text, nullable=False), Column("why", Text, nullable=False), Column("at_us", Micros, nullable=False),
    CheckConstraint("act IN ('approve', 'reject', 'revert')", name="act"), UniqueConstraint("suggestion_id", "act"), sqlite_strict=True,
    sqlite_autoincrement=True,
)  # fmt: skip

for _table in (ai_outcome, suggestion, suggestion_act):
    for _verb in ("UPDATE", "DELETE"):
        _name = f"{_table.name}_no_{_verb.lower()}"
        _refused = f"BEGIN SELECT RAISE(ABORT, '{_table.name} is append-only'); END"
        _rule = DDL(f"CREATE TRIGGER {_name} BEFORE {_verb} ON {_table.name} {_refused}")  # type: ignore[no-untyped-call]
        event.listen(_table, "after_create", _rule)


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
