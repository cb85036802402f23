"""What a fault makes of an answer or frame: edited, cut, padded, replaced. Pure functions of the answer and the fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from trader.simulation.faults import EDITS, Fault
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.replies import End, Reply, page

DEEP = 100_000  # levels of nesting, far beyond what a parser that recurses can bear
HUGE_FRAME_BYTES = 30_000_000
Table = dict[str, Any]


# --- edits: fields of answers and frames -------------------------------------------------------------------------------
def tables(value: Any, steps: list[str]) -> Iterator[Table]:
    """The tables that hold the last step of a path; `*` is any name or place in a list."""
    if isinstance(value, dict):
        if len(steps) == 1:
            if steps[0] in value:
                yield value
            return
        found = list(value.values()) if steps[0] == "*" else [value[steps[0]]] if steps[0] in value else []
    elif isinstance(value, list) and len(steps) > 1:
        place = int(steps[0]) if steps[0].isdecimal() else len(value)
        found = value if steps[0] == "*" else value[place : place + 1]
    else:
        return
    for inner in found:
        yield from tables(inner, steps[1:])


def anywhere(value: Any, name: str) -> Iterator[Table]:
    """Every table that holds a field of this name, at any depth."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            yield from anywhere(inner, name)
        if name in value:
            yield value
    elif isinstance(value, list):
        for inner in value:
            yield from anywhere(inner, name)


def edited(text: str, fault: Fault) -> str | None:
    """A JSON text with a field renamed or dropped; None where it holds no such field."""
    body = json.loads(text)
    path = fault.arg["from"] if fault.action == "rename" else fault.arg
    steps = path.split(".")
    found = list(anywhere(body, path) if len(steps) == 1 else tables(body, steps))
    for table in found:
        fields = list(table.items())
        table.clear()
        for name, value in fields:
            if name != steps[-1]:
                table[name] = value
            elif fault.action == "rename":
                table[fault.arg["to"]] = value
    return dumps(body) if found else None


def wrong_types(value: Any) -> Any:
    """The same value with every string a number and every number, list and boolean a string."""
    if isinstance(value, dict):
        return {name: wrong_types(inner) for name, inner in value.items()}
    return 17 if isinstance(value, str) else str(value)


# --- answers of REST ---------------------------------------------------------------------------------------------------
def malformed(text: str, kind: str) -> Reply:
    """An answer with status 200 that is no envelope, in one of the ways of `fault_args.MALFORMED`."""
    if kind == "bytes":
        return Reply(raw=b'{"error":[],"result":"\xff\xfe\x80"}')
    body = json.loads(text)
    return Reply(
        text={
            "json": '{"error":[],"result":{"txid":[',
            "envelope": dumps(["error", "result"]),
            "types": dumps(wrong_types(body)),
            "null": dumps(body | {"result": None}),
            "empty": "",
            "deep": '{"error":[],"result":' + "[" * DEEP + "]" * DEEP + "}",
        }[kind]
    )


def _beside(text: str, string: str) -> str:
    """An error or warning string beside what was answered; futures knows one string only, spot a list."""
    body = json.loads(text)
    errors = body.get("error")
    return dumps(body | {"error": [*errors, string] if isinstance(errors, list) else string})


def _without_fills(reply: Reply, _: Any) -> Reply | None:
    """An answer about orders in which every one that ended says canceled with nothing filled; None where none has ended."""
    body = json.loads(reply.text)
    rows = [row for row in anywhere(body, "vol_exec") if row.get("status") in ("closed", "expired")]
    for row in rows:
        row.update(status="canceled", reason="User requested", **dict.fromkeys(("vol_exec", "cost", "fee"), "0.00000000"))
        row.pop("trades", None)
    return replace(reply, text=dumps(body)) if rows else None


def crossed(text: str) -> str:
    """A Ticker answer whose bids lie above its asks."""
    body = json.loads(text)
    for row in anywhere(body, "b"):
        row["a"], row["b"] = row["b"], row["a"]
    return dumps(body)


_ANSWERS: dict[str, Callable[[Reply, Any], Reply | None]] = {
    "hide_fills": _without_fills,
    "cross": lambda reply, _: replace(reply, text=crossed(reply.text)),
    "lost_response": lambda _, __: Reply(end=End.FIN),
    "reset": lambda _, __: Reply(end=End.RST),
    "half_open": lambda _, __: Reply(end=End.UNREAD),
    "hang": lambda _, __: Reply(end=End.SILENT),
    "http": lambda _, status: Reply(text=page(status), status=status, content_type="text/html"),
    "html": lambda _, __: Reply(text=page(502), content_type="text/html"),
    "cut_json": lambda reply, __: replace(reply, text=reply.text[: len(reply.text) // 2]),
    "malformed": lambda reply, kind: malformed(reply.text, kind or "json"),
    "warning": lambda reply, string: replace(reply, text=_beside(reply.text, string)),
    "txid_beside_error": lambda reply, string: replace(reply, text=_beside(reply.text, string)),
    "huge": lambda reply, size: replace(reply, padding_mb=size),
    "gzip_bomb": lambda reply, size: replace(reply, padding_mb=size, zipped=True),
    "drip": lambda reply, pause: replace(reply, drip_s=float(pause)),
}


def spoilt(reply: Reply, fault: Fault) -> Reply | None:
    """The reply as the fault leaves it; None where the fault finds nothing to spoil. Actions of other kinds change nothing."""
    if fault.action in EDITS:
        text = edited(reply.text, fault)
        return None if text is None else replace(reply, text=text)
    change = _ANSWERS.get(fault.action)
    return reply if change is None else change(reply, fault.arg)
