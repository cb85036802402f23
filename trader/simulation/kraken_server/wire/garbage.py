"""Hostile frames in place of true ones: what a broken or malicious peer could send on a channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.spoiling import DEEP, HUGE_FRAME_BYTES, wrong_types

_INFINITE = "@infinite@"
Row = dict[str, Any]


def spoilt_candle(text: str, action: str) -> str:
    """A candle whose low is null (JSON has no NaN) or negative."""
    frame = json.loads(text)
    row = frame["data"][0]
    row["low"] = None if action == "nan" else -row["low"]
    return dumps(frame)


def spiked(text: str, factor: float) -> str:
    """A candle that reaches and closes at so many times its price, or trades at it."""
    frame = json.loads(text)
    for row in frame["data"]:
        for name in ("price", "close", "high" if factor > 1 else "low"):
            if name in row:
                row[name] *= factor
    return dumps(frame)


def _numbers(value: Any, number: Any) -> Any:
    """The same value with every number replaced."""
    if isinstance(value, dict):
        return {name: _numbers(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner, number) for inner in value]
    return number if isinstance(value, (int, float)) and not isinstance(value, bool) else value


_ROWS: dict[str, Callable[[Row], Any]] = {
    "types": wrong_types,
    "missing": lambda row: dict(list(row.items())[:1]),
    "null": lambda row: {name: value if name in ("symbol", "order_id") else None for name, value in row.items()},
    "number": lambda row: _numbers(row, 10**400),
    "infinite": lambda row: _numbers(row, _INFINITE),
    "symbol": lambda row: row | {"symbol": "NIX/NIX"},
}


def garbage(text: str, kind: str) -> str:
    """A frame of one of the kinds of `fault_args.GARBAGE` in place of a true one of its channel."""
    if kind == "json":
        return text[: len(text) // 2]
    if kind == "envelope":
        return '["no","frame"]'
    frame = json.loads(text)
    rows = frame.get("data", [frame])
    if kind == "deep":
        return dumps(frame | {"data": _INFINITE}).replace(f'"{_INFINITE}"', "[" * DEEP + "]" * DEEP)
    if kind == "huge":
        return dumps(frame | {"data": [*rows, "0" * HUGE_FRAME_BYTES]})
    return dumps(frame | {"data": [_ROWS[kind](row) for row in rows]}).replace(f'"{_INFINITE}"', "1e400")
