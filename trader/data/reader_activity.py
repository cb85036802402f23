"""Reading decisions, pair states, controls, blocks, beats and journal rows as frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select

from trader.data import ledger_sql as sql
from trader.data.ledger_control import to_control
from trader.data.tables import beat as beat_table
from trader.data.tables import cash as cash_table
from trader.data.tables import control as control_table
from trader.data.tables import decision as decision_table
from trader.data.tables import decision_bar, journal
from trader.data.tables import lease as lease_table
from trader.data.tables import pair_state as pair_state_table
from trader.domain.messages import Point
from trader.ports import Control

BLOCKING, CLEARING = "data.blocked", "data.repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """A candidate as it was decided. Fractions are of the price; `final` ENTER, DEFER or a refusal code.

    `ai_mode` off, shadow or veto; the fields from `lookup` on are None where no verdict was asked for.
    """

    decision_id: str
    time_us: int
    close_us: int
    pair: str
    side: str
    strategy: str
    action: str
    final: str
    detail: str
    score: float | None
    close: float | None
    unit: float | None
    stop: float | None
    tp1: float | None
    tp2: float | None
    stake: Decimal | None
    points: tuple[Point, ...]
    evidence: Mapping[str, Any]
    ai_mode: str
    lookup: str | None
    ruling: str | None
    p_loss: float | None
    age_ms: float | None
    verdict_id: str | None
    is_twin: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """The newest word on a pair: since the candle that closed at `since_us` it is `code` (ENTER, DEFER or a refusal)."""

    pair: str
    since_us: int
    code: str
    score: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A pair whose data failed its gate."""

    pair: str
    since_us: int
    expectation: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    time_us: int
    lag_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """A control with its reason and when it was answered."""

    control: Control
    reason: str
    answered_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """Who trades; nobody does once it is released or expired."""

    holder: str
    token: int
    acquired_us: int
    expires_us: int
    released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A journal row."""

    seq: int
    time_us: int
    kind: str
    type: str
    payload: Mapping[str, Any]


def account_of(connection: Connection) -> str:
    """The account this ledger is for, empty before the first session."""
    found = connection.execute(select(lease_table.c.account)).scalar() or connection.execute(select(cash_table.c.account)).scalar()
    return str(found or "")


def decisions(connection: Connection, limit: int, pair: str | None, since_us: int) -> list[DecisionView]:
    """Newest first."""
    query = select(decision_table).where(decision_table.c.close_us >= since_us)
    query = query.where(decision_table.c.pair == pair) if pair is not None else query
    query = query.order_by(decision_table.c.close_us.desc(), decision_table.c.seq.desc(), decision_table.c.pair).limit(limit)
    return [_decision(row) for row in connection.execute(query)]


def decision_of(connection: Connection, decision_id: str) -> DecisionView | None:
    """One decision."""
    row = connection.execute(select(decision_table).where(decision_table.c.decision_id == decision_id)).first()
    return None if row is None else _decision(row)


def _decision(row: Row[Any]) -> DecisionView:
    return DecisionView(
        decision_id=row.decision_id, time_us=row.time_us, close_us=row.close_us, pair=row.pair, side=row.side, strategy=row.strategy,
        action=row.action, final=row.final, detail=row.detail, score=row.score, close=row.close, unit=row.unit, stop=row.stop,
        tp1=row.tp1, tp2=row.tp2, stake=row.stake,
        points=tuple(Point(name=name, value=value) for name, value in json.loads(row.points_json)),
        evidence=json.loads(row.evidence_json), ai_mode=row.ai_mode, lookup=row.lookup, ruling=row.ruling, p_loss=row.p_loss,
        age_ms=row.age_ms, verdict_id=row.verdict_id, is_twin=row.is_twin,
    )  # fmt: skip


def pair_states(connection: Connection) -> list[PairState]:
    """By name."""
    rows = connection.execute(select(pair_state_table).order_by(pair_state_table.c.pair))
    return [PairState(pair=r.pair, since_us=r.close_us, code=r.code, score=r.score, detail=r.detail) for r in rows]


def refusals(connection: Connection, since_us: int) -> dict[str, int]:
    """Summed over all bars; a deferred decision that was taken again counts each time."""
    total: dict[str, int] = {}
    for text in connection.execute(select(decision_bar.c.counts_json).where(decision_bar.c.close_us >= since_us)).scalars():
        for code, count in json.loads(text).items():
            total[code] = total.get(code, 0) + count
    return dict(sorted(total.items()))


def verdicts(connection: Connection, since_us: int) -> dict[str, int]:
    """Candidates per ruling."""
    column = decision_table.c.ruling
    query = select(column, func.count().label("n")).where(column.is_not(None), decision_table.c.close_us >= since_us)
    return {row.ruling: row.n for row in connection.execute(query.group_by(column).order_by(column))}


def controls(connection: Connection, limit: int) -> list[ControlView]:
    """Newest first."""
    return [_control(row) for row in connection.execute(select(control_table).order_by(control_table.c.seq.desc()).limit(limit))]


def control_of(connection: Connection, control_id: str) -> ControlView | None:
    """One control."""
    row = connection.execute(select(control_table).where(control_table.c.control_id == control_id)).first()
    return None if row is None else _control(row)


def _control(row: Row[Any]) -> ControlView:
    return ControlView(control=to_control(row), reason=row.reason, answered_us=row.answered_us)


def blocked(connection: Connection) -> list[Blocked]:
    """The newest block of each pair that no repair has followed."""
    now: dict[str, Blocked] = {}
    for event in _events(connection.execute(_ROWS.where(journal.c.type.in_((BLOCKING, CLEARING))))):
        pair = str(event.payload.get("pair", ""))
        if event.type == CLEARING:
            now.pop(pair, None)
            continue
        told = event.payload
        since = now[pair].since_us if pair in now else event.time_us
        now[pair] = Blocked(pair=pair, since_us=since, expectation=str(told.get("expectation", "")), detail=str(told.get("detail", "")))
    return [now[pair] for pair in sorted(now)]


def beats(connection: Connection, limit: int) -> list[Beat]:
    """Newest first."""
    rows = connection.execute(select(beat_table).order_by(beat_table.c.seq.desc()).limit(limit))
    return [Beat(time_us=row.time_us, lag_s=row.lag_s) for row in rows]


def lease(connection: Connection, account: str) -> LeaseView | None:
    """The lease of an account."""
    row = sql.LEASE_OF.first(connection, {"at_account": account})
    if row is None:
        return None
    return LeaseView(holder=row.holder, token=row.token, acquired_us=row.acquired_us, expires_us=row.expires_us, released=row.released)


_ROWS = select(journal).order_by(journal.c.seq)


def _events(rows: Any) -> list[Event]:
    return [Event(seq=r.seq, time_us=r.time_us, kind=r.kind, type=r.type, payload=json.loads(r.payload)) for r in rows]


def events(connection: Connection, after_seq: int, limit: int) -> list[Event]:
    """Oldest first."""
    return _events(connection.execute(_ROWS.where(journal.c.seq > after_seq).limit(limit)))


def newest_event(connection: Connection, type_: str) -> Event | None:
    """The last row of a type."""
    query = select(journal).where(journal.c.type == type_).order_by(journal.c.seq.desc()).limit(1)
    return next(iter(_events(connection.execute(query))), None)


def events_of(connection: Connection, types: Sequence[str], since_us: int, until_us: int) -> list[Event]:
    """Oldest first."""
    when = (journal.c.time_us >= since_us) & (journal.c.time_us < until_us)
    return _events(connection.execute(_ROWS.where(journal.c.type.in_(list(types)), when)))
