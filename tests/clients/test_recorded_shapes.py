"""The twin's answers against recorded ones: the same fields, the same kinds of value; what differs is listed with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.clients.recorded import load
from tests.clients.shapes import missing
from tests.clients.test_vectors import post, serving, sign
from trader.simulation.loops import run_stepped

NO_MARGIN = "the twin lends nothing, as a pair without margin reads"
ALLOWED: Mapping[str, str] = {
    "http_asset_pairs: .result.*.leverage_buy: ours is empty": NO_MARGIN,
    "http_asset_pairs: .result.*.leverage_sell: ours is empty": NO_MARGIN,
    "http_asset_pairs: .result.*.long_position_limit: number, ours absent": NO_MARGIN,
    "http_asset_pairs: .result.*.short_position_limit: number, ours absent": NO_MARGIN,
    "http_spot_trade_balance: .result.ml: text, ours absent": "a margin level exists only with a margin position",
}
NUMBERS = ("userref", "opentm", "starttm", "expiretm", "closetm", "last", "positions")
"""Fields in which ccxt's recorder made strings of numbers (PROVENANCE.md): any number of ours agrees with its text."""


class Caller:
    """Requests to the twin, each signed with the next nonce."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url, self._nonce = session, url, 0

    async def get(self, words: str) -> Any:
        async with self._session.get(f"{self._url}/0/public/{words}") as answer:
            return await answer.json(content_type=None)

    async def send(self, method: str, words: str = "") -> Any:
        self._nonce += 1
        path, body = f"/0/private/{method}", f"nonce={self._nonce}" + (f"&{words}" if words else "")
        answer = await post(self._session, self._url, body, sign(path, str(self._nonce), body), path)
        assert answer["error"] == [], (method, words, answer)
        return answer

    async def place(self, words: str) -> Any:
        return await self.send("AddOrder", f"pair=LTCUSDT&volume=0.1&{words}")


def differences(name: str, recorded: Any, ours: Any) -> list[str]:
    """What of the recorded answer ours lacks, with the name of the recording in front."""
    found = []
    for line in missing(recorded, ours):
        field = line.split(":")[0].rsplit(".", 1)[-1]
        if field in NUMBERS and line.endswith(("text, ours number", "text, ours null")):
            continue
        found.append(f"{name}: {line.removeprefix(': ')}")
    return found


async def _public(caller: Caller) -> list[str]:
    asked = {
        "http_asset_pairs": "AssetPairs", "http_ticker": "Ticker", "http_ohlc": "OHLC?pair=XBTUSDT",
        "http_order_book": "Depth?pair=XBTUSDT",
        "http_trades": "Trades?pair=XBTUSDT", "http_server_time": "Time", "http_system_status": "SystemStatus",
    }  # fmt: skip
    found = []
    for name, words in asked.items():
        found += differences(name, load(f"nautilus/{name}.json"), await caller.get(words))
    return found


async def _orders(caller: Caller) -> list[str]:
    bodies = load("ccxt/spot_responses.json")["bodies"]
    market = await caller.place("type=buy&ordertype=market")
    (bought,) = market["result"]["txid"]
    found = differences("AddOrder_market", bodies["AddOrder_market"], market)
    found += differences(
        "QueryOrders_closed_market", bodies["QueryOrders_closed_market"], await caller.send("QueryOrders", f"txid={bought}&trades=true")
    )
    placed = {
        "QueryOrders_open_limit_post": "type=buy&ordertype=limit&price=50&oflags=post",
        "OpenOrders_take_profit": "type=sell&ordertype=take-profit&price=120",
        "OpenOrders_stop_loss_limit": "type=sell&ordertype=stop-loss-limit&price=55&price2=54",
        "OpenOrders_trailing_stop": "type=buy&ordertype=trailing-stop&price=%2B50%25",
    }  # fmt: skip
    for name, words in placed.items():
        (txid,) = (await caller.place(words))["result"]["txid"]
        answer = await caller.send("QueryOrders", f"txid={txid}") if name.startswith("Query") else await caller.send("OpenOrders")
        found += differences(name, bodies[name], answer)
        count = await caller.send("CancelOrder", f"txid={txid}")
        found += differences("http_cancel_order_spot", load("nautilus/http_cancel_order_spot.json"), count)
    found += differences("http_closed_orders", load("nautilus/http_closed_orders.json"), await caller.send("ClosedOrders"))
    found += differences(
        "http_trades_history", load("nautilus/http_trades_history.json"), await caller.send("TradesHistory", "ledgers=true")
    )
    found += differences("Trades_one", bodies["Trades_one"], await caller.get("Trades?pair=XBTUSDT"))
    found += differences("OHLC_1h_excerpt", bodies["OHLC_1h_excerpt"], await caller.get("OHLC?pair=XBTUSDT&interval=60"))
    return found


async def _money(caller: Caller) -> list[str]:
    found = differences("http_spot_balance", load("nautilus/http_spot_balance.json"), await caller.send("Balance"))
    return found + differences("http_spot_trade_balance", load("nautilus/http_spot_trade_balance.json"), await caller.send("TradeBalance"))


FRAMES = {"ws_ohlc_update": "ohlc", "ws_trade_update": "trade", "ws_ticker_snapshot": "ticker", "ws_book_snapshot": "book"}


async def _frames(session: aiohttp.ClientSession, url: str) -> list[str]:
    found = []
    async with session.ws_connect(url.replace("http", "ws") + "/v2") as socket:
        await socket.send_str(json.dumps({"method": "ping", "req_id": 42}))
        for channel in FRAMES.values():
            params = {"channel": channel, "symbol": ["BTC/USDT"], "snapshot": True}
            await socket.send_str(json.dumps({"method": "subscribe", "params": params, "req_id": 1}))
        wanted = dict(FRAMES)
        answered = 0
        for _ in range(40):
            if not wanted and answered == len(FRAMES):
                break
            frame = json.loads((await socket.receive(timeout=30)).data)
            if frame.get("method") == "pong":
                found += differences("ws_pong", load("nautilus/ws_pong.json"), frame)
            if frame.get("method") == "subscribe":
                answered += 1
                found += differences("ws_subscribe_response", load("nautilus/ws_subscribe_response.json"), frame)
            for name, channel in list(wanted.items()):
                if frame.get("channel") == channel:
                    del wanted[name]
                    found += differences(name, load(f"nautilus/{name}.json"), frame)
    return [*found, *(f"{name}: no such frame came" for name in wanted)]


def collect(part: str) -> list[str]:
    """Differences of one part of the API."""
    found: list[str] = []

    async def run() -> None:
        async with serving() as (twin, session, url):
            caller = Caller(session, url)
            work = {"public": _public, "orders": _orders, "money": _money}
            found.extend(await (_frames(session, url) if part == "frames" else work[part](caller)))
            assert twin.exchange.state.tick_us > 0

    run_stepped(run)
    return found


@pytest.mark.parametrize("part", ["public", "orders", "money", "frames"])
def test_every_recorded_field_is_in_our_answers_with_its_kind(part: str) -> None:
    load("nautilus/http_ohlc.json")
    assert [line for line in collect(part) if line not in ALLOWED] == []


def test_a_missing_field_and_another_kind_would_be_seen() -> None:
    recorded = {"result": {"OL7LNO-R4SAD-6UINEU": {"vol": "1.0", "trades": ["T"], "rows": [[1, "2"]]}}}
    ours: Any = {"result": {"OAAAAA-BBBBB-CCCCCC": {"vol": 1.0, "rows": [[1, "2", 3]]}}}
    assert list(missing(recorded, ours)) == [
        ".result.*.vol: text, ours number", ".result.*.trades: list, ours absent", ".result.*.rows[]: 2 columns, ours 3"]  # fmt: skip
