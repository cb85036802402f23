"""What changes orders in the book: amends, replacement, the dead-man's switch, statuses of pairs and of the exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.simulation.test_exchange import SECOND, T0, bought, fills, make, move, request
from tests.unit.simulation.test_exchange_types import by, placed, walk
from trader.simulation.exchange_orders import Amendment, OrderRequest, Refused, Target

D = Decimal


# --- amend, replace ---------------------------------------------------------------------------------------------------
def test_an_amend_keeps_the_ids_and_its_history_is_told() -> None:
    exchange, order = placed("sell", "stop-loss-limit", trigger="95", price="94")
    amend_id = exchange.amend(order, T0 + SECOND, Amendment(price=D(93), trigger=D(96)))
    history = exchange.state.amends[order.txid]
    assert [(amend.kind, amend.trigger, amend.price) for amend in history] == [("original", D(95), D(94)), ("user", D(96), D(93))]
    assert (history[-1].amend_id, order.changed_us) == (amend_id, T0 + SECOND)


def test_an_amended_level_is_met_although_the_pair_was_calm_before() -> None:
    exchange, order = placed("sell", "stop-loss", trigger="95")
    assert walk(exchange, [99, 98.5, 99]) == []
    exchange.amend(order, T0 + 3 * SECOND, Amendment(trigger=D(98)))
    move(exchange, 98.2, second=4)
    assert order.status == "open"
    move(exchange, 97.9, second=5)
    assert order.status == "closed"


@pytest.mark.parametrize(
    ("side", "ordertype", "terms", "change", "expected"),
    [
        ("buy", "limit", {"price": "98"}, Amendment(price_by=by("-3")), {"price": "97"}),
        ("sell", "trailing-stop", {"trigger_by": by("+5")}, Amendment(trigger_by=by("+4")), {"trigger": "96"}),
        (
            "sell", "trailing-stop-limit", {"trigger_by": by("+5"), "price_by": by("-1")}, Amendment(price_by=by("-2")),
            {"trigger": "95", "price": "93"},
        ),
        ("buy", "iceberg", {"price": "98", "display": D("0.4")}, Amendment(display=D("0.2")), {"display": "0.2"}),
        ("buy", "limit", {"price": "98"}, Amendment(price=D(97), post_only=True), {"price": "97", "post_only": True}),
    ],
)  # fmt: skip
def test_an_amend_changes_what_the_type_has(
    side: str, ordertype: str, terms: dict[str, Any], change: Amendment, expected: dict[str, Any]
) -> None:
    exchange, order = placed(side, ordertype, **terms)
    exchange.amend(order, T0, change)
    assert {name: getattr(order, name) for name in expected} == {k: D(v) if isinstance(v, str) else v for k, v in expected.items()}


def test_an_amend_across_the_market_fills_and_a_post_only_one_is_refused() -> None:
    exchange, order = placed("buy", "limit", price="98")
    with pytest.raises(Refused, match="Post only"):
        exchange.amend(order, T0, Amendment(price=D(101), post_only=True))
    exchange.amend(order, T0, Amendment(price=D(101)))
    assert (order.status, fills(exchange)[-1][1]) == ("closed", "100.1")


def test_a_triggered_order_has_no_trigger_left_to_amend() -> None:
    exchange, order = placed("sell", "stop-loss-limit", trigger="95", price="97")
    walk(exchange, [94])
    with pytest.raises(Refused, match="trigger_price"):
        exchange.amend(order, T0, Amendment(trigger=D(90)))
    exchange.amend(order, T0, Amendment(price=D("94.5")))
    assert walk(exchange, [94.5]) == ["94.5"]


def test_replace_frees_the_old_hold_for_the_new_order_and_changes_nothing_when_refused() -> None:
    exchange = make(cash="100.4")
    order = exchange.place(request(ordertype="limit", price="99"), T0)
    with pytest.raises(Refused, match="Insufficient funds"):
        exchange.replace(order, request(ordertype="limit", price="99", volume="2"), T0)
    assert order.live
    new = exchange.replace(order, request(ordertype="limit", price="100", cl_ord_id=None), T0)
    assert (order.status, order.reason, new.status) == ("canceled", "Order replaced", "closed")


# --- time, statuses ---------------------------------------------------------------------------------------------------
def test_the_dead_mans_switch_ends_all_orders_stops_included_and_then_stays_off() -> None:
    exchange, stop = placed("sell", "stop-loss", trigger="90")
    due: list[int] = []
    exchange.due_listeners.append(due.append)
    assert exchange.arm(60, T0) == T0 + 60 * SECOND
    assert exchange.arm(60, T0 + 20 * SECOND) == T0 + 80 * SECOND  # each call starts it anew
    exchange.elapse(T0 + 79 * SECOND)
    assert stop.live
    exchange.elapse(due[-1])
    assert (stop.status, exchange.state.deadman_us) == ("canceled", 0)
    assert exchange.place(request("sell", "stop-loss", trigger="90"), T0 + 300 * SECOND).live
    exchange.arm(60, T0 + 300 * SECOND)
    assert exchange.arm(0, T0 + 301 * SECOND) == 0
    exchange.elapse(T0 + 900 * SECOND)
    assert len(exchange.open_orders()) == 1


def test_a_switch_armed_during_downtime_fires_when_the_exchange_returns() -> None:
    exchange, stop = placed("sell", "stop-loss", trigger="90")
    exchange.set_system_status("maintenance", T0)
    exchange.arm(10, T0)
    exchange.elapse(T0 + 60 * SECOND)
    move(exchange, 80.0, second=61)
    assert stop.live  # neither the switch nor the price did anything
    with pytest.raises(Refused, match="EService:Unavailable"):
        exchange.cancel(stop, T0 + 62 * SECOND)
    exchange.set_system_status("online", T0 + 70 * SECOND)
    assert (stop.status, stop.executed) == ("canceled", D(0))


@pytest.mark.parametrize(
    ("status", "order", "error"),
    [
        ("cancel_only", request(), "EService:Market in cancel_only mode"),
        ("post_only", request(ordertype="limit", price="90"), "EService:Market in post_only mode"),
        ("post_only", request(ordertype="limit", price="90", post_only=True), None),
        ("limit_only", request(), "EService:Market in limit_only mode"),
        ("limit_only", request(ordertype="limit", price="90"), None),
        ("reduce_only", request(), "EService:Market in reduce_only mode"),
        ("maintenance", request(), "EService:Unavailable"),
        ("delisted", request(), "EQuery:Unknown asset pair"),
    ],
)
def test_a_pairs_status_decides_what_it_takes(status: str, order: OrderRequest, error: str | None) -> None:
    exchange = make()
    exchange.set_pair_status("AAA/EUR", status)
    if error is None:
        assert exchange.place(order, T0).live
        return
    with pytest.raises(Refused) as refusal:
        exchange.place(order, T0)
    assert refusal.value.error == error
    assert exchange.place(request(pair="BBB/EUR"), T0).status == "closed"


def test_delisting_ends_the_orders_of_the_pair_and_a_raised_minimum_leaves_them() -> None:
    exchange, stop = placed("sell", "stop-loss", trigger="90")
    exchange.set_ordermin("AAA/EUR", D(5), T0)
    with pytest.raises(Refused, match="Order minimum not met"):
        exchange.place(request(), T0)
    assert stop.live
    assert exchange.delist("AAA/EUR", T0) == 1
    assert (stop.status, stop.reason) == ("canceled", "Market delisted")


def test_a_userref_may_name_several_orders_and_an_id_only_one() -> None:
    exchange = make()
    orders = [exchange.place(request(ordertype="limit", price="50", userref=7), T0) for _ in range(3)]
    assert exchange.matching(Target(userref=7), T0) == orders
    assert exchange.find(Target(txid=orders[1].txid), T0) is orders[1]
    with pytest.raises(Refused, match="Unknown order"):
        exchange.find(Target(cl_ord_id="nobody"), T0)


def test_what_no_stop_could_hold_is_bare_from_the_moment_at_which_one_could() -> None:
    exchange = make()
    bought(exchange)  # no stop rides on it
    assert list(exchange.protection_report(T0 + SECOND).unprotected) == ["AAA/EUR"]
    exchange.set_ordermin("AAA/EUR", D(5), T0 + SECOND)
    assert exchange.protection_report(T0 + 9 * SECOND).unprotected == {}
    exchange.set_ordermin("AAA/EUR", D("0.1"), T0 + 9 * SECOND)
    assert exchange.protection_report(T0 + 10 * SECOND).unprotected == {"AAA/EUR": T0 + 9 * SECOND}
