"""Reads request bodies and the parameters of AddOrder and AmendOrder, strictly (KRAKEN.md section 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from trader.simulation.exchange_orders import LIMIT, MARKET, STOP_LOSS, OrderRequest, Refused, invalid

DEADLINE_US = (2_000_000, 60_000_000)  # REST: not nearer and not farther than this
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0", "")
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


def parse_body(raw: bytes, content_type: str) -> dict[str, str]:
    """Fields of a form or JSON body as text; nested JSON objects become `close[price]`. Raises Refused."""
    try:
        text = raw.decode("utf-8")
        if "json" not in content_type:
            return dict(parse_qsl(text, keep_blank_values=True))
        body = json.loads(text, parse_float=str, parse_int=str) if text else {}
    except (UnicodeDecodeError, ValueError) as error:
        raise Refused("EAPI:Bad request") from error
    if not isinstance(body, dict):
        raise Refused("EAPI:Bad request")
    fields: dict[str, str] = {}
    for key, value in body.items():
        if isinstance(value, Mapping):
            fields |= {f"{key}[{inner}]": _text(item) for inner, item in value.items()}
        else:
            fields[key] = _text(value)
    return fields


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def flag(fields: Mapping[str, str], name: str) -> bool:
    """A boolean in any of the three spellings; absent is False."""
    text = fields.get(name, "")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise invalid(name)


def number(fields: Mapping[str, str], name: str, as_name: str | None = None) -> Decimal | None:
    """A finite decimal in plain notation, None where absent. Signs and percent (relative prices) are refused."""
    text = fields.get(name, "")
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise invalid(as_name or name) from error
    if not value.is_finite() or text[0] in "+-#" or text.endswith("%"):
        raise invalid(as_name or name)
    return value


def whole(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    """A whole number, `default` where absent."""
    text = fields.get(name, "") or str(default)
    if not text.removeprefix("-").isdecimal():
        raise invalid(name)
    return int(text)


def deadline_of(fields: Mapping[str, str], arrived_us: int) -> int | None:
    """`deadline` in microseconds. Raises Refused for one that is over, nearer than 2 s or farther than 60 s."""
    text = fields.get("deadline", "")
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid("deadline") from error
    if when.tzinfo is None:
        raise invalid("deadline")
    deadline_us = int(when.timestamp()) * 1_000_000 + when.microsecond
    if deadline_us <= arrived_us:
        raise Refused("EService:Deadline elapsed")
    if not DEADLINE_US[0] <= deadline_us - arrived_us <= DEADLINE_US[1]:
        raise invalid("deadline")
    return deadline_us


def order_request(fields: Mapping[str, str], symbol: str, arrived_us: int) -> OrderRequest:
    """The order AddOrder asks for. Raises Refused for anything this exchange does not take."""
    if sorted(set(fields) - _KNOWN):
        raise Refused("EGeneral:Invalid arguments")
    _refuse_unsupported(fields)
    side, kind, volume = fields.get("type", ""), fields.get("ordertype", ""), number(fields, "volume")
    if side not in ("buy", "sell"):
        raise invalid("type")
    if kind not in (MARKET, LIMIT, STOP_LOSS):
        raise invalid("ordertype")
    if volume is None:
        raise invalid("volume")
    price, flags = number(fields, "price"), tuple(item for item in fields.get("oflags", "").split(",") if item)
    if set(flags) - {"post", "fciq", "fcib", "nompp"} or {"fciq", "fcib"} <= set(flags):
        raise invalid("viqc" if "viqc" in flags else "oflags")
    if kind == MARKET:
        price = None  # Kraken ignores it there
    return OrderRequest(
        pair=symbol,
        side=side,
        ordertype=kind,
        volume=volume,
        price=price if kind == LIMIT else None,
        trigger=price if kind == STOP_LOSS else None,
        timeinforce=fields.get("timeinforce") or "GTC",
        expire_us=_expiry(fields, arrived_us),
        post_only="post" in flags,
        oflags=tuple(item for item in flags if item != "post"),
        cl_ord_id=fields.get("cl_ord_id") or None,
        userref=whole(fields, "userref"),
        close_trigger=_close(fields),
        deadline_us=deadline_of(fields, arrived_us),
    )


def _refuse_unsupported(fields: Mapping[str, str]) -> None:
    if fields.get("leverage", "none") not in ("none", ""):
        raise invalid("leverage")
    if flag(fields, "reduce_only"):
        raise invalid("reduce_only")
    if fields.get("trigger", "last") != "last":
        raise invalid("Index unavailable")
    if fields.get("starttm", "0") not in ("0", ""):
        raise invalid("starttm")
    for name in ("displayvol", "price2", "close[price2]"):
        if fields.get(name):
            raise invalid(name)
    if fields.get("cl_ord_id") and fields.get("userref", "0") not in ("0", ""):
        raise invalid("cl_ord_id")  # one or the other


def _close(fields: Mapping[str, str]) -> Decimal | None:
    kind, price = fields.get("close[ordertype]", ""), number(fields, "close[price]")
    if not kind and price is None:
        return None
    if kind != STOP_LOSS:
        raise invalid("close[ordertype]")
    if price is None:
        raise invalid("close[price]")
    return price


def _expiry(fields: Mapping[str, str], arrived_us: int) -> int:
    """`expiretm`: 0 for none, +n seconds from now, or unix seconds."""
    text = fields.get("expiretm", "") or "0"
    relative = text.startswith("+")
    if not text.removeprefix("+").isdecimal():
        raise invalid("expiretm")
    value = int(text.removeprefix("+")) * 1_000_000
    return arrived_us + value if relative else value
