"""The outbox: typed messages waiting for people, each once, bounded; nobody in trading ever waits for their delivery."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from trader.data.engine import translated, writing
from trader.data.journal import canonical
from trader.data.ops import delivery as delivery_table
from trader.data.ops import open_ops
from trader.data.ops import outbox as table
from trader.errors import FatalError, TraderError

CAP = 2000
STATES = ("PENDING", "SENDING", "SENT", "DIGESTED", "DROPPED", "FAILED")
WAITING = ("PENDING", "SENDING")

# INTERFACES.md section 1: kinds that always interrupt, kinds that belong into a trade's thread, kinds that are off by default
ALARMS = frozenset({
    "halt.set", "order.unresolved", "order.found_late", "stop.missing", "stop.refused", "exit.refused", "reconcile.difference",
    "reconcile.failed", "exchange.foreign", "exchange.degraded", "ai.breaker", "ai.budget", "ai.invalid", "ai.worker", "ai.demoted",
    "data.blocked", "replay.diff", "flow.failed", "task.failed", "beat.missed", "worker.down", "feed.down",
})  # fmt: skip
THREADED = frozenset({"entry.added", "exit.partial", "stop.moved", "ai.ruling", "amend.refused", "cancel.refused"})
OFF = frozenset({"entry.refused", "entry.missed"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message with the state of its delivery. `state` SENDING means: a send was begun and its outcome is unknown."""

    seq: int
    dedupe_key: str
    kind: str
    level: str
    priority: bool
    thread_key: str
    payload: Mapping[str, Any]
    environment: str
    created_us: int
    state: str
    attempts: int
    channel: str | None
    ts: str | None
    file_id: str | None
    last_error: str
    next_try_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message before it is posted."""

    kind: str
    payload: Mapping[str, Any]
    dedupe_key: str
    created_us: int
    thread_key: str = ""
    not_before_us: int = field(default=0)


def level_of(kind: str) -> tuple[str, bool]:
    """Default (level, priority) of a kind."""
    if kind in ALARMS:
        return "on", True
    return ("thread" if kind in THREADED else "off" if kind in OFF else "on"), False


class Outbox:
    """ports.Notifier on ops.sqlite, and the sender's end of it."""

    def __init__(self, path: str | Path, *, environment: str = "demo") -> None:
        self.path = str(path)
        self.environment = environment
        self.lost = 0  # posts that could not be stored; each is logged
        self._connection = open_ops(self.path)

    def post(self, kind: str, payload: Mapping[str, Any], *, dedupe_key: str, now_us: int, thread_key: str = "") -> None:
        """Store a message unless its key is known. Where the store fails, it is logged and counted: trading goes on."""
        draft = Draft(kind=kind, payload=payload, dedupe_key=dedupe_key, created_us=now_us, thread_key=thread_key)
        try:
            with writing(self._connection, self.path) as connection:
                add(connection, [draft], self.environment)
        except TraderError as error:
            self.lost += 1
            log.error("outbox: %s (%s) was not stored: %s", kind, dedupe_key, error)

    def pending(self, now_us: int, limit: int = 100) -> Sequence[Message]:
        """What may be sent now: alarms first, then in order."""
        query = (
            _MESSAGES.where(delivery_table.c.state.in_(WAITING), table.c.level != "off")
            .where(delivery_table.c.next_try_us <= now_us, table.c.not_before_us <= now_us)
            .order_by(table.c.priority.desc(), table.c.seq)
            .limit(limit)
        )
        return self._messages(query)

    def latest(self, limit: int = 50) -> Sequence[Message]:
        """The newest messages, newest first, whatever their state."""
        return self._messages(_MESSAGES.order_by(table.c.seq.desc()).limit(limit))

    def root(self, thread_key: str) -> Message | None:
        """The message that opened a thread and was delivered, so that others can answer to its `ts`."""
        query = _MESSAGES.where(table.c.thread_key == thread_key, table.c.level == "on", delivery_table.c.ts.is_not(None))
        return next(iter(self._messages(query.order_by(table.c.seq).limit(1))), None)

    def mark(
        self,
        seq: int,
        state: str,
        *,
        channel: str | None = None,
        ts: str | None = None,
        file_id: str | None = None,
        error: str = "",
        next_try_us: int = 0,
    ) -> None:
        """Write down how a delivery stands; SENDING counts an attempt. FatalError for an unknown state or message."""
        if state not in STATES:
            raise FatalError(f"delivery state {state!r} is unknown; allowed: {', '.join(STATES)}")
        told = {name: value for name, value in (("channel", channel), ("ts", ts), ("file_id", file_id)) if value is not None}
        values = {"state": state, "last_error": error, "next_try_us": next_try_us, **told}
        change = update(delivery_table).where(delivery_table.c.seq == seq).values(**values)
        if state == "SENDING":
            change = change.values(attempts=delivery_table.c.attempts + 1)
        with writing(self._connection, self.path) as connection:
            if connection.execute(change.returning(delivery_table.c.seq)).first() is None:
                raise FatalError(f"there is no message {seq} in the outbox")

    def _messages(self, query: Any) -> Sequence[Message]:
        with translated(self.path):
            return [_to_message(row) for row in self._connection.execute(query)]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


_MESSAGES = select(table, delivery_table).join_from(table, delivery_table, table.c.seq == delivery_table.c.seq)


def _to_message(row: Row[Any]) -> Message:
    return Message(
        seq=row.seq, dedupe_key=row.dedupe_key, kind=row.kind, level=row.level, priority=bool(row.priority), thread_key=row.thread_key,
        payload=json.loads(row.payload_json), environment=row.environment, created_us=row.created_us, state=row.state,
        attempts=row.attempts, channel=row.channel, ts=row.ts, file_id=row.file_id, last_error=row.last_error, next_try_us=row.next_try_us,
    )  # fmt: skip


def add(connection: Connection, drafts: Sequence[Draft], environment: str) -> int:
    """Insert drafts with unknown keys inside the caller's transaction, then keep the table within its bound; how many were new."""
    new = 0
    for draft in drafts:
        level, priority = level_of(draft.kind)
        row = connection.execute(
            sqlite.insert(table)
            .values(
                dedupe_key=draft.dedupe_key, kind=draft.kind, level=level, priority=int(priority), thread_key=draft.thread_key,
                payload_json=canonical(draft.payload), environment=environment, created_us=draft.created_us,
                not_before_us=draft.not_before_us,
            )
            .on_conflict_do_nothing()
            .returning(table.c.seq)
        ).first()  # fmt: skip
        if row is not None:
            new += 1
            values = {"seq": row.seq, "state": "PENDING", "attempts": 0, "last_error": "", "next_try_us": 0}
            connection.execute(insert(delivery_table), values)
    _bound(connection)
    return new


def _bound(connection: Connection) -> None:
    """Above the cap, delete finished rows, then those that are off, then thread-level, then the rest; a waiting alarm never."""
    excess = int(connection.execute(select(func.count()).select_from(table)).scalar_one()) - CAP
    if excess <= 0:
        return
    waiting = delivery_table.c.state.in_(WAITING)
    rank = case((~waiting, 0), (table.c.level == "off", 1), (table.c.level == "thread", 2), else_=3)
    victims = (
        select(table.c.seq)
        .join(delivery_table, delivery_table.c.seq == table.c.seq)
        .where(or_(table.c.priority == 0, ~waiting))
        .order_by(rank, table.c.seq)
        .limit(excess)
    )
    connection.execute(delete(table).where(table.c.seq.in_(victims.scalar_subquery())))
