"""Kraken's JSON becomes exact values; what decides something must be there."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from trader.domain.market import Timeframe
from trader.domain.orders import ExchangeStatus, Side
from trader.kraken import translate
from trader.kraken.exact import exact_json


def same(name: str) -> str:
    return name


def test_recorded_open_orders_are_read_exactly(body: Callable[[str], Any]) -> None:
    rows = body("nautilus/http_open_orders.json")["result"]["open"]
    orders = {txid: translate.order(txid, row, same) for txid, row in rows.items()}
    limit = orders["O26VBY-ISGAE-JP5TLU"]
    assert (limit.side, limit.order_type, limit.status) == (Side.BUY, "limit", ExchangeStatus.OPEN)
    assert (limit.limit_price, limit.trigger_price, limit.quantity) == (Decimal("29500.0"), None, Decimal("0.50000000"))
    assert limit.opened_us == 1_688_583_840_864_800
    stop = orders["OYEQF4-FDE4C-NMUYUI"]
    assert stop.trigger_price == Decimal("1800.0")


def test_recorded_triggered_orders_keep_trigger_and_limit_apart(body: Callable[[str], Any]) -> None:
    bodies = body("ccxt/spot_responses.json")["bodies"]
    ((txid, row),) = bodies["OpenOrders_stop_loss_limit"]["result"]["open"].items()
    order = translate.order(txid, row, same)
    assert (order.trigger_price, order.limit_price) == (Decimal("55.00000"), Decimal("54.00000"))
    ((txid, row),) = bodies["OpenOrders_take_profit"]["result"]["open"].items()
    assert translate.order(txid, row, same).trigger_price == Decimal("120.00000")


def test_recorded_closed_orders_and_trades_are_read(body: Callable[[str], Any]) -> None:
    closed = [translate.order(txid, row, same) for txid, row in body("nautilus/http_closed_orders.json")["result"]["closed"].items()]
    assert len(closed) > 0
    assert all(not order.status.live and order.closed_us is not None for order in closed)
    fills = [translate.fill(key, row, same) for key, row in body("nautilus/http_trades_history.json")["result"]["trades"].items()]
    assert fills[0].trade_id == "TCCCTY-WJ6EO-4FP4VZ"
    assert (fills[0].price, fills[0].quantity, fills[0].fee, fills[0].maker) == (
        Decimal("29500.50"),
        Decimal("0.50000000"),
        Decimal("23.60"),
        True,
    )
    assert fills[0].time_us == 1_688_585_840_892_100


def test_recorded_candles_mark_minutes_without_trades(body: Callable[[str], Any]) -> None:
    rows = body("nautilus/http_ohlc.json")["result"]["XBTUSDT"]
    candles = [translate.candle(row, "BTC/USDT", Timeframe.M1) for row in rows]
    assert len(candles) == 721
    assert sum(candle.filled for candle in candles) == 216
    assert all(candle.open == candle.close and candle.volume == 0 for candle in candles if candle.filled)


def test_recorded_stream_candle_is_read(body: Callable[[str], Any]) -> None:
    (item,) = body("nautilus/ws_ohlc_update.json")["data"]
    begin = translate.stamp_us(item["interval_begin"], "interval_begin")
    candle = translate.stream_candle(item, "BTC/USD", Timeframe.M1, begin)
    assert (candle.close, candle.count, candle.time_us) == (106040.1, 12, 1_696_436_700_000_000)


def test_stamps_are_microseconds_and_read_back() -> None:
    assert translate.stamp_us("2023-10-06T17:35:55.440295Z", "timestamp") == 1_696_613_755_440_295
    assert translate.stamp_us("2023-10-04T16:25:00.000000000Z", "timestamp") % 1_000_000 == 0
    assert translate.stamp_us(translate.rfc3339(1_767_571_205_250_000), "deadline") == 1_767_571_205_250_000
    with pytest.raises(ValueError, match="UTC"):
        translate.stamp_us("2023-10-06T17:35:55+02:00", "timestamp")


@pytest.mark.parametrize("value", [None, True, "NaN", "Infinity", "1e999999999", "", {}, "12,5"])
def test_numbers_that_are_none_are_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="vol_exec"):
        translate.decimal(value, "vol_exec")


def test_exact_json_keeps_all_digits_and_refuses_nan() -> None:
    assert exact_json('{"q": 1234567890.12345678}')["q"] == Decimal("1234567890.12345678")
    with pytest.raises(ValueError, match="NaN"):
        exact_json('{"q": NaN}')


def test_an_order_without_its_status_is_refused_not_guessed() -> None:
    row = {"descr": {"pair": "XBTEUR", "type": "buy", "ordertype": "limit", "price": "1"}, "vol": "1", "vol_exec": "0", "opentm": 1}
    with pytest.raises(ValueError, match="status"):
        translate.order("OAAAAA-BBBBB-CCCCCC", row, same)
