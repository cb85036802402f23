"""Rows of the ledger as domain values and back; no statement is executed here."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from trader.data.journal import canonical
from trader.domain.account import ExitPlan, Position, PositionState
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, Side


def terms(intent: Intent) -> dict[str, Any]:
    """What was decided about an order: the part of an intent that is fixed when it is committed."""
    return {
        "cl_ord_id": intent.cl_ord_id, "key": intent.key, "leg": intent.leg, "attempt": intent.attempt,
        "position_id": intent.position_id, "pair": intent.pair, "side": intent.side, "order_type": intent.order_type,
        "quantity": intent.quantity, "limit_price": intent.limit_price, "trigger_price": intent.trigger_price,
        "close_trigger": intent.close_trigger, "immediate": intent.immediate, "deadline_us": intent.deadline_us,
        "created_us": intent.created_us, "reason": intent.reason,
    }  # fmt: skip


def to_intent(row: Row[Any]) -> Intent:
    """An `intent` row as the value the session works with."""
    return Intent(
        cl_ord_id=row.cl_ord_id, key=row.key, leg=Leg(row.leg), attempt=row.attempt, position_id=row.position_id, pair=row.pair,
        side=Side(row.side), order_type=OrderType(row.order_type), quantity=row.quantity, limit_price=row.limit_price,
        trigger_price=row.trigger_price, close_trigger=row.close_trigger, immediate=row.immediate, deadline_us=row.deadline_us,
        created_us=row.created_us, reason=row.reason, outcome=Outcome(row.outcome), txid=row.txid,
        status=None if row.status is None else ExchangeStatus(row.status), filled=row.filled,
    )  # fmt: skip


def plan_json(plan: ExitPlan) -> str:
    """An exit plan as it is stored."""
    return canonical(asdict(plan))


@lru_cache(maxsize=1024)
def to_plan(text: str) -> ExitPlan:
    """The stored exit plan; the same text gives the same object."""
    data = json.loads(text)
    data["legs"] = (data["legs"][0], data["legs"][1])
    return ExitPlan(**data)


def to_position(row: Row[Any]) -> Position:
    """A `position` row as a value."""
    return Position(
        position_id=row.position_id, pair=row.pair, side=Side(row.side), strategy=row.strategy, entry_key=row.entry_key,
        plan=to_plan(row.plan_json), opened_us=row.opened_us, state=PositionState(row.state), entry_quantity=row.entry_quantity,
        entry_cost=row.entry_cost, entry_fee=row.entry_fee, exit_quantity=row.exit_quantity, exit_cost=row.exit_cost,
        exit_fee=row.exit_fee, closed_us=row.closed_us,
    )  # fmt: skip


def sums(position: Position) -> dict[str, Any]:
    """The columns of a position that follow from its fills."""
    return {
        "state": position.state, "opened_us": position.opened_us, "closed_us": position.closed_us, "quantity": position.quantity,
        "entry_quantity": position.entry_quantity, "entry_cost": position.entry_cost, "entry_fee": position.entry_fee,
        "exit_quantity": position.exit_quantity, "exit_cost": position.exit_cost, "exit_fee": position.exit_fee,
    }  # fmt: skip


def new_position(position: Position) -> dict[str, Any]:
    """All columns of a new position but seq, account and origin."""
    return {
        "position_id": position.position_id, "pair": position.pair, "side": position.side, "strategy": position.strategy,
        "entry_key": position.entry_key, "plan_json": plan_json(position.plan), **sums(position),
    }  # fmt: skip


def trade(fill: Fill) -> dict[str, Any]:
    """The columns of a fill that the exchange told us."""
    return {
        "trade_id": fill.trade_id, "txid": fill.txid, "pair": fill.pair, "side": fill.side, "price": fill.price,
        "quantity": fill.quantity, "cost": fill.cost, "fee": fill.fee, "time_us": fill.time_us, "maker": fill.maker,
    }  # fmt: skip


def to_fill(row: Row[Any]) -> Fill:
    """A `fill` row as a value."""
    return Fill(
        trade_id=row.trade_id, txid=row.txid, pair=row.pair, side=Side(row.side), price=row.price, quantity=row.quantity,
        cost=row.cost, fee=row.fee, time_us=row.time_us, maker=row.maker,
    )  # fmt: skip
