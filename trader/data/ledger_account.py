"""Cash, money from outside, equity, notes and settings of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from trader.data import ledger_sql as sql
from trader.data.journal import Tx
from trader.data.ledger_fills import move_cash
from trader.data.tables import cash as cash_table
from trader.data.tables import equity as equity_table
from trader.data.tables import external_move
from trader.data.types import FRACTION_DIGITS
from trader.domain.futures import FundingPayment
from trader.domain.money import plain, quantum, round_to
from trader.errors import FatalError
from trader.ports import EquityRow

OPENING = "opening"
FUNDING = "funding "  # begins the kind of a move that a futures position paid or received; its pair follows
BEAT = "beat"
KEPT = quantum(FRACTION_DIGITS)


def cash(connection: Connection, account: str) -> dict[str, Decimal]:
    """What is held outside positions: quote money, and coins that no position of ours holds."""
    return {row.asset: row.quantity for row in sql.CASH.all(connection, {"at_account": account})}


def set_opening_cash(tx: Tx, amounts: Mapping[str, Decimal]) -> None:
    """Book the first balances; FatalError when the ledger has any cash already."""
    if tx.connection.execute(select(cash_table.c.asset).where(cash_table.c.account == tx.account).limit(1)).first() is not None:
        raise FatalError(f"the opening cash of {tx.account!r} is set already; money from outside is an external move")
    for asset in sorted(amounts):
        _move(tx, asset, amounts[asset], OPENING)


def funding(connection: Connection, account: str) -> list[FundingPayment]:
    """What futures positions paid and received, oldest first."""
    move = external_move.c
    query = (
        select(move.kind, move.asset, move.amount, move.time_us)
        .where(move.account == account, move.kind.startswith(FUNDING))
        .order_by(move.time_us, move.seq)
    )
    return [
        FundingPayment(pair=row.kind.removeprefix(FUNDING), asset=row.asset, amount=row.amount, time_us=row.time_us)
        for row in connection.execute(query)
    ]


def external_move_of(tx: Tx, asset: str, amount: Decimal, kind: str) -> None:
    """Money or coins that came or went without an order of ours; the same content twice is one move."""
    if kind == OPENING:
        raise FatalError(f"kind {OPENING!r} is for the first start; allowed: deposit, withdrawal, or another word of the exchange")
    _move(tx, asset, amount, kind)


def _move(tx: Tx, asset: str, amount: Decimal, kind: str) -> None:
    content = "\x1f".join((tx.account, asset, plain(amount), kind, str(tx.now_us)))
    move_id = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
    row = {"move_id": move_id, "asset": asset, "amount": amount, "kind": kind}
    new = tx.connection.execute(
        sql.upsert(tx.connection, external_move)
        .values(**row, account=tx.account, seq=tx.tip()[0] + 1, time_us=tx.now_us)
        .on_conflict_do_nothing()
        .returning(external_move.c.move_id)
    ).first()
    if new is not None:
        tx.log("external_move", row, key=f"move:{move_id}")
        move_cash(tx, asset, amount)


def record_equity(tx: Tx, row: EquityRow) -> None:
    """One point of the equity curve; a second one for the same instant replaces it. What is marked is cut to the places that are
    kept: a mark is a float, and one with noise has more."""
    values = {
        "time_us": row.time_us, "cash": row.cash, "marked": round_to(row.marked, KEPT), "equity": round_to(row.equity, KEPT),
        "realised": row.realised, "fees": row.fees, "drawdown": float(row.drawdown),
    }  # fmt: skip
    tx.log("equity", values)
    sql.EQUITY_DROP.run(tx.connection, {"at_time": row.time_us})
    sql.EQUITY_ADD.run(tx.connection, values)


def equity(connection: Connection, since_us: int) -> list[EquityRow]:
    """The equity curve from `since_us`, oldest first."""
    query = select(equity_table).where(equity_table.c.time_us >= since_us).order_by(equity_table.c.time_us)
    return [
        EquityRow(time_us=r.time_us, cash=r.cash, marked=r.marked, equity=r.equity, realised=r.realised, fees=r.fees, drawdown=r.drawdown)
        for r in connection.execute(query)
    ]


def note(tx: Tx, kind: str, payload: Mapping[str, Any], equity: EquityRow | None = None) -> None:
    """A journal row of its own; a `beat` also goes to the small table of beats (`lag_s` of its payload, else 0).

    `equity`: a point of the equity curve that belongs to it, written first.
    """
    if equity is not None:
        record_equity(tx, equity)
    seq = tx.log(kind, payload)
    if kind == BEAT:
        sql.BEAT_ADD.run(tx.connection, {"seq": seq, "time_us": tx.now_us, "lag_s": float(payload.get("lag_s", 0.0))})


def get_meta(connection: Connection, name: str) -> str | None:
    """A setting of the ledger itself."""
    row = sql.META_OF.first(connection, {"at_name": name})
    return None if row is None else str(row.value)


def set_meta(connection: Connection, name: str, value: str) -> None:
    """Not journalled: watermarks and the like can be rebuilt."""
    sql.META_DROP.run(connection, {"at_name": name})
    sql.META_ADD.run(connection, {"name": name, "value": value})
