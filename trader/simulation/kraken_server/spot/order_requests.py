"""Orders, amends and edits as the REST endpoints ask for them (KRAKEN.md section 2). All functions raise Refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from trader.simulation.exchange_orders import Amendment, OrderRequest, Refused, TwinOrder, invalid
from trader.simulation.exchange_terms import CLOSING, MARKET, TRIGGERED, TYPES, Close, Offset
from trader.simulation.kraken_server.spot.order_form import deadline_of, flag, is_whole, level, number, userref

_ORDER = re.compile(r"orders\[([0-9]{1,6})\]\[(\w+)\](?:\[(\w+)\])?")
LAST_SECOND = 253_402_300_799  # of the year 9999: what a date can say
_KNOWN = frozenset(
    {
        "nonce",
        "otp",
        "pair",
        "symbol",
        "type",
        "ordertype",
        "volume",
        "price",
        "price2",
        "timeinforce",
        "starttm",
        "expiretm",
        "oflags",
        "cl_ord_id",
        "userref",
        "deadline",
        "validate",
        "trigger",
        "leverage",
        "reduce_only",
        "displayvol",
        "stptype",
        "asset_class",
        "close[ordertype]",
        "close[price]",
        "close[price2]",
    }
)


def order_request(fields: Mapping[str, str], symbol: str, arrived_us: int) -> OrderRequest:
    """The order AddOrder asks for. Raises Refused for what no order can be made of; the engine judges the rest."""
    if set(fields) - _KNOWN:
        raise Refused("EGeneral:Invalid arguments")
    side, kind, flags = fields.get("type", ""), fields.get("ordertype", ""), _flags(fields)
    if side not in ("buy", "sell"):
        raise invalid("type")
    if kind not in TYPES:
        raise invalid("ordertype")
    volume, cash = number(fields, "volume"), "viqc" in flags
    if volume is None:
        raise invalid("volume")
    if fields.get("trigger", "last") not in ("last", "") and kind in TRIGGERED:
        raise invalid("Index unavailable")
    if fields.get("cl_ord_id") and fields.get("userref", "0") not in ("0", ""):
        raise invalid("cl_ord_id")  # one or the other
    (trigger, trigger_by), (price, price_by) = _levels(fields, kind, "price", "price2")
    return OrderRequest(
        pair=symbol,
        side=side,
        ordertype=kind,
        volume=Decimal(0) if cash else volume,
        cash=volume if cash else None,
        price=price,
        price_by=price_by,
        trigger=trigger,
        trigger_by=trigger_by,
        timeinforce=fields.get("timeinforce") or "GTC",
        start_us=_moment(fields, "starttm", arrived_us),
        expire_us=_moment(fields, "expiretm", arrived_us),
        post_only="post" in flags,
        reduce_only=flag(fields, "reduce_only"),
        leverage=None if fields.get("leverage", "none") in ("none", "") else fields["leverage"],
        oflags=tuple(item for item in flags if item != "post"),
        cl_ord_id=fields.get("cl_ord_id") or None,
        userref=userref(fields),
        display=number(fields, "displayvol"),
        close=_close(fields),
        deadline_us=deadline_of(fields, arrived_us),
    )


def amendment(fields: Mapping[str, str], arrived_us: int) -> Amendment:
    """The new terms AmendOrder asks for. Raises Refused."""
    (price, price_by), (trigger, trigger_by) = level(fields, "limit_price"), level(fields, "trigger_price")
    return Amendment(
        volume=number(fields, "order_qty"),
        price=price,
        price_by=price_by,
        trigger=trigger,
        trigger_by=trigger_by,
        display=number(fields, "display_qty"),
        post_only=flag(fields, "post_only") if fields.get("post_only") else None,
        deadline_us=deadline_of(fields, arrived_us),
    )


def edited(order: TwinOrder, fields: Mapping[str, str], arrived_us: int) -> OrderRequest:
    """The order EditOrder puts in the place of `order`: what `fields` leave out stays, its remaining volume included."""
    (trigger, trigger_by), (price, price_by) = _levels(fields, order.ordertype, "price", "price2")
    flags = _flags(fields) if fields.get("oflags") else (*order.oflags, *(("post",) if order.post_only else ()))
    same_trigger, same_price = (trigger, trigger_by) == (None, None), (price, price_by) == (None, None)
    if same_trigger:  # a relative price is asked for again, so that it counts from the market of now
        trigger, trigger_by = (None, order.trigger_by) if order.trigger_by else (order.trigger, None)
    if same_price:
        price, price_by = (None, order.price_by) if order.price_by else (order.price, None)
    volume = number(fields, "volume")
    return OrderRequest(
        pair=order.pair,
        side=order.side,
        ordertype=order.ordertype,
        volume=order.remaining if volume is None else volume,
        price=price,
        price_by=price_by,
        trigger=trigger,
        trigger_by=trigger_by,
        timeinforce=order.timeinforce,
        start_us=order.start_us if order.start_us > arrived_us else 0,
        expire_us=order.expire_us,
        post_only="post" in flags,
        oflags=tuple(item for item in flags if item != "post"),
        userref=userref(fields, order.userref),
        display=number(fields, "displayvol") or order.display,
        close=order.close,
        deadline_us=deadline_of(fields, arrived_us),
    )


def batch(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """The orders of AddOrderBatch (`orders[0][volume]`), each with the deadline of all."""
    orders: dict[int, dict[str, str]] = {}
    for name, value in fields.items():
        if found := _ORDER.fullmatch(name):
            inner = found[2] + (f"[{found[3]}]" if found[3] else "")
            orders.setdefault(int(found[1]), {})[inner] = value
    common = {"deadline": fields["deadline"]} if fields.get("deadline") else {}
    return [common | orders[index] for index in sorted(orders)]


def _flags(fields: Mapping[str, str]) -> tuple[str, ...]:
    flags = tuple(item for item in fields.get("oflags", "").split(",") if item)
    if set(flags) - {"post", "fciq", "fcib", "nompp", "viqc"} or {"fciq", "fcib"} <= set(flags):
        raise invalid("oflags")
    return flags


Levels = tuple[tuple[Decimal | None, Offset | None], tuple[Decimal | None, Offset | None]]


def _levels(fields: Mapping[str, str], kind: str, first: str, second: str) -> Levels:
    """(trigger, limit) of an order type: `first` is the trigger where there is one, else the limit; a market order has neither."""
    if kind == MARKET:
        return (None, None), (None, None)  # Kraken ignores a price there
    if kind in TRIGGERED:
        return level(fields, first), level(fields, second)
    if fields.get(second):
        raise invalid(second)
    return (None, None), level(fields, first)


def _close(fields: Mapping[str, str]) -> Close | None:
    kind = fields.get("close[ordertype]", "")
    if not kind and not fields.get("close[price]") and not fields.get("close[price2]"):
        return None
    if kind not in CLOSING:
        raise invalid("close[ordertype]")
    (trigger, trigger_by), (price, price_by) = _levels(fields, kind, "close[price]", "close[price2]")
    return Close(ordertype=kind, price=price, price_by=price_by, trigger=trigger, trigger_by=trigger_by)


def _moment(fields: Mapping[str, str], name: str, arrived_us: int) -> int:
    """`starttm`, `expiretm`: 0 for none, +n seconds from now, or unix seconds."""
    text = fields.get(name, "") or "0"
    digits = text.removeprefix("+")
    if not is_whole(digits) or not 0 <= int(digits) <= LAST_SECOND:
        raise invalid(name)
    value = int(digits) * 1_000_000
    return arrived_us + value if text.startswith("+") and value else value
