"""Reads request bodies and single parameters of the spot API, strictly (KRAKEN.md section 2). All functions raise Refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from trader.simulation.exchange_orders import Refused, invalid
from trader.simulation.exchange_terms import SIGNS, Offset, decimal_of, sane

DEADLINE_US = (2_000_000, 60_000_000)  # REST: not nearer and not farther than this
USERREF = 1 << 31  # user references are 32-bit numbers with a sign
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0", "")


def parse_body(raw: bytes, content_type: str) -> dict[str, str]:
    """Fields of a form or JSON body as text, nested JSON as a form would send it. Raises Refused."""
    try:
        text = raw.decode("utf-8")
        if "json" not in content_type:
            return dict(parse_qsl(text, keep_blank_values=True))
        body = json.loads(text, parse_float=str, parse_int=str) if text else {}
        if not isinstance(body, dict):
            raise Refused("EAPI:Bad request")
        fields: dict[str, str] = {}
        _flatten("", body, fields)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Refused("EAPI:Bad request") from error
    return fields


def _flatten(prefix: str, value: Any, fields: dict[str, str]) -> None:
    """Nested JSON under the names a form gives it: `close[price]`, `orders[0][volume]`; a list of plain values is one text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(f"{prefix}[{key}]" if prefix else str(key), item, fields)
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for index, item in enumerate(value):
            _flatten(f"{prefix}[{index}]", item, fields)
    else:
        fields[prefix] = _text(value)


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
    """A finite decimal of a sane size, None where absent. Signs and percent are refused."""
    text = fields.get(name, "")
    if not text:
        return None
    try:
        value = decimal_of(text)
    except ValueError as error:
        raise invalid(as_name or name) from error
    if not sane(value) or text[0] in "+-#" or text.endswith("%"):
        raise invalid(as_name or name)
    return value


def whole(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    """A whole number, `default` where absent."""
    text = fields.get(name, "") or str(default)
    if not is_whole(text):
        raise invalid(name)
    return int(text)


def is_whole(text: str) -> bool:
    """Whether it is a whole number of at most 18 digits: more is no count, no reference and no time."""
    return _WHOLE.fullmatch(text) is not None


def userref(fields: Mapping[str, str], default: int = 0) -> int:
    """`userref`, a 32-bit number."""
    value = whole(fields, "userref", default)
    if not -USERREF <= value < USERREF:
        raise invalid("userref")
    return value


def deadline_of(fields: Mapping[str, str], arrived_us: int, within_us: tuple[int, int] = DEADLINE_US) -> int | None:
    """`deadline` in microseconds. Raises Refused for one that is over, nearer or farther than `within_us` allows."""
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
    if not within_us[0] <= deadline_us - arrived_us <= within_us[1]:
        raise invalid("deadline")
    return deadline_us


def level(fields: Mapping[str, str], name: str) -> tuple[Decimal | None, Offset | None]:
    """A price: absolute, or relative where it begins with a sign or ends in percent."""
    text = fields.get(name, "").strip()
    if not text or (text[0] not in SIGNS and not text.endswith("%")):
        return number(fields, name), None
    try:
        return None, Offset.parse(text)
    except ValueError as error:
        raise invalid(name) from error


def listed(fields: Mapping[str, str], name: str) -> list[str]:
    """Values of a list, however it was sent: joined by commas, or one by one as `name[0]`."""
    single = [fields[key] for key in sorted(fields) if re.fullmatch(re.escape(name) + r"\[\d*\](\[\w+\])?", key)]
    return [item for item in (*fields.get(name, "").split(","), *single) if item]
