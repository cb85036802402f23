"""Fills: inserted once by trade id, in one transaction with the position, the order and the cash they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from trader.data import ledger_sql as sql
from trader.data.journal import Tx
from trader.data.ledger_changes import set_intent, set_position
from trader.data.ledger_rows import sums, to_fill, to_intent, to_position, trade
from trader.domain.account import Position, PositionState
from trader.domain.money import add, divide
from trader.domain.orders import Fill, Intent, Leg
from trader.errors import FatalError

PRICE_STEP = Decimal("1e-10")  # of an average over several prices; a single price is kept as it is


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What one order's new fills of a transaction came to."""

    intent: Intent
    position: Position
    fills: list[Fill]
    claimed: bool = False


def quote_of(pair: str) -> str:
    """Asset a pair's money is in: BASE/QUOTE, or a linear contract BASE/QUOTE:QUOTE. FatalError for anything else."""
    base, _, rest = pair.partition("/")
    quote, _, settle = rest.partition(":")
    if not base or not quote or settle not in ("", quote):
        raise FatalError(f"pair {pair!r} is neither BASE/QUOTE nor BASE/QUOTE:QUOTE: the ledger can't book its cash")
    return quote


def average(fills: Sequence[Fill]) -> Decimal:
    """Price of several fills: theirs where it is one, else cost over quantity to ten places."""
    if all(fill.price == fills[0].price for fill in fills):
        return fills[0].price
    return divide(add(*(fill.cost for fill in fills)), add(*(fill.quantity for fill in fills)), PRICE_STEP)


def apply_fills(tx: Tx, fills: Sequence[Fill], source: str) -> list[tuple[Fill, Intent | None]]:
    """Book the fills that are new; returns them with their intent after the fill (None: EXTERNAL, nothing else changed)."""
    news: list[tuple[Fill, Intent | None]] = []
    batches: dict[str, _Batch] = {}
    for fill in fills:
        row = sql.INTENT_BY_TXID.first(tx.connection, {"at_txid": fill.txid, "at_account": tx.account})
        if _insert(tx, fill, row, source):
            news.append((fill, None if row is None else _effect(tx, fill, row, batches)))
    for batch in batches.values():
        _log_order(tx, batch)
    return news


def _insert(tx: Tx, fill: Fill, order: Row[Any] | None, source: str) -> bool:
    """Insert a fill unless its trade id is known; its journal row carries every value of it."""
    told = {**trade(fill), "source": source, "fee_asset": quote_of(fill.pair), **_owner(order)}
    new = sql.FILL_ADD[tx.connection.dialect.name].first(tx.connection, {**told, "account": tx.account, "seq": tx.tip()[0] + 1})
    if new is not None:
        tx.log("fill.external" if order is None else "fill", told, key=f"fill:{fill.trade_id}")
    return new is not None


def _owner(order: Row[Any] | None) -> dict[str, Any]:
    if order is None:
        return {"cl_ord_id": None, "position_id": None, "reason": ""}
    return {"cl_ord_id": order.cl_ord_id, "position_id": order.position_id, "reason": order.reason}


def _effect(tx: Tx, fill: Fill, order: Row[Any], batches: dict[str, _Batch]) -> Intent:
    """Move position, order and cash by one fill of ours."""
    row = sql.POSITION_BY_ID.first(tx.connection, {"at_id": order.position_id, "at_account": tx.account})
    if row is None:
        raise FatalError(f"fill {fill.trade_id}: order {order.cl_ord_id} names position {order.position_id!r}, which is not in the ledger")
    before = to_position(row)
    try:
        after = before.apply(fill)
    except ValueError as error:
        raise FatalError(f"fill {fill.trade_id} of order {order.cl_ord_id} does not fit its position: {error}") from error
    if after.state is PositionState.OPEN and after.closed_us is not None:
        after = replace(after, closed_us=None)  # a late entry fill reopens what had been closed as empty
    set_position(tx, after.position_id, **sums(after))
    filled = add(order.filled, fill.quantity)
    set_intent(tx, order.cl_ord_id, filled=filled)
    move_cash(tx, quote_of(fill.pair), before.cash_of(fill))
    intent = replace(to_intent(order), filled=filled)
    batch = batches.setdefault(order.cl_ord_id, _Batch(intent=intent, position=after, fills=[]))
    batch.intent, batch.position = intent, after
    batch.fills.append(fill)
    return intent


def _log_order(tx: Tx, batch: _Batch) -> None:
    """One row per order and transaction for those who tell people: totals of the new fills, and the position after them."""
    intent, fills = batch.intent, batch.fills
    quantity = add(*(f.quantity for f in fills))
    tx.log(
        "order.filled",
        {
            "cl_ord_id": intent.cl_ord_id, "leg": intent.leg, "pair": intent.pair, "side": intent.side, "reason": intent.reason,
            "position_id": intent.position_id, "quantity": quantity, "cost": add(*(f.cost for f in fills)),
            "fee": add(*(f.fee for f in fills)), "price": average(fills), "time_us": max(f.time_us for f in fills),
            "claimed": batch.claimed, "first": intent.leg is Leg.ENTRY and intent.filled == quantity, "position": sums(batch.position),
        },
    )  # fmt: skip


def claim(tx: Tx, txid: str) -> None:
    """Give fills that were recorded as EXTERNAL to the order that `txid` turned out to be, with all their effects."""
    where = {"at_txid": txid, "at_account": tx.account}
    stray = sql.STRAY_FILLS.all(tx.connection, where)
    batches: dict[str, _Batch] = {}
    for row in stray:
        order = sql.INTENT_BY_TXID.first(tx.connection, where)
        sql.FILL_SET.run(tx.connection, {"at_account": tx.account, "at_trade": row.trade_id, **_owner(order)})
        tx.log("fill.claimed", {"trade_id": row.trade_id, **_owner(order)}, key=f"claim:{row.trade_id}")
        _effect(tx, to_fill(row), order, batches)
    for batch in batches.values():
        batch.claimed = True
        _log_order(tx, batch)


def move_cash(tx: Tx, asset: str, amount: Decimal) -> None:
    """Add `amount` to the cash of an asset; the caller logs why."""
    where = {"at_account": tx.account, "at_asset": asset}
    held = sql.CASH_OF.first(tx.connection, where)
    if held is None:
        sql.CASH_ADD.run(tx.connection, {"account": tx.account, "asset": asset, "quantity": amount})
    else:
        sql.CASH_SET.run(tx.connection, {**where, "quantity": add(held.quantity, amount)})
