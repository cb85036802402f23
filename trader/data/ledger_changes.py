"""The only writes to orders and positions: each leaves the id it touched with its transaction, so that memory is renewed by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trader.data import ledger_sql as sql
from trader.data.journal import Tx


def add_intent(tx: Tx, columns: Mapping[str, Any]) -> None:
    """A new order, with every column."""
    sql.INTENT_ADD.run(tx.connection, columns)
    tx.intents[columns["cl_ord_id"]] = None


def set_intent(tx: Tx, cl_ord_id: str, **columns: Any) -> None:
    """Some columns of an order."""
    sql.INTENT_SET.run(tx.connection, {"at_id": cl_ord_id, **columns})
    tx.intents[cl_ord_id] = None


def add_position(tx: Tx, columns: Mapping[str, Any]) -> None:
    """A new position, with every column."""
    sql.POSITION_ADD.run(tx.connection, columns)
    tx.positions[columns["position_id"]] = None


def set_position(tx: Tx, position_id: str, **columns: Any) -> None:
    """Some columns of a position."""
    sql.POSITION_SET.run(tx.connection, {"at_id": position_id, **columns})
    tx.positions[position_id] = None


def set_exit_state(tx: Tx, position_id: str, text: str) -> None:
    """The state of a position's exit rules, which is no part of the position as a value."""
    sql.POSITION_SET.run(tx.connection, {"at_id": position_id, "exit_state_json": text})
