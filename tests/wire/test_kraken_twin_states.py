"""Faults that last: late orders, a skewed clock, tokens that have run out, refused requests of the stream; and the levers."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import ccxt
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.wire.kraken_twin_harness import PAIR, enter, trading
from tests.wire.test_kraken_twin import raw_stream
from trader.simulation.faults import Fault
from trader.simulation.kraken_server import control
from trader.simulation.loops import run_stepped

TWIN = "http://127.0.0.1:8701/_twin"


async def seen_orders(exchange: Any) -> tuple[int, int]:
    """How many orders OpenOrders and ClosedOrders show."""
    opened = (await exchange.private_post_openorders())["result"]["open"]
    closed = (await exchange.private_post_closedorders())["result"]
    assert int(closed["count"]) == len(closed["closed"])
    return len(opened), len(closed["closed"])


def test_a_late_order_and_its_stop_are_seen_after_their_time_in_rest_and_stream() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            twin.inject(Fault(where="AddOrder", action="ack_lag", arg=20.0, nth=(1,)))
            message = {"method": "subscribe", "params": {"channel": "executions", "token": token, "snap_orders": False}}
            stream = asyncio.create_task(raw_stream(8701, [message], 12))
            await asyncio.sleep(0.1)
            txid = (await enter(exchange, number=1))["id"]
            other = (await enter(exchange, number=2))["id"]
            assert len(twin.exchange.state.orders) == 4
            assert await seen_orders(exchange) == (1, 1)  # the second entry and its stop
            trades = (await exchange.private_post_tradeshistory())["result"]["trades"].values()
            assert {trade["ordertxid"] for trade in trades} == {other}
            named = {row["order_id"] for frame in await stream for row in frame.get("data", ()) if frame["channel"] == "executions"}
            assert other in named
            assert txid not in named
            stream = asyncio.create_task(raw_stream(8701, [message], 12))
            await asyncio.sleep(11.9)
            assert await seen_orders(exchange) == (2, 2)
            kinds = [row["exec_type"] for frame in await stream for row in frame.get("data", ()) if row.get("order_id") == txid]
            assert kinds == ["pending_new", "new", "trade", "filled"]

    run_stepped(main)


def test_a_skewed_clock_shows_in_time_and_judges_deadlines() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            true_us = twin.clock.now_us()
            assert int((await exchange.public_get_time())["result"]["unixtime"]) == true_us // 1_000_000
            twin.inject(Fault(where="system", action="clock_skew", arg=30.0))
            assert int((await exchange.public_get_time())["result"]["unixtime"]) == true_us // 1_000_000 + 30
            for ahead, refused in ((10, True), (45, False)):  # a deadline 10 s ahead of us is in the exchange's past
                deadline = exchange.iso8601(twin.clock.now_us() // 1000 + ahead * 1000)
                try:
                    await enter(exchange, number=ahead, deadline=deadline)
                    assert not refused
                except ccxt.BaseError:
                    assert refused
            await twin.clear_faults()
            assert int((await exchange.public_get_time())["result"]["unixtime"]) == twin.clock.now_us() // 1_000_000

    run_stepped(main)


def test_a_token_that_has_run_out_is_refused_and_the_next_one_is_not() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            twin.inject(Fault(where="GetWebSocketsToken", action="expire_token", nth=(1,)))
            answers = []
            for _ in range(2):
                token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
                frames = await raw_stream(8701, [{"method": "subscribe", "params": {"channel": "executions", "token": token}}], 1)
                answers += [frame for frame in frames if frame.get("method") == "subscribe"]
            assert [answer["success"] for answer in answers] == [False, True]
            assert answers[0]["error"] == "ESession:Invalid session"

    run_stepped(main)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(where="subscribe", action="msg_rate"), [{"error": "Exceeded msg rate"}]),
        (Fault(where="subscribe", action="error", arg="ESession:Invalid session"), [{"error": "ESession:Invalid session"}]),
        (Fault(where="subscribe", action="error", arg="EGeneral:Internal error", after=True), [{"error": "EGeneral:Internal error"}]),
        (Fault(where="subscribe", action="lost_request"), []),
        (Fault(where="subscribe", action="lost_response"), []),
        (Fault(where="subscribe", action="hang"), []),
        (Fault(where="subscribe", action="delay", arg=1.0), [{}]),
        (Fault(where="subscribe", action="delay", arg=1.0, after=True), [{}]),
        (Fault(where="subscribe", action="rename", arg={"from": "success", "to": "ok"}), [{"ok": True}]),
        (Fault(where="subscribe", action="drop_field", arg="result.channel"), [{"success": True}]),
    ],
    ids=lambda value: f"{value.action} {'after' if value.after else 'before'}" if isinstance(value, Fault) else "",
)
def test_faults_of_a_request_of_the_stream(fault: Fault, expected: list[dict[str, Any]]) -> None:
    takes_effect = fault.after or fault.action in ("lost_response", "delay", "rename", "drop_field")

    async def main() -> None:
        async with trading() as (twin, _):
            twin.inject(fault)
            message = {"method": "subscribe", "params": {"channel": "trade", "symbol": [PAIR]}, "req_id": 7}
            frames = await raw_stream(8701, [message], 30)
            answers = [frame for frame in frames if "channel" not in frame]
            assert len(answers) == len(expected), answers
            assert all(answer.items() >= wanted.items() for answer, wanted in zip(answers, expected, strict=True)), answers
            assert any(frame.get("channel") == "trade" for frame in frames) == takes_effect

    run_stepped(main)


def test_the_levers_inject_clear_and_disconnect() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange), aiohttp.ClientSession() as session:

            async def pull(lever: str, row: Any = None) -> tuple[int, dict[str, Any]]:
                async with session.post(f"{TWIN}/{lever}", json=row) as answer:
                    return answer.status, await answer.json()

            assert await pull("inject", {"where": "Balance", "action": "rename", "arg": {"from": "result.x", "to": "y"}}) == (
                200,
                {"faults": 1},
            )
            await exchange.private_post_balance()
            await enter(exchange, number=1)
            async with session.get(TWIN) as answer:
                figures = await answer.json()
            assert figures["faults_missed"] == {"Balance:rename": 1}
            assert figures["writes"] == {"AddOrder:tabc00000000000001": 1}
            assert await pull("clear", {}) == (200, {"cleared": 1})
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            private = {"method": "subscribe", "params": {"channel": "executions", "token": token}}
            public = {"method": "subscribe", "params": {"channel": "trade", "symbol": [PAIR]}}
            streams = [asyncio.create_task(raw_stream(8701, [message], 5)) for message in (private, public)]
            await asyncio.sleep(1)
            assert await pull("disconnect", {"private": True}) == (200, {"disconnected": 1})
            await asyncio.sleep(0.1)
            assert [stream.done() for stream in streams] == [True, False]
            assert await pull("disconnect", {}) == (200, {"disconnected": 1})
            await asyncio.gather(*streams)
            for lever, row in (("inject", [1]), ("inject", {"where": "Balance"}), ("disconnect", {"all": True})):
                status, said = await pull(lever, row)
                assert (status, bool(said["error"])) == (400, True)
            assert twin.middleware.counters["AddOrder"] == 1

    run_stepped(main)


def test_the_levers_are_for_the_twins_own_machine() -> None:
    for address, allowed in (("127.0.0.1", True), ("::1", True), ("192.168.1.5", False), (None, False)):
        request = make_mocked_request("POST", "/_twin/clear").clone(remote=address)
        if allowed:
            control.local_only(request)
        else:
            with pytest.raises(web.HTTPForbidden):
                control.local_only(request)
