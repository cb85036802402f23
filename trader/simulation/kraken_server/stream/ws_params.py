"""Parameters of WebSocket methods: which there are, and single ones read strictly. All functions raise Refused.

Numbers may be JSON numbers (parsed as Decimal) or text; both are read exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.exchange_orders import Refused, invalid
from trader.simulation.exchange_terms import Offset, decimal_of, sane
from trader.simulation.kraken_server.spot.order_form import USERREF

STATIC = "static"
_OFFSETS = ("pct", "quote")
TRIGGERS = frozenset(("reference", "price", "price_type"))
CONDITIONAL = frozenset(("order_type", "limit_price", "limit_price_type", "trigger_price", "trigger_price_type"))
_ORDER = frozenset((
    "order_type", "side", "order_qty", "cash_order_qty", "limit_price", "limit_price_type", "triggers", "conditional",
    "time_in_force", "margin", "post_only", "reduce_only", "effective_time", "expire_time", "deadline", "cl_ord_id",
    "order_userref", "display_qty", "fee_preference", "no_mpp", "stp_type", "sender_sub_id", "symbol", "token", "validate",
))  # fmt: skip
_IDS = frozenset(("order_id", "cl_ord_id", "order_userref", "token"))
FIELDS: Mapping[str, frozenset[str]] = {
    "add_order": _ORDER,
    "amend_order": frozenset((
        "order_id", "cl_ord_id", "order_qty", "display_qty", "limit_price", "limit_price_type", "post_only", "trigger_price",
        "trigger_price_type", "deadline", "symbol", "token",
    )),
    "edit_order": frozenset((
        "order_id", "order_qty", "limit_price", "triggers", "display_qty", "post_only", "reduce_only", "fee_preference", "no_mpp",
        "order_userref", "deadline", "symbol", "token", "validate",
    )),
    "cancel_order": _IDS,
    "cancel_all": frozenset(("token",)),
    "cancel_all_orders_after": frozenset(("timeout", "token")),
    "batch_add": frozenset(("orders", "symbol", "deadline", "validate", "token")),
    "batch_cancel": frozenset(("orders", "cl_ord_id", "token")),
}  # fmt: skip
"""Method -> the parameters it knows."""


def known(method: str, params: Mapping[str, Any], fields: frozenset[str] | None = None) -> None:
    """Refuse a parameter the method does not have, in Kraken's words."""
    for name in params:
        if name not in (FIELDS[method] if fields is None else fields):
            raise Refused(f"Unsupported field: '{name}' for the given msg type: {method.replace('_', ' ')}")


def number(params: Mapping[str, Any], name: str, as_name: str | None = None) -> Decimal | None:
    """A finite decimal of a sane size, from a JSON number or from text; None where absent."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise invalid(as_name or name)
    try:
        exact = decimal_of(value) if isinstance(value, str) else Decimal(value)
    except ValueError as error:
        raise invalid(as_name or name) from error
    if not sane(exact):
        raise invalid(as_name or name)
    return exact


def whole(params: Mapping[str, Any], name: str) -> int:
    """A whole number of 32 bits, 0 where absent."""
    value = params.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not -USERREF <= value < USERREF:
        raise invalid(name)
    return value


def flag(params: Mapping[str, Any], name: str) -> bool:
    """A JSON boolean, False where absent."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise invalid(name)
    return value


def text(params: Mapping[str, Any], name: str, default: str = "") -> str:
    """A JSON string."""
    value = params.get(name, default)
    if not isinstance(value, str):
        raise invalid(name)
    return value


def level(params: Mapping[str, Any], name: str, unit: str) -> tuple[Decimal | None, Offset | None]:
    """A price: absolute (`static`), or relative to the reference price in percent (`pct`) or quote currency (`quote`)."""
    if unit not in (STATIC, *_OFFSETS):
        raise invalid(f"{name}_type")
    value = number(params, name)
    if value is None or unit == STATIC:
        return value, None
    return None, Offset(sign="-" if value < ZERO else "+", amount=abs(value), percent=unit == "pct")


def items(params: Mapping[str, Any], name: str) -> list[Any]:
    """A JSON list, empty where absent."""
    value = params.get(name, [])
    if not isinstance(value, list):
        raise invalid(name)
    return value


def names(params: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings, none of them empty."""
    found = items(params, name)
    if not all(isinstance(item, str) and item for item in found):
        raise invalid(name)
    return found
