"""python-kraken-sdk against the twin: its Market, User and Trade, its WebSocket client and its order book, which checks our CRC."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from kraken.spot import Market, SpotOrderBookClient, SpotWSClient, Trade, User

from tests.clients.raw_orders import LEDGER_ID, ORDER_ID, TRADE_ID, RawOrders
from tests.clients.table import check, same
from tests.clients.twin_process import Twin, key_of

_BOOK_UPDATES = 1
"""Updates whose checksum the library must find right; the twin moves every 15 seconds."""
Frame = dict[str, Any]

logging.getLogger("kraken").addHandler(logging.NullHandler())  # what it has to say comes as frames and errors too


class RefusedError(Exception):
    """Kraken's words where the library knows no class for them."""


class Sdk(RawOrders):
    """Sync REST and async WebSocket on one key: the library counts nonces by the clock, and we call in turn."""

    name, pair = "python-kraken-sdk", "LTC/EUR"

    def __init__(self, twin: Twin) -> None:
        self._twin, self._key = twin, key_of(self.name)
        words = {"key": self._key.key, "secret": self._key.secret, "url": twin.url}
        self._market, self._user, self._trade = Market(url=twin.url), User(**words), Trade(**words)
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._socket: SpotWSClient | None = None

    def words_of(self, error: Exception) -> str:
        """The library turns Kraken's words into classes that say them in their doc string."""
        return f"{error} {type(error).__doc__}"

    # --- REST -------------------------------------------------------------------------------------------------------
    def get(self, method: str, **fields: Any) -> Any:
        market = self._market
        calls: dict[str, Callable[..., Any]] = {
            "Assets": market.get_assets, "AssetPairs": market.get_asset_pairs, "Ticker": market.get_ticker, "OHLC": market.get_ohlc,
            "Depth": market.get_order_book, "Trades": market.get_recent_trades, "SystemStatus": market.get_system_status,
            "Time": lambda: market.request("GET", "/0/public/Time", auth=False),
        }  # fmt: skip
        return calls[method](**fields)

    def post(self, method: str, **fields: Any) -> Any:
        user, trade = self._user, self._trade
        calls: dict[str, Callable[..., Any]] = {
            "AddOrder": self._add, "AddOrderBatch": trade.create_order_batch, "AmendOrder": trade.amend_order,
            "EditOrder": trade.edit_order, "CancelOrder": trade.cancel_order, "CancelOrderBatch": trade.cancel_order_batch,
            "CancelAll": trade.cancel_all_orders, "CancelAllOrdersAfter": trade.cancel_all_orders_after_x,
            "OpenOrders": user.get_open_orders, "ClosedOrders": user.get_closed_orders, "QueryOrders": user.get_orders_info,
            "TradesHistory": user.get_trades_history, "QueryTrades": user.get_trades_info, "Ledgers": user.get_ledgers_info,
            "QueryLedgers": lambda id: user.get_ledgers(id_=id), "Balance": user.get_account_balance, "BalanceEx": user.get_balances,
            "TradeBalance": user.get_trade_balance, "TradeVolume": user.get_trade_volume,
            "GetApiKeyInfo": lambda: user.request("POST", "/0/private/GetApiKeyInfo"),
            "GetWebSocketsToken": lambda: user.request("POST", "/0/private/GetWebSocketsToken"),
        }  # fmt: skip
        answer = calls[method](**fields)
        if isinstance(answer, dict) and answer.get("error"):  # an error the library has no class for comes back as an answer
            raise RefusedError(", ".join(answer["error"]))
        return answer

    def _add(self, **fields: Any) -> Any:
        names = {"type": "side", "close[ordertype]": "close_ordertype", "close[price]": "close_price"}
        return self._trade.create_order(**{names.get(name, name): value for name, value in fields.items()})

    # --- WebSocket --------------------------------------------------------------------------------------------------
    async def _connected(self) -> SpotWSClient:
        if self._socket is None:
            ws = self._twin.ws
            self._socket = SpotWSClient(
                self._key.key, self._key.secret, callback=self._frames.put, rest_url=self._twin.url, ws_url=ws, auth_ws_url=ws
            )
            await self._socket.start()
        return self._socket

    async def close(self) -> None:
        if self._socket is not None:
            await hang_up(self._socket)

    async def _until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The next frame that is wanted; others are dropped. The cell's patience bounds the wait."""
        while True:
            frame = await self._frames.get()
            same("refusal", frame.get("error"), None)
            if wanted(frame):
                return frame

    async def _subscribed(self, **params: Any) -> Frame:
        """Subscribe, check the answer, return the snapshot."""
        socket = await self._connected()
        await socket.subscribe(params=params, req_id=7)
        answer = await self._until(lambda frame: frame.get("method") == "subscribe")
        same("req_id, success, channel", (answer["req_id"], answer["success"], answer["result"]["channel"]), (7, True, params["channel"]))
        return await self._until(lambda frame: frame.get("channel") == params["channel"] and frame["type"] == "snapshot")

    async def ws_ticker(self) -> None:
        (row,) = (await self._subscribed(channel="ticker", symbol=[self.pair]))["data"]
        same("symbol", row["symbol"], self.pair)
        check(0 < row["bid"] <= row["last"] <= row["ask"] and row["low"] <= row["last"] <= row["high"], f"{row}")
        check(min(row["bid_qty"], row["ask_qty"], row["volume"], row["vwap"]) > 0, f"{row}")
        check(abs(row["change_pct"]) < 100 and isinstance(row["change"], float | int), f"{row}")

    async def ws_candles(self) -> None:
        rows = (await self._subscribed(channel="ohlc", symbol=[self.pair], interval=1))["data"]
        for row in rows:
            same("symbol, interval", (row["symbol"], row["interval"]), (self.pair, 1))
            check(row["high"] >= max(row["open"], row["close"]) >= min(row["open"], row["close"]) >= row["low"] > 0, f"{row}")
            check(row["interval_begin"] < row["timestamp"] and min(row["volume"], row["vwap"], row["trades"]) >= 0, f"{row}")

    async def ws_trades(self) -> None:
        rows = (await self._subscribed(channel="trade", symbol=[self.pair], snapshot=True))["data"]
        same("trades of the snapshot", len(rows), 50)
        for row in rows:
            check(
                row["price"] > 0 and row["qty"] > 0 and row["side"] in ("buy", "sell") and row["ord_type"] in ("market", "limit"), f"{row}"
            )
            check(isinstance(row["trade_id"], int) and row["timestamp"].endswith("Z") and row["symbol"] == self.pair, f"{row}")

    async def ws_book_with_crc(self) -> None:
        book = _Book(self._twin, self.pair)
        await book.start()
        try:
            await book.add_book(pairs=[self.pair])
            while book.updates < _BOOK_UPDATES:
                same("complaint of the order book", book.complaint, "")
                await asyncio.sleep(0.1)
            state = book.get(self.pair) or {}
            check(state["valid"] and len(state["ask"]) == len(state["bid"]) == book.depth, f"book {state}")
        finally:
            await hang_up(book)

    async def ws_executions(self) -> None:
        socket = await self._connected()
        await socket.subscribe(params={"channel": "executions", "snap_orders": True, "snap_trades": True})
        first = await self._until(lambda frame: frame.get("channel") == "executions" and frame["type"] == "snapshot")
        volume, mine = self.amount(15.0), f"c{time.time_ns() % 10**16:016d}"
        txid = await asyncio.to_thread(lambda: self.placed("limit", "buy", volume, self.price(0.5), cl_ord_id=mine))
        seen, number = [], first["sequence"]
        while "canceled" not in seen:
            frame = await self._until(lambda frame: frame.get("channel") == "executions")
            same("sequence", frame["sequence"], number := number + 1)
            for item in frame["data"]:
                if item["order_id"] != txid:  # another client's; all trade on one account
                    continue
                seen.append(item["exec_type"])
                if item["exec_type"] == "pending_new":
                    same("what the order says", (item["symbol"], item["cl_ord_id"], item["side"], item["order_type"], item["order_qty"],
                         item["order_status"]), (self.pair, mine, "buy", "limit", float(volume), "pending_new"))  # fmt: skip
                if item["exec_type"] == "new":
                    await asyncio.to_thread(self.gone, txid)
        same("life of the order", seen, ["pending_new", "new", "canceled"])

    async def ws_balances(self) -> None:
        rows = {row["asset"]: row for row in (await self._subscribed(channel="balances"))["data"]}
        quote = self.pair.split("/")[1]
        check(rows[quote]["balance"] > 0 and rows[quote]["asset_class"] == "currency", f"{rows[quote]}")
        same("sum of the wallets", sum(wallet["balance"] for wallet in rows[quote]["wallets"]), rows[quote]["balance"])
        txid = await asyncio.to_thread(self.x_buy)
        (trade,) = await asyncio.to_thread(self.x_trades_of, txid)
        update = await self._until(
            lambda frame: frame.get("channel") == "balances" and any(row["ref_id"] == trade for row in frame["data"])
        )
        moved = {row["asset"]: row for row in update["data"]}
        row = moved.get(quote) or moved[self.pair.split("/")[0]]
        check(LEDGER_ID.fullmatch(row["ledger_id"]) and row["type"] == "trade" and row["amount"] != 0 and row["fee"] >= 0, f"{row}")

    async def ws_order_entry(self) -> None:
        volume, price, other = await asyncio.to_thread(lambda: (self.amount(15.0), self.price(0.5), self.price(0.45)))
        txid = (
            await self._ask(
                "add_order", order_type="limit", side="buy", symbol=self.pair, order_qty=float(volume), limit_price=float(price)
            )
        )["order_id"]
        check(ORDER_ID.fullmatch(txid), f"order_id {txid!r}")
        amended = await self._ask("amend_order", order_id=txid, limit_price=float(other), order_qty=float(volume))
        check(TRADE_ID.fullmatch(amended["amend_id"]), f"{amended}")
        await asyncio.to_thread(self.resting, txid, "limit", volume, other)
        same("cancelled", (await self._ask("cancel_order", order_id=[txid]))["order_id"], txid)
        same("seen by REST", await asyncio.to_thread(self.x_price_of, txid), None)

    async def _ask(self, method: str, **params: Any) -> Frame:
        """Send one order method, check its answer, return the result."""
        socket = await self._connected()
        await socket.send_message({"method": method, "req_id": 11, "params": params})
        answer = await self._until(lambda frame: frame.get("method") == method)
        same("req_id, success", (answer["req_id"], answer["success"]), (11, True))
        check(answer["time_in"] <= answer["time_out"], f"{answer}")
        return dict(answer["result"])

    # --- what crossings are made of ---------------------------------------------------------------------------------
    async def x_listen(self) -> None:
        """Begin to receive executions."""
        socket = await self._connected()
        if not any(one["channel"] == "executions" for one in socket.active_private_subscriptions):
            await socket.subscribe(params={"channel": "executions", "snap_orders": True, "snap_trades": True})
            await self._until(lambda frame: frame.get("channel") == "executions" and frame["type"] == "snapshot")

    async def x_executed(self, txid: str) -> list[str]:
        """Ids of the trades of this order, as executions tells them, once it is filled."""
        found: list[str] = []
        while True:
            frame = await self._until(lambda frame: frame.get("channel") == "executions")
            for item in frame["data"]:
                if item["order_id"] == txid and item["exec_type"] == "trade":
                    found.append(item["exec_id"])
                if item["order_id"] == txid and item["exec_type"] == "filled":
                    return sorted(found)


async def hang_up(socket: SpotWSClient) -> None:
    """Close the client; its loops end with the next frame they get, which the answer to a ping is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(4):
            for connection in filter(None, (socket._pub_conn, socket._priv_conn)):
                stopping = asyncio.create_task(connection.stop())
                await asyncio.sleep(0)
                if connection.socket is not None:
                    await connection.send_ping()
                await stopping
            await socket.close()


class _Book(SpotOrderBookClient):
    """The library's order book on the twin; it takes no URL, so they are set where it reads them."""

    def __init__(self, twin: Twin, pair: str) -> None:
        self.URL, self.WS_URL, self.AUTH_WS_URL = twin.url, twin.ws, twin.ws
        super().__init__(depth=10)
        self._SpotOrderBookClient__market = Market(url=twin.url)
        self.updates, self.complaint, self._pair = 0, "", pair

    async def on_book_update(self, pair: str, message: Frame) -> None:
        if "error" in message:
            self.complaint = message["error"]
        elif message["type"] == "update":
            same("pair", pair, self._pair)
            self.updates += 1
