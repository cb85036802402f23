"""The ledger's tables as its journal tells them: an independent replay for the checker, in plain Python.

Shares no code with the ledger, so that a bug there can't hide here. Values stay as they are stored: money is text,
times are integers, flags 0 and 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RowValues = dict[str, Any]
Rows = dict[str, RowValues]

TERMS = (
    "cl_ord_id", "key", "leg", "attempt", "position_id", "pair", "side", "order_type", "quantity", "limit_price", "trigger_price",
    "close_trigger", "immediate", "deadline_us", "created_us", "reason",
)  # fmt: skip
ANALYSIS = ("score", "close", "atr_fraction", "unit", "stop", "tp1", "tp2")  # NULL where the value was NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """A journal row with its payload parsed."""

    seq: int
    time_us: int
    type: str
    body: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Replay:
    """Tables by key, as far as the journal determines them. `digests`: journal row and hash of each stored decision."""

    intent: Rows = field(default_factory=dict)
    fill: Rows = field(default_factory=dict)
    opened: Rows = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    dust: set[str] = field(default_factory=set)
    exit_state: dict[str, str] = field(default_factory=dict)
    external_move: Rows = field(default_factory=dict)
    equity: Rows = field(default_factory=dict)
    halt: Rows = field(default_factory=dict)
    control: Rows = field(default_factory=dict)
    beat: Rows = field(default_factory=dict)
    decision_bar: Rows = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def compact(value: Any) -> str:
    """The journal's JSON notation."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def replay(rows: Sequence[JournalRow]) -> Replay:
    """Apply every row in order. KeyError or TypeError where a payload lacks what its type must carry."""
    state = Replay()
    for row in rows:
        apply = _APPLY.get(row.type)
        if apply is not None:
            apply(state, row)
    return state


def decision_digest(stored: Mapping[str, Any]) -> str:
    """Number and hash of a `decision` row the way the journal keeps them."""
    values: RowValues = {name: value for name, value in stored.items() if name != "seq"}
    for name in ANALYSIS:
        values[name] = "nan" if values[name] is None else values[name]
    values["is_twin"] = {0: False, 1: True}.get(values["is_twin"], values["is_twin"])
    return f"{stored['seq']} {hashlib.blake2b(compact(values).encode(), digest_size=8).hexdigest()}"


def _flag(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _new_intent(row: JournalRow) -> RowValues:
    terms = {name: _flag(row.body[name]) for name in TERMS}
    return {
        **terms, "seq": row.seq, "outcome": "SENT", "txid": None, "refid": None, "answer": "", "proof_json": None, "resolved_us": None,
        "status": None, "status_us": None,
    }  # fmt: skip


def _intent(state: Replay, row: JournalRow) -> None:
    state.intent[row.body["cl_ord_id"]] = {**_new_intent(row), "token": row.body["token"], "origin": "strategy"}


def _adopted(state: Replay, row: JournalRow) -> None:
    told = {name: row.body[name] for name in ("txid", "refid", "status")}
    since = None if told["status"] is None else row.time_us
    known = {"token": 0, "origin": "adopted", "outcome": "ACKED", "resolved_us": row.time_us, "status_us": since}
    state.intent[row.body["cl_ord_id"]] = {**_new_intent(row), **told, **known}


def _resolved(state: Replay, row: JournalRow) -> None:
    proof = row.body["proof"]
    state.intent[row.body["cl_ord_id"]].update(
        outcome=row.body["outcome"], txid=row.body["txid"], answer=row.body["answer"],
        proof_json=None if proof is None else compact(proof), resolved_us=row.time_us,
    )  # fmt: skip


def _status(state: Replay, row: JournalRow) -> None:
    state.intent[row.body["cl_ord_id"]].update(status=row.body["status"], status_us=row.time_us)


def _terms(state: Replay, row: JournalRow) -> None:
    state.intent[row.body["cl_ord_id"]].update(row.body["now"])


def _fill(state: Replay, row: JournalRow) -> None:
    state.fill[row.body["trade_id"]] = {**{name: _flag(value) for name, value in row.body.items()}, "seq": row.seq}


def _claimed(state: Replay, row: JournalRow) -> None:
    told = {name: row.body[name] for name in ("cl_ord_id", "position_id", "reason")}
    state.fill[row.body["trade_id"]].update(told)


def _opening(state: Replay, row: JournalRow) -> None:
    state.opened[row.body["position_id"]] = {**row.body, "seq": row.seq}


def _dropped(state: Replay, row: JournalRow) -> None:
    state.dropped[row.body["position_id"]] = row.time_us


def _dust(state: Replay, row: JournalRow) -> None:
    state.dust.add(row.body["position_id"])


def _exit_state(state: Replay, row: JournalRow) -> None:
    state.exit_state[row.body["position_id"]] = compact(row.body["state"])


def _move(state: Replay, row: JournalRow) -> None:
    state.external_move[row.body["move_id"]] = {**row.body, "seq": row.seq, "time_us": row.time_us}


def _equity(state: Replay, row: JournalRow) -> None:
    state.equity[str(row.body["time_us"])] = dict(row.body)


def _halt_set(state: Replay, row: JournalRow) -> None:
    before = state.halt.get(row.body["cause"])
    since = row.body["since_us"] if before is None else before["since_us"]
    state.halt[row.body["cause"]] = {**row.body, "since_us": since}


def _halt_cleared(state: Replay, row: JournalRow) -> None:
    state.halt.pop(row.body["cause"], None)


def _control(state: Replay, row: JournalRow) -> None:
    new = {"seq": row.seq, "created_us": row.time_us, "state": "PENDING", "answer": "", "answered_us": None}
    state.control[row.body["control_id"]] = {**row.body, **new}


def _answered(state: Replay, row: JournalRow) -> None:
    state.control[row.body["control_id"]].update(state=row.body["state"], answer=row.body["answer"], answered_us=row.time_us)


def _beat(state: Replay, row: JournalRow) -> None:
    state.beat[str(row.seq)] = {"seq": row.seq, "time_us": row.time_us, "lag_s": float(row.body.get("lag_s", 0.0))}


def _decisions(state: Replay, row: JournalRow) -> None:
    told = {name: row.body[name] for name in ("close_us", "rows", "digest")}
    state.decision_bar[str(row.seq)] = {**told, "seq": row.seq, "time_us": row.time_us, "counts_json": compact(row.body["counts"])}
    for decision_id, _final, digest in row.body["kept"]:
        state.digests[decision_id] = f"{row.seq} {digest}"


_APPLY: dict[str, Callable[[Replay, JournalRow], None]] = {
    "intent": _intent,
    "adopted": _adopted,
    "resolved": _resolved,
    "status": _status,
    "terms": _terms,
    "fill": _fill,
    "fill.external": _fill,
    "fill.claimed": _claimed,
    "position.opening": _opening,
    "position.dropped": _dropped,
    "position.dust": _dust,
    "exit_state": _exit_state,
    "external_move": _move,
    "equity": _equity,
    "halt.set": _halt_set,
    "halt.cleared": _halt_cleared,
    "control.submitted": _control,
    "control.answered": _answered,
    "beat": _beat,
    "decisions": _decisions,
}
