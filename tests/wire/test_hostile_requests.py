"""Requests no library would send: each gets Kraken's envelope with one error, and the next client is served as ever."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import KEY, SECRET, trading
from tests.wire.order_door import Door, at_the_door, price
from trader.simulation.kraken_server.wire.signing import sign
from trader.simulation.loops import run_stepped

PAIR_ID, BASE = "XETHZEUR", "http://127.0.0.1:8701"
ENDLESS = "1" * 6000  # more digits than int() reads
ORDER = {"pair": PAIR_ID, "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "1000", "validate": "true"}


def argument(name: str) -> list[str]:
    return [f"EGeneral:Invalid arguments:{name}"]


def test_numbers_without_end_are_refused_by_name() -> None:
    async def main() -> None:
        async with trading(), aiohttp.ClientSession() as session:
            rest = Rest(session)
            for name, field in (("Trades", "count"), ("Depth", "count"), ("OHLC", "interval"), ("OHLC", "since")):
                assert await rest.public(name, pair=PAIR_ID, **{field: ENDLESS}) == (argument(field), None)
            for field in ("userref", "starttm", "expiretm", "volume", "price", "displayvol"):
                assert await rest.private("AddOrder", **(ORDER | {field: ENDLESS})) == (argument(field), None), field
            for name, field in (("CancelAllOrdersAfter", "timeout"), ("Ledgers", "ofs"), ("TradesHistory", "start")):
                assert await rest.private(name, **{field: ENDLESS}) == (argument(field), None)
            assert await rest.private("CancelOrder", txid=ENDLESS) == (["EOrder:Unknown order"], None)
            assert await rest.private("CancelOrderBatch", as_json=True, orders=[ENDLESS]) == (["EOrder:Unknown order"], None)
            assert await rest.private("AddOrderBatch", pair=PAIR_ID, **{f"orders[{ENDLESS}][volume]": "1"}) == (argument("orders"), None)

    run_stepped(main)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("volume", "1_0", argument("volume")), ("volume", "٣", argument("volume")), ("volume", " 1", argument("volume")),
        ("price", "+1_0%", argument("price")), ("price", "-٣", argument("price")), ("price", "..", argument("price")),
        ("userref", str(1 << 31), argument("userref")), ("userref", str(-(1 << 31)), []), ("userref", "٣", argument("userref")),
        ("expiretm", "253402300800", argument("expiretm")), ("starttm", "-5", argument("starttm")),
        ("cl_ord_id", "6D1B345E-2821-40E2-AD83-4ECB18A06876", []), ("cl_ord_id", "a free text", []),
        ("cl_ord_id", "nineteen characters", argument("cl_ord_id")), ("cl_ord_id", "zwölf", argument("cl_ord_id")),
    ],
)  # fmt: skip
def test_terms_are_read_as_kraken_writes_them(field: str, value: str, error: list[str]) -> None:
    async def main() -> None:
        async with trading(), aiohttp.ClientSession() as session:
            assert (await Rest(session).private("AddOrder", **(ORDER | {field: value})))[0] == error

    run_stepped(main)


def test_any_path_and_method_of_the_api_is_answered_in_the_envelope() -> None:
    async def main() -> None:
        async with trading(), aiohttp.ClientSession() as session:
            for method, path, error in (
                ("GET", "/0/private/Balance", "EAPI:Invalid key"), ("PUT", "/0/private/AddOrder", "EAPI:Invalid key"),
                ("GET", "/0/public/", "EGeneral:Unknown method"), ("POST", "/0/private/Balance/x", "EGeneral:Unknown method"),
                ("GET", "/0/Time", "EGeneral:Unknown method"), ("GET", "/0/private/Time", "EGeneral:Unknown method"),
            ):  # fmt: skip
                async with session.request(method, BASE + path) as answer:
                    assert (answer.status, await answer.json()) == (200, {"error": [error]}), (method, path)

    run_stepped(main)


def test_json_nested_beyond_reason_is_a_bad_request() -> None:
    async def main() -> None:
        async with trading(), aiohttp.ClientSession() as session:
            for body in ("[" * 200_000, '{"a":' * 990 + "1" + "}" * 990):
                headers = {"API-Key": KEY, "API-Sign": sign("/0/private/Balance", "", body.encode(), SECRET)}
                headers["Content-Type"] = "application/json"
                async with session.post(BASE + "/0/private/Balance", data=body, headers=headers) as answer:
                    assert answer.status == 200
                    assert (await answer.json())["error"] in (["EAPI:Bad request"], ["EAPI:Invalid nonce"])
            assert (await Rest(session).private("Balance"))[0] == []

    run_stepped(main)


def test_what_the_signature_does_not_cover_is_not_read() -> None:
    async def main() -> None:
        async with trading() as (twin, _), aiohttp.ClientSession() as session:
            body, path = b"nonce=5&pair=XETHZEUR&type=buy&ordertype=limit&price=1000&volume=0.1", "/0/private/AddOrder"
            headers = {"API-Key": KEY, "API-Sign": sign(path, "5", body, SECRET), "Content-Type": "application/x-www-form-urlencoded"}
            async with session.post(BASE + path + "?volume=3&price=1500", data=body, headers=headers) as answer:
                assert (await answer.json())["error"] == []
            (order,) = twin.exchange.open_orders()
            assert (str(order.volume), str(order.price)) == ("0.1", "1000")

    run_stepped(main)


@pytest.mark.parametrize("req_id", [1.5, 1e300, [1.5], {"a": 1.5}])
def test_an_id_that_is_none_costs_the_request_alone(req_id: Any) -> None:
    async def test(door: Door) -> None:
        answer = await door.client.send(json.dumps({"method": "ping", "req_id": req_id}))
        assert answer == [{"error": "Malformed request", "success": False}]
        assert (await door.client.ask("ping"))[0]["method"] == "pong"

    at_the_door(test)


@pytest.mark.parametrize("quantity", [0, -5, "-5", 1e300])
def test_an_amend_to_no_quantity_leaves_the_order_alone(quantity: Any) -> None:
    async def test(door: Door) -> None:
        order_id = await door.place(limit_price=price(door, "0.9"))
        answer = await door.one("amend_order", order_id=order_id, order_qty=quantity)
        assert answer["error"] == "EGeneral:Invalid arguments:order_qty"
        assert door.open() == [order_id]

    at_the_door(test)


def test_distances_beyond_reason_are_refused_by_name() -> None:
    async def test(door: Door) -> None:
        stop = {"order_type": "trailing-stop", "side": "sell", "order_qty": 0.1, "symbol": "ETH/EUR"}
        for value in (1e300, "1e300", 1e-300, "1_0"):
            answer = await door.one("add_order", **stop, triggers={"price": value, "price_type": "pct"})
            assert answer["error"] == "EGeneral:Invalid arguments:price"
        assert (await door.one("add_order", **stop, order_userref=1 << 31))["error"] == "EGeneral:Invalid arguments:order_userref"

    at_the_door(test)
