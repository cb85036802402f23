"""What was recorded from Kraken, read by our adapter over sockets; each file is read here or listed with the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import pytest

from tests.clients.recorded import load, names
from tests.clients.recorded_kraken import Reader, reading
from trader.domain.market import Timeframe
from trader.domain.messages import Tick
from trader.domain.orders import ExchangeStatus, Intent, Leg, OrderType, RemoteOrder, Side
from trader.errors import RetryableError
from trader.simulation.loops import run_stepped

T = TypeVar("T")
NOW_US = 1_762_820_224_000_000  # when most of the public bodies were recorded, 2025-11-11T00:17:04Z
WRITTEN = "written by hand after the documentation (PROVENANCE.md)"
NOT_ASKED = "the adapter never asks for it"
UNREAD: Mapping[str, str] = {
    "http_add_order_spot.json": f"{WRITTEN}; AddOrder_market of ccxt/spot_responses.json is the recorded one",
    "http_cancel_order_spot.json": f"{WRITTEN}; cancelling is in the contract suite",
    "http_spot_balance.json": f"{WRITTEN}; the adapter asks BalanceEx, which tells holds",
    "http_spot_open_positions.json": f"{WRITTEN}; margin is not traded on spot",
    "http_spot_trade_balance.json": f"{WRITTEN}; margin is not traded on spot",
    "http_trades.json": "candles come from OHLC and the archive; the adapter does not page trades",
    "ws_add_order_request.json": "a request, ours go by REST (KRAKEN.md pitfall Q)",
    "ws_add_order_response_failure.json": "our orders go by REST",
    "ws_add_order_response_success.json": "our orders go by REST",
    "ws_amend_order_request.json": "our orders go by REST",
    "ws_batch_add_request.json": "single orders only (KRAKEN.md pitfall P)",
    "ws_batch_add_response_partial.json": "single orders only (KRAKEN.md pitfall P)",
    "ws_cancel_order_request.json": "our orders go by REST",
    "ws_book_snapshot.json": f"{NOT_ASKED}: books come by REST",
    "ws_book_update.json": f"{NOT_ASKED}: books come by REST",
    "ws_ticker_snapshot.json": f"{NOT_ASKED}: tickers come by REST",
}  # fmt: skip
READ = {
    "http_asset_pairs.json", "http_asset_pairs_tokenized.json", "http_server_time.json", "http_system_status.json", "http_ohlc.json",
    "http_ticker.json", "http_order_book.json", "http_open_orders.json", "http_closed_orders.json", "http_trades_history.json",
    "ws_ohlc_update.json", "ws_trade_update.json", "ws_pong.json", "ws_subscribe_response.json",
}  # fmt: skip
"""Spot files that a test below reads."""


def spot_files() -> list[str]:
    found = [name for name in names("*.json") if "futures" not in name and "_l3_" not in name]
    if not found:
        load("nautilus/http_ohlc.json")  # skips with its message
    return found


def test_every_spot_file_is_read_or_listed_with_a_reason() -> None:
    found = spot_files()
    assert len(found) >= 30
    assert sorted(READ | set(UNREAD)) == found
    assert all(len(reason) > 15 for reason in UNREAD.values())


def read(bodies: Mapping[str, Any], work: Callable[[Reader], Awaitable[T]], *, now_us: int = NOW_US, frames: Sequence[Any] = ()) -> T:
    """Serve the bodies, let the adapter read them."""

    async def run() -> T:
        async with reading(now_us, bodies, frames) as reader:
            return await work(reader)

    return run_stepped(run)


def body(name: str) -> Any:
    """One of ccxt's recorded bodies."""
    return load("ccxt/spot_responses.json")["bodies"][name]


# --- public -------------------------------------------------------------------------------------------------------------
def test_pairs_of_currencies_are_read_and_tokenised_stocks_left_out() -> None:
    rules = read({}, lambda reader: reader.exchange.instruments())
    assert "AAPLX/USD" not in {pair.upper() for pair in rules}
    pair = rules["BTC/USDT"]
    assert (pair.base, pair.quote, pair.tick, pair.lot, pair.cost_min, pair.status) == (
        "BTC", "USDT", Decimal("0.1"), Decimal("1e-8"), Decimal("0.5"), "online",
    )  # fmt: skip
    assert pair.order_min == Decimal("0.00005")


def test_time_and_status_are_read() -> None:
    bodies = {"Time": load("nautilus/http_server_time.json"), "SystemStatus": load("nautilus/http_system_status.json")}
    assert read(bodies, lambda reader: reader.exchange.server_time()) // 1_000_000 == 1762820224
    assert read(bodies, lambda reader: reader.exchange.system_status()) == "online"


def test_candles_come_as_recorded_without_the_running_one() -> None:
    recorded = load("nautilus/http_ohlc.json")
    candles = read({"OHLC": recorded}, lambda reader: reader.market.history("BTC/USDT", Timeframe.M1))
    rows = recorded["result"]["XBTUSDT"]
    assert (len(rows), len(candles)) == (721, 720)
    for row, candle in zip(rows, candles, strict=False):
        assert candle.time_us == row[0] * 1_000_000
        assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == tuple(
            float(row[column]) for column in (1, 2, 3, 4, 6)
        )
        assert (candle.count, candle.filled) == (row[7], row[7] == 0)
    assert sum(candle.filled for candle in candles) > 200


def test_an_hour_candle_excerpt_of_another_recorder_is_read() -> None:
    now_us = 1_706_799_600_000_000 + 60_000_000
    candles = read({"OHLC": body("OHLC_1h_excerpt")}, lambda reader: reader.market.history("BTC/USDT", Timeframe.H1), now_us=now_us)
    assert [(candle.close, candle.count) for candle in candles][:2] == [(43361.1, 162), (43485.0, 126)]


def test_tickers_are_read() -> None:
    for recorded, bid, last in ((load("nautilus/http_ticker.json"), "105944.2", "105899.4"), (body("Ticker"), "73380.6", "73380.6")):
        ticker = read({"Ticker": recorded}, lambda reader: reader.market.tickers())["BTC/USDT"]
        assert (ticker.bid, ticker.last) == (Decimal(bid), Decimal(last))
        assert ticker.ask > ticker.bid


def test_the_book_is_read() -> None:
    recorded = load("nautilus/http_order_book.json")
    book = read({"Depth": recorded}, lambda reader: reader.market.book("BTC/USDT"))
    for side, levels in (("asks", book.asks), ("bids", book.bids)):
        assert len(levels) == len(recorded["result"]["XBTUSDT"][side]) >= 5
        assert levels == tuple((Decimal(row[0]), Decimal(row[1])) for row in recorded["result"]["XBTUSDT"][side])


# --- orders -------------------------------------------------------------------------------------------------------------
ORDERS = {
    "QueryOrders_open_limit_post": ("OR6EGN-KQSEG-AMI6CL", "LTC/USDT", "limit", ExchangeStatus.OPEN, "50", None),
    "QueryOrders_closed_market": ("OGMZCL-KC6MC-ZRBGM6", "LTC/USDT", "market", ExchangeStatus.CLOSED, None, None),
    "OpenOrders_take_profit": ("OXCZ7B-EMVZQ-MTJTQJ", "LTC/USDT", "take-profit", ExchangeStatus.OPEN, None, "120"),
    "OpenOrders_stop_loss_limit": ("OIIQBL-6PV3A-7M2AJJ", "LTC/USDT", "stop-loss-limit", ExchangeStatus.OPEN, "54", "55"),
    "OpenOrders_trailing_stop": ("OF7S76-H2IMS-N2ML4U", "XRP/USD", "trailing-stop", ExchangeStatus.OPEN, None, "0.7579"),
}
"""Body -> id, pair, type, status, limit price, trigger price."""


async def _by_id(reader: Reader, txid: str) -> Sequence[RemoteOrder]:
    return await reader.exchange.orders([txid])


async def _open(reader: Reader) -> Sequence[RemoteOrder]:
    return await reader.exchange.open_orders()


def test_orders_are_read_with_their_prices() -> None:
    for name, (txid, pair, kind, status, limit, trigger) in ORDERS.items():
        endpoint = name.split("_")[0]
        ask = partial(_by_id, txid=txid) if endpoint == "QueryOrders" else _open
        (order,) = read({endpoint: body(name)}, ask)
        assert (order.txid, order.pair, order.order_type, order.status) == (txid, pair, kind, status), name
        assert (order.limit_price, order.trigger_price) == (limit and Decimal(limit), trigger and Decimal(trigger)), name
        assert order.filled == (order.quantity if status is ExchangeStatus.CLOSED else 0), name


def test_hand_written_orders_are_read_too() -> None:
    open_orders = read({"OpenOrders": load("nautilus/http_open_orders.json")}, lambda reader: reader.exchange.open_orders())
    assert [(order.pair, order.order_type) for order in open_orders] == [("BTC/USDT", "limit"), ("ETH/USDT", "stop-loss")]
    closed = read({"ClosedOrders": load("nautilus/http_closed_orders.json")}, lambda reader: reader.exchange.closed_orders(0))
    assert [(order.filled, order.closed_us) for order in closed] == [
        (Decimal("0.5"), 1688590000543200), (Decimal(1), 1688595000987600)]  # fmt: skip


def test_own_trades_are_read() -> None:
    fills = read({"TradesHistory": load("nautilus/http_trades_history.json")}, lambda reader: reader.exchange.fills(0))
    found = {fill.trade_id: (fill.pair, fill.side, fill.price, fill.fee, fill.maker) for fill in fills}
    assert found == {
        "TCCCTY-WJ6EO-4FP4VZ": ("BTC/USDT", Side.BUY, Decimal("29500.50"), Decimal("23.60"), True),
        "TDCVFQ-TPEG4-6X7LSZ": ("ETH/USDT", Side.SELL, Decimal("1799.75"), Decimal("3.60"), False),
    }


def test_the_answer_to_an_order_is_read() -> None:
    async def send(reader: Reader) -> Any:
        await reader.exchange.instruments()
        now = reader.clock.now_us()
        return await reader.exchange.submit(
            Intent(
                cl_ord_id="tabcentry000000001", key="key", leg=Leg.ENTRY, attempt=1, position_id="p1", pair="LTC/USDT", side=Side.BUY,
                order_type=OrderType.MARKET, quantity=Decimal("0.1"), deadline_us=now + 5_000_000, created_us=now,
            )
        )  # fmt: skip

    answer = read({"AddOrder": body("AddOrder_market")}, send)
    assert answer.txid == "OL7LNO-R4SAD-6UINEU"


# --- stream -------------------------------------------------------------------------------------------------------------
def test_frames_of_candles_and_trades_are_read() -> None:
    frames = [
        load("nautilus/ws_ohlc_update.json"),
        load("nautilus/ws_trade_update.json"),
        load("nautilus/ws_pong.json") | {"channel": "ohlc"},
    ]
    assert load("nautilus/ws_subscribe_response.json")["success"] is True  # the shape the recording answers with
    now_us = 1_696_436_710_000_000  # within the recorded candle, 2023-10-04T16:25:10Z

    async def listen(reader: Reader) -> tuple[Any, list[Tick]]:
        ticks: list[Tick] = []

        async def collect() -> None:
            async for event in reader.market.stream(["BTC/USD"], Timeframe.M1):
                if isinstance(event, Tick):
                    ticks.append(event)

        await reader.exchange.instruments()
        task = asyncio.create_task(collect())
        await reader.market.watch_ticks(["BTC/USD"])
        await reader.clock.sleep(5)
        candle = reader.market.forming("BTC/USD")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return candle, ticks

    candle, ticks = read(
        {"GetWebSocketsToken": {"error": [], "result": {"token": "t", "expires": 900}}}, listen, now_us=now_us, frames=frames
    )
    assert (candle.open, candle.close, candle.volume, candle.count) == (106038.2, 106040.1, 30927.68066226, 12)
    assert [(tick.price, tick.time_us) for tick in ticks] == [
        (Decimal("105944.2"), 1696613755440295), (Decimal("105910.5"), 1696613756123456)]  # fmt: skip


def test_a_body_with_a_field_missing_would_not_be_read() -> None:
    spoilt = body("QueryOrders_closed_market")
    del spoilt["result"]["OGMZCL-KC6MC-ZRBGM6"]["vol_exec"]
    with pytest.raises(RetryableError, match="vol_exec"):
        read({"QueryOrders": spoilt}, lambda reader: reader.exchange.orders(["OGMZCL-KC6MC-ZRBGM6"]))
