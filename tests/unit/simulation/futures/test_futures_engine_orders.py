"""Futures orders of the twin: every type, every refusal, triggers, reduce-only, edits, the dead-man's switch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.futures_kit import BTC, ETH, Bench
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.orders import Unplaced


def test_a_market_order_fills_around_the_last_price_and_pays_the_taker_fee() -> None:
    bench = Bench(slippage=Decimal("0.002"))
    order = bench.send("buy", "2")
    (fill,) = bench.engine.state.fills.values()
    assert (order.status, fill.price, fill.fee, fill.fill_type) == ("filled", Decimal("100.2"), Decimal("0.1002"), "taker")
    assert bench.cash() == Decimal(1_000) - fill.fee


def test_a_market_order_beyond_its_price_protection_does_not_execute() -> None:
    bench = Bench(slippage=Decimal("0.02"))
    with pytest.raises(Unplaced, match="iocWouldNotExecute"):
        bench.send("buy", "1")
    assert bench.engine.open_orders() == []


def test_a_limit_rests_and_fills_at_its_price_when_touched_as_maker() -> None:
    bench = Bench()
    order = bench.send("buy", "1", "lmt", limit_price="99")
    bench.move(99.1)
    assert order.live
    bench.move(98.0)
    (fill,) = bench.engine.state.fills.values()
    assert (fill.price, fill.fill_type, fill.fee) == (Decimal(99), "maker", Decimal("0.0198"))


def test_partial_touches_fill_a_share_each() -> None:
    bench = Bench(share=Decimal("0.4"))
    order = bench.send("buy", "1", "lmt", limit_price="99")
    seen = []
    for price in (98.0, 100.0, 98.0, 100.0, 98.0):
        bench.move(price)
        seen.append(order.filled)
    assert seen == [Decimal("0.4"), Decimal("0.4"), Decimal("0.8"), Decimal("0.8"), Decimal(1)]


@pytest.mark.parametrize(
    ("order_type", "fields", "status"),
    [
        ("post", {"limit_price": "100"}, "postWouldExecute"),
        ("ioc", {"limit_price": "99"}, "iocWouldNotExecute"),
        ("fok", {"limit_price": "99"}, "iocWouldNotExecute"),
        ("lmt", {"limit_price": "99.95"}, "invalidPrice"),
        ("lmt", {"limit_price": "-1"}, "invalidPrice"),
        ("iceberg", {"limit_price": "99"}, "invalidOrderType"),
        ("lmt", {"limit_price": "99", "cli_ord_id": "x" * 101}, "clientOrderIdTooLong"),
        ("mkt", {"reduce_only": True}, "wouldNotReducePosition"),
    ],
)
def test_what_is_refused_and_how(order_type: str, fields: dict[str, Any], status: str) -> None:
    bench = Bench()
    with pytest.raises(Unplaced, match=f"^{status}$"):
        bench.send("buy", "1", order_type, **fields)
    assert not bench.engine.state.orders


@pytest.mark.parametrize("size", ["0", "-1", "0.00001", "NaN", "Infinity"])
def test_a_size_off_the_lot_is_refused(size: str) -> None:
    with pytest.raises(Unplaced, match="invalidSize"):
        Bench().send("buy", size)


@pytest.mark.parametrize(
    ("order_type", "fields", "error"),
    [
        ("lmt", {}, "requiredArgumentMissing"),
        ("stp", {}, "requiredArgumentMissing"),
        ("trailing_stop", {}, "requiredArgumentMissing"),
        ("trailing_stop", {"deviation": "1", "unit": "MILES"}, "invalidArgument: trailingStopDeviationUnit"),
        ("trailing_stop", {"deviation": "0", "unit": "PERCENT"}, "invalidArgument: trailingStopMaxDeviation"),
        ("stp", {"stop_price": "90", "trigger_signal": "moon"}, "invalidArgument: triggerSignal"),
    ],
)
def test_missing_and_unreadable_arguments_are_errors_of_the_request(order_type: str, fields: dict[str, Any], error: str) -> None:
    with pytest.raises(Refused, match=error):
        Bench().send("sell", "1", order_type, **fields)


def test_unknown_contracts_suspended_markets_and_repeated_client_ids_are_refused() -> None:
    bench = Bench()
    with pytest.raises(Refused, match="contractNotFound"):
        bench.send("buy", "1", symbol="PF_NOPEUSD")
    bench.engine.trading = lambda contract: contract.symbol != ETH
    with pytest.raises(Unplaced, match="marketSuspended"):
        bench.send("buy", "1", symbol=ETH)
    bench.send("buy", "1", "lmt", limit_price="99", cli_ord_id="mine")
    with pytest.raises(Unplaced, match="clientOrderIdAlreadyExist"):
        bench.send("buy", "1", "lmt", limit_price="98", cli_ord_id="mine")


def test_a_crossing_post_order_is_cancelled_where_the_switch_says_so() -> None:
    bench = Bench()
    bench.engine.post_only_style = "cancel"
    order = bench.send("buy", "1", "post", limit_price="100")
    assert (order.status, order.reason) == ("cancelled", "post_order_failed_because_it_would_filled")
    assert not bench.engine.state.fills


@pytest.mark.parametrize(
    ("side", "order_type", "stop", "path", "price"),
    [
        ("sell", "stp", "95", [97.0, 94.0], "95"),
        ("buy", "stp", "105", [103.0, 106.0], "105"),
        ("sell", "take_profit", "105", [103.0, 106.0], "105"),
        ("buy", "take_profit", "95", [97.0, 94.0], "95"),
    ],
)
def test_triggers_fire_on_the_right_side_in_the_order_of_the_path(
    side: str, order_type: str, stop: str, path: list[float], price: str
) -> None:
    bench = Bench()
    order = bench.send(side, "1", order_type, stop_price=stop)
    bench.move(path[0])
    assert order.waiting
    bench.move(path[1])
    (fill,) = bench.engine.state.fills.values()
    assert (order.triggered, fill.price, fill.side) == (True, Decimal(price), side)


def test_a_gap_fills_a_stop_where_the_price_lands() -> None:
    bench = Bench()
    bench.send("sell", "1", "stp", stop_price="95")
    bench.move(90.0, gap=True)
    assert [fill.price for fill in bench.engine.state.fills.values()] == [Decimal(90)]


def test_a_stop_with_a_limit_rests_at_it_after_a_gap() -> None:
    bench = Bench()
    order = bench.send("sell", "1", "stp", stop_price="95", limit_price="94")
    bench.move(90.0, gap=True)
    assert (order.triggered, order.live) == (True, True)
    bench.move(94.5)
    (fill,) = bench.engine.state.fills.values()
    assert (fill.price, fill.fill_type) == (Decimal(94), "maker")


def test_a_mark_signal_waits_for_the_mark_price() -> None:
    bench = Bench()
    gap = bench.engine.premium(bench.engine.contract(BTC))
    assert gap != 0
    by_mark = bench.send("sell", "1", "stp", stop_price="95", trigger_signal="mark")
    by_index = bench.send("sell", "1", "stp", stop_price="95", trigger_signal="index")
    first, second = (by_mark, by_index) if gap < 0 else (by_index, by_mark)
    bench.move(float(95 * (1 + abs(gap) / 2)) if gap < 0 else 95.0)
    assert (first.triggered, second.triggered) == (True, False)


@pytest.mark.parametrize(("unit", "deviation"), [("PERCENT", "5"), ("QUOTE_CURRENCY", "5.5")])
def test_a_trailing_stop_follows_the_peak_and_never_back(unit: str, deviation: str) -> None:
    bench = Bench()
    order = bench.send("sell", "1", "trailing_stop", deviation=deviation, unit=unit)
    bench.move(110.0)
    peak_stop = Decimal("104.5")
    assert order.stop_price == peak_stop
    bench.move(105.0)
    assert order.stop_price == peak_stop
    bench.move(100.0)
    assert [fill.price for fill in bench.engine.state.fills.values()] == [peak_stop]


def test_a_trigger_behind_the_price_fires_at_once() -> None:
    order = Bench().send("sell", "1", "stp", stop_price="101")
    assert order.status == "filled"


# --- reduce-only -------------------------------------------------------------------------------------------------------
def test_reduce_only_never_turns_a_position() -> None:
    bench = Bench()
    bench.send("buy", "1")
    order = bench.send("sell", "3", reduce_only=True)
    assert (bench.size(), order.filled, order.status) == (Decimal(0), Decimal(1), "cancelled")


def test_a_reduce_only_trigger_without_a_position_ends_when_it_fires() -> None:
    bench = Bench()
    order = bench.send("sell", "1", "stp", stop_price="95", reduce_only=True)
    bench.move(94.0)
    assert (order.status, order.reason, bench.size()) == ("cancelled", "would_not_reduce_position", Decimal(0))


# --- edit, cancel, switch ----------------------------------------------------------------------------------------------
def test_an_edit_keeps_the_ids_and_may_fill_at_once() -> None:
    bench = Bench()
    order = bench.send("buy", "1", "lmt", limit_price="90", cli_ord_id="mine")
    bench.engine.edit(order, bench.now, size=Decimal(2), limit_price=Decimal(91), stop_price=None)
    assert (order.size, order.limit_price, order.cli_ord_id) == (Decimal(2), Decimal(91), "mine")
    bench.engine.edit(order, bench.now, size=None, limit_price=Decimal(101), stop_price=None)
    assert (order.status, bench.size()) == ("filled", Decimal(2))
    with pytest.raises(Unplaced, match="orderForEditNotFound"):
        bench.engine.edit(order, bench.now, size=Decimal(3), limit_price=None, stop_price=None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"stop_price": "91"}, "orderForEditNotAStop"), ({"size": "0.00001"}, "invalidSize"), ({"limit_price": "90.55"}, "invalidPrice"),
     ({"size": "100000"}, "insufficientAvailableFunds")],
)  # fmt: skip
def test_a_bad_edit_changes_nothing(fields: dict[str, str], status: str) -> None:
    bench = Bench()
    order = bench.send("buy", "1", "lmt", limit_price="90")
    values = {name: Decimal(fields[name]) if name in fields else None for name in ("size", "limit_price", "stop_price")}
    with pytest.raises(Unplaced, match=status):
        bench.engine.edit(order, bench.now, **values)
    assert (order.size, order.limit_price, order.stop_price) == (Decimal(1), Decimal(90), None)


def test_cancelling_says_what_the_order_was() -> None:
    bench = Bench()
    order, done = bench.send("buy", "1", "lmt", limit_price="90"), bench.send("buy", "1")
    bench.engine.cancel(order, bench.now)
    for which, status in ((order, "notFound"), (done, "filled"), (None, "notFound")):
        with pytest.raises(Unplaced, match=status):
            bench.engine.cancel(which, bench.now)


def test_cancel_all_keeps_to_its_contract() -> None:
    bench = Bench()
    first, second = bench.send("buy", "1", "lmt", limit_price="90"), bench.send("buy", "1", "lmt", limit_price="40", symbol=ETH)
    bench.engine.cancel_all(bench.now, ETH)
    assert (first.live, second.live) == (True, False)


def test_the_dead_mans_switch_cancels_everything_once() -> None:
    bench = Bench()
    order = bench.send("buy", "1", "lmt", limit_price="90")
    bench.engine.arm(bench.now + 2_000_000, bench.now)
    bench.move(100.0)
    assert order.live
    bench.move(100.0)
    assert (order.live, order.reason, bench.engine.state.switch_us) == (False, "dead_man_switch", 0)
    later = bench.send("buy", "1", "lmt", limit_price="90")
    bench.move(100.0)
    assert later.live


def test_an_edit_beyond_the_largest_position_is_refused() -> None:
    bench = Bench()
    order = bench.send("buy", "1", "lmt", limit_price="90")
    with pytest.raises(Unplaced, match="maxPositionViolation"):
        bench.engine.edit(order, bench.now, size=Decimal(75_000_001), limit_price=None, stop_price=None)
    assert order.size == 1


@pytest.mark.parametrize("size", ["1e28", "1e30", "12345678901234567890123456789012.1"])
def test_a_number_of_many_digits_is_judged_like_any_other(size: str) -> None:
    with pytest.raises(Unplaced, match=r"maxPositionViolation|invalidSize"):
        Bench().send("buy", size)
