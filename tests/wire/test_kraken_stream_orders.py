"""Order entry on the private WebSocket of the twin: every method, every refusal, exact numbers, answers by req_id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import PAIR, trading
from tests.wire.stream_kit import Frame, Stream, stream
from trader.simulation.exchange_terms import Offset
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.keyring import ApiKey
from trader.simulation.kraken_server.limits import LimitRules
from trader.simulation.kraken_server.render import iso
from trader.simulation.loops import run_stepped

LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.1, "symbol": PAIR, "limit_price": 1000.5}
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="


class Door:
    """A private connection with a token."""

    def __init__(self, twin: KrakenTwin, exchange: Any, client: Stream, token: str) -> None:
        self.twin, self.exchange, self.client, self.token = twin, exchange, client, token

    async def call(self, method: str, *, settle: float = 0.5, **params: Any) -> list[Frame]:
        answers = await self.client.ask(method, {"token": self.token} | params, settle=settle)
        assert all((answer["method"], answer["req_id"]) == (method, 7) for answer in answers)
        assert all(answer["time_in"] <= answer["time_out"] for answer in answers)
        return answers

    async def one(self, method: str, **params: Any) -> Frame:
        (answer,) = await self.call(method, **params)
        return answer

    async def place(self, **changes: Any) -> str:
        answer = await self.one("add_order", **(LIMIT | changes))
        assert answer["success"], answer
        return str(answer["result"]["order_id"])

    def open(self) -> list[str]:
        return [order.txid for order in self.twin.exchange.open_orders()]


def at_the_door(test: Callable[[Door], Awaitable[None]], **options: Any) -> None:
    """Run a test with an authenticated connection."""

    async def main() -> None:
        async with trading(**options) as (twin, exchange), stream() as client:
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            await test(Door(twin, exchange, client, token))

    run_stepped(main)


# --- adding -----------------------------------------------------------------------------------------------------------
def price(door: Door, factor: str) -> float:
    rules = door.twin.exchange.rule(PAIR)
    return float((door.twin.exchange.last(PAIR) * Decimal(factor)).quantize(rules.tick))


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, {"ordertype": "limit", "volume": Decimal("0.1"), "price": Decimal("1000.5"), "timeinforce": "GTC"}),
        ({"order_qty": "0.10000001", "limit_price": "1000.50"}, {"volume": Decimal("0.10000001"), "price": Decimal("1000.50")}),
        ({"limit_price": 1e3}, {"price": Decimal(1000)}),
        ({"cl_ord_id": "mine-1"}, {"cl_ord_id": "mine-1"}),
        ({"order_userref": 42}, {"userref": 42}),
        ({"post_only": True}, {"post_only": True}),
        ({"time_in_force": "gtd", "expire_time": "2026-01-05T01:00:00Z"}, {"timeinforce": "GTD", "expire_us": 1767574800000000}),
        ({"effective_time": "2026-01-05T01:00:00.5Z"}, {"status": "pending", "start_us": 1767574800500000}),
        ({"fee_preference": "quote", "no_mpp": True}, {"oflags": ("fciq", "nompp")}),
        ({"fee_preference": "base"}, {"oflags": ("fcib",)}),
        ({"stp_type": "cancel_both", "reduce_only": False, "margin": False}, {"ordertype": "limit"}),
        ({"order_type": "iceberg", "display_qty": 0.01}, {"ordertype": "iceberg", "display": Decimal("0.01")}),
        ({"deadline": "2026-01-05T00:00:01.5Z"}, {"ordertype": "limit"}),
    ],
)
def test_add_order_reads_every_parameter_exactly(changes: dict[str, Any], seen: dict[str, Any]) -> None:
    async def test(door: Door) -> None:
        answer = await door.one("add_order", **(LIMIT | changes))
        assert answer["success"], answer
        order = door.twin.exchange.state.orders[answer["result"]["order_id"]]
        assert {name: getattr(order, name) for name in seen} == seen
        ids = {name: changes[name] for name in ("cl_ord_id", "order_userref") if name in changes}
        assert answer["result"] == {"order_id": order.txid} | ids

    at_the_door(test)


@pytest.mark.parametrize(
    ("terms", "seen"),
    [
        ({"order_type": "stop-loss", "side": "buy", "triggers": {"price": "1.1"}}, {"trigger": "1.1"}),
        ({"order_type": "stop-loss-limit", "triggers": {"price": "1.1"}, "limit_price": "1.2"}, {"trigger": "1.1", "price": "1.2"}),
        ({"order_type": "take-profit", "triggers": {"reference": "last", "price": "0.9"}}, {"trigger": "0.9"}),
        ({"order_type": "take-profit-limit", "triggers": {"price": "0.9"}, "limit_price": "0.9"}, {"trigger": "0.9", "price": "0.9"}),
    ],
)
def test_triggered_orders_carry_their_levels(terms: dict[str, Any], seen: dict[str, str]) -> None:
    async def test(door: Door) -> None:
        params = dict(terms)
        params["triggers"] = terms["triggers"] | {"price": price(door, terms["triggers"]["price"])}
        if "limit_price" in terms:
            params["limit_price"] = price(door, terms["limit_price"])
        answer = await door.one("add_order", side="buy", order_qty=0.1, symbol=PAIR, **{k: v for k, v in params.items() if k != "side"})
        assert answer["success"], answer
        order = door.twin.exchange.state.orders[answer["result"]["order_id"]]
        assert {name: float(getattr(order, name)) for name in seen} == {name: price(door, factor) for name, factor in seen.items()}

    at_the_door(test)


@pytest.mark.parametrize(
    ("terms", "trigger_by", "price_by"),
    [
        ({"order_type": "trailing-stop", "triggers": {"price": 1.5, "price_type": "pct"}}, "+1.5%", None),
        ({"order_type": "trailing-stop", "triggers": {"price": "100", "price_type": "quote"}}, "+100", None),
        ({"order_type": "trailing-stop-limit", "triggers": {"price": 1, "price_type": "pct"}, "limit_price": -2}, "+1%", "-2"),
    ],
)
def test_trailing_orders_carry_their_distances(terms: dict[str, Any], trigger_by: str, price_by: str | None) -> None:
    async def test(door: Door) -> None:
        answer = await door.one("add_order", side="buy", order_qty=0.1, symbol=PAIR, **terms)
        assert answer["success"], answer
        order = door.twin.exchange.state.orders[answer["result"]["order_id"]]
        assert order.trigger_by == Offset.parse(trigger_by)
        assert order.price_by == (None if price_by is None else Offset.parse(price_by))

    at_the_door(test)


def test_a_market_order_for_cash_with_a_conditional_close_fills_and_is_protected() -> None:
    async def test(door: Door) -> None:
        await door.client.subscribe("executions", token=door.token)
        stop = price(door, "0.9")
        answer = await door.one(
            "add_order", order_type="market", side="buy", cash_order_qty=500, symbol=PAIR,
            conditional={"order_type": "stop-loss", "trigger_price": stop},
        )  # fmt: skip
        assert answer["success"], answer
        order = door.twin.exchange.state.orders[answer["result"]["order_id"]]
        assert order.status == "closed"
        assert 499 < order.cost <= 500
        (close,) = door.twin.exchange.open_orders()
        assert (close.refid, close.ordertype, float(close.trigger or 0)) == (order.txid, "stop-loss", stop)
        kinds = [row["exec_type"] for frame in door.client.of("executions", "update") for row in frame["data"]]
        assert kinds == ["pending_new", "new", "trade", "filled", "pending_new", "new"]

    at_the_door(test)


def test_validate_judges_and_places_nothing() -> None:
    async def test(door: Door) -> None:
        answer = await door.one("add_order", **(LIMIT | {"validate": True, "cl_ord_id": "mine"}))
        assert (answer["success"], answer["result"]) == (True, {"cl_ord_id": "mine"})
        assert (await door.one("add_order", **(LIMIT | {"validate": True, "order_qty": 1e-8})))["error"] == "EOrder:Order minimum not met"
        assert door.open() == []

    at_the_door(test)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"token": "stale"}, "ESession:Invalid session"),
        ({"symbol": "NOPE/EUR"}, "Currency pair not supported NOPE/EUR"),
        ({"symbol": None}, "Currency pair not supported None"),
        ({"price": 5}, "Unsupported field: 'price' for the given msg type: add order"),
        ({"triggers": {"at": 5}, "order_type": "stop-loss"}, "Unsupported field: 'at' for the given msg type: add order"),
        ({"side": "hold"}, "EGeneral:Invalid arguments:side"),
        ({"order_type": "settle-position"}, "EGeneral:Invalid arguments:order_type"),
        ({"order_qty": None}, "EGeneral:Invalid arguments:order_qty"),
        ({"order_qty": True}, "EGeneral:Invalid arguments:order_qty"),
        ({"order_qty": "much"}, "EGeneral:Invalid arguments:order_qty"),
        ({"order_qty": "Infinity"}, "EGeneral:Invalid arguments:order_qty"),
        ({"cash_order_qty": 5}, "EGeneral:Invalid arguments:order_qty"),
        ({"order_qty": 1e-8}, "EOrder:Order minimum not met"),
        ({"order_qty": 1000}, "EOrder:Insufficient funds"),
        ({"limit_price": 1.005}, "EOrder:Invalid price:ETHEUR price can only be specified up to 2 decimals."),
        ({"limit_price": [1]}, "EGeneral:Invalid arguments:limit_price"),
        ({"limit_price_type": "far"}, "EGeneral:Invalid arguments:limit_price_type"),
        ({"triggers": {"price": 5}}, "EGeneral:Invalid arguments:triggers"),
        ({"triggers": 5, "order_type": "stop-loss"}, "EGeneral:Invalid arguments:triggers"),
        ({"triggers": {"price": 5, "reference": "index"}, "order_type": "stop-loss"}, "EGeneral:Invalid arguments:Index unavailable"),
        ({"conditional": {"order_type": "market"}}, "EGeneral:Invalid arguments:conditional"),
        ({"conditional": 5}, "EGeneral:Invalid arguments:conditional"),
        ({"post_only": "yes"}, "EGeneral:Invalid arguments:post_only"),
        ({"order_userref": "1"}, "EGeneral:Invalid arguments:order_userref"),
        ({"cl_ord_id": 5}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a", "order_userref": 5}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a client id of too many characters"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"fee_preference": "none"}, "EGeneral:Invalid arguments:fee_preference"),
        ({"stp_type": "never"}, "EGeneral:Invalid arguments:stp_type"),
        ({"time_in_force": "day"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"time_in_force": "gtd"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expire_time": "soon"}, "EGeneral:Invalid arguments:expire_time"),
        ({"deadline": "2026-01-04T23:59:59Z"}, "EService:Deadline elapsed"),
        ({"deadline": "2026-01-05T00:02:00Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"reduce_only": True}, "EOrder:Reduce only:No position exists"),
        ({"margin": True}, "EOrder:Margin allowance exceeded"),
    ],
)
def test_bad_orders_get_krakens_strings_and_place_nothing(changes: dict[str, Any], error: str) -> None:
    async def test(door: Door) -> None:
        answer = await door.one("add_order", **(LIMIT | changes))
        assert (answer["success"], answer["error"]) == (False, error)
        assert "result" not in answer
        assert door.twin.exchange.state.orders == {}

    at_the_door(test)


def test_a_deadline_nearer_than_half_a_second_is_refused_and_half_a_second_taken() -> None:
    async def test(door: Door) -> None:
        for milliseconds, good in ((499, False), (501, True)):
            when = iso(door.twin.clock.now_us() + milliseconds * 1000)
            answer = await door.one("add_order", **(LIMIT | {"deadline": when}))
            assert answer["success"] is good, answer

    at_the_door(test)


def test_parameters_beside_params_are_not_read() -> None:
    async def test(door: Door) -> None:
        message = {"method": "add_order", "params": LIMIT | {"token": door.token}, "req_id": 7, "validate": True, "cl_ord_id": "lost"}
        (answer,) = [frame for frame in await door.client.send(message) if "method" in frame]
        assert answer["success"]
        assert door.twin.exchange.state.orders[answer["result"]["order_id"]].cl_ord_id is None

    at_the_door(test)


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
