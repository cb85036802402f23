"""Order entry on the private WebSocket of the twin: amend, edit, cancel, batches, the life of orders, rights and rates."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import PAIR, SECRET
from tests.wire.order_door import LIMIT, Door, at_the_door, price
from trader.simulation.kraken_server.spot.keyring import ApiKey
from trader.simulation.kraken_server.spot.limits import LimitRules


# --- changing ---------------------------------------------------------------------------------------------------------
def test_amend_keeps_the_order_and_edit_replaces_it() -> None:
    async def test(door: Door) -> None:
        await door.client.subscribe("executions", token=door.token)
        order_id = await door.place(cl_ord_id="mine")
        answer = await door.one("amend_order", order_id=order_id, limit_price="1001.25", order_qty=0.2)
        assert answer["result"]["order_id"] == order_id
        assert answer["result"]["amend_id"].startswith("T")
        order = door.twin.exchange.state.orders[order_id]
        assert (order.price, order.volume) == (Decimal("1001.25"), Decimal("0.2"))
        assert (await door.one("amend_order", cl_ord_id="mine", limit_price=1002, post_only=True))["result"]["cl_ord_id"] == "mine"
        assert (order.price, order.post_only) == (Decimal(1002), True)
        edited = await door.one("edit_order", order_id=order_id, symbol=PAIR, limit_price=900, order_qty=0.3, order_userref=9)
        assert edited["result"]["original_order_id"] == order_id
        assert door.open() == [edited["result"]["order_id"]]
        new = door.twin.exchange.state.orders[edited["result"]["order_id"]]
        assert (new.price, new.volume, new.userref) == (Decimal(900), Decimal("0.3"), 9)
        kinds = [row["exec_type"] for frame in door.client.of("executions", "update") for row in frame["data"]]
        assert kinds == ["pending_new", "new", "amended", "amended", "canceled", "pending_new", "new"]

    at_the_door(test)


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("amend_order", {"limit_price": 5}, "EGeneral:Invalid arguments:order_id"),
        ("amend_order", {"order_id": "ONONE1-AAAAA-AAAAAA", "order_qty": 1}, "EOrder:Unknown order"),
        ("amend_order", {"order_id": "LIVE"}, "EGeneral:Invalid arguments:order_qty"),
        ("amend_order", {"order_id": "LIVE", "side": "sell"}, "Unsupported field: 'side' for the given msg type: amend order"),
        ("edit_order", {"order_id": "LIVE", "symbol": "BTC/EUR", "order_qty": 1}, "EGeneral:Invalid arguments:symbol"),
        ("edit_order", {"symbol": PAIR, "order_qty": 1}, "EOrder:Unknown order"),
        ("cancel_order", {}, "EGeneral:Invalid arguments:order_id"),
        ("cancel_order", {"order_id": "LIVE"}, "EGeneral:Invalid arguments:order_id"),
        ("cancel_order", {"order_id": [7]}, "EGeneral:Invalid arguments:order_id"),
        ("cancel_order", {"order_userref": ["x"]}, "EGeneral:Invalid arguments:order_userref"),
        ("cancel_all", {"symbol": PAIR}, "Unsupported field: 'symbol' for the given msg type: cancel all"),
        ("cancel_all_orders_after", {}, "EGeneral:Invalid arguments:timeout"),
        ("cancel_all_orders_after", {"timeout": 1.5}, "EGeneral:Invalid arguments:timeout"),
        ("batch_add", {"symbol": PAIR}, "EGeneral:Invalid arguments:orders"),
        ("batch_add", {"symbol": PAIR, "orders": [{}]}, "EGeneral:Invalid arguments:orders"),
        ("batch_add", {"symbol": PAIR, "orders": [{}, {}]}, "EGeneral:Invalid arguments:side"),
        ("batch_cancel", {"orders": ["LIVE"]}, "EGeneral:Invalid arguments:orders"),
        ("batch_cancel", {"orders": ["ONONE1-AAAAA-AAAAAA", 5]}, "EOrder:Unknown order"),
    ],
)
def test_each_method_refuses_what_it_cannot_do(method: str, params: dict[str, Any], error: str) -> None:
    async def test(door: Door) -> None:
        live = await door.place()
        said = json.loads(json.dumps(params).replace("LIVE", live))
        answer = await door.one(method, **said)
        assert (answer["success"], answer["error"]) == (False, error)
        assert door.open() == [live]

    at_the_door(test)


# --- cancelling -------------------------------------------------------------------------------------------------------
def test_cancel_answers_once_for_each_order_by_any_of_its_ids() -> None:
    async def test(door: Door) -> None:
        first, second = await door.place(), await door.place(cl_ord_id="mine")
        third, fourth = await door.place(order_userref=5), await door.place(order_userref=5)
        answers = await door.call("cancel_order", order_id=[first, "ONONE1-AAAAA-AAAAAA"], cl_ord_id=["mine"], order_userref=[5])
        assert [answer["success"] for answer in answers] == [True, False, True, True, True]
        assert answers[1]["error"] == "EOrder:Unknown order"
        assert [answer["result"]["order_id"] for answer in answers if answer["success"]] == [first, second, third, fourth]
        assert door.open() == []

    at_the_door(test)


def test_cancel_all_batch_cancel_and_the_dead_mans_switch() -> None:
    async def test(door: Door) -> None:
        await door.place(), await door.place()
        assert (await door.one("cancel_all"))["result"] == {"count": 2}
        first, second = await door.place(), await door.place(cl_ord_id="mine")
        await door.place(order_userref=5)
        batch = await door.one("batch_cancel", orders=[first, 5], cl_ord_id=["mine"])
        assert (batch["result"], batch["orders_cancelled"]) == ({"count": 3}, 3)
        assert second not in door.open()
        await door.place()
        armed = (await door.one("cancel_all_orders_after", timeout=60))["result"]
        assert armed["triggerTime"] > armed["currentTime"]
        await asyncio.sleep(30)
        assert (await door.one("cancel_all_orders_after", timeout=0))["result"]["triggerTime"] == "0"
        await asyncio.sleep(60)
        assert len(door.open()) == 1
        await door.one("cancel_all_orders_after", timeout=60)
        await asyncio.sleep(61)
        assert door.open() == []

    at_the_door(test)


def test_batch_add_answers_for_each_order() -> None:
    async def test(door: Door) -> None:
        order = {name: value for name, value in LIMIT.items() if name != "symbol"}
        orders = [order | {"cl_ord_id": "a"}, order | {"order_qty": 1e-8}, order | {"order_userref": 3}]
        answer = await door.one("batch_add", symbol=PAIR, orders=orders)
        good, bad, also = answer["result"]
        assert (answer["success"], good["cl_ord_id"], also["order_userref"]) == (True, "a", 3)
        assert bad == {"error": "EOrder:Order minimum not met"}
        assert door.open() == [good["order_id"], also["order_id"]]

    at_the_door(test)


# --- the life of orders ----------------------------------------------------------------------------------------------
ICEBERG = ["pending_new", "new", "trade", *["iceberg_refill", "trade"] * 4, "filled"]
TRIGGERED = ["pending_new", "new", "status", "trade", "filled"]


def test_every_transition_of_every_order_type_arrives_in_order() -> None:
    async def test(door: Door) -> None:
        await door.client.subscribe("executions", token=door.token)
        await door.one("add_order", order_type="market", side="buy", order_qty=1, symbol=PAIR)
        below, above = price(door, "0.999"), price(door, "1.001")
        trailing = {"price": 0.1, "price_type": "pct"}
        wanted = {
            "limit": ({"limit_price": above}, ["pending_new", "new", "trade", "filled"]),
            "iceberg": ({"limit_price": above, "display_qty": 0.02}, ICEBERG),
            "stop-loss": ({"triggers": {"price": below}}, TRIGGERED),
            "stop-loss-limit": ({"triggers": {"price": below}, "limit_price": price(door, "0.998")}, TRIGGERED),
            "take-profit": ({"triggers": {"price": above}}, TRIGGERED),
            "take-profit-limit": ({"triggers": {"price": above}, "limit_price": above}, TRIGGERED),
            "trailing-stop": ({"triggers": trailing}, TRIGGERED),
            "trailing-stop-limit": ({"triggers": trailing, "limit_price": -5}, TRIGGERED),
        }
        placed = {}
        for kind, (terms, _) in wanted.items():
            answer = await door.one("add_order", order_type=kind, side="sell", order_qty=0.1, symbol=PAIR, **terms)
            placed[kind] = answer["result"]["order_id"]
        await asyncio.sleep(3600)
        rows = [row for frame in door.client.of("executions", "update") for row in frame["data"]]
        seen = {kind: [row["exec_type"] for row in rows if row["order_id"] == order_id] for kind, order_id in placed.items()}
        assert seen == {kind: kinds for kind, (_, kinds) in wanted.items()}
        sequences = [frame["sequence"] for frame in door.client.of("executions")]
        assert sequences == list(range(1, len(sequences) + 1))
        trades = {trade["id"] for trade in await door.exchange.fetch_my_trades(PAIR)}
        assert {row["exec_id"] for row in rows if row["exec_type"] == "trade"} == trades

    at_the_door(test)


# --- rights, rates, faults --------------------------------------------------------------------------------------------
def test_a_key_without_the_right_may_look_but_not_trade() -> None:
    keys = [ApiKey(key="twin-key", secret=SECRET, permissions=("query-open-trades", "create-ws-token"))]

    async def test(door: Door) -> None:
        assert (await door.client.subscribe("executions", token=door.token))[0]["success"]
        for method, params in (("add_order", LIMIT), ("cancel_all", {}), ("amend_order", {"order_id": "O", "order_qty": 1})):
            assert (await door.one(method, **params))["error"] == "EGeneral:Permission denied"

    at_the_door(test, keys=keys)


def test_orders_of_both_doors_share_one_engine_counter() -> None:
    async def test(door: Door) -> None:
        placed = 0
        while (answer := await door.one("add_order", **(LIMIT | {"order_qty": 0.01, "settle": 0.01})))["success"]:
            placed += 1
            await door.one("cancel_all", settle=0.01)
        assert answer["error"] == "EOrder:Rate limit exceeded"
        assert 60 <= placed <= 62  # the counter falls by one a second
        with pytest.raises(Exception, match="EOrder:Rate limit exceeded"):
            await door.exchange.create_order(PAIR, "limit", "buy", 0.01, 1000)

    at_the_door(test, limits=LimitRules(tier="starter"))


def test_a_lost_answer_leaves_the_order_and_its_events() -> None:
    async def test(door: Door) -> None:
        await door.client.subscribe("executions", token=door.token)
        assert await door.call("add_order", **LIMIT) == []
        assert len(door.open()) == 1
        kinds = [row["exec_type"] for frame in door.client.of("executions", "update") for row in frame["data"]]
        assert kinds == ["pending_new", "new"]
        assert door.twin.middleware.counters["add_order"] == 1

    at_the_door(test, plan='[[fault]]\nwhere = "add_order"\nnth = 1\naction = "lost_response"\n')
