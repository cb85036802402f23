"""Halts and a person's controls. Other processes write these two tables, in short transactions, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update

from trader.data import ledger_sql as sql
from trader.data.journal import Tx, from_outside
from trader.data.prepared import Prepared
from trader.data.tables import control as control_table
from trader.data.tables import halt as halt_table
from trader.data.tables import intent as intent_table
from trader.data.tables import position as position_table
from trader.errors import FatalError, RejectedError
from trader.ports import Control, Halt

REDUCING, HALTED = "REDUCING", "HALTED"
OPERATOR = "operator"
VERBS = ("pause", "resume", "stop", "flatten", "exit")
HALTING = {"pause": REDUCING, "stop": HALTED, "flatten": HALTED}
ANSWERS = ("DONE", "REFUSED", "EXPIRED")
LEAVING = Prepared(
    select(position_table.c.position_id, control_table.c.verb)
    .join_from(position_table, intent_table, intent_table.c.cl_ord_id == position_table.c.position_id)
    .join(control_table, control_table.c.answered_us >= intent_table.c.created_us)
    .where(
        position_table.c.account == bindparam("at_account"),
        or_(position_table.c.state == "OPENING", position_table.c.state == "OPEN"),
        control_table.c.state == "DONE",
        or_(control_table.c.verb == "exit", control_table.c.verb == "flatten"),
        or_(
            control_table.c.argument == "",
            control_table.c.argument == position_table.c.pair,
            control_table.c.argument == position_table.c.position_id,
        ),
    )
    .order_by(position_table.c.position_id, control_table.c.seq)
)
PENDING = Prepared(select(control_table).where(control_table.c.state == "PENDING").order_by(control_table.c.seq))


def halts(connection: Connection) -> list[Halt]:
    """Everything that stops entries now, by cause."""
    rows = sql.HALTS.all(connection)
    return [Halt(cause=r.cause, level=r.level, since_us=r.since_us, reason=r.reason, who=r.who) for r in rows]


def set_halt(tx: Tx, halt: Halt) -> None:
    """Add a cause; one that is on already only ever rises from REDUCING to HALTED, and keeps its first time."""
    if halt.level not in (REDUCING, HALTED):
        raise FatalError(f"halt {halt.cause!r}: level {halt.level!r} is unknown; allowed: {REDUCING}, {HALTED}")
    before = tx.connection.execute(select(halt_table.c.level).where(halt_table.c.cause == halt.cause)).scalar()
    if before in (halt.level, HALTED):
        return
    values = {"level": halt.level, "since_us": halt.since_us, "reason": halt.reason, "who": halt.who}
    tx.log("halt.set", {"cause": halt.cause, **values})
    if before is None:
        tx.connection.execute(insert(halt_table), {"cause": halt.cause, **values})
    else:
        rising = {"level": halt.level, "reason": halt.reason, "who": halt.who}
        tx.connection.execute(update(halt_table).where(halt_table.c.cause == halt.cause).values(**rising))


def clear_halt(tx: Tx, cause: str, who: str, reason: str) -> None:
    """Remove a cause; does nothing where it is not on."""
    gone = tx.connection.execute(delete(halt_table).where(halt_table.c.cause == cause).returning(halt_table.c.level)).first()
    if gone is not None:
        tx.log("halt.cleared", {"cause": cause, "level": gone.level, "who": who, "reason": reason})


def pending(connection: Connection) -> list[Control]:
    """Controls nobody answered yet, oldest first."""
    return [to_control(row) for row in PENDING.all(connection)]


def leaving(connection: Connection, account: str) -> dict[str, str]:
    """Positions that a person told a session to leave and that are still there: position id -> verb of the newest such control.

    A control means what was begun before it was answered, however often a sale was refused and whoever's session it is now.
    """
    return {row.position_id: row.verb for row in LEAVING.all(connection, {"at_account": account})}


def to_control(row: Row[Any]) -> Control:
    """A `control` row as a value."""
    return Control(
        control_id=row.control_id, verb=row.verb, argument=row.argument, who=row.who, created_us=row.created_us, state=row.state,
        answer=row.answer,
    )  # fmt: skip


def answer(tx: Tx, control_id: str, state: str, text: str) -> None:
    """Write the session's answer; a second answer changes nothing."""
    if state not in ANSWERS:
        raise FatalError(f"control {control_id}: answer state {state!r} is unknown; allowed: {', '.join(ANSWERS)}")
    row = tx.connection.execute(select(control_table).where(control_table.c.control_id == control_id)).first()
    if row is None:
        raise FatalError(f"no control {control_id!r} in the ledger")
    if row.state != "PENDING":
        return
    tx.log("control.answered", {"control_id": control_id, "verb": row.verb, "state": state, "answer": text})
    tx.connection.execute(
        update(control_table).where(control_table.c.control_id == control_id).values(state=state, answer=text, answered_us=tx.now_us)
    )


def submit(tx: Tx, verb: str, argument: str, who: str, *, reason: str, key: str) -> Control:
    """Insert a control and, where the verb stops something, its halt. `key` makes a repeated request the same control; without one
    each is another, also where time stands still."""
    if verb not in VERBS:
        raise RejectedError(f"control verb {verb!r} is unknown; allowed: {', '.join(VERBS)}")
    if not who:
        raise RejectedError("a control needs the name of the person who gives it")
    content = "\x1f".join((verb, argument, who, key or f"{tx.now_us} {tx.tip()[0]}"))
    control_id = "c" + hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    known = tx.connection.execute(select(control_table).where(control_table.c.control_id == control_id)).first()
    if known is not None:
        return to_control(known)
    body = {"control_id": control_id, "verb": verb, "argument": argument, "who": who, "reason": reason}
    seq = tx.log("control.submitted", body, kind="command", key=f"control:{control_id}")
    tx.connection.execute(insert(control_table).values(**body, seq=seq, created_us=tx.now_us, state="PENDING", answer="", answered_us=None))
    if verb in HALTING:
        set_halt(tx, Halt(cause=OPERATOR, level=HALTING[verb], since_us=tx.now_us, reason=reason or f"{verb} by {who}", who=who))
    return Control(control_id=control_id, verb=verb, argument=argument, who=who, created_us=tx.now_us)


def submit_control(path: str | Path, verb: str, argument: str, who: str, now_us: int, *, reason: str = "", key: str = "") -> Control:
    """Give the session of this ledger a control, from any process; a halt binds its very next order.

    Raises RejectedError for an unknown verb, CorruptError where there is no sound ledger, RetryableError when it is locked.
    """
    with from_outside(path, now_us, "no session to control") as tx:
        return submit(tx, verb, argument, who, reason=reason, key=key)
