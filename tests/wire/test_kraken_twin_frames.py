"""Every fault of a channel, seen by a bare WebSocket client: what comes, in which order and under which numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_twin_harness import PAIR, enter, trading
from trader.simulation.fault_args import GARBAGE
from trader.simulation.fault_catalogue import CHANNEL, KRAKEN_ACTIONS
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.wire.frame_faults import FrameFaults, Wire
from trader.simulation.loops import run_stepped


async def texts(port: int, subscribe: dict[str, Any], seconds: float, inbox: list[str]) -> bool:
    """Collect a connection's frames; whether it was cut."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/v2", max_msg_size=0) as socket:
        await socket.send_json({"method": "subscribe", "params": subscribe})
        try:
            async with asyncio.timeout(seconds):
                async for message in socket:
                    inbox.append(message.data)
        except TimeoutError:
            return False
    return True


def played(*faults: Fault, orders: int = 4) -> tuple[list[tuple[int, list[str]]], bool, dict[str, int]]:
    """(sequence, ledger ids of its items) of each balances frame of some orders; whether the socket was cut; faults without effect."""
    inbox: list[str] = []

    async def main() -> tuple[bool, dict[str, int]]:
        async with trading() as (twin, exchange):
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            for fault in faults:
                twin.inject(fault)
            listening = asyncio.create_task(texts(8701, {"channel": "balances", "token": token}, 30, inbox))
            await asyncio.sleep(1)
            for number in range(orders):
                await enter(exchange, number=number)
                await asyncio.sleep(2)
            return await listening, twin.plan.missed

    cut, missed = run_stepped(main)
    frames = [json.loads(text) for text in inbox if '"channel":"balances"' in text]
    rows = [(frame["sequence"], [row.get("ledger_id", "") for row in frame["data"]]) for frame in frames if frame.get("type") == "update"]
    return rows, cut, missed


def balances(action: str, **more: Any) -> Fault:
    return Fault(where="balances", action=action, nth=(2,), **more)


def test_numbers_and_order_of_private_frames_under_each_fault() -> None:
    calm, cut, _ = played()
    ids = [row[1] for row in calm]
    assert ([row[0] for row in calm], cut, len(calm)) == ([2, 3, 4, 5, 6, 7, 8, 9], False, 8)  # two assets a fill, four fills
    expected: dict[str, list[tuple[int, list[str]]]] = {
        "ws_duplicate": [calm[0], calm[1], *calm[1:]],
        "ws_reorder": [calm[0], calm[2], calm[1], *calm[3:]],
        "ws_lost": [calm[0], *calm[2:]],
        "ws_merge": [calm[0], (3, ids[1] + ids[2]), *((number - 1, names) for number, names in calm[3:])],
        "ws_gap": [calm[0], *((number + 1, names) for number, names in calm[1:])],
    }
    for action, rows in expected.items():
        assert played(balances(action)) == (rows, False, {}), action
    assert played(balances("ws_gap", arg=5))[0][1][0] == 8
    assert played(balances("ws_drop")) == (calm[:1], True, {})
    assert played(balances("ws_stall", arg=3.0))[0] == [calm[0], *calm[4:]]  # orders come two seconds apart
    assert played(balances("ws_wrong_crc"))[2] == {"balances:ws_wrong_crc": 1}  # no checksum there


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_stands_in_place_of_one_frame(kind: str) -> None:
    async def main() -> list[str]:
        inbox: list[str] = []
        async with trading() as (twin, _):
            twin.inject(Fault(where="trade", action="ws_garbage", arg=kind, nth=(2,)))
            await texts(8701, {"channel": "trade", "symbol": [PAIR], "snapshot": False}, 110, inbox)
        return inbox

    seen = [text for text in run_stepped(main) if ('"trade"' in text and '"method"' not in text) or text == '["no","frame"]']
    checks: dict[str, Callable[[str], object]] = {
        "json": lambda text: text.count("{") > text.count("}"),
        "envelope": lambda text: text == '["no","frame"]',
        "types": lambda text: json.loads(text)["data"][0]["symbol"] == 17,
        "missing": lambda text: len(json.loads(text)["data"][0]) == 1,
        "null": lambda text: json.loads(text)["data"][0]["price"] is None,
        "number": lambda text: len(text) > 400,
        "infinite": lambda text: ":1e400" in text and json.loads(text)["data"][0]["qty"] == float("inf"),
        "symbol": lambda text: json.loads(text)["data"][0]["symbol"] == "NIX/NIX",
        "deep": lambda text: "[" * 1000 in text,
        "huge": lambda text: len(text) > 30_000_000,
    }
    assert set(checks) == set(GARBAGE)
    assert checks[kind](seen[1]), seen[1][:200]
    assert [json.loads(text)["data"][0]["symbol"] for text in (seen[0], *seen[2:])] == [PAIR] * (len(seen) - 1)
    assert len(seen) >= 5


def test_a_wrong_checksum_differs_in_one_bit() -> None:
    plan = FaultPlan([Fault(where="book", action="ws_wrong_crc", nth=(1,))])
    frame = json.dumps({"channel": "book", "type": "update", "data": [{"symbol": PAIR, "checksum": 10}]})
    faults, wire = FrameFaults(plan), Wire()
    sent = [faults.outgoing(wire, "book", PAIR, frame, now=0.0) for _ in range(2)]
    assert [json.loads((texts or [""])[0])["data"][0]["checksum"] for texts in sent] == [11, 10]


def test_faults_of_one_connection_leave_the_other_alone() -> None:
    plan = FaultPlan([Fault(where="executions", action="ws_gap", nth=(1,), arg=3)])
    faults, wires = FrameFaults(plan), (Wire(), Wire())
    frame = json.dumps({"channel": "executions", "data": [], "sequence": 2})
    sent = [faults.outgoing(wire, "executions", "", frame, now=0.0) for wire in wires]
    assert [json.loads((texts or [""])[0])["sequence"] for texts in sent] == [5, 2]


def test_no_action_of_a_channel_is_left_out() -> None:
    here = {
        "ws_drop", "ws_stall", "ws_duplicate", "ws_reorder", "ws_merge", "ws_lost", "ws_gap", "ws_wrong_crc", "ws_garbage",
        "rename", "drop_field",  # test_kraken_twin_edits.py
    }  # fmt: skip
    assert {name for name, action in KRAKEN_ACTIONS.items() if CHANNEL in action.at} == here
