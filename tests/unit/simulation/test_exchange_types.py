"""Every order type as a table: what is asked for and the prices that follow, what trades and where the order stands then."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.simulation.test_exchange import SECOND, T0, bought, fills, make, move, request
from trader.domain.money import plain
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import Event, OrderRequest, Refused, TwinOrder
from trader.simulation.exchange_terms import Close, Offset

D = Decimal


def by(text: str) -> Offset:
    return Offset.parse(text)


def placed(side: str, ordertype: str, *, exchange: TwinExchange | None = None, **more: Any) -> tuple[TwinExchange, TwinOrder]:
    """An order of this type on a market at 100, with a coin in hand for sells."""
    exchange = exchange or make()
    if side == "sell":
        bought(exchange)
    return exchange, exchange.place(request(side, ordertype, **more), T0)


def walk(exchange: TwinExchange, path: list[float], *, gap: bool = False) -> list[str]:
    """Prices of the fills that the path brings; `gap`: it jumps instead of moving."""
    before = len(exchange.state.trades)
    for second, price in enumerate(path, start=1):
        move(exchange, price, second=second, gap=gap)
    return [plain(D(price)) for _, price, _ in fills(exchange)[before:]]


# s = 0.0005: a market fill at p gives floor(p x 0.9995) for sells and ceil(p x 1.0005) for buys, to the tick of 0.1
Case = tuple[str, str, dict[str, Any], list[float], list[str], str]  # side, type, terms, path of prices, fills, status then
TYPES: list[Case] = [
    ("sell", "stop-loss", {"trigger": "95"}, [96, 95.1], [], "open"),
    ("sell", "stop-loss", {"trigger": "95"}, [96, 94], ["94.9"], "closed"),
    ("buy", "stop-loss", {"trigger": "105"}, [104, 106], ["105.1"], "closed"),
    ("sell", "take-profit", {"trigger": "105"}, [104.9, 106], ["104.9"], "closed"),
    ("buy", "take-profit", {"trigger": "95"}, [96, 94], ["95.1"], "closed"),
    ("sell", "take-profit", {"trigger": "105"}, [80, 104.9], [], "open"),
    ("sell", "stop-loss-limit", {"trigger": "95", "price": "94"}, [95.0], ["94.9"], "closed"),  # the limit is worse: it takes
    ("sell", "stop-loss-limit", {"trigger": "95", "price": "97"}, [94, 96.9], [], "open"),  # triggered, then rests
    ("sell", "stop-loss-limit", {"trigger": "95", "price": "97"}, [94, 97], ["97"], "closed"),
    ("sell", "stop-loss-limit", {"trigger": "95", "price": "97"}, [97, 99], [], "open"),  # never triggered: no limit yet
    ("buy", "stop-loss-limit", {"trigger": "105", "price": "105.5"}, [106], ["105.1"], "closed"),
    ("sell", "take-profit-limit", {"trigger": "105", "price": "106"}, [105.5, 104], [], "open"),
    ("sell", "take-profit-limit", {"trigger": "105", "price": "106"}, [105.5, 106], ["106"], "closed"),
    ("buy", "take-profit-limit", {"trigger": "95", "price": "94"}, [94.5, 94], ["94"], "closed"),
    ("sell", "trailing-stop", {"trigger_by": by("+5")}, [99, 95.1], [], "open"),
    ("sell", "trailing-stop", {"trigger_by": by("+5")}, [110, 105.1, 105], ["104.9"], "closed"),
    ("sell", "trailing-stop", {"trigger_by": by("+5%")}, [110, 104.6, 104.5], ["104.4"], "closed"),
    ("buy", "trailing-stop", {"trigger_by": by("+5")}, [90, 94.9, 95], ["95.1"], "closed"),
    ("sell", "trailing-stop-limit", {"trigger_by": by("+5"), "price_by": by("-1")}, [110, 105], ["104.9"], "closed"),
    ("sell", "trailing-stop-limit", {"trigger_by": by("+5"), "price_by": by("+1")}, [110, 104, 105.9], [], "open"),
    ("sell", "trailing-stop-limit", {"trigger_by": by("+5"), "price_by": by("+1")}, [110, 104, 106], ["106"], "closed"),
    ("buy", "limit", {"price_by": by("-2%")}, [98.1, 98], ["98"], "closed"),
    ("buy", "limit", {"price_by": by("#2")}, [98], ["98"], "closed"),
    ("sell", "limit", {"price_by": by("#2")}, [102], ["102"], "closed"),
    ("sell", "stop-loss", {"trigger_by": by("#5%")}, [95], ["94.9"], "closed"),
    ("sell", "take-profit", {"trigger_by": by("#5")}, [105], ["104.9"], "closed"),
    ("sell", "stop-loss-limit", {"trigger": "95", "price_by": by("-1")}, [95], ["94.9"], "closed"),
    ("buy", "iceberg", {"price": "98", "display": D("0.4")}, [98, 98, 98], ["98", "98", "98"], "closed"),
]


@pytest.mark.parametrize("case", TYPES)
def test_an_order_of_this_type_trades_there_on_that_path(case: Case) -> None:
    side, ordertype, terms, path, prices, status = case
    exchange, order = placed(side, ordertype, **terms)
    assert walk(exchange, path) == prices
    assert order.status == status
    assert exchange.held("EUR") >= 0
    assert (order.status == "open") or exchange.held("AAA") == exchange.held("EUR") == 0


def test_a_gap_over_a_trailing_stop_trades_where_the_market_opens() -> None:
    exchange, _ = placed("sell", "trailing-stop", trigger_by=by("+5"))
    assert walk(exchange, [110, 90], gap=True) == ["89.9"]


@pytest.mark.parametrize(
    ("side", "ordertype", "terms", "path", "kinds"),
    [
        ("sell", "stop-loss", {"trigger": "95"}, [94], ["status", "trade", "filled"]),
        ("sell", "stop-loss-limit", {"trigger": "95", "price": "97"}, [94, 97], ["status", "trade", "filled"]),
        ("sell", "trailing-stop", {"trigger_by": by("+5")}, [101, 100, 102, 97], ["status", "status", "status", "trade", "filled"]),
        ("buy", "iceberg", {"price": "98", "display": D("0.5")}, [98, 98], ["trade", "iceberg_refill", "trade", "filled"]),
    ],
)
def test_every_transition_is_an_event(side: str, ordertype: str, terms: dict[str, Any], path: list[float], kinds: list[str]) -> None:
    exchange, order = placed(side, ordertype, **terms)
    seen: list[Event] = []
    exchange.listeners.append(seen.append)
    walk(exchange, path)
    assert [event.kind for event in seen if event.order.txid == order.txid] == kinds


def test_a_trailing_stop_shows_its_peak_and_follows_it_but_never_back() -> None:
    exchange, order = placed("sell", "trailing-stop", trigger_by=by("+5"))
    seen = []
    for second, price in enumerate([103.0, 101.0, 104.0], start=1):
        move(exchange, price, second=second)
        seen.append((str(order.peak), str(order.trigger)))
    assert seen == [("103.0", "98.0"), ("103.0", "98.0"), ("104.0", "99.0")]


# --- time in force ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("share", "tif", "price", "status", "executed"),
    [
        ("1", "IOC", "101", "closed", "1"),
        ("0.4", "IOC", "101", "canceled", "0.4"),
        ("1", "FOK", "101", "closed", "1"),
        ("0.4", "FOK", "101", "canceled", "0"),
        ("1", "FOK", "99", "canceled", "0"),
        ("0.4", "GTC", "101", "open", "0.4"),
    ],
)
def test_time_in_force_decides_what_becomes_of_the_rest(share: str, tif: str, price: str, status: str, executed: str) -> None:
    exchange = make(share=D(share))
    order = exchange.place(request(ordertype="limit", price=price, timeinforce=tif), T0)
    assert (order.status, order.executed) == (status, D(executed))


def test_a_scheduled_order_is_pending_until_its_start_and_is_judged_then() -> None:
    exchange = make()
    order = exchange.place(request(ordertype="limit", price_by=by("-1"), start_us=T0 + 5 * SECOND), T0)
    poor = exchange.place(request(ordertype="limit", price="99", volume="1000", start_us=T0 + 5 * SECOND), T0)
    assert (order.status, exchange.held("EUR"), exchange.dues()) == ("pending", D(0), [T0 + 5 * SECOND] * 2)
    move(exchange, 90.0, second=4)
    assert order.status == "pending"
    move(exchange, 90.0, second=5)
    assert (order.status, order.price) == ("open", D(89))  # one below the price at its start
    assert (poor.status, poor.reason) == ("canceled", "Insufficient funds")


# --- cost, post-only, margin ------------------------------------------------------------------------------------------
def test_a_market_buy_by_cost_spends_at_most_its_cash_before_fees() -> None:
    exchange = make()
    order = exchange.place(request(volume="0", cash=D(250), oflags=("viqc", "fciq")), T0)
    assert order.volume == D("2.49750249")  # 250 / 100.1, whole lots
    assert (order.status, order.cost <= 250, 250 - order.cost < D("0.0001")) == ("closed", True, True)


@pytest.mark.parametrize(("style", "status"), [("refuse", None), ("cancel", "canceled")])
def test_a_post_only_order_that_would_trade_is_refused_or_canceled(style: str, status: str | None) -> None:
    exchange = make()
    exchange.post_only_style = style
    order = request(ordertype="limit", price="100", post_only=True)
    if status is None:
        with pytest.raises(Refused, match="EOrder:Post only order"):
            exchange.place(order, T0)
        return
    ended = exchange.place(order, T0)
    assert (ended.status, ended.reason, ended.executed, exchange.held("EUR")) == ("canceled", "Post only order", D(0), D(0))


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (request(reduce_only=True), "EOrder:Reduce only:No position exists"),
        (request(leverage="3"), "EOrder:Margin allowance exceeded"),
        (request(ordertype="limit", price="99", display=D("0.5")), "EGeneral:Invalid arguments:displayvol"),
        (request(ordertype="iceberg", price="99", display=D("0.05")), "EGeneral:Invalid arguments:displayvol"),
        (request("buy", "trailing-stop", trigger="105"), "EGeneral:Invalid arguments:price"),
        (request("buy", "trailing-stop", trigger_by=by("-5")), "EGeneral:Invalid arguments:price"),
        (request("buy", "trailing-stop-limit", trigger_by=by("+5")), "EGeneral:Invalid arguments:price2"),
        (request("buy", "stop-loss-limit", trigger="105"), "EGeneral:Invalid arguments:price2"),
        (request("buy", "stop-loss", trigger="105", price="106"), "EGeneral:Invalid arguments:price2"),
        (request("buy", "limit", price_by=by("-100%")), "EOrder:Invalid price"),
        (request(timeinforce="FOK"), "EGeneral:Invalid arguments:timeinforce"),
        (request(volume="0", cash=D("0.2"), oflags=("viqc",)), "EOrder:Cost minimum not met"),
        (request("sell", volume="0", cash=D(20), oflags=("viqc",)), "EGeneral:Invalid arguments:viqc"),
        (request(close=Close(ordertype="market")), "EGeneral:Invalid arguments:close[ordertype]"),
        (request(close=Close(ordertype="stop-loss")), "EGeneral:Invalid arguments:close[price]"),
    ],
)
def test_terms_that_do_not_fit_are_refused_in_krakens_words(order: OrderRequest, error: str) -> None:
    with pytest.raises(Refused) as refusal:
        make().place(order, T0)
    assert refusal.value.error == error


def test_a_pair_takes_so_many_live_orders_and_no_more() -> None:
    exchange = make()
    exchange.open_limit = 2
    first = exchange.place(request(ordertype="limit", price="50"), T0)
    exchange.place(request(ordertype="limit", price="50"), T0)
    with pytest.raises(Refused, match="EOrder:Orders limit exceeded"):
        exchange.place(request(ordertype="limit", price="50"), T0)
    exchange.place(request(ordertype="limit", price="30", pair="BBB/EUR"), T0)  # its own count
    exchange.cancel(first, T0)
    assert exchange.place(request(ordertype="limit", price="50"), T0).live


# --- conditional close ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("close", "path", "prices"),
    [
        (Close(ordertype="stop-loss", trigger=D(95)), [94], ["94.9"]),
        (Close(ordertype="take-profit", trigger=D(105)), [106], ["104.9"]),
        (Close(ordertype="stop-loss-limit", trigger=D(95), price=D(94)), [95], ["94.9"]),
        (Close(ordertype="limit", price=D(103)), [103], ["103"]),
        (Close(ordertype="trailing-stop", trigger_by=by("+5")), [110, 105], ["104.9"]),
        (Close(ordertype="stop-loss", trigger_by=by("-5%")), [95], ["94.9"]),
        (Close(ordertype="take-profit-limit", trigger=D(105), price_by=by("-1")), [105], ["104.9"]),
    ],
)
def test_a_closing_order_may_be_of_any_type(close: Close, path: list[float], prices: list[str]) -> None:
    exchange = make()
    entry = exchange.place(request(ordertype="limit", price="101", timeinforce="IOC", close=close), T0)
    (order,) = exchange.open_orders()
    assert (order.refid, order.ordertype, order.volume, order.side) == (entry.txid, close.ordertype, D(1), "sell")
    assert walk(exchange, path) == prices
