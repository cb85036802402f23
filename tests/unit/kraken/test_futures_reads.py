"""Futures reads: names and rules, recorded bodies, every page, event history, fees that are never guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from futures_wire import PAIR, FuturesWire, exchange, intent

from trader.domain.market import Timeframe
from trader.domain.orders import Acked, Balance, ExchangeStatus, Side
from trader.errors import RejectedError, RetryableError
from trader.kraken import futures_names, futures_translate
from trader.kraken.futures_rest import Window
from trader.kraken.futures_transport import WrongMethod
from trader.kraken.tariff import Allowance
from trader.simulation.loops import run_stepped


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [("PF_XBTUSD", "BTC/USD:USD"), ("PI_XBTUSD", "BTC/USD:BTC"), ("pf_ethusd", "ETH/USD:USD"), ("PF_XDGUSD", "DOGE/USD:USD")],
)
def test_a_symbol_has_its_unified_name(symbol: str, pair: str) -> None:
    assert futures_names.pair_of(symbol) == pair


@pytest.mark.parametrize("symbol", ["FI_XBTUSD_260130", "in_xbtusd", "PF_USD", "PF_XBTEUR", ""])
def test_what_is_no_perpetual_against_usd_has_none(symbol: str) -> None:
    with pytest.raises(ValueError, match="not a perpetual"):
        futures_names.pair_of(symbol)


def test_rules_name_tick_lot_and_status_also_for_lots_of_a_thousand() -> None:
    rules = run_stepped(exchange(FuturesWire()).instruments)
    assert list(rules) == ["BTC/USD:USD", "PEPE/USD:USD", "BTC/USD:BTC"]
    assert (rules[PAIR].tick, rules[PAIR].lot, rules[PAIR].order_min, rules[PAIR].status) == (
        1,
        Decimal("0.0001"),
        Decimal("0.0001"),
        "online",
    )
    assert rules["PEPE/USD:USD"].lot == 1000
    assert rules["PEPE/USD:USD"].quantity_down(Decimal(98_123)) == 98_000
    assert rules["BTC/USD:BTC"].status == "maintenance"


def test_recorded_contracts_and_tickers_are_read(body: Callable[[str], Any]) -> None:
    contracts = futures_names.read_contracts(body("nautilus/http_futures_instruments.json"))
    assert set(contracts.pairs) >= {"PI_XBTUSD", "PF_ETHUSD", "PF_PEPEUSD"}
    assert contracts.instruments["PEPE/USD:USD"].lot == 1000
    rows = {row["symbol"]: row for row in body("nautilus/http_futures_tickers.json")["tickers"]}
    ticker = futures_translate.ticker(rows["PF_ETHUSD"], "ETH/USD:USD")
    assert (ticker.bid, ticker.ask, ticker.last, ticker.quote_volume) == (3200, Decimal("3210.5"), Decimal("3200.5"), 1_600_000.0)


def test_recorded_orders_fills_and_positions_are_read(body: Callable[[str], Any]) -> None:
    def name(symbol: str) -> str:
        return futures_names.pair_of(symbol)

    orders = [futures_translate.open_order(row, name) for row in body("nautilus/http_futures_open_orders.json")["openOrders"]]
    assert [(o.order_type, o.quantity, o.filled) for o in orders] == [
        ("limit", 100, 0),
        ("take-profit-limit", 10, 0),
        ("limit", 7000, 2000),
    ]
    assert (orders[1].trigger_price, orders[2].cl_ord_id, orders[2].side) == (Decimal("1880.4"), "my-client-order-123", Side.SELL)
    fills = [futures_translate.fill(row, name) for row in body("nautilus/http_futures_fills.json")["fills"]]
    assert [fill.maker for fill in fills] == [True, False, True]
    assert (fills[0].pair, fills[0].fee, fills[0].cost) == ("BTC/USD:BTC", Decimal("0.00008957"), Decimal("0.1789709172"))
    positions = [futures_translate.position(row, name) for row in body("nautilus/http_futures_open_positions.json")["openPositions"]]
    assert [(p.side, p.size, p.leverage) for p in positions] == [(Side.SELL, 8000, None), (Side.BUY, 12000, None)]
    rates = [futures_translate.funding_rate(row, PAIR) for row in body("nautilus/http_futures_historical_funding_rates.json")["rates"]]
    assert [rate.relative for rate in rates] == [Decimal("0.0001"), Decimal("-0.00005"), Decimal("0.00015")]
    feed = body("nautilus/ws_futures_fills_delta.json")["fills"]
    assert [(f.quantity, f.fee, f.side) for f in (futures_translate.stream_fill(row, name) for row in feed)] == [
        (Decimal("0.001"), Decimal("0.001581"), Side.BUY)
    ]


def test_recorded_candles_and_books_are_read(body: Callable[[str], Any]) -> None:
    rows = body("nautilus/http_futures_candles_trade.json")["candles"]
    candles = [futures_translate.candle(row, PAIR, Timeframe.H1) for row in rows]
    assert [(c.time_us, c.close, c.volume) for c in candles[:2]] == [
        (1_731_715_200_000_000, 91_045.5, 319_499.0), (1_731_718_800_000_000, 91_415.0, 2_407.0),
    ]  # fmt: skip
    asks = futures_translate.levels(body("nautilus/http_futures_orderbook.json")["orderBook"]["asks"], "asks")
    assert asks[0] == (105_950, Decimal("0.3"))


def test_recorded_answers_to_orders_are_proof(body: Callable[[str], Any]) -> None:
    wire = FuturesWire(
        sendorder=body("nautilus/http_send_order_futures.json"), cancelorder=body("nautilus/http_cancel_order_futures.json")
    )  # fmt: skip
    known = "c8a35168-8d52-4609-944f-3f32bb0d5c77"
    assert run_stepped(lambda: exchange(wire).submit(intent())) == Acked(txid=known)
    assert run_stepped(lambda: exchange(wire).cancel(known)) == Acked(txid=known)


def test_a_fill_without_its_fee_is_malformed_never_guessed() -> None:
    row = {"fill_id": "f", "order_id": "o", "symbol": "PF_XBTUSD", "side": "buy", "size": 1, "price": 5, "fillTime": "2026-01-05T00:00:00Z"}
    with pytest.raises(ValueError, match="fee_paid"):
        futures_translate.fill(row, futures_names.pair_of)


def test_fee_rates_come_from_their_source_or_not_at_all() -> None:
    async def source() -> tuple[Decimal, Decimal]:
        return Decimal("0.0005"), Decimal("0.0002")

    assert run_stepped(exchange(FuturesWire(), fees=source).fee_rates) == (Decimal("0.0005"), Decimal("0.0002"))
    with pytest.raises(RejectedError, match="do not tell"):
        run_stepped(exchange(FuturesWire()).fee_rates)
    with pytest.raises(ValueError, match="trigger_signal 'bid'"):
        exchange(FuturesWire(), trigger_signal="bid")


def _fill(number: int, second: int) -> dict[str, Any]:
    return {
        "fill_id": f"f{number}", "order_id": "o", "symbol": "PF_XBTUSD", "side": "buy", "size": 1, "price": 5, "fee_paid": 0,
        "fillTime": f"2026-01-05T00:00:{second:02d}.000Z", "fillType": "taker",
    }  # fmt: skip


def test_fills_are_read_to_the_end_though_pages_share_a_moment() -> None:
    rows = [_fill(number, number // 3) for number in range(100)]  # three fills a second

    def page(params: Mapping[str, Any]) -> dict[str, Any]:
        before = params.get("lastFillTime", "9")
        return {"fills": [row for row in reversed(rows) if row["fillTime"] < before][:10]}

    wire = FuturesWire(fills=page)
    fills = run_stepped(lambda: exchange(wire).fills(0))
    assert sorted(fill.trade_id for fill in fills) == sorted(row["fill_id"] for row in rows)
    assert [fill.time_us for fill in fills] == sorted(fill.time_us for fill in fills)
    recent = run_stepped(lambda: exchange(wire).fills(fills[-8].time_us))
    assert {fill.time_us > fills[-8].time_us for fill in recent} == {True}


def test_a_full_page_within_one_millisecond_is_an_error_not_the_end() -> None:
    crowd = [_fill(number, 1) for number in range(100)]
    wire = FuturesWire(fills=lambda _: {"fills": crowd})
    with pytest.raises(RetryableError, match="more than a page of 100 in one millisecond"):
        run_stepped(lambda: exchange(wire).fills(0))


def _event(uid: str, kind: str, *, filled: str = "0", left: str = "1", at: int = 1, **body: Any) -> dict[str, Any]:
    order = {
        "uid": uid, "tradeable": "PF_XBTUSD", "direction": "Sell", "quantity": left, "filled": filled, "timestamp": 1_767_571_200_000,
        "limitPrice": "5", "orderType": "Limit", "clientId": f"c-{uid}", "lastUpdateTimestamp": 1_767_571_200_000 + at,
    }  # fmt: skip
    key = "newOrder" if kind in ("OrderUpdated", "OrderEdited") else "order"
    return {"uid": f"e{at}", "timestamp": at, "event": {kind: {key: order, "reason": body.get("reason", "")}}}


def test_the_newest_event_says_how_an_order_ended() -> None:
    orders = [
        _event("d", "OrderPlaced", at=9), _event("b", "OrderCancelled", filled="0.4", left="0.6", at=8), _event("c", "OrderRejected", at=7),
        _event("a", "OrderUpdated", filled="1", left="0", at=6, reason="full_fill"), _event("b", "OrderPlaced", at=5),
        _event("a", "OrderPlaced", at=4), _event("t", "OrderPlaced", filled="1", left="0", at=3),
    ]  # fmt: skip
    triggers = [_event("u", "OrderTriggerCancelled", at=10), _event("t", "OrderTriggerActivated", at=2), _event("u", "OrderTriggerPlaced")]
    pages = [{"elements": orders[:3], "continuationToken": "more"}, {"elements": orders[3:]}]
    wire = FuturesWire(orders=pages, triggers={"elements": triggers})
    closed = run_stepped(lambda: exchange(wire).closed_orders(0))
    assert [(o.txid, o.status, o.quantity, o.filled) for o in closed] == [
        ("t", ExchangeStatus.CLOSED, 1, 1), ("a", ExchangeStatus.CLOSED, 1, 1),
        ("b", ExchangeStatus.CANCELED, 1, Decimal("0.4")), ("u", ExchangeStatus.CANCELED, 1, 0),
    ]  # fmt: skip
    assert [params.get("continuation_token") for params in wire.sent("orders")] == [None, "more"]


def test_an_order_whose_status_is_forgotten_is_found_in_the_history() -> None:
    status = {
        "order": {
            "type": "TRIGGER_ORDER", "orderId": "s", "cliOrdId": "c", "symbol": "PF_XBTUSD", "side": "sell", "quantity": 1, "filled": 0,
            "limitPrice": None, "timestamp": "2026-01-05T00:00:00.000Z", "lastUpdateTimestamp": "2026-01-05T00:00:00.000Z",
            "priceTriggerOptions": {"triggerPrice": 4, "triggerSide": "TRIGGER_BELOW"},
        },
        "status": "TRIGGER_PLACED",
    }  # fmt: skip
    events = {"elements": [_event("old", "OrderCancelled", at=8)]}
    wire = FuturesWire(**{"orders/status": {"orders": [status]}, "orders": events, "triggers": {"elements": []}})
    found = run_stepped(lambda: exchange(wire).orders(["old", "s", "unknown"]))
    assert [(o.txid, o.status, o.order_type) for o in found] == [
        ("old", ExchangeStatus.CANCELED, "limit"), ("s", ExchangeStatus.OPEN, "stop-loss"),
    ]  # fmt: skip


def test_the_search_for_an_unknown_order_stays_within_the_history_tokens() -> None:
    """Both lists are long; what is not found is no proof that there is nothing."""
    pages = [{"elements": [_event(f"o{n}", "OrderPlaced", at=200 - n)], "continuationToken": str(n)} for n in range(60)]
    pages[-1].pop("continuationToken")
    endless = {"elements": [_event("t", "OrderTriggerPlaced")], "continuationToken": "more"}
    wire = FuturesWire(**{"orders/status": {"orders": []}, "orders": pages, "triggers": endless})
    with pytest.raises(RetryableError, match="still more"):
        run_stepped(lambda: exchange(wire).orders(["unknown"]))
    assert len(wire.sent("orders")) == 60
    assert len(wire.sent("orders")) + len(wire.sent("triggers")) == 90


def test_order_statuses_are_asked_by_the_method_that_is_served() -> None:
    wire = FuturesWire(**{"orders/status": [WrongMethod("HTTP 405"), {"orders": []}, {"orders": []}], "orders": {"elements": []},
                          "triggers": {"elements": []}})  # fmt: skip

    async def test() -> None:
        venue = exchange(wire)
        await venue.orders(["a"])
        await venue.orders(["a"])

    run_stepped(test)
    assert [method for method, path, _ in wire.calls if path == "orders/status"] == ["POST", "GET", "GET"]


def test_balances_name_the_account_they_are_in() -> None:
    accounts = {
        "cash": {"type": "cashAccount", "balances": {"usd": 5, "xbt": Decimal("0.5")}},
        "fi_xbtusd": {"type": "marginAccount", "currency": "xbt", "balances": {"xbt": 2, "PI_XBTUSD": 8}, "marginRequirements": {"im": 1}},
        "flex": {"type": "multiCollateralMarginAccount", "currencies": {"USD": {"quantity": 100}}, "initialMargin": Decimal("7.5")},
    }
    found = run_stepped(exchange(FuturesWire(accounts={"accounts": accounts})).balances)
    assert found["USD"] == Balance(asset="USD", total=Decimal(100), held=Decimal("7.5"))
    assert found["BTC@fi_xbtusd"] == Balance(asset="BTC@fi_xbtusd", total=Decimal(2), held=Decimal(1))
    assert set(found) == {"USD", "BTC@fi_xbtusd", "USD@cash", "BTC@cash"}


@pytest.mark.parametrize("answer", [{"result": "success"}, {"openPositions": [{"side": "up"}]}], ids=["no list", "no side"])
def test_unreadable_positions_are_no_flat_account(answer: dict[str, Any]) -> None:
    with pytest.raises(RetryableError, match="malformed"):
        run_stepped(exchange(FuturesWire(openpositions=answer)).positions)


def test_the_window_never_holds_more_than_its_allowance_in_any_stretch() -> None:
    window, spent, now = Window(Allowance(50.0, 10.0)), list[tuple[int, float]](), 0
    for number in range(300):
        cost = (2.0, 10.0, 3.0)[number % 3]
        now += int(window.wait_s(now, cost, 1.0) * 1e6)
        window.charge(now, cost)
        spent.append((now, cost))
        assert sum(units for time_us, units in spent if time_us > now - 10_000_000) <= 50
    assert sum(units for _, units in spent) / (now / 1e6) > 4.5  # of 5 a second
