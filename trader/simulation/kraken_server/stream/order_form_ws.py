"""Orders, amends and edits as the WebSocket methods ask for them.

The parameters are Kraken's (add_order, amend_order, edit_order of WebSocket v2). All functions raise Refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.exchange_orders import Amendment, OrderRequest, Target, TwinOrder, invalid
from trader.simulation.exchange_terms import CLOSING, MARKET, TRAILING_STOP_LIMIT, TRIGGERED, TYPES, Close, Offset
from trader.simulation.kraken_server.spot import order_requests
from trader.simulation.kraken_server.spot.order_form import deadline_of, is_whole
from trader.simulation.kraken_server.stream.ws_params import (
    CONDITIONAL,
    STATIC,
    TRIGGERS,
    flag,
    items,
    known,
    level,
    names,
    number,
    text,
    whole,
)

DEADLINE_US = (500_000, 60_000_000)  # not nearer and not farther than this
DEFAULT_DEADLINE_US = 5_000_000
_FEES = {"quote": "fciq", "base": "fcib"}
_SELF_TRADE = ("cancel_newest", "cancel_oldest", "cancel_both")


def order_request(params: Mapping[str, Any], symbol: str, arrived_us: int) -> OrderRequest:
    """The order add_order asks for; the engine judges its sizes, prices and flags."""
    side, kind = params.get("side"), params.get("order_type")
    if side not in ("buy", "sell"):
        raise invalid("side")
    if kind not in TYPES:
        raise invalid("order_type")
    if params.get("cl_ord_id") is not None and params.get("order_userref"):
        raise invalid("cl_ord_id")  # one or the other
    if params.get("stp_type", _SELF_TRADE[0]) not in _SELF_TRADE:
        raise invalid("stp_type")
    volume, cash = number(params, "order_qty"), number(params, "cash_order_qty")
    if (volume is None) == (cash is None):
        raise invalid("order_qty")
    (trigger, trigger_by), (price, price_by) = _trigger(params, kind), (None, None) if kind == MARKET else _limit(params, kind)
    return OrderRequest(
        pair=symbol,
        side=side,
        ordertype=kind,
        volume=ZERO if volume is None else volume,
        cash=cash,
        price=price,
        price_by=price_by,
        trigger=trigger,
        trigger_by=trigger_by,
        timeinforce=text(params, "time_in_force", "gtc").upper(),
        start_us=_moment(params, "effective_time"),
        expire_us=_moment(params, "expire_time"),
        post_only=flag(params, "post_only"),
        reduce_only=flag(params, "reduce_only"),
        leverage="2" if flag(params, "margin") else None,
        oflags=_flags(params),
        cl_ord_id=text(params, "cl_ord_id") or None,
        userref=whole(params, "order_userref"),
        display=number(params, "display_qty"),
        close=_close(params),
        deadline_us=deadline(params, arrived_us),
    )


def amendment(params: Mapping[str, Any], arrived_us: int) -> Amendment:
    """The new terms amend_order asks for."""
    price, price_by = level(params, "limit_price", text(params, "limit_price_type", STATIC))
    trigger, trigger_by = level(params, "trigger_price", text(params, "trigger_price_type", STATIC))
    return Amendment(
        volume=number(params, "order_qty"),
        price=price,
        price_by=price_by,
        trigger=trigger,
        trigger_by=trigger_by,
        display=number(params, "display_qty"),
        post_only=flag(params, "post_only") if "post_only" in params else None,
        deadline_us=deadline(params, arrived_us),
    )


def edited(order: TwinOrder, params: Mapping[str, Any], arrived_us: int) -> OrderRequest:
    """The order edit_order puts in the place of `order`; what is left out stays."""
    same = order_requests.edited(order, {}, arrived_us)
    changes: dict[str, Any] = {"deadline_us": deadline(params, arrived_us), "reduce_only": flag(params, "reduce_only")}
    if "order_qty" in params:
        changes["volume"] = number(params, "order_qty")
    if "limit_price" in params:
        changes["price"], changes["price_by"] = _limit(params, order.ordertype)
    if "triggers" in params:
        changes["trigger"], changes["trigger_by"] = _trigger(params, order.ordertype)
    if "post_only" in params:
        changes["post_only"] = flag(params, "post_only")
    if "display_qty" in params:
        changes["display"] = number(params, "display_qty")
    if "order_userref" in params:
        changes["userref"] = whole(params, "order_userref")
    if "fee_preference" in params or "no_mpp" in params:
        changes["oflags"] = _flags(params)
    return dataclasses.replace(same, **changes)


def target(params: Mapping[str, Any]) -> Target:
    """The order that order_id or cl_ord_id names, exactly one of them."""
    order_id, cl_ord_id = text(params, "order_id") or None, text(params, "cl_ord_id") or None
    if (order_id is None) == (cl_ord_id is None):
        raise invalid("order_id")
    return Target(txid=order_id, cl_ord_id=cl_ord_id)


def targets(params: Mapping[str, Any]) -> list[Target]:
    """Orders that lists of order_id, cl_ord_id and order_userref name, in that order."""
    found = [Target(txid=name) for name in names(params, "order_id")]
    found += [Target(cl_ord_id=name) for name in names(params, "cl_ord_id")]
    found += [_userref(item) for item in items(params, "order_userref")]
    if not found:
        raise invalid("order_id")
    return found


def batch_targets(params: Mapping[str, Any]) -> list[Target]:
    """Orders of batch_cancel: `orders` holds order ids and user references."""
    found = []
    for item in items(params, "orders"):
        is_id = isinstance(item, str) and not is_whole(item)
        found.append(Target(txid=item) if is_id else _userref(item))
    return found + [Target(cl_ord_id=name) for name in names(params, "cl_ord_id")]


# --- parts of an order ---------------------------------------------------------------------------------------------------
def deadline(params: Mapping[str, Any], arrived_us: int) -> int:
    """When the engine must no longer match it (us); 5 s from arrival where nothing is said."""
    asked = deadline_of({"deadline": text(params, "deadline")}, arrived_us, DEADLINE_US)
    return arrived_us + DEFAULT_DEADLINE_US if asked is None else asked


def _limit(params: Mapping[str, Any], kind: str) -> tuple[Decimal | None, Offset | None]:
    return level(params, "limit_price", text(params, "limit_price_type", "quote" if kind == TRAILING_STOP_LIMIT else STATIC))


def _trigger(params: Mapping[str, Any], kind: str) -> tuple[Decimal | None, Offset | None]:
    triggers = params.get("triggers")
    if triggers is None:
        return None, None
    if not isinstance(triggers, Mapping) or kind not in TRIGGERED:
        raise invalid("triggers")
    known("add_order", triggers, TRIGGERS)
    if triggers.get("reference", "last") != "last":
        raise invalid("Index unavailable")
    return level(triggers, "price", text(triggers, "price_type", STATIC))


def _close(params: Mapping[str, Any]) -> Close | None:
    terms = params.get("conditional")
    if terms is None:
        return None
    if not isinstance(terms, Mapping):
        raise invalid("conditional")
    known("add_order", terms, CONDITIONAL)
    kind = terms.get("order_type")
    if kind not in CLOSING:
        raise invalid("conditional")
    price, price_by = _limit(terms, kind)
    trigger, trigger_by = level(terms, "trigger_price", text(terms, "trigger_price_type", STATIC))
    return Close(ordertype=kind, price=price, price_by=price_by, trigger=trigger, trigger_by=trigger_by)


def _flags(params: Mapping[str, Any]) -> tuple[str, ...]:
    """REST's names of the flags an order carries; no preference leaves the exchange's own."""
    preference = text(params, "fee_preference")
    if preference and preference not in _FEES:
        raise invalid("fee_preference")
    return (*((_FEES[preference],) if preference else ()), *(("nompp",) if flag(params, "no_mpp") else ()))


def _moment(params: Mapping[str, Any], name: str) -> int:
    """An RFC 3339 time in microseconds, 0 where absent."""
    said = text(params, name)
    if not said:
        return 0
    try:
        when = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid(name) from error
    if when.tzinfo is None:
        raise invalid(name)
    return int(when.timestamp()) * 1_000_000 + when.microsecond


def _userref(item: Any) -> Target:
    if isinstance(item, str) and is_whole(item):
        return Target(userref=int(item))
    if isinstance(item, bool) or not isinstance(item, int):
        raise invalid("order_userref")
    return Target(userref=item)
