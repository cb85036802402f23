"""Faults on the wire: what is lost, late, cut or held, and what the books say afterwards."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.wire.kraken_twin_harness import PAIR, enter, trading
from tests.wire.test_kraken_twin import raw_stream
from trader.errors import ConfigError
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.loops import run_stepped


def fault(action: str, where: str = "AddOrder", **more: Any) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"where": where, "action": action, **more}.items()]
    return "\n".join(["[[fault]]", *lines, ""])


async def try_enter(exchange: Any) -> Any:
    try:
        return await enter(exchange)
    except ccxt.BaseError as error:
        return error


@pytest.mark.parametrize(
    ("plan", "orders", "seen"),
    [
        (fault("lost_request", nth=1), 0, ccxt.NetworkError),
        (fault("lost_response", nth=1), 1, ccxt.NetworkError),
        (fault("http", nth=1, arg=502), 0, ccxt.NetworkError),
        (fault("http", nth=1, arg=520, effect="after"), 1, ccxt.NetworkError),
        (fault("html", nth=1, effect="after"), 1, "no id"),
        (fault("cut_json", nth=1), 1, "no id"),
        (fault("error", nth=1, arg="EService:Busy"), 0, ccxt.ExchangeNotAvailable),
        (fault("delay", nth=1, arg=3.0), 1, "id"),
    ],
)
def test_a_fault_happens_once_before_or_after_the_effect(plan: str, orders: int, seen: type[BaseException] | str) -> None:
    async def main() -> None:
        async with trading(plan) as (twin, exchange):
            outcome = await try_enter(exchange)
            if isinstance(seen, str):  # ccxt makes an order without an id of an unreadable answer, and does not raise
                assert (outcome["id"] is None) == (seen == "no id")
            else:
                assert isinstance(outcome, seen)
            entries = [order for order in twin.exchange.state.orders.values() if order.refid is None]
            assert len(entries) == orders
            assert sum(twin.plan.fired.values()) == 1
            assert len(await exchange.fetch_open_orders()) == orders  # the next calls are served again

    run_stepped(main)


def test_after_a_lost_response_the_order_is_found_exactly_once() -> None:
    async def main() -> None:
        async with trading(fault("lost_response", nth=1)) as (twin, exchange):
            assert isinstance(await try_enter(exchange), ccxt.NetworkError)
            closed = (await exchange.private_post_closedorders({"cl_ord_id": "tabc00000000000001"}))["result"]["closed"]
            assert len(closed) == 1
            assert twin.middleware.counters["AddOrder"] == 1

    run_stepped(main)


def test_a_held_reply_waits_for_its_release_while_the_order_works() -> None:
    async def main() -> None:
        async with trading(fault("hold_reply", nth=1)) as (twin, exchange), aiohttp.ClientSession() as session:
            sent = asyncio.create_task(enter(exchange))
            await asyncio.sleep(2)
            assert (sent.done(), len(twin.exchange.state.trades), twin.middleware.held) == (False, 1, 1)
            async with session.post("http://127.0.0.1:8701/_twin/release") as answer:
                assert await answer.json() == {"released": 1}
            assert (await sent)["id"] in twin.exchange.state.orders

    run_stepped(main)


def test_a_hanging_request_ends_with_the_twin_not_before() -> None:
    async def main() -> None:
        async with trading(fault("hang", "Balance")) as (_, exchange):
            with pytest.raises(ccxt.RequestTimeout):
                await exchange.private_post_balance()

    run_stepped(main)


def test_swallowed_stops_are_answered_but_never_rest() -> None:
    async def main() -> None:
        async with trading(fault("swallow_stops")) as (twin, exchange):
            await enter(exchange)
            last = float(twin.exchange.last(PAIR))
            trigger = exchange.price_to_precision(PAIR, last * 0.97)
            stop = await exchange.create_order(PAIR, "market", "sell", 0.1, None, {"stopLossPrice": trigger, "oflags": "fciq"})
            assert stop["id"].startswith("O")
            assert await exchange.fetch_open_orders() == []
            await twin.clock.sleep(30)
            report = twin.protection_report()
            assert report.max_unprotected_us > 30_000_000
            assert list(report.unprotected) == [PAIR]

    run_stepped(main)


def test_a_foreign_fill_comes_at_its_time_and_is_reported() -> None:
    arg = '{ pair = "ETH/EUR", side = "buy", quantity = "0.05", after_s = 10 }'
    plan = f'[[fault]]\nwhere = "account"\naction = "foreign_fill"\narg = {arg}\n'

    async def main() -> None:
        async with trading(plan) as (twin, exchange):
            assert await exchange.fetch_my_trades() == []
            await twin.clock.sleep(11)
            (trade,) = await exchange.fetch_my_trades()
            assert trade["amount"] == 0.05
            report = twin.protection_report()
            assert (report.foreign_orders, dict(report.positions)) == ((trade["order"],), {})

    run_stepped(main)


@pytest.mark.parametrize("action", ["non_monotonic", "nan", "negative", "gap"])
def test_candles_of_the_named_pair_are_spoilt_and_no_others(action: str) -> None:
    plan = f'[[fault]]\nwhere = "OHLC"\nmatch = {{ pair = "{PAIR}" }}\naction = "{action}"\n'

    async def main() -> None:
        async with trading(plan) as (_, exchange):

            def sound(rows: list[list[Any]]) -> bool:
                steps = {int(after[0]) - int(before[0]) for before, after in itertools.pairwise(rows)}
                return steps == {60} and all(float(value) > 0 for row in rows for value in row[1:5])

            rows = {}
            for name in ("XETHZEUR", "XXBTZEUR"):
                rows[name] = (await exchange.public_get_ohlc({"pair": name}))["result"][name]
            assert (sound(rows["XETHZEUR"]), sound(rows["XXBTZEUR"])) == (False, True)

    run_stepped(main)


@pytest.mark.parametrize(
    ("plan", "received", "left"),
    [
        ("", 7, 1),  # ticks at 20, 40, 58, 60, 80, 100 and 118 s
        (fault("ws_drop", "trade", nth=3), 2, 0),
        (fault("ws_stall", "trade", nth=3, arg=45.0), 3, 1),  # silent from 58 to 103 s, the socket stays open
        (fault("ws_duplicate", "trade", nth=3), 8, 1),
    ],
)
def test_stream_faults_drop_stall_and_duplicate(plan: str, received: int, left: int) -> None:
    async def main() -> None:
        async with trading(plan) as (twin, _):
            subscribe = {"method": "subscribe", "params": {"channel": "trade", "symbol": [PAIR]}}
            stream = asyncio.create_task(raw_stream(8701, [subscribe], 119))
            await asyncio.sleep(118.5)
            assert len(twin.hub.connections) == left
            assert sum(frame.get("channel") == "trade" for frame in await stream) == received

    run_stepped(main)


def test_a_refused_subscription_is_worded_by_the_plan() -> None:
    async def main() -> None:
        async with trading(fault("error", "subscribe", nth=1, arg="ESession:Invalid session")) as _:
            frames = await raw_stream(8701, [{"method": "subscribe", "params": {"channel": "trade", "symbol": [PAIR]}, "req_id": 7}], 2)
            (answer,) = [frame for frame in frames if frame.get("method") == "subscribe"]
            assert (answer["req_id"], answer["success"], answer["error"]) == (7, False, "ESession:Invalid session")

    run_stepped(main)


def test_the_control_route_counts_and_injects() -> None:
    async def main() -> None:
        async with trading() as (_, exchange), aiohttp.ClientSession() as session:
            row = {"where": "Balance", "action": "error", "arg": "EGeneral:Internal error", "nth": 1}
            async with session.post("http://127.0.0.1:8701/_twin/inject", json=row) as answer:
                assert await answer.json() == {"faults": 1}
            async with session.post("http://127.0.0.1:8701/_twin/inject", json={"where": "Nope", "action": "hang"}) as answer:
                assert (answer.status, "Nope" in (await answer.json())["error"]) == (400, True)
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await exchange.private_post_balance()
            await exchange.private_post_balance()
            async with session.get("http://127.0.0.1:8701/_twin") as answer:
                figures = await answer.json()
            assert figures["requests"]["Balance"] == 2
            assert figures["faults_fired"] == {"Balance:error": 1}
            assert figures["protection"]["max_unprotected_us"] == 0

    run_stepped(main)


def test_a_plan_that_names_an_unknown_endpoint_stops_the_start() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="AdOrder"):
            async with trading(fault("hang", "AdOrder")):
                raise AssertionError("the twin must not start")

    run_stepped(main)
    assert KrakenTwin.__doc__
