"""The futures twin against recorded bodies, frames and requests: the same fields and kinds of value, every request accepted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.clients.recorded import load, names
from tests.clients.shapes import missing
from tests.wire.futures_twin_harness import PF, on_futures, raw
from tests.wire.test_futures_twin_ws import SYMBOL, Socket
from trader.simulation.kraken_server.app import KrakenTwin

V3, HISTORY = "/derivatives/api/v3", "/api/history"
UNLIKE = {
    "http_futures_order_events": "written by hand, and no endpoint's answer; events are compared inside sendorder's",
    "http_futures_order_events_unknown": "as above, with an unknown type",
}
"""Recordings that no endpoint of the twin answers with, and why."""


def _lacks(name: str, ours: Any) -> list[str]:
    return [f"{name}: {line}" for line in missing(load(f"nautilus/{name}.json"), ours)]


def _first_with(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    return next(row for row in rows if all(row.get(name) == value for name, value in wanted.items()))


def test_rest_answers_have_the_recorded_fields() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        last = (await exchange.fetch_ticker(PF))["last"]
        sent = await raw("POST", f"{V3}/sendorder", body="symbol=PI_XBTUSD&side=buy&size=100&orderType=lmt&limitPrice=100&cliOrdId=a")
        await exchange.create_order(PF, "market", "buy", 0.01, None, {"clientOrderId": "b"})
        await exchange.create_order("BTC/USD:BTC", "limit", "buy", 10, last * 1.1, {"clientOrderId": "c"})
        trigger = await raw(
            "POST", f"{V3}/sendorder", body=f"symbol={SYMBOL}&side=sell&size=0.01&orderType=stp&stopPrice=100&limitPrice=90"
        )
        candles = {kind: await raw("GET", f"/api/charts/v1/{kind}/PI_XBTUSD/1h") for kind in ("trade", "mark", "spot")}
        instruments = await raw("GET", f"{V3}/instruments")
        by_type = {kind: [_first_with(instruments["instruments"], type=kind)] for kind in ("futures_inverse", "flexible_futures")}
        found = _lacks("http_send_order_futures", sent)
        found += _lacks("http_send_order_futures_unknown_trigger", trigger)
        found += _lacks("http_futures_instruments", instruments | {"instruments": by_type["futures_inverse"]})
        found += _lacks("http_futures_instrument_no_fee_schedule", instruments | {"instruments": by_type["flexible_futures"]})
        found += _lacks("http_futures_tickers", await raw("GET", f"{V3}/tickers"))
        found += _lacks("http_futures_orderbook", await raw("GET", f"{V3}/orderbook", query=f"symbol={SYMBOL}"))
        found += _lacks("http_futures_open_orders", await raw("GET", f"{V3}/openorders"))
        found += _lacks("http_futures_open_positions", await raw("GET", f"{V3}/openpositions"))
        found += _lacks("http_futures_fills", await raw("GET", f"{V3}/fills"))
        rates = await raw("GET", "/derivatives/api/v4/historicalfundingrates", query=f"symbol={SYMBOL}")
        found += _lacks("http_futures_historical_funding_rates", rates)
        found += _lacks("http_futures_public_executions", await raw("GET", f"{HISTORY}/v3/market/{SYMBOL}/executions"))
        for kind, answer in candles.items():
            found += _lacks(f"http_futures_candles_{kind}", answer)
        cancelled = await raw("POST", f"{V3}/cancelorder", body="cliOrdId=a")
        found += _lacks("http_cancel_order_futures", cancelled)
        assert found == []
        assert twin.futures.exchange.open_orders() != []

    on_futures(test)


def test_every_recording_is_compared_or_excused() -> None:
    source, recordings = Path(__file__).read_text(), [name.removesuffix(".json") for name in names("*futures*.json")]
    if not recordings:
        pytest.skip("recorded payloads are absent: ../shared/data/kraken_fixtures belongs beside the project")
    assert len(recordings) >= 25
    left = [name for name in recordings if f'"{name}"' not in source and not name.startswith("http_futures_candles_")]
    assert left == []


def test_a_renamed_field_would_be_found() -> None:
    recorded = load("nautilus/http_futures_fills.json")
    renamed = recorded | {"fills": [{("prize" if name == "price" else name): value for name, value in recorded["fills"][0].items()}]}
    assert list(missing(recorded, renamed)) == [".fills[].price: number, ours absent"]


def test_frames_have_the_recorded_fields() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        socket = await Socket.open()
        await asyncio.sleep(0.01)
        for feed in ("ticker", "trade", "book"):
            await socket.say(event="subscribe", feed=feed, product_ids=["PI_XBTUSD"])
        last = (await exchange.fetch_ticker(PF))["last"]
        await exchange.create_order(PF, "market", "buy", 0.02, None, {"clientOrderId": "market"})
        stop = await exchange.create_order(PF, "market", "sell", 0.01, None, {"stopLossPrice": last / 2})
        for feed in ("open_orders", "fills"):
            await socket.signed("subscribe", feed)
        placed = await exchange.create_order(PF, "limit", "sell", 0.01, last * 2, {"clientOrderId": "limit"})
        await exchange.cancel_order(placed["id"], PF)
        await exchange.cancel_order(stop["id"], PF)
        await exchange.create_order(PF, "limit", "sell", 0.01, last / 2, {"clientOrderId": "crossing"})
        await asyncio.sleep(90)
        orders = socket.of("open_orders")
        found = _lacks("ws_futures_ticker", socket.of("ticker")[-1])
        found += _lacks("ws_futures_trade", socket.of("trade")[-1])
        found += _lacks("ws_futures_trade_snapshot", socket.of("trade_snapshot")[0])
        found += _lacks("ws_futures_book_snapshot", socket.of("book_snapshot")[0])
        found += _lacks("ws_futures_book_snapshot_with_zero_qty", socket.of("book_snapshot")[0])
        found += _lacks("ws_futures_book_delta", socket.of("book")[-1])
        found += _lacks("ws_futures_fills_snapshot", socket.of("fills_snapshot")[0])
        found += _lacks("ws_futures_fills_delta", socket.of("fills")[-1])
        found += _lacks("ws_futures_open_orders_snapshot", socket.of("open_orders_snapshot")[0])
        found += _lacks("ws_futures_open_orders_delta", _first_with(orders, reason="new_placed_order_by_user"))
        found += _lacks("ws_futures_open_orders_cancel", _first_with(orders, order_id=stop["id"]))
        found += _lacks("ws_futures_open_orders_cancel_post_only", _first_with(orders, order_id=placed["id"]))
        found += _lacks("ws_futures_open_orders_delta_full_fill", _first_with(orders, reason="full_fill"))
        await socket.close()
        assert found == []

    on_futures(test)


def test_every_recorded_futures_request_is_accepted() -> None:
    """All vectors of ccxt's futures; those about an order of somebody else are answered notFound."""

    async def test(twin: KrakenTwin, _: Any) -> None:
        vectors = [vector for vector in load("ccxt/requests.json")["vectors"] if "futures" in vector["exchange"]]
        assert len(vectors) == 17
        await raw("POST", f"{V3}/sendorder", body="symbol=PF_DOGEUSD&side=buy&size=500&orderType=mkt")
        for vector in vectors:
            answer = await raw(vector["verb"], vector["path"], query=vector["query"], body=vector["body"])
            assert answer.get("result", "success") == "success", (vector, answer)
            status = answer.get("sendStatus", {}).get("status", "placed")
            assert status == "placed", (vector, answer)
        assert {order.symbol for order in twin.futures.exchange.state.orders.values()} == {
            "PF_LTCUSD", "PF_PEPEUSD", "PF_XBTUSD", "PF_DOGEUSD"
        }  # fmt: skip

    on_futures(test)
