"""Reading what clients send to the futures API: one order form, numbers, flags, times, the batch's JSON. Raises Refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.orders import FuturesRequest

MISSING = "requiredArgumentMissing"
BATCH = "json="
MOST_DIGITS = 30  # before or after the point; arithmetic on more would not be exact


def invalid(name: str) -> Refused:
    """The refusal of an unreadable argument."""
    return Refused(f"invalidArgument: {name}")


def needed(fields: Mapping[str, str], name: str) -> str:
    """A field that must be there."""
    if not fields.get(name):
        raise Refused(MISSING)
    return fields[name]


def decimal(fields: Mapping[str, str], name: str) -> Decimal | None:
    """A finite number, None where the field is absent."""
    text = fields.get(name, "")
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise invalid(name) from error
    if not value.is_finite() or len(text) > 40 or abs(value.adjusted()) > MOST_DIGITS:
        raise invalid(name)
    return value


def flag(fields: Mapping[str, str], name: str) -> bool:
    """true or false in any case; absent is false."""
    text = fields.get(name, "").lower()
    if text not in ("", "true", "false"):
        raise invalid(name)
    return text == "true"


def whole(fields: Mapping[str, str], name: str, default: int, most: int = 1 << 62) -> int:
    """A whole number from 0."""
    text = fields.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 19:
        raise invalid(name)
    return min(int(text), most)


def moment(fields: Mapping[str, str], name: str) -> int | None:
    """UTC microseconds of an ISO 8601 time, None where it is absent."""
    text = fields.get(name, "")
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid(name) from error
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp() * 1_000_000)


def process_before(fields: Mapping[str, str], now_us: int) -> None:
    """Raises Refused where the time until which the request may be processed is over. Kraken's wording is not known."""
    limit_us = moment(fields, "processBefore")
    if limit_us is not None and now_us > limit_us:
        raise invalid("processBefore")


def order_request(fields: Mapping[str, str]) -> FuturesRequest:
    """The order of a sendorder form."""
    symbol, side, kind = needed(fields, "symbol"), needed(fields, "side"), needed(fields, "orderType")
    needed(fields, "size")
    size = decimal(fields, "size")
    assert size is not None
    signal = fields.get("triggerSignal") or "last"
    return FuturesRequest(
        symbol=symbol.upper(),
        side=side.lower(),
        order_type=kind,
        size=size,
        limit_price=decimal(fields, "limitPrice"),
        stop_price=decimal(fields, "stopPrice"),
        trigger_signal="index" if signal == "spot" else signal,
        reduce_only=flag(fields, "reduceOnly"),
        cli_ord_id=fields.get("cliOrdId") or None,
        deviation=decimal(fields, "trailingStopMaxDeviation"),
        unit=fields.get("trailingStopDeviationUnit") or None,
    )


def body_items(raw: bytes) -> list[tuple[str, str]]:
    """Fields of a request's body. ccxt sends a batch's JSON as it is after `json=`, the Python SDK percent-encodes it."""
    text = raw.decode(errors="replace")
    if text.startswith(BATCH + "{"):
        return [("json", text.removeprefix(BATCH))]
    return parse_qsl(text, keep_blank_values=True)


def batch(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """The instructions of a batchorder, every value as text."""
    text = fields.get("json", "")
    if not text:
        raise Refused(MISSING)
    try:
        rows = json.loads(text, parse_float=str, parse_int=str)["batchOrder"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("Json Parse Error") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused("Json Parse Error")
    return [{key: _text(value) for key, value in row.items() if value is not None} for row in rows]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(text: str) -> list[str]:
    """Several ids in one value: a JSON list, or names parted by commas."""
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except ValueError as error:
            raise invalid("orderIds") from error
    return [name for name in text.split(",") if name]
