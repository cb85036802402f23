"""python-kraken-sdk against the twin's futures: its Market, User, Trade and Funding, and its WebSocket client, which insists on TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from kraken.futures import Funding, FuturesWSClient, Market, Trade, User

from tests.clients.table import Client, check, same
from tests.clients.twin_process import Twin, key_of

Frame = dict[str, Any]


class FuturesSdk(Client):
    """Raw answers of one perpetual of its own."""

    name, pair = "python-kraken-sdk", "PF_SOLUSD"

    def __init__(self, twin: Twin) -> None:
        key = key_of(self.name)
        words = {"key": key.key, "secret": key.secret, "url": twin.url}
        self._market, self._user, self._trade, self._funding = Market(**words), User(**words), Trade(**words), Funding(**words)
        self._twin, self._key = twin, key
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._socket: FuturesWSClient | None = None
        self.last, self.tick, self.size, self.bought = 0.0, 0.0, 0.0, ""

    # --- market -----------------------------------------------------------------------------------------------------
    def futures_markets(self) -> None:
        rows = {row["symbol"]: row for row in self._market.get_instruments()["instruments"]}
        row = rows[self.pair]
        same("type, tradeable", (row["type"], row["tradeable"]), ("flexible_futures", True))
        check(
            row["tickSize"] > 0 and row["contractSize"] > 0 and row["marginLevels"] if "marginLevels" in row else row["retailMarginLevels"],
            f"{row}",
        )
        self.last = self._row()["last"]
        self.tick, self.size = row["tickSize"], round(100 / self.last, row["contractValueTradePrecision"])

    def _row(self) -> Frame:
        return {row["symbol"]: row for row in self._market.get_tickers()["tickers"]}[self.pair]

    def futures_ticker(self) -> None:
        row = self._row()
        check(0 < row["bid"] < row["ask"] and row["last"] > 0 and row["markPrice"] > 0 and row["indexPrice"] > 0, f"{row}")

    def futures_tickers(self) -> None:
        listed = {row["symbol"] for row in self._market.get_instruments()["instruments"]}
        same("symbols", {row["symbol"] for row in self._market.get_tickers()["tickers"]} - listed, set())

    def futures_candles(self) -> None:
        rows = self._market.get_ohlc("trade", self.pair, "1m", from_=int(time.time()) - 3600)["candles"]
        check(len(rows) > 50 and rows[-1]["time"] > time.time() * 1000 - 120_000, f"{len(rows)} candles, the last {rows[-1:]}")
        for row in rows:
            o, h, low, c = (float(row[name]) for name in ("open", "high", "low", "close"))
            check(h >= max(o, c) >= min(o, c) >= low > 0 and float(row["volume"]) >= 0, f"{row}")

    def futures_order_book(self) -> None:
        book = self._market.get_orderbook(self.pair)["orderBook"]
        asks, bids = ([level[0] for level in book[side]] for side in ("asks", "bids"))
        check(asks == sorted(asks) and bids == sorted(bids, reverse=True) and bids[0] < asks[0], f"{book}")

    def futures_trades(self) -> None:
        rows = self._market.get_trade_history(self.pair)["history"]
        check(
            rows and all(row["price"] > 0 and row["size"] > 0 and row["side"] in ("buy", "sell") and row["time"] for row in rows),
            f"{rows[:1]}",
        )

    def futures_funding_rates(self) -> None:
        rows = self._funding.get_historical_funding_rates(self.pair)["rates"]
        check(len(rows) > 100 and all(abs(row["relativeFundingRate"]) < 0.01 and row["timestamp"] for row in rows), f"{rows[-1:]}")

    # --- account ----------------------------------------------------------------------------------------------------
    def futures_balance(self) -> None:
        account = self._user.get_wallets()["accounts"]["flex"]
        check(account["portfolioValue"] > 0 and account["availableMargin"] > 0, f"{account}")

    def price(self, share: float) -> float:
        return round(round(self.last * share / self.tick) * self.tick, 8)

    def _placed(self, kind: str, side: str, **more: Any) -> str:
        status = self._trade.create_order(orderType=kind, size=self.size, symbol=self.pair, side=side, **more)["sendStatus"]
        same("status", status["status"], "placed")
        return str(status["order_id"])

    def futures_market_order(self) -> None:
        self.bought = self._placed("mkt", "buy")

    def futures_positions(self) -> None:
        (row,) = [row for row in self._user.get_open_positions()["openPositions"] if row["symbol"] == self.pair]
        same("side", row["side"], "long")
        check(row["size"] >= self.size and row["price"] > 0, f"{row}")

    def futures_fills(self) -> None:
        rows = [row for row in self._trade.get_fills()["fills"] if row["order_id"] == self.bought]
        check(rows, "the market order has no fill")
        same("quantity", round(sum(row["size"] for row in rows), 8), self.size)
        check(all(row["side"] == "buy" and row["price"] > 0 and row["fillType"] == "taker" and row["fill_id"] for row in rows), f"{rows}")

    def _open(self, order_id: str) -> Frame | None:
        return {row["order_id"]: row for row in self._user.get_open_orders()["openOrders"]}.get(order_id)

    def _gone(self, order_id: str) -> None:
        same("status", self._trade.cancel_order(order_id)["cancelStatus"]["status"], "cancelled")
        same("open order", self._open(order_id), None)

    def _rests(self, kind: str, side: str, **more: Any) -> None:
        order_id = self._placed(kind, side, **more)
        row = self._open(order_id) or {}
        same("order", (row["symbol"], row["side"], row["unfilledSize"]), (self.pair, side, self.size))
        same("prices", {name: row[name] for name in ("limitPrice", "stopPrice") if name in more},
             {name: more[name] for name in ("limitPrice", "stopPrice") if name in more})  # fmt: skip
        self._gone(order_id)

    def futures_limit_order(self) -> None:
        self._rests("lmt", "buy", limitPrice=self.price(0.5))

    def futures_stop(self) -> None:
        self._rests("stp", "sell", stopPrice=self.price(0.5), triggerSignal="mark", reduceOnly=True)

    def futures_take_profit(self) -> None:
        self._rests("take_profit", "sell", stopPrice=self.price(1.5), triggerSignal="last")

    def futures_edit(self) -> None:
        order_id = self._placed("lmt", "buy", limitPrice=self.price(0.5))
        same("status", self._trade.edit_order(orderId=order_id, limitPrice=self.price(0.45))["editStatus"]["status"], "edited")
        same("price", (self._open(order_id) or {})["limitPrice"], self.price(0.45))
        self._gone(order_id)

    def futures_cancel(self) -> None:
        order_id = self._placed("lmt", "buy", limitPrice=self.price(0.5))
        self._gone(order_id)
        same("again", self._trade.cancel_order(order_id)["cancelStatus"]["status"], "notFound")

    def futures_cancel_all(self) -> None:
        placed = {self._placed("lmt", "buy", limitPrice=self.price(share)) for share in (0.5, 0.45)}
        status = self._trade.cancel_all_orders(self.pair)["cancelStatus"]
        same("cancelled", {row["order_id"] for row in status["cancelledOrders"]}, placed)

    def futures_leverage(self) -> None:
        self._market.set_leverage_preference("PF_LTCUSD", 3)
        found = {row["symbol"]: row["maxLeverage"] for row in self._market.get_leverage_preference()["leveragePreferences"]}
        same("leverage", found["PF_LTCUSD"], 3)

    def futures_dead_mans_switch(self) -> None:
        status = self._trade.dead_mans_switch(60)["status"]
        check(status["triggerTime"] > status["currentTime"], f"{status}")
        same("disarmed", self._trade.dead_mans_switch(0)["result"], "success")

    # --- WebSocket --------------------------------------------------------------------------------------------------
    async def _connected(self) -> FuturesWSClient:
        if self._socket is None:
            os.environ["SSL_CERT_FILE"] = self._twin.certificate  # the library takes no certificate; this is where OpenSSL looks
            url = self._twin.tls.removeprefix("https://") + "/ws/v1"
            self._socket = FuturesWSClient(self._key.key, self._key.secret, url=url, callback=self._frames.put)
            await self._socket.start()
            await self._socket.subscribe("heartbeat")
        return self._socket

    async def close(self) -> None:
        os.environ.pop("SSL_CERT_FILE", None)
        if self._socket is not None:
            with contextlib.suppress(TimeoutError):  # it waits for one more frame
                await asyncio.wait_for(self._socket.close(), 4)

    async def _next(self, wanted: Callable[[Frame], bool]) -> Frame:
        while True:
            frame = await self._frames.get()
            check(frame.get("event") not in ("error", "alert"), f"{frame}")
            if wanted(frame):
                return frame

    async def _feed(self, feed: str, shown: str, *products: str) -> Frame:
        """Subscribe; the first frame of the feed `shown`."""
        await (await self._connected()).subscribe(feed, products=list(products) or None)
        return await self._next(lambda frame: frame.get("feed") == shown and "event" not in frame)

    async def futures_ws_ticker(self) -> None:
        row = await self._feed("ticker", "ticker", self.pair)
        same("product_id", row["product_id"], self.pair)
        check(0 < row["bid"] < row["ask"] and row["markPrice"] > 0 and row["funding_rate"] is not None, f"{row}")

    async def futures_ws_book(self) -> None:
        book = await self._feed("book", "book_snapshot", self.pair)
        asks, bids = ([level["price"] for level in book[side]] for side in ("asks", "bids"))
        check(asks and bids and min(asks) > max(bids) and isinstance(book["seq"], int), f"{book}")

    async def futures_ws_trades(self) -> None:
        rows = (await self._feed("trade", "trade_snapshot", self.pair))["trades"]
        check(
            rows and all(row["price"] > 0 and row["qty"] > 0 and row["uid"] and row["side"] in ("buy", "sell") for row in rows),
            f"{rows[:1]}",
        )

    async def futures_ws_orders_and_fills(self) -> None:
        await self._feed("open_orders", "open_orders_snapshot")
        fills = (await self._feed("fills", "fills_snapshot"))["fills"]
        check(self.bought in [row["order_id"] for row in fills], "the market order is not in the snapshot of fills")
        order_id = await asyncio.to_thread(lambda: self._placed("lmt", "buy", limitPrice=self.price(0.5)))
        frame = await self._next(lambda frame: frame.get("feed") == "open_orders" and frame.get("order", {}).get("order_id") == order_id)
        same("is_cancel, qty", (frame["is_cancel"], frame["order"]["qty"]), (False, self.size))
        await asyncio.to_thread(self._gone, order_id)
        frame = await self._next(lambda frame: frame.get("feed") == "open_orders" and frame.get("order_id") == order_id)
        same("is_cancel, reason", (frame["is_cancel"], frame["reason"]), (True, "cancelled_by_user"))
        order_id = await asyncio.to_thread(self._placed, "mkt", "buy")
        frame = await self._next(lambda frame: frame.get("feed") == "fills" and order_id in [row["order_id"] for row in frame["fills"]])
        check(all(row["instrument"] and row["price"] > 0 and row["fill_id"] for row in frame["fills"]), f"{frame}")
