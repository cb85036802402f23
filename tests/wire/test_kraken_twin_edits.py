"""Renamed and missing fields: in answers of REST, answers of the stream, snapshots and updates; one that is not there is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import PAIR, trading
from tests.wire.test_kraken_twin import raw_stream
from trader.simulation.faults import Fault
from trader.simulation.kraken_server.wire.spoiling import edited
from trader.simulation.loops import run_stepped

ANSWER = {"error": [], "result": {"A.M": {"a": ["1", "2"], "rows": [{"x": 1, "y": {"x": 2}}, {"x": 3}]}, "last": 5}}


def rename(where: str, old: str, new: str = "renamed") -> Fault:
    return Fault(where=where, action="rename", arg={"from": old, "to": new})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("result.last", [["result", "renamed"]]),
        ("result.*.a", [["result", "A.M", "renamed"]]),
        ("result.*.rows.*.x", [["result", "A.M", "rows", 0, "renamed"], ["result", "A.M", "rows", 1, "renamed"]]),
        ("result.*.rows.1.x", [["result", "A.M", "rows", 1, "renamed"]]),
        ("y", [["result", "A.M", "rows", 0, "renamed"]]),
        ("x", [["result", "A.M", "rows", 0, "renamed"], ["result", "A.M", "rows", 0, "y", "renamed"],
               ["result", "A.M", "rows", 1, "renamed"]]),
        ("result.nothing", None),
        ("result.last.deeper", None),
    ],
)  # fmt: skip
def test_a_path_names_fields(path: str, expected: list[list[Any]] | None) -> None:
    text = edited(json.dumps(ANSWER), rename("AddOrder", path))
    assert (text is None) == (expected is None)
    assert text is None or list(places(json.loads(text))) == expected
    gone = edited(json.dumps(ANSWER), Fault(where="AddOrder", action="drop_field", arg=path))
    assert gone is None or list(places(json.loads(gone))) == []


def places(value: Any, before: tuple[Any, ...] = ()) -> Any:
    """Where a field called `renamed` stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        if name == "renamed":
            yield [*before, name]
        yield from places(inner, (*before, name))


def test_answers_of_rest_lose_and_rename_fields() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            twin.inject(rename("Ticker", "result.*.a", "asks"))
            row = (await exchange.public_get_ticker({"pair": "XETHZEUR"}))["result"]["XETHZEUR"]
            assert ("a" in row, "asks" in row, next(iter(row))) == (False, True, "asks")
            twin.inject(Fault(where="Time", action="drop_field", arg="unixtime"))
            assert list((await exchange.public_get_time())["result"]) == ["rfc1123"]
            twin.inject(rename("Balance", "hold_trade"))
            await exchange.private_post_balance()
            assert twin.plan.missed == {"Balance:rename": 1}

    run_stepped(main)


def test_frames_of_the_stream_lose_and_rename_fields() -> None:
    async def main() -> None:
        async with trading() as (twin, _):
            for fault in (
                rename("trade", "data.*.price", "px"),
                rename("subscribe", "result.symbol", "name"),
                Fault(where="ticker", action="drop_field", arg="bid"),
                rename("status", "system"),
            ):
                twin.inject(fault)
            subscribe = [
                {"method": "subscribe", "params": {"channel": channel, "symbol": [PAIR], "snapshot": True}}
                for channel in ("trade", "ticker")
            ]
            frames = await raw_stream(8701, subscribe, 50)
            by: dict[str, list[dict[str, Any]]] = {}
            for frame in frames:
                by.setdefault(frame.get("channel") or frame["method"], []).append(frame)
            assert {kind: len(by[kind]) > 1 for kind in ("trade", "ticker", "subscribe")} == dict.fromkeys(
                ("trade", "ticker", "subscribe"), True
            )
            assert {frame["type"] for frame in by["trade"]} == {"snapshot", "update"}
            assert all("px" in row and "price" not in row for frame in by["trade"] for row in frame["data"])
            assert all("bid" not in frame["data"][0] for frame in by["ticker"])
            assert all(frame["result"]["name"] == PAIR for frame in by["subscribe"])
            assert "renamed" in by["status"][0]["data"][0]

    run_stepped(main)
