"""Orders, trades and amends as JSON values and back, for the twin's books. What is None is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, TypeVar

from trader.simulation.exchange_orders import Amend, TwinOrder, TwinTrade
from trader.simulation.exchange_terms import STOP_LOSS, Close, Offset

Row = TypeVar("Row", TwinOrder, TwinTrade, Amend, Close)
_TYPES = {kind: {item.name: str(item.type) for item in fields(kind)} for kind in (TwinOrder, TwinTrade, Amend, Close)}


def to_json(value: TwinOrder | TwinTrade | Amend | Close) -> dict[str, Any]:
    """Fields that are not None as JSON values; decimals become strings."""
    row: dict[str, Any] = {}
    for name in _TYPES[type(value)]:
        item = getattr(value, name)
        if item is not None:
            row[name] = _plain(item)
    return row


def order_from_json(row: Mapping[str, Any]) -> TwinOrder:
    """The order `to_json` wrote; books of the first version knew one kind of closing order, named by its trigger alone."""
    if row.get("close_trigger") is not None:
        row = {**row, "close": {"ordertype": STOP_LOSS, "trigger": row["close_trigger"]}}
    if row.get("close_txid") is not None:
        row = {**row, "closes": [row["close_txid"]]}
    return _read(row, TwinOrder)


def trade_from_json(row: Mapping[str, Any]) -> TwinTrade:
    """The trade `to_json` wrote."""
    return _read(row, TwinTrade)


def amend_from_json(row: Mapping[str, Any]) -> Amend:
    """The amend `to_json` wrote."""
    return _read(row, Amend)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Offset):
        return value.text
    if isinstance(value, Close):
        return to_json(value)
    return list(value)


def _read(row: Mapping[str, Any], kind: type[Row]) -> Row:
    return kind(**{name: _typed(row[name], type_) for name, type_ in _TYPES[kind].items() if row.get(name) is not None})


def _typed(value: Any, type_: str) -> Any:
    if type_.startswith("Decimal"):
        return Decimal(value)
    if type_.startswith("Offset"):
        return Offset.parse(value)
    if type_.startswith("Close"):
        return _read(value, Close)
    return tuple(value) if type_.startswith("tuple") else value
