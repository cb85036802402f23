"""Turns committed ledger events into messages: follows the journal by number, none lost, none doubled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects import sqlite

from trader.data.engine import place_of, reader_engine, reading, translated, writing
from trader.data.ledger_rows import to_plan
from trader.data.ops import open_ops
from trader.data.ops import projector as place
from trader.data.outbox import Draft, add
from trader.data.reader_positions import levels
from trader.data.tables import decision, journal, position
from trader.domain.money import ZERO, divide, sub
from trader.domain.orders import Side

NAME = "ledger"
BATCH = 500
RATIO_STEP = Decimal("0.00000001")

# notes of the session that people should hear of, under the very name the session gave them
NOTED = (
    "system.",
    "data.",
    "exchange.",
    "ai.",
    "market.",
    "strategy.",
    "flow.",
    "beat.missed",
    "worker.",
    "feed.",
    "report.",
    "objective.",
    "hall.",
)
NOTES = frozenset({
    "order.unresolved", "stop.missing", "stop.refused", "exit.refused", "amend.refused", "cancel.refused", "reconcile.failed",
    "task.failed", "entry.missed", "entry.refused", "control.changed", "order.recovered", "pair.suspended",
})  # fmt: skip
HOURLY = frozenset({
    "data.blocked", "reconcile.failed", "task.failed", "worker.down", "feed.down", "ai.breaker", "ai.budget", "ai.invalid", "ai.worker",
    "ai.recovered",
})  # fmt: skip
HOUR_US = 3_600_000_000

Body = Mapping[str, Any]
Made = tuple[str, dict[str, Any]] | None  # kind and payload, or nothing to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The newest journal row that has been looked at."""

    seq: int = 0
    hash: str = ""


class Projector:
    """Reads the ledger, writes ops.sqlite; place and messages are one transaction there."""

    def __init__(self, ledger_path: str | Path, ops_path: str | Path, *, environment: str = "demo") -> None:
        self._ledger_path = place_of(ledger_path)
        self._ops_path = str(ops_path)
        self._environment = environment
        with translated(self._ledger_path):
            self._reader = reader_engine(self._ledger_path).connect()
        self._ops = open_ops(self._ops_path)

    def run(self) -> int:
        """Catch up with the journal; returns how many messages were posted."""
        posted, more = 0, True
        while more:
            count, more = self._step()
            posted += count
        return posted

    def _step(self) -> tuple[int, bool]:
        """One batch: (messages posted, whether there may be more)."""
        with writing(self._ops, self._ops_path) as ops, reading(self._reader, self._ledger_path) as ledger:
            at = _place(ops, ledger)
            rows = ledger.execute(select(journal).where(journal.c.seq > at.seq).order_by(journal.c.seq).limit(BATCH)).all()
            drafts = [draft for row in rows if (draft := self._draft(row, ledger)) is not None]
            posted = add(ops, drafts, self._environment) if drafts else 0
            if rows:
                values = {"seq": rows[-1].seq, "hash": rows[-1].hash}
                statement = sqlite.insert(place).values(name=NAME, **values)
                ops.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
        return posted, len(rows) == BATCH

    def _draft(self, row: Row[Any], ledger: Connection) -> Draft | None:
        body: dict[str, Any] = json.loads(row.payload)
        made = _EVENTS[row.type](body, ledger) if row.type in _EVENTS else _note(row.type, body)
        if made is None:
            return None
        kind, payload = made
        position_id = payload.get("position_id")
        key = f"ledger:{row.seq}:{row.hash[:12]}"
        if kind in HOURLY:
            cause = str(payload.get("pair") or payload.get("task") or payload.get("cause") or "")
            key = f"{kind}:{cause}:{row.time_us // HOUR_US}"
        return Draft(
            kind=kind, payload=payload, dedupe_key=key, created_us=row.time_us, thread_key=f"trade:{position_id}" if position_id else ""
        )

    def close(self) -> None:
        """Close both files."""
        self._reader.close()
        self._ops.close()


def _place(ops: Connection, ledger: Connection) -> Place:
    """Where to go on; from the start when the ledger is another one than last time (keys keep old messages single)."""
    row = ops.execute(select(place).where(place.c.name == NAME)).first()
    if row is None:
        return Place()
    same = ledger.execute(select(journal.c.hash).where(journal.c.seq == row.seq)).scalar()
    return Place(seq=row.seq, hash=row.hash) if same == row.hash else Place()


def _note(kind: str, body: Body) -> Made:
    if kind == "reconcile":
        return ("reconcile.difference", dict(body)) if body.get("differences") else None
    return (kind, dict(body)) if kind in NOTES or kind.startswith(NOTED) else None


# --- one function per kind of event -------------------------------------------------------------------------------------
def _filled(body: Body, ledger: Connection) -> Made:
    row = ledger.execute(select(position).where(position.c.position_id == body["position_id"])).one()
    common = {name: body[name] for name in ("pair", "position_id", "quantity", "price", "fee", "reason", "time_us")}
    if body["leg"] == "entry":
        return ("entry.filled" if body["first"] else "entry.added"), {
            **common,
            "stake": body["cost"],
            **_plan(row, body),
            **_why(row, ledger),
        }
    return _exit(body, common)


def _plan(row: Row[Any], body: Body) -> dict[str, Any]:
    """Levels of the plan at this fill's price, in quote."""
    plan = to_plan(row.plan_json)
    stop, tp1, tp2 = levels(Decimal(body["price"]), 1 if row.side == Side.BUY.value else -1, plan)
    return {"strategy": row.strategy, "stop": stop, "stop_fraction": plan.stop, "tp1": tp1, "tp2": tp2}


def _why(row: Row[Any], ledger: Connection) -> dict[str, Any]:
    """Score, reasons and ruling of the decision that led to an entry, where it is stored."""
    found = ledger.execute(select(decision).where(decision.c.decision_id == row.entry_key)).first()
    if found is None:
        return {}
    return {
        "score": found.score, "points": json.loads(found.points_json), "ai_mode": found.ai_mode, "ruling": found.ruling,
        "lookup": found.lookup, "p_loss": found.p_loss, "age_ms": found.age_ms, "is_twin": found.is_twin,
    }  # fmt: skip


def _exit(body: Body, common: dict[str, Any]) -> Made:
    after = body["position"]
    if after["state"] != "CLOSED":
        return "exit.partial", {**common, "left": after["quantity"]}
    cost, fees = Decimal(after["entry_cost"]), Decimal(after["entry_fee"]) + Decimal(after["exit_fee"])
    net = sub(sub(Decimal(after["exit_cost"]), cost), fees)
    roi = divide(net, cost, RATIO_STEP) if cost > ZERO else ZERO
    return "exit.filled", {**common, "net": net, "roi": roi, "fees": fees, "held_us": body["time_us"] - after["opened_us"]}


def _terms(body: Body, _ledger: Connection) -> Made:
    if "trigger_price" not in body["now"]:
        return None
    told = {name: body[name] for name in ("pair", "position_id", "txid")}
    return "stop.moved", {
        **told,
        "old": body["before"]["trigger_price"],
        "new": body["now"]["trigger_price"],
        "reason": body["now"].get("reason"),
    }


def _resolved(body: Body, _ledger: Connection) -> Made:
    found_late = body["before"] == "ABSENT" and body["outcome"] == "ACKED"
    return ("order.found_late", {name: body[name] for name in ("cl_ord_id", "pair", "leg", "txid")}) if found_late else None


def _foreign(body: Body, _ledger: Connection) -> Made:
    return "exchange.foreign", {name: body[name] for name in ("trade_id", "txid", "pair", "side", "quantity", "price")}


def _moved(body: Body, _ledger: Connection) -> Made:
    return None if body["kind"] == "opening" else ("account.moved", {name: body[name] for name in ("asset", "amount", "kind")})


def _same(kind: str) -> Callable[[Body, Connection], Made]:
    return lambda body, _ledger: (kind, dict(body))


_EVENTS: dict[str, Callable[[Body, Connection], Made]] = {
    "order.filled": _filled,
    "terms": _terms,
    "resolved": _resolved,
    "fill.external": _foreign,
    "external_move": _moved,
    "halt.set": _same("halt.set"),
    "halt.cleared": _same("halt.cleared"),
    "control.submitted": _same("control.given"),
    "control.answered": _same("control.answered"),
    "position.dust": _same("position.dust"),
}
