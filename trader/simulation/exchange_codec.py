"""Dataclasses as JSON values and back, for the books of both engines. What is None is left out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from trader.simulation.exchange_orders import TwinOrder
from trader.simulation.exchange_terms import STOP_LOSS, Offset

T = TypeVar("T")


def to_row(value: Any) -> dict[str, Any]:
    """Fields that are not None as JSON values; decimals become strings."""
    row: dict[str, Any] = {}
    for name in _kinds(cast(Hashable, type(value))):
        item = getattr(value, name)
        if item is not None:
            row[name] = _plain(item)
    return row


def from_row(kind: type[T], row: Mapping[str, Any]) -> T:
    """The value `to_row` wrote. Raises TypeError for a row that lacks a field without a default."""
    kinds = _kinds(cast(Hashable, kind))
    return kind(**{name: _typed(wanted, row[name]) for name, wanted in kinds.items() if row.get(name) is not None})


def order_from_row(row: Mapping[str, Any]) -> TwinOrder:
    """The spot order `to_row` wrote; books of the first version knew one kind of closing order, named by its trigger alone."""
    if row.get("close_trigger") is not None:
        row = {**row, "close": {"ordertype": STOP_LOSS, "trigger": row["close_trigger"]}}
    if row.get("close_txid") is not None:
        row = {**row, "closes": [row["close_txid"]]}
    return from_row(TwinOrder, row)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Offset):
        return value.text
    return to_row(value) if is_dataclass(value) else list(value)


def _typed(wanted: Any, value: Any) -> Any:
    if wanted is Decimal:
        return Decimal(value)
    if wanted is Offset:
        return Offset.parse(value)
    if is_dataclass(wanted):
        return from_row(cast(type[Any], wanted), value)
    return tuple(value) if get_origin(wanted) is tuple else value


@cache
def _kinds(kind: Hashable) -> Mapping[str, Any]:
    """Field -> its type without the `| None`."""
    hints = get_type_hints(cast(type, kind))
    named = {item.name: hints[item.name] for item in fields(cast(Any, kind))}
    return {name: get_args(hint)[0] if isinstance(hint, UnionType) else hint for name, hint in named.items()}
