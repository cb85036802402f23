"""Decisions: candidates in full, the many pairs without a signal as counts and their latest state."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from trader.data import ledger_sql as sql
from trader.data.journal import Tx, canonical
from trader.data.tables import pair_state
from trader.domain.messages import Refusal
from trader.domain.orders import entry_key
from trader.ports import DecisionRow

QUIET = (Refusal.NO_SIGNAL, Refusal.NOT_READY)  # kept as counts and in pair_state only
SCORE_MOVE = 1.0  # points a quiet pair's score must move to be written again

State = tuple[str, float, str]  # code, score, detail


@dataclass(slots=True, kw_only=True)
class PairStates:
    """What `pair_state` holds, remembered so that unchanged pairs cost no statement."""

    known: dict[str, State] = field(default_factory=dict)

    @classmethod
    def load(cls, connection: Connection) -> PairStates:
        rows = connection.execute(select(pair_state))
        return cls(known={row.pair: (row.code, math.nan if row.score is None else row.score, row.detail) for row in rows})

    def changed(self, pair: str, state: State) -> bool:
        """Whether `state` differs by more than a point of score from what is stored."""
        before = self.known.get(pair)
        if before is not None and before[0] == state[0] and before[2] == state[2]:
            return abs(before[1] - state[1]) >= SCORE_MOVE
        return True


def code_of(row: DecisionRow) -> str:
    """What a row counts as: ENTER, DEFER or the refusal."""
    if row.final != "HOLD":
        return str(row.final)
    return "HOLD" if row.decision.refusal is None else str(row.decision.refusal)


def decision_id(row: DecisionRow) -> str:
    """Same as the entry key of the order it may lead to."""
    d = row.decision
    return entry_key(d.pair, d.strategy, d.close_us, d.side)


def record(tx: Tx, rows: Sequence[DecisionRow], states: PairStates) -> dict[str, State]:
    """Write one bar's decisions; returns the pair states to remember once the transaction is committed."""
    counts: dict[str, int] = {}
    digest = hashlib.blake2b(digest_size=16)
    kept: list[dict[str, Any]] = []
    moved: dict[str, tuple[int, State]] = {}
    for row in rows:
        d = row.decision
        code = code_of(row)
        counts[code] = counts.get(code, 0) + 1
        detail = row.detail or d.detail
        digest.update(f"{d.pair}|{d.side}|{code}|{d.score!r}|{detail}\n".encode())
        state = (code, float(d.score), detail)
        if states.changed(d.pair, state):
            moved[d.pair] = (d.close_us, state)
        if code not in QUIET:
            kept.append(_full(row, tx.now_us))
    close_us = max(row.decision.close_us for row in rows)
    names = [[k["decision_id"], k["final"], _digest(k)] for k in kept]
    bar = {"close_us": close_us, "rows": len(rows), "digest": digest.hexdigest()}
    seq = tx.log("decisions", {**bar, "counts": counts, "kept": names}, kind="command")
    sql.DECISION_BAR_ADD.run(tx.connection, {**bar, "seq": seq, "time_us": tx.now_us, "counts_json": canonical(counts)})
    _keep(tx, seq, kept)
    _move_states(tx, moved, states.known)
    return {pair: state for pair, (_, state) in moved.items()}


def _digest(values: dict[str, Any]) -> str:
    return hashlib.blake2b(canonical(values).encode(), digest_size=8).hexdigest()


def _full(row: DecisionRow, now_us: int) -> dict[str, Any]:
    d, r = row.decision, row.ruling
    return {
        "decision_id": decision_id(row), "time_us": now_us, "close_us": d.close_us, "pair": d.pair, "side": d.side.value,
        "strategy": d.strategy, "action": d.action.value, "final": code_of(row), "detail": row.detail or d.detail, "score": float(d.score),
        "close": float(d.close), "atr_fraction": float(d.atr_fraction), "unit": float(d.unit), "stop": float(d.stop),
        "tp1": float(d.tp1), "tp2": float(d.tp2), "stake": row.stake,
        "points_json": canonical([[point.name, point.value] for point in d.points]), "evidence_json": canonical(d.evidence),
        "ai_mode": str(row.ai_mode), "lookup": r.lookup.value if r else None, "ruling": r.ruling.value if r else None,
        "p_loss": r.p_loss if r else None, "age_ms": r.age_ms if r else None, "verdict_id": r.verdict_id if r else None,
        "is_twin": r.is_twin if r else None,
    }  # fmt: skip


def _keep(tx: Tx, seq: int, kept: list[dict[str, Any]]) -> None:
    """A decision that was deferred and is made again replaces its row; the journal keeps both."""
    newest = {values["decision_id"]: {**values, "seq": seq} for values in kept}
    for name, values in newest.items():
        sql.DECISION_DROP.run(tx.connection, {"at_id": name})
        sql.DECISION_ADD.run(tx.connection, values)


def _move_states(tx: Tx, moved: dict[str, tuple[int, State]], known: dict[str, State]) -> None:
    for pair, (close_us, (code, score, detail)) in moved.items():
        values = {"close_us": close_us, "code": code, "score": score, "detail": detail}
        if pair in known:
            sql.PAIR_STATE_SET.run(tx.connection, {"at_pair": pair, **values})
        else:
            sql.PAIR_STATE_ADD.run(tx.connection, {"pair": pair, **values})
