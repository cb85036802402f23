"""Intents: committed before any byte leaves, resolved once, adopted when found on the exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row

from trader.data import lease as leases
from trader.data import ledger_sql as sql
from trader.data.journal import Tx, canonical
from trader.data.ledger_changes import add_intent, add_position, set_intent
from trader.data.ledger_fills import claim
from trader.data.ledger_rows import new_position, terms, to_intent
from trader.domain.account import Position, PositionState
from trader.domain.halts import binds
from trader.domain.money import ZERO, add, sub
from trader.domain.orders import OUTCOME_TRANSITIONS, STATUS_TRANSITIONS, ExchangeStatus, Intent, Leg, Outcome
from trader.errors import BeginRefused, FatalError
from trader.ports import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What is known of an intent after the exchange was asked, with its evidence (INV-3: no intent ends in a guess)."""

    outcome: Outcome
    txid: str | None = None
    reason: str = ""
    proof: Mapping[str, Any] | None = None

    def missing(self) -> str:
        """What this outcome can't be without."""
        if self.outcome is Outcome.ACKED:
            return "" if self.txid else "the exchange's order id"
        if self.outcome is Outcome.REJECTED:
            return "" if self.reason else "the exchange's words"
        return "" if self.proof else "a proof"


def begin(tx: Tx, intent: Intent, lease: Lease, position: Position | None) -> None:
    """Every check of RELIABILITY section 2 step 1, then the intent as SENT; see `Ledger.begin`."""
    leases.check(tx.connection, lease, tx.now_us)
    _refuse_repeat(tx, intent)
    if intent.leg is Leg.ENTRY:
        _begin_entry(tx, intent, position)
    elif position is not None:
        raise FatalError(f"order {intent.cl_ord_id} ({intent.leg}) reduces a position, so it can't bring a new one")
    else:
        _refuse_oversell(tx, intent)
    _add(tx, intent, position, {"token": lease.token})


def _add(tx: Tx, intent: Intent, position: Position | None, told: Mapping[str, Any]) -> None:
    seq = tx.log("intent", {**terms(intent), **told}, kind="command", key=f"intent:{intent.cl_ord_id}")
    add_intent(tx, {**_new(tx, intent, seq), "token": told["token"], "origin": "strategy"})
    if position is not None:
        body = new_position(position)
        seq = tx.log("position.opening", body)
        add_position(tx, {**body, "seq": seq, "account": tx.account, "exit_state_json": None, "origin": "strategy"})


def recall(tx: Tx, intent: Intent, token: int, position: Position | None = None) -> None:
    """Take in an order of ours that was begun elsewhere, in the emergency journal or before an older backup came back: SENT, so
    that it is looked up. A known one changes nothing, nor does one whose position is not known."""
    known = sql.INTENT_BY_ID.first(tx.connection, {"at_id": intent.cl_ord_id})
    held = sql.POSITION_BY_ID.first(tx.connection, {"at_id": intent.position_id, "at_account": tx.account})
    if known is None and (held is not None or position is not None):
        _add(tx, intent, position, {"token": token, "recalled": True})
        leases.outgrow(tx, token)


def _begin_entry(tx: Tx, intent: Intent, position: Position | None) -> None:
    halted = [row for row in sql.HALTS.all(tx.connection) if binds(row.cause, intent.pair)]
    if halted:
        causes = ", ".join(f"{row.cause} ({row.level})" for row in halted)
        raise BeginRefused("HALTED", f"no entry in {intent.pair}: halted by {causes}")
    if position is None or position.state is not PositionState.OPENING or position.quantity != ZERO:
        raise FatalError(f"entry {intent.cl_ord_id} needs its OPENING position, not {position!r}")
    if not position.position_id == intent.position_id == intent.cl_ord_id:
        raise FatalError(f"entry {intent.cl_ord_id}: position {position.position_id!r} must carry the id of its entry order")


def _refuse_repeat(tx: Tx, intent: Intent) -> None:
    same = {
        "at_id": intent.cl_ord_id, "at_account": tx.account, "at_key": intent.key, "at_leg": intent.leg, "at_attempt": intent.attempt,
    }  # fmt: skip
    row = sql.INTENT_SAME.first(tx.connection, same)
    if row is not None:
        what = f"{intent.leg} {intent.attempt} of {intent.key}"
        raise BeginRefused("DUPLICATE_KEY", f"{what} was begun already as {row.cl_ord_id} ({row.outcome})")


def _refuse_oversell(tx: Tx, intent: Intent) -> None:
    held = sql.POSITION_BY_ID.first(tx.connection, {"at_id": intent.position_id, "at_account": tx.account})
    if held is None or held.pair != intent.pair or held.side == intent.side.value:
        what = f"{intent.leg} {intent.cl_ord_id}: no position {intent.position_id!r} in {intent.pair}"
        raise BeginRefused("OVERSELL", f"{what} that a {intent.side} reduces")
    others = sql.PROMISED.all(tx.connection, {"at_position": intent.position_id})
    promised = add(*(sub(row.quantity, row.filled) for row in others))
    if add(promised, intent.quantity) > held.quantity:
        what = f"{intent.pair}: {intent.quantity} more on top of {promised} live or unresolved"
        raise BeginRefused("OVERSELL", f"{what} would exceed the {held.quantity} held")


def _new(tx: Tx, intent: Intent, seq: int) -> dict[str, Any]:
    """All columns of an intent that was just sent; an adopted one changes a few."""
    return {
        **terms(intent), "seq": seq, "account": tx.account, "outcome": Outcome.SENT, "txid": None, "refid": None, "answer": "",
        "proof_json": None, "resolved_us": None, "status": None, "status_us": None, "filled": ZERO,
    }  # fmt: skip


def adopt(tx: Tx, intent: Intent) -> None:
    """Record an order of ours that the exchange made by itself (a conditional close); a known txid changes nothing."""
    if intent.txid is None or intent.outcome is not Outcome.ACKED:
        raise FatalError(f"only an order the exchange holds can be adopted; {intent.cl_ord_id} is {intent.outcome}, txid {intent.txid}")
    if sql.INTENT_BY_TXID.first(tx.connection, {"at_txid": intent.txid, "at_account": tx.account}) is not None:
        return
    _refuse_repeat(tx, intent)
    if sql.POSITION_BY_ID.first(tx.connection, {"at_id": intent.position_id, "at_account": tx.account}) is None:
        raise FatalError(f"order {intent.txid} can't be adopted: no position {intent.position_id!r}")
    parent = sql.INTENT_BY_ID.first(tx.connection, {"at_id": intent.position_id})
    found = {"txid": intent.txid, "refid": None if parent is None else parent.txid, "status": intent.status}
    seq = tx.log("adopted", {**terms(intent), **found}, key=f"adopt:{intent.txid}")
    since = None if intent.status is None else tx.now_us
    known = {"token": 0, "origin": "adopted", "outcome": Outcome.ACKED, "resolved_us": tx.now_us, "status_us": since}
    add_intent(tx, {**_new(tx, intent, seq), **found, **known})
    claim(tx, intent.txid)


def resolve(tx: Tx, cl_ord_id: str, proved: Proved) -> None:
    """Write down what was proved about an intent; the same again changes nothing, a contradiction is FatalError."""
    row = sql.INTENT_BY_ID.first(tx.connection, {"at_id": cl_ord_id})
    if row is None:
        raise FatalError(f"no intent {cl_ord_id!r} in the ledger to resolve")
    before, outcome, txid = Outcome(row.outcome), proved.outcome, proved.txid
    if before is outcome and (txid is None or txid == row.txid):
        return
    if outcome not in OUTCOME_TRANSITIONS[before]:
        raise FatalError(f"intent {cl_ord_id} is {before} (txid {row.txid}) and can't become {outcome} (txid {txid})")
    if proved.missing():
        raise FatalError(f"intent {cl_ord_id} can't become {outcome} without {proved.missing()}")
    body = {"cl_ord_id": cl_ord_id, "pair": row.pair, "leg": row.leg, "outcome": outcome, "before": before}
    tx.log("resolved", {**body, "txid": txid, "answer": proved.reason, "proof": proved.proof})
    evidence = None if proved.proof is None else canonical(proved.proof)
    set_intent(tx, cl_ord_id, outcome=outcome, txid=txid, answer=proved.reason, proof_json=evidence, resolved_us=tx.now_us)
    if txid is not None:
        claim(tx, txid)


def set_status(tx: Tx, txid: str, status: ExchangeStatus) -> None:
    """The newest word on an order; final words of the venue stay, late ones are ignored."""
    row = _by_txid(tx, txid)
    before = None if row.status is None else ExchangeStatus(row.status)
    if before is status or (before is not None and status not in STATUS_TRANSITIONS[before]):
        return
    tx.log("status", {"txid": txid, "cl_ord_id": row.cl_ord_id, "status": status})
    set_intent(tx, row.cl_ord_id, status=status, status_us=tx.now_us)


def set_terms(tx: Tx, txid: str, quantity: Decimal | None, trigger_price: Decimal | None, reason: str | None) -> None:
    """What an amend made of an order; equal terms change nothing."""
    row = _by_txid(tx, txid)
    asked = {"quantity": quantity, "trigger_price": trigger_price, "reason": reason}
    changed = {name: value for name, value in asked.items() if value is not None and value != getattr(row, name)}
    if not changed:
        return
    before = {name: getattr(row, name) for name in changed}
    body = {"txid": txid, "cl_ord_id": row.cl_ord_id, "pair": row.pair, "position_id": row.position_id, "leg": row.leg}
    tx.log("terms", {**body, "now": changed, "before": before})
    set_intent(tx, row.cl_ord_id, **changed)


def _by_txid(tx: Tx, txid: str) -> Row[Any]:
    row: Row[Any] | None = sql.INTENT_BY_TXID.first(tx.connection, {"at_txid": txid, "at_account": tx.account})
    if row is None:
        raise FatalError(f"no order {txid!r} in the ledger")
    return row


def next_attempt(connection: Connection, account: str, key: str, leg: Leg) -> int:
    """Number of the next order of this leg."""
    newest = sql.ATTEMPT.first(connection, {"at_account": account, "at_key": key, "at_leg": leg.value}).newest
    return 0 if newest is None else int(newest) + 1


def intents(connection: Connection, account: str, among: Iterable[str] | None = None) -> dict[str, Intent]:
    """Orders by their id in the order they were begun; `among`: only these."""
    if among is None:
        rows = sql.INTENTS.all(connection, {"at_account": account})
    else:
        rows = [row for name in among if (row := sql.INTENT_BY_ID.first(connection, {"at_id": name})) is not None]
    return {row.cl_ord_id: to_intent(row) for row in rows}
