"""Structural comparison of JSON: every field of a recorded value is in ours, with the same kind of value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ID = re.compile(r"[A-Z0-9]{5,7}-[A-Z0-9]{1,6}-[A-Z0-9]{5,6}|X?[A-Z]{3,4}Z?USDT?|[XZ]?[A-Z]{3}|ETH")
FREE = (".trades", ".ledgers", ".leverage_buy", ".leverage_sell")
"""Lists of any length; other lists of plain values are columns of a row."""


def kind(value: Any) -> str:
    """JSON's types; whole and broken numbers are one."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def missing(recorded: Any, ours: Any, path: str = "") -> Iterator[str]:
    """`path: recorded kind, our kind` of what differs. Objects keyed by ids are compared by their first value; lists by their first item.

    A recorded null says nothing about the type, and an empty list nothing about its items.
    """
    if recorded is None:
        return
    if kind(recorded) != kind(ours):
        yield f"{path}: {kind(recorded)}, ours {kind(ours)}"
    elif isinstance(recorded, Mapping):
        yield from _fields(recorded, ours, path)
    elif isinstance(recorded, list) and recorded:
        yield from _rows(recorded, ours, path)


def _fields(recorded: Mapping[str, Any], ours: Mapping[str, Any], path: str) -> Iterator[str]:
    keyed = [value for name, value in recorded.items() if _ID.fullmatch(name)]
    if keyed:
        others = [value for name, value in ours.items() if _ID.fullmatch(name)]
        if others:
            yield from missing(keyed[0], others[0], f"{path}.*")
        else:
            yield f"{path}: ours is empty"
    for name, value in recorded.items():
        if name in ours:
            yield from () if _ID.fullmatch(name) else missing(value, ours[name], f"{path}.{name}")
        elif not _ID.fullmatch(name):
            yield f"{path}.{name}: {kind(value)}, ours absent"


def _rows(recorded: list[Any], ours: list[Any], path: str) -> Iterator[str]:
    if not ours:
        yield f"{path}: ours is empty"
    elif isinstance(recorded[0], Mapping | list):
        yield from missing(recorded[0], ours[0], f"{path}[]")
    else:  # a row of columns
        if len(recorded) != len(ours) and not path.endswith(FREE):
            yield f"{path}: {len(recorded)} columns, ours {len(ours)}"
        for number, (one, other) in enumerate(zip(recorded, ours, strict=False)):
            yield from missing(one, other, f"{path}[{number}]")
