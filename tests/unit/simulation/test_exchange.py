"""The matching engine: what fills, when and at what price; holds, conditional closes, amends and refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Amendment, Event, OrderRequest, PairRules, Refused, TwinOrder
from trader.simulation.exchange_terms import Close
from trader.simulation.fills import FillRules, Tick

D = Decimal
T0 = 1_767_571_200_000_000
SECOND = 1_000_000


def rules(index: int, base: str, tick: str = "0.1", decimals: int = 1) -> PairRules:
    return PairRules(
        index=index,
        symbol=f"{base}/EUR",
        pair_id=f"X{base}ZEUR",
        altname=f"{base}EUR",
        wsname=f"{base}/EUR",
        base=base,
        quote="EUR",
        base_id=f"X{base}",
        quote_id="ZEUR",
        tick=D(tick),
        pair_decimals=decimals,
        lot_decimals=8,
        cost_decimals=5,
        quote_decimals=4,
        ordermin=D("0.001"),
        costmin=D("0.5"),
    )


def make(books: Books | None = None, *, cash: str = "10000", **fill_rules: Any) -> TwinExchange:
    exchange = TwinExchange(
        [rules(0, "AAA"), rules(1, "BBB", "0.05", 2)],
        cash={"EUR": D(cash)},
        fills=FillRules(**fill_rules),
        books=books or Books(None),
        seed=7,
        tag="abc",
        start_us=T0,
    )
    exchange.set_prices(np.array([100.0, 50.0]))
    return exchange


def request(side: str = "buy", ordertype: str = "market", volume: str = "1", close_trigger: str | None = None, **more: Any) -> OrderRequest:
    for name in ("price", "trigger"):
        if name in more:
            more[name] = D(more[name])
    if close_trigger is not None:
        more["close"] = Close(ordertype="stop-loss", trigger=D(close_trigger))
    more.setdefault("oflags", ("fciq",))
    return OrderRequest(pair=more.pop("pair", "AAA/EUR"), side=side, ordertype=ordertype, volume=D(volume), **more)


def move(exchange: TwinExchange, price: float, *, gap: bool = False, second: int = 1, part: int = 2) -> None:
    other = float(exchange.last("BBB/EUR"))
    exchange.advance(Tick(time_us=T0 + second * SECOND, prices=np.array([price, other]), gap=gap, part=part))


def fills(exchange: TwinExchange) -> list[tuple[str, str, str]]:
    return [(trade.side, str(trade.price), str(trade.quantity)) for trade in exchange.state.trades.values()]


def bought(exchange: TwinExchange, volume: str = "1", **more: Any) -> TwinOrder:
    return exchange.place(request(volume=volume, cl_ord_id="tabc00000000000001", **more), T0)


# --- fills at once ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("side", "ordertype", "price", "expected"),
    [
        ("buy", "market", None, "100.1"),  # 100 x 1.0005 = 100.05, up to the tick
        ("sell", "market", None, "99.9"),
        ("buy", "limit", "105", "100.1"),
        ("buy", "limit", "100", "100"),  # never above its limit
        ("sell", "limit", "95", "99.9"),
        ("sell", "limit", "100", "100"),
    ],
)
def test_a_marketable_order_fills_at_the_slipped_last_price_within_its_limit(
    side: str, ordertype: str, price: str | None, expected: str
) -> None:
    exchange = make()
    if side == "sell":
        bought(exchange)
    more = {} if price is None else {"price": price}
    order = exchange.place(request(side, ordertype, **more), T0)
    assert order.status == "closed"
    assert D(fills(exchange)[-1][1]) == D(expected)


@pytest.mark.parametrize(
    ("side", "moved_to", "price", "expected"),
    [
        ("sell", 104.0, "103", "103"),  # the move from 100 to 104 passed it: whoever answers the touch was there
        ("sell", 104.0, "104", "104"),
        ("sell", 104.0, "100", "103.9"),  # the move began there: the market as it stands, 104 x 0.9995
        ("sell", 104.0, "95", "103.9"),
        ("buy", 96.0, "97", "97"),
        ("buy", 96.0, "100", "96.1"),
        ("buy", 96.0, "105", "96.1"),
    ],
)
def test_a_limit_that_the_newest_move_passed_fills_at_its_own_price(side: str, moved_to: float, price: str, expected: str) -> None:
    exchange = make()
    if side == "sell":
        bought(exchange)
    move(exchange, moved_to)
    exchange.place(request(side, "limit", price=price, timeinforce="IOC"), T0 + 2 * SECOND)
    assert D(fills(exchange)[-1][1]) == D(expected)


def test_costs_are_exact_and_the_fee_is_rounded_up_to_quote_precision() -> None:
    exchange = make()
    order = bought(exchange, "0.33333333")
    trade = next(iter(exchange.state.trades.values()))
    assert trade.cost == D("33.3667")  # 0.33333333 x 100.1 = 33.366666...
    assert trade.fee == D("0.1335")  # 0.4 % = 0.1334668, up
    assert exchange.state.balances == {"EUR": D(10000) - D("33.3667") - D("0.1335"), "AAA": D("0.33333333")}
    assert (order.cost, order.fee, order.executed) == (trade.cost, trade.fee, trade.quantity)


@pytest.mark.parametrize(("side", "price", "expected"), [("buy", "100.1", "100.1"), ("buy", "100", None), ("sell", "100", None)])
def test_an_order_that_cannot_rest_takes_the_slipped_price_or_nothing(side: str, price: str, expected: str | None) -> None:
    exchange = make()
    bought(exchange)
    order = exchange.place(request(side, "limit", price=price, timeinforce="IOC"), T0)
    assert order.status == ("canceled" if expected is None else "closed")
    assert [trade for _, trade, _ in fills(exchange)][1:] == ([] if expected is None else [expected])


def test_ioc_below_the_market_ends_without_a_fill_and_frees_its_cash() -> None:
    exchange = make()
    order = exchange.place(request(ordertype="limit", price="99.9", timeinforce="IOC"), T0)
    assert (order.status, order.executed, exchange.held("EUR")) == ("canceled", D(0), D(0))


def test_without_fciq_a_sell_pays_its_fee_in_base_where_coins_are_left() -> None:
    exchange = make()
    bought(exchange)
    exchange.place(request("sell", volume="0.5", oflags=()), T0)
    assert exchange.state.balances["AAA"] == D("0.498")  # 0.4 % of the half sold stays behind as missing dust
    exchange.place(request("sell", volume="0.498", oflags=()), T0)
    assert exchange.state.balances["AAA"] == D(0)  # nothing left to pay with: the fee came from the proceeds


# --- resting orders ---------------------------------------------------------------------------------------------------
def test_a_resting_limit_fills_at_its_own_price_as_maker_when_touched() -> None:
    exchange = make()
    order = exchange.place(request(ordertype="limit", price="98"), T0)
    move(exchange, 98.1)
    assert order.live
    move(exchange, 98.0, second=2)
    trade = next(iter(exchange.state.trades.values()))
    assert (trade.price, trade.maker, trade.fee) == (D(98), True, D("0.245"))


@pytest.mark.parametrize(
    ("gap", "price", "expected"),
    [
        (False, 90.0, "94.9"),  # moved through 95: 95 x 0.9995 = 94.9525, down to the tick
        (True, 90.0, "89.9"),  # jumped over it: 90 x 0.9995
        (False, 95.0, "94.9"),
        (True, 95.0, "94.9"),
        (False, 95.1, None),
    ],
)
def test_a_stop_fills_at_its_level_on_a_move_and_at_the_open_on_a_gap(gap: bool, price: float, expected: str | None) -> None:
    exchange = make()
    bought(exchange)
    exchange.place(request("sell", "stop-loss", trigger="95"), T0)
    move(exchange, price, gap=gap)
    assert [price for side, price, _ in fills(exchange) if side == "sell"] == ([expected] if expected else [])


def test_one_falling_move_fills_a_limit_then_its_conditional_stop_in_path_order() -> None:
    exchange = make()
    exchange.place(request(ordertype="limit", price="98", close_trigger="96"), T0)
    exchange.place(request(ordertype="limit", price="97"), T0)
    move(exchange, 95.0)
    assert fills(exchange) == [("buy", "98", "1"), ("buy", "97", "1"), ("sell", "95.9", "1")]


def test_equal_prices_fill_in_time_order() -> None:
    exchange = make()
    first, second = (exchange.place(request(ordertype="limit", price="98", userref=n), T0) for n in (1, 2))
    move(exchange, 98.0)
    assert [trade.txid for trade in exchange.state.trades.values()] == [first.txid, second.txid]


def test_a_gtd_order_expires_at_its_time() -> None:
    exchange = make()
    order = exchange.place(request(ordertype="limit", price="98", timeinforce="GTD", expire_us=T0 + 5 * SECOND), T0)
    move(exchange, 99.0, second=4)
    assert order.live
    move(exchange, 97.0, second=5)
    assert (order.status, order.executed) == ("expired", D(0))


def test_pairs_without_orders_are_not_touched_and_nan_keeps_the_last_price() -> None:
    exchange = make()
    bought(exchange)
    exchange.place(request("sell", "stop-loss", trigger="95"), T0)
    exchange.advance(Tick(time_us=T0 + SECOND, prices=np.array([np.nan, 40.0]), gap=True, part=1))
    assert (exchange.last("AAA/EUR"), exchange.last("BBB/EUR")) == (D(100), D(40))
    assert len(exchange.open_orders()) == 1


# --- conditional close ------------------------------------------------------------------------------------------------
def test_the_closing_stop_appears_with_the_fill_holds_the_coins_and_refers_to_its_entry() -> None:
    exchange = make()
    entry = exchange.place(
        request(ordertype="limit", price="101", timeinforce="IOC", cl_ord_id="tabc00000000000001", close_trigger="97"), T0
    )
    (stop,) = exchange.open_orders()
    assert (stop.refid, stop.cl_ord_id, stop.volume, stop.trigger, stop.side) == (entry.txid, None, D(1), D(97), "sell")
    assert (exchange.held("AAA"), stop.ours) == (D(1), True)
    assert exchange.protection_report(T0 + 99 * SECOND).max_unprotected_us == 0


def test_each_fill_of_an_entry_opens_its_own_closing_stop_in_the_filled_quantity() -> None:
    exchange = make(share=D("0.4"))
    entry = exchange.place(request(ordertype="limit", price="98", close_trigger="95"), T0)
    seen = []
    for second in range(1, 4):
        move(exchange, 98.0, second=second)
        seen.append([str(order.volume) for order in exchange.open_orders() if order.refid == entry.txid])
    assert seen == [["0.4"], ["0.4", "0.4"], ["0.4", "0.4", "0.2"]]
    assert (entry.status, len(entry.trades), len(set(entry.closes))) == ("closed", 3, 3)


# --- amend, cancel ----------------------------------------------------------------------------------------------------
def test_a_stop_is_amended_in_place_and_its_hold_follows() -> None:
    exchange = make()
    bought(exchange)
    stop = exchange.place(request("sell", "stop-loss", trigger="90"), T0)
    exchange.amend(stop, T0, Amendment(trigger=D("96"), volume=D("0.6")))
    assert (stop.trigger, stop.volume, exchange.held("AAA"), exchange.available("AAA")) == (D(96), D("0.6"), D("0.6"), D("0.4"))
    move(exchange, 95.0)
    assert fills(exchange)[-1] == ("sell", "95.9", "0.6")


def test_an_amend_that_is_refused_leaves_the_order_as_it_was() -> None:
    exchange = make()
    bought(exchange)
    stop = exchange.place(request("sell", "stop-loss", trigger="90"), T0)
    for change, error in (
        (Amendment(trigger=D("100")), "EOrder:Invalid price"),  # passed already
        (Amendment(volume=D("2")), "EOrder:Insufficient funds"),
        (Amendment(price=D("99")), "EGeneral:Invalid arguments:limit_price"),
        (Amendment(trigger=D("90.05")), "EOrder:Invalid price:AAAEUR price can only be specified up to 1 decimals."),
        (Amendment(), "EGeneral:Invalid arguments:order_qty"),
    ):
        with pytest.raises(Refused) as refusal:
            exchange.amend(stop, T0, change)
        assert refusal.value.error == error
    assert (stop.trigger, stop.volume, stop.amends) == (D(90), D(1), 0)


def test_amending_below_what_is_filled_cancels_the_rest() -> None:
    exchange = make(share=D("0.4"))
    order = exchange.place(request(ordertype="limit", price="98"), T0)
    move(exchange, 98.0)
    exchange.amend(order, T0 + 2 * SECOND, Amendment(volume=D("0.2")))
    assert (order.status, order.executed, exchange.held("EUR")) == ("canceled", D("0.4"), D(0))


def test_cancel_frees_the_hold_and_a_second_cancel_is_an_unknown_order() -> None:
    exchange = make()
    order = exchange.place(request(ordertype="limit", price="50"), T0)
    assert exchange.held("EUR") == D("50.2")  # cost and taker fee
    exchange.cancel(order, T0)
    assert exchange.held("EUR") == D(0)
    with pytest.raises(Refused, match="EOrder:Unknown order"):
        exchange.cancel(order, T0)


def test_cancel_all_counts_live_orders_only() -> None:
    exchange = make()
    bought(exchange)
    for price in ("50", "51"):
        exchange.place(request(ordertype="limit", price=price), T0)
    assert (exchange.cancel_all(T0), exchange.cancel_all(T0)) == (2, 0)


# --- refusals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("order", "error"),
    [
        (request(pair="CCC/EUR"), "EQuery:Unknown asset pair"),
        (request(volume="0.0001"), "EOrder:Order minimum not met"),
        (request(ordertype="limit", price="0.1", volume="0.01"), "EOrder:Cost minimum not met"),
        (request(volume="-1"), "EGeneral:Invalid arguments:volume"),
        (request(volume="1e400000"), "EGeneral:Invalid arguments:volume"),
        (request(ordertype="limit", price="1e-400000"), "EGeneral:Invalid arguments:price"),
        (request(volume="NaN"), "EGeneral:Invalid arguments:volume"),
        (request(volume="0.123456789"), "EGeneral:Invalid arguments:volume"),
        (request(ordertype="limit", price="0"), "EGeneral:Invalid arguments:price"),
        (request(ordertype="limit"), "EGeneral:Invalid arguments:price"),
        (request(ordertype="limit", price="99.95"), "EOrder:Invalid price:AAAEUR price can only be specified up to 1 decimals."),
        (request(ordertype="limit", price="49.99", pair="BBB/EUR"), "EOrder:Tick size check failed"),
        (
            request(ordertype="limit", price="99", close_trigger="95.05"),
            "EOrder:Invalid price:AAAEUR price can only be specified up to 1 decimals.",
        ),
        (request(ordertype="settle-position"), "EGeneral:Invalid arguments:ordertype"),
        (request(ordertype="take-profit", trigger="120"), "EOrder:Invalid price"),  # passed already
        (request(volume="100"), "EOrder:Insufficient funds"),
        (request("sell"), "EOrder:Insufficient funds"),
        (request(ordertype="limit", price="100", post_only=True), "EOrder:Post only order"),
        (request("sell", "stop-loss", trigger="100"), "EOrder:Invalid price"),
        (request(deadline_us=T0 - 1), "EService:Deadline elapsed"),
        (request(cl_ord_id="x" * 19), "EGeneral:Invalid arguments:cl_ord_id"),
        (request(ordertype="limit", price="99", timeinforce="GTD", expire_us=T0), "EGeneral:Invalid arguments:expiretm"),
    ],
)
def test_bad_orders_are_refused_in_krakens_words_and_change_nothing(order: OrderRequest, error: str) -> None:
    exchange = make()
    before = exchange.state.dump()
    with pytest.raises(Refused) as refusal:
        exchange.place(order, T0)
    assert refusal.value.error == error
    assert exchange.state.dump() == before


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    exchange = make()
    first = exchange.place(request(ordertype="limit", price="50", cl_ord_id="same"), T0)
    with pytest.raises(Refused, match="client order id"):
        exchange.place(request(ordertype="limit", price="51", cl_ord_id="same"), T0)
    exchange.cancel(first, T0)
    again = exchange.place(request(ordertype="limit", price="50", cl_ord_id="same"), T0)
    assert again.txid != first.txid


def test_coins_held_by_a_stop_cannot_be_sold_twice() -> None:
    exchange = make()
    bought(exchange)
    exchange.place(request("sell", "stop-loss", trigger="90"), T0)
    with pytest.raises(Refused, match="Insufficient funds"):
        exchange.place(request("sell"), T0)


# --- reports and events -----------------------------------------------------------------------------------------------
def test_the_protection_clock_runs_while_live_sells_are_less_than_the_holding() -> None:
    exchange = make()
    bought(exchange)  # no conditional close: bare from here
    exchange.place(request("sell", "stop-loss", volume="0.5", trigger="90", cl_ord_id="tabc00000000000002"), T0 + 2 * SECOND)
    assert exchange.protection_report(T0 + 3 * SECOND).unprotected == {"AAA/EUR": T0}
    exchange.place(request("sell", "stop-loss", volume="0.5", trigger="90", cl_ord_id="tabc00000000000003"), T0 + 4 * SECOND)
    report = exchange.protection_report(T0 + 60 * SECOND)
    assert (report.unprotected, report.max_unprotected_us, report.positions) == ({}, 4 * SECOND, {"AAA/EUR": D(1)})


def test_orders_without_our_tag_are_foreign_and_need_no_protection() -> None:
    exchange = make()
    stranger = exchange.place(request(cl_ord_id="txyz00000000000001"), T0)
    report = exchange.protection_report(T0 + 60 * SECOND)
    assert (report.foreign_orders, report.max_unprotected_us, report.positions) == ((stranger.txid,), 0, {})


def test_swallowed_stops_are_acknowledged_but_never_rest() -> None:
    exchange = make()
    bought(exchange)
    stop = exchange.place(request("sell", "stop-loss", trigger="95"), T0, swallow=True)
    assert len(stop.txid) == 19
    move(exchange, 80.0)
    assert (exchange.open_orders(), len(exchange.state.trades)) == ([], 1)


def test_events_come_in_krakens_order_with_the_state_of_their_moment() -> None:
    exchange = make()
    seen: list[Event] = []
    exchange.listeners.append(seen.append)
    exchange.place(request(ordertype="limit", price="101", timeinforce="IOC", close_trigger="97"), T0)
    assert [event.kind for event in seen] == ["pending_new", "new", "trade", "filled", "pending_new", "new"]
    assert [str(event.order.executed) for event in seen[:4]] == ["0", "0", "1", "1"]


def test_ids_have_krakens_form_and_do_not_repeat() -> None:
    exchange = make()
    orders = [exchange.place(request(ordertype="limit", price="50"), T0) for _ in range(50)]
    txids = {order.txid for order in orders}
    assert len(txids) == 50
    assert all(txid[0] == "O" and [len(part) for part in txid.split("-")] == [6, 5, 6] for txid in txids)
