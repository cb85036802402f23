"""Positions, the state of their exits, and the trades that follow from fills."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from trader.data import ledger_sql as sql
from trader.data.journal import Tx, canonical
from trader.data.ledger_changes import set_exit_state, set_position
from trader.data.ledger_fills import average
from trader.data.ledger_rows import to_fill, to_position
from trader.data.tables import fill as fill_table
from trader.domain.account import Position, PositionState
from trader.domain.market import Timeframe
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, divide, mul, sub
from trader.domain.orders import Fill, Leg
from trader.errors import FatalError

DatedLeg = tuple[int, int, TradeLeg]
"""Time of an exit order's last fill, that fill's number, and the order as a trade."""
SHARE_STEP = Decimal("1e-8")  # a leg's share of entry cost and fee; the last leg takes what is left, so sums are exact


def positions(connection: Connection, account: str, among: Iterable[str] | None = None) -> dict[str, Position]:
    """Positions by their id in the order they were opened; `among`: only these."""
    rows = sql.POSITIONS.all(connection, {"at_account": account}) if among is None else _among(connection, account, among)
    return {row.position_id: to_position(row) for row in rows}


def _among(connection: Connection, account: str, names: Iterable[str]) -> list[Any]:
    """The rows of these positions, in the order of the names."""
    found = (sql.POSITION_BY_ID.first(connection, {"at_id": name, "at_account": account}) for name in names)
    return [row for row in found if row is not None]


def _one(tx: Tx, position_id: str) -> Row[Any]:
    row: Row[Any] | None = sql.POSITION_BY_ID.first(tx.connection, {"at_id": position_id, "at_account": tx.account})
    if row is None:
        raise FatalError(f"no position {position_id!r} in the ledger")
    return row


def drop_opening(tx: Tx, position_id: str) -> None:
    """Close an OPENING position; a closed empty one stays as it is, one with fills is FatalError."""
    row = _one(tx, position_id)
    if row.entry_quantity != ZERO:
        raise FatalError(f"position {position_id} holds fills of {row.entry_quantity} and can't be dropped as empty")
    if row.state == PositionState.CLOSED.value:
        return
    tx.log("position.dropped", {"position_id": position_id, "pair": row.pair})
    set_position(tx, position_id, state=PositionState.CLOSED, closed_us=tx.now_us)


def mark_dust(tx: Tx, position_id: str) -> None:
    """An OPEN position that is too small to sell leaves its slot."""
    row = _one(tx, position_id)
    if row.state == PositionState.DUST.value:
        return
    if row.state != PositionState.OPEN.value:
        raise FatalError(f"position {position_id} is {row.state}; only an OPEN one can be dust")
    tx.log("position.dust", {"position_id": position_id, "pair": row.pair, "quantity": row.quantity})
    set_position(tx, position_id, state=PositionState.DUST)


def save_exit_state(tx: Tx, position_id: str, state: Mapping[str, Any]) -> None:
    """The exit rules' state of a position; nothing is written where it is unchanged."""
    text = canonical(state)
    if _one(tx, position_id).exit_state_json == text:
        return
    tx.log("exit_state", {"position_id": position_id, "state": state})
    set_exit_state(tx, position_id, text)


def exit_states(connection: Connection, account: str) -> dict[str, Mapping[str, Any]]:
    """Saved states of the positions that are not closed."""
    return {row.position_id: json.loads(row.exit_state_json) for row in sql.EXIT_STATES.all(connection, {"at_account": account})}


def last_exits(connection: Connection, account: str) -> dict[str, tuple[int, str]]:
    """Per pair, time and reason of its newest exit fill."""
    return {row.pair: (row.time_us, row.reason) for row in sql.EXIT_FILLS.all(connection, {"at_account": account})}


# --- trades -------------------------------------------------------------------------------------------------------------
def trade_legs(connection: Connection, account: str, since_us: int) -> list[TradeLeg]:
    """One row per exit order with fills whose last fill is at or after `since_us`, oldest first."""
    recent = select(fill_table.c.position_id).where(fill_table.c.account == account, fill_table.c.time_us >= since_us).distinct()
    dated = _dated(connection, account, list(connection.execute(recent).scalars()) if since_us > 0 else None)
    return [leg for last_us, _, leg in in_order(dated.values()) if last_us >= since_us]


def dated_legs(connection: Connection, account: str, among: Iterable[str] | None = None) -> dict[str, Sequence[DatedLeg]]:
    """The exit orders with fills of every position, by its id; `among`: only of these positions."""
    return _dated(connection, account, None if among is None else list(among))


def in_order(legs: Iterable[Sequence[DatedLeg]]) -> list[DatedLeg]:
    """Exit orders of many positions, oldest first."""
    return sorted((leg for of_one in legs for leg in of_one), key=lambda leg: leg[:2])


def _dated(connection: Connection, account: str, among: Sequence[str] | None) -> dict[str, Sequence[DatedLeg]]:
    ours = {"at_account": account}
    if among is None:
        held, fills = sql.POSITIONS.all(connection, ours), sql.FILLS.all(connection, ours)
    else:
        held = _among(connection, account, among)
        fills = [row for name in among for row in sql.FILLS_OF.all(connection, ours | {"at_id": name})]
    by_position: dict[str, list[Row[Any]]] = {}
    for row in fills:
        by_position.setdefault(row.position_id, []).append(row)
    return {row.position_id: _legs(to_position(row), by_position[row.position_id]) for row in held if row.position_id in by_position}


def _legs(position: Position, rows: Sequence[Row[Any]]) -> list[DatedLeg]:
    """Every exit order of one position."""
    entries = [to_fill(row) for row in rows if row.leg == Leg.ENTRY.value]
    orders: dict[str, list[Row[Any]]] = {}
    for row in rows:
        if row.leg != Leg.ENTRY.value:
            orders.setdefault(row.cl_ord_id, []).append(row)
    ordered = sorted(orders.values(), key=lambda group: group[-1].seq)
    cost_left, fee_left = position.entry_cost, position.entry_fee
    result = []
    for index, group in enumerate(ordered):
        fills = [to_fill(row) for row in group]
        quantity = add(*(fill.quantity for fill in fills))
        last = index == len(ordered) - 1 and position.state is PositionState.CLOSED
        cost = cost_left if last else _share(position.entry_cost, quantity, position.entry_quantity)
        entry_fee = fee_left if last else _share(position.entry_fee, quantity, position.entry_quantity)
        cost_left, fee_left = sub(cost_left, cost), sub(fee_left, entry_fee)
        leg = _leg(position, average(entries), fills, cost=cost, entry_fee=entry_fee, reason=group[-1].reason)
        result.append((group[-1].time_us, group[-1].seq, leg))
    return result


def _share(total: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return divide(mul(total, part), whole, SHARE_STEP)


def _leg(position: Position, entry_price: Decimal, exits: Sequence[Fill], *, cost: Decimal, entry_fee: Decimal, reason: str) -> TradeLeg:
    fee = add(entry_fee, *(fill.fee for fill in exits))
    proceeds = add(*(fill.cost for fill in exits))
    gross = sub(proceeds, cost) if position.side.sign > 0 else sub(cost, proceeds)
    return TradeLeg(
        position_id=position.position_id, pair=position.pair, side=position.side, entry_us=Timeframe.M15.floor(position.opened_us),
        exit_us=Timeframe.M15.floor(exits[-1].time_us), entry_price=entry_price, exit_price=average(exits),
        quantity=add(*(fill.quantity for fill in exits)), fee=fee, net=sub(gross, fee), reason=reason,
    )  # fmt: skip
