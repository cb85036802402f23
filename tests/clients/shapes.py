"""Structural comparison of JSON: every field of a recorded value is in ours, with the same kind of value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ID = re.compile(r"[A-Z0-9]{5,6}-[A-Z0-9]{4,6}-[A-Z0-9]{5,6}|X?[A-Z]{3,4}Z?USDT?|[XZ]?[A-Z]{3}|ETH")


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
        if recorded and all(_ID.fullmatch(name) for name in recorded):
            if not ours:
                yield f"{path}: ours is empty"
            else:
                yield from missing(next(iter(recorded.values())), next(iter(ours.values())), f"{path}.*")
            return
        for name, value in recorded.items():
            if name in ours:
                yield from missing(value, ours[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: {kind(value)}, ours absent"
    elif isinstance(recorded, list) and recorded:
        yield from _rows(recorded, ours, path)


def _rows(recorded: list[Any], ours: list[Any], path: str) -> Iterator[str]:
    if not ours:
        yield f"{path}: ours is empty"
    elif isinstance(recorded[0], Mapping | list):
        yield from missing(recorded[0], ours[0], f"{path}[]")
    else:  # a row of columns
        if len(recorded) != len(ours):
            yield f"{path}: {len(recorded)} columns, ours {len(ours)}"
        for number, (one, other) in enumerate(zip(recorded, ours, strict=False)):
            yield from missing(one, other, f"{path}[{number}]")
