"""Reading positions, orders, fills and totals as frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, select

from trader.data import ledger_sql as sql
from trader.data.ledger_fills import PRICE_STEP
from trader.data.ledger_positions import positions as read_positions
from trader.data.ledger_positions import trade_legs
from trader.data.ledger_rows import to_fill, to_intent, to_position
from trader.data.tables import fill as fill_table
from trader.data.tables import intent as intent_table
from trader.data.tables import position as position_table
from trader.domain.account import ExitPlan, Position, PositionState
from trader.domain.money import ZERO, add, divide, from_float, mul
from trader.domain.orders import Fill, Intent, Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPosition:
    """A position with the prices of its plan and its protection. Prices are None before the first fill.

    `stop`: the plan's first stop; `live_stop`: the trigger that rests on the exchange now, None when there is none;
    `stop_state`: resting, unresolved or missing; `exit_state`: what the exit rules saved last.
    """

    position: Position
    quantity: Decimal
    entry_price: Decimal | None
    stop: Decimal | None
    tp1: Decimal | None
    tp2: Decimal | None
    live_stop: Decimal | None
    live_stop_quantity: Decimal | None
    live_stop_reason: str
    stop_state: str
    exit_state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FillView:
    """A fill and what it was for; `leg` and `position_id` are empty for EXTERNAL ones."""

    fill: Fill
    leg: str
    reason: str
    position_id: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order with what became of it. `answer`: the venue's words where it refused; `origin`: strategy or adopted."""

    intent: Intent
    answer: str
    origin: str
    resolved_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over all exit legs, in quote. `wins`: positions closed with a gain after fees; `trades`: closed positions."""

    realised: Decimal
    fees: Decimal
    legs: int
    trades: int
    wins: int
    open: int

    @property
    def win_rate(self) -> float | None:
        """Share of closed positions that gained, None before the first."""
        return self.wins / self.trades if self.trades else None


def open_positions(connection: Connection, account: str) -> list[OpenPosition]:
    """OPENING, OPEN and DUST positions, oldest first."""
    rows = sql.OPEN_POSITIONS.all(connection, {"at_account": account})
    stops: dict[str, Row[Any]] = {}
    for row in sql.LIVE_INTENTS.all(connection, {"at_account": account}):
        if row.leg == Leg.STOP.value:
            stops[row.position_id] = row
    return [_view(row, stops.get(row.position_id)) for row in rows]


def _view(row: Row[Any], stop: Row[Any] | None) -> OpenPosition:
    position = to_position(row)
    entry = None if position.entry_quantity == ZERO else divide(position.entry_cost, position.entry_quantity, PRICE_STEP)
    low, tp1, tp2 = (None, None, None) if entry is None else levels(entry, position.side.sign, position.plan)
    return OpenPosition(
        position=position, quantity=row.quantity, entry_price=entry, stop=low, tp1=tp1, tp2=tp2,
        live_stop=stop.trigger_price if stop is not None else None, live_stop_quantity=stop.quantity if stop is not None else None,
        live_stop_reason=stop.reason if stop is not None else "",
        stop_state="missing" if stop is None else "resting" if stop.txid else "unresolved",
        exit_state=json.loads(row.exit_state_json) if row.exit_state_json else {},
    )  # fmt: skip


def levels(entry: Decimal, sign: int, plan: ExitPlan) -> tuple[Decimal, Decimal, Decimal]:
    """First stop, tp1 and tp2 of a plan entered at `entry`; `sign` +1 long, -1 short. Not rounded to ticks."""

    def at(fraction: float) -> Decimal:
        return mul(entry, add(Decimal(1), from_float(sign * fraction)))

    return at(-plan.stop), at(plan.tp1), at(plan.tp2)


def fills(connection: Connection, account: str, limit: int) -> list[FillView]:
    """The newest fills first."""
    query = (
        select(fill_table, intent_table.c.leg)
        .join_from(fill_table, intent_table, intent_table.c.cl_ord_id == fill_table.c.cl_ord_id, isouter=True)
        .where(fill_table.c.account == account)
        .order_by(fill_table.c.seq.desc())
        .limit(limit)
    )
    return [
        FillView(fill=to_fill(row), leg=row.leg or "", reason=row.reason, position_id=row.position_id or "", source=row.source)
        for row in connection.execute(query)
    ]


def orders(connection: Connection, account: str, limit: int, live_only: bool) -> list[OrderView]:
    """The newest orders first."""
    query = select(intent_table).where(intent_table.c.account == account).order_by(intent_table.c.seq.desc()).limit(limit)
    query = query.where(sql.LIVE) if live_only else query
    return [
        OrderView(intent=to_intent(row), answer=row.answer, origin=row.origin, resolved_us=row.resolved_us)
        for row in connection.execute(query)
    ]


def totals(connection: Connection, account: str) -> Totals:
    """Sums over every trade; wins are counted per closed position, over all its legs."""
    legs = trade_legs(connection, account, 0)
    held: Sequence[Position] = list(read_positions(connection, account).values())
    closed = {p.position_id for p in held if p.state is PositionState.CLOSED and p.entry_quantity != ZERO}
    net: dict[str, Decimal] = {}
    for leg in legs:
        net[leg.position_id] = add(net.get(leg.position_id, ZERO), leg.net)
    fees = add(*(add(p.entry_fee, p.exit_fee) for p in held))
    return Totals(
        realised=add(*(leg.net for leg in legs)), fees=fees, legs=len(legs), trades=len(closed),
        wins=sum(1 for name in closed if net.get(name, ZERO) > ZERO), open=sum(p.state is PositionState.OPEN for p in held),
    )  # fmt: skip


def entry_keys(connection: Connection, account: str) -> dict[str, str]:
    """Position id -> id of the decision that opened it."""
    query = select(position_table.c.position_id, position_table.c.entry_key).where(position_table.c.account == account)
    rows = connection.execute(query)
    return {row.position_id: row.entry_key for row in rows}
