"""Order entry on the private WebSocket of the twin: what add_order reads, exactly, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import PAIR
from tests.wire.order_door import LIMIT, Door, at_the_door, price
from trader.simulation.exchange_terms import Offset
from trader.simulation.kraken_server.spot.render import iso


# --- adding -----------------------------------------------------------------------------------------------------------
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
