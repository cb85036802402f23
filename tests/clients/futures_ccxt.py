"""ccxt for Python against the twin's futures: unified methods over REST, and what ccxt.pro watches."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import ccxt.pro

from tests.clients.table import Client, check, same
from tests.clients.twin_process import Twin, key_of

MINUTE_MS = 60_000


class FuturesCcxt(Client):
    """One perpetual of its own; every operation takes away what it placed, the position is closed with the fills."""

    name, pair = "ccxt", "BTC/USD:USD"

    def __init__(self, twin: Twin) -> None:
        key, base = key_of(self.name), twin.url
        derivatives = base + "/derivatives/api/"
        urls = {"public": derivatives, "private": derivatives, "charts": base + "/api/charts/", "history": base + "/api/history/"}
        words = {"apiKey": key.key, "secret": key.secret, "enableRateLimit": False, "urls": {"api": urls | {"ws": twin.ws + "/ws/v1"}}}
        self.exchange = ccxt.pro.krakenfutures(words)
        self.last, self.bought = 0.0, ""

    async def close(self) -> None:
        await self.exchange.close()

    # --- market -----------------------------------------------------------------------------------------------------
    async def futures_markets(self) -> None:
        markets = await self.exchange.load_markets()
        market = markets[self.pair]
        same("what it is", (market["id"], market["swap"], market["linear"], market["active"]), ("PF_XBTUSD", True, True, True))
        same("precision", (market["precision"]["amount"], market["precision"]["price"]), (0.0001, 1))
        same("inverse", markets["BTC/USD:BTC"]["inverse"], True)
        self.last = (await self.exchange.fetch_ticker(self.pair))["last"]

    async def futures_ticker(self) -> None:
        self._ticker(await self.exchange.fetch_ticker(self.pair))

    def _ticker(self, row: dict[str, Any]) -> None:
        same("symbol", row["symbol"], self.pair)
        check(0 < row["bid"] < row["ask"] and row["last"] > 0, f"{row['bid']}, {row['ask']}, {row['last']}")
        check(abs(float(row["markPrice"]) / float(row["indexPrice"]) - 1) < 0.01, f"mark {row['markPrice']}, index {row['indexPrice']}")

    async def futures_tickers(self) -> None:
        rows = await self.exchange.fetch_tickers()
        same("symbols", set(rows), set(self.exchange.markets))
        self._ticker(rows[self.pair])

    async def futures_candles(self) -> None:
        rows = await self.exchange.fetch_ohlcv(self.pair, "1m", limit=100)
        check(rows and rows[-1][0] > time.time() * 1000 - 2 * MINUTE_MS, f"last candle {rows[-1:]}")
        same("distance of candles", {b[0] - a[0] for a, b in itertools.pairwise(rows)}, {MINUTE_MS})
        marks = await self.exchange.fetch_mark_ohlcv(self.pair, "1h", limit=3)
        check(all(row[2] >= max(row[1], row[4]) >= row[3] > 0 for row in [*rows, *marks]), "a candle crosses itself")

    async def futures_order_book(self) -> None:
        self._book(await self.exchange.fetch_order_book(self.pair))

    def _book(self, book: Any) -> None:
        asks, bids = ([level[0] for level in book[side]] for side in ("asks", "bids"))
        check(asks == sorted(asks) and bids == sorted(bids, reverse=True) and bids[0] < asks[0], f"{book}")
        check(min(level[1] for side in ("asks", "bids") for level in book[side]) > 0, f"{book}")

    async def futures_trades(self) -> None:
        rows = await self.exchange.fetch_trades(self.pair, limit=20)
        same("trades", len(rows), 20)
        check(all(row["price"] > 0 and row["amount"] > 0 and row["side"] in ("buy", "sell") and row["id"] for row in rows), f"{rows[:1]}")

    async def futures_funding_rates(self) -> None:
        rows = await self.exchange.fetch_funding_rate_history(self.pair)
        check(len(rows) > 100 and all(abs(row["fundingRate"]) < 0.01 for row in rows), f"{rows[-1:]}")
        rate = (await self.exchange.fetch_funding_rates([self.pair]))[self.pair]
        check(abs(rate["fundingRate"]) < 0.01 and rate["markPrice"] > 0, f"{rate}")

    # --- account ----------------------------------------------------------------------------------------------------
    async def futures_balance(self) -> None:
        row = (await self.exchange.fetch_balance())["USD"]
        check(row["total"] > 0 and row["free"] > 0, f"{row}")

    def price(self, share: float) -> float:
        return float(self.exchange.price_to_precision(self.pair, self.last * share))

    def amount(self, cost: float = 100.0) -> float:
        return float(self.exchange.amount_to_precision(self.pair, cost / self.last))

    async def futures_market_order(self) -> None:
        order = await self.exchange.create_order(self.pair, "market", "buy", self.amount())
        same("status, filled", (order["status"], order["filled"]), ("closed", self.amount()))
        self.bought = order["id"]

    async def futures_positions(self) -> None:
        (row,) = [row for row in await self.exchange.fetch_positions() if row["symbol"] == self.pair]
        same("side", row["side"], "long")
        check(row["contracts"] >= self.amount() and row["entryPrice"] > 0, f"{row}")

    async def futures_fills(self) -> None:
        rows = [row for row in await self.exchange.fetch_my_trades(self.pair) if row["order"] == self.bought]
        check(rows, "the market order has no fill")
        same("quantity", round(sum(row["amount"] for row in rows), 4), self.amount())
        check(all(row["side"] == "buy" and row["price"] > 0 and row["takerOrMaker"] == "taker" and row["id"] for row in rows), f"{rows}")

    async def _rests(self, kind: str, side: str, share: float | None, **params: Any) -> dict[str, Any]:
        price = None if share is None else self.price(share)
        order = await self.exchange.create_order(self.pair, kind, side, self.amount(), price, params)
        found: dict[str, Any] = {row["id"]: row for row in await self.exchange.fetch_open_orders(self.pair)}[order["id"]]
        same("order", (found["symbol"], found["side"], found["amount"], found["filled"]), (self.pair, side, self.amount(), 0.0))
        await self.gone(order["id"])
        return found

    async def gone(self, order_id: str) -> None:
        same("status", (await self.exchange.cancel_order(order_id, self.pair))["status"], "canceled")
        check(order_id not in [row["id"] for row in await self.exchange.fetch_open_orders(self.pair)], "a cancelled order is still open")

    async def futures_limit_order(self) -> None:
        """The price is read from the venue's own words: ccxt leaves its `price` empty on purpose."""
        same("price", (await self._rests("limit", "buy", 0.5))["info"]["limitPrice"], self.price(0.5))

    async def futures_stop(self) -> None:
        found = await self._rests("market", "sell", None, stopLossPrice=self.price(0.5), reduceOnly=True)
        same("trigger, reduceOnly", (found["triggerPrice"], found["reduceOnly"]), (self.price(0.5), True))

    async def futures_take_profit(self) -> None:
        same("trigger", (await self._rests("market", "sell", None, takeProfitPrice=self.price(1.5)))["triggerPrice"], self.price(1.5))

    async def futures_edit(self) -> None:
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(), self.price(0.5))
        edited = await self.exchange.edit_order(order["id"], self.pair, "limit", "buy", self.amount(200), self.price(0.45))
        same("id, amount", (edited["id"], edited["amount"]), (order["id"], self.amount(200)))
        (found,) = [row for row in await self.exchange.fetch_open_orders(self.pair) if row["id"] == order["id"]]
        same("price", found["info"]["limitPrice"], self.price(0.45))
        await self.gone(order["id"])

    async def futures_cancel(self) -> None:
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(), self.price(0.5))
        await self.gone(order["id"])
        try:
            await self.exchange.cancel_order(order["id"], self.pair)
        except ccxt.OrderNotFound as error:
            check("notFound" in str(error), f"refused with {error}")
        else:
            check(False, "a cancelled order was cancelled again")

    async def futures_cancel_all(self) -> None:
        for share in (0.5, 0.45):
            await self.exchange.create_order(self.pair, "limit", "buy", self.amount(), self.price(share))
        await self.exchange.cancel_all_orders(self.pair)
        same("open orders", await self.exchange.fetch_open_orders(self.pair), [])

    async def futures_leverage(self) -> None:
        await self.exchange.set_leverage(5, "ADA/USD:USD")
        same("leverage", (await self.exchange.fetch_leverage("ADA/USD:USD"))["longLeverage"], 5)

    async def futures_dead_mans_switch(self) -> None:
        answer = await self.exchange.cancel_all_orders_after(60_000)
        same("result", answer["result"], "success")
        check(answer["status"]["triggerTime"] > answer["status"]["currentTime"], f"{answer}")
        same("disarmed", (await self.exchange.cancel_all_orders_after(0))["result"], "success")

    # --- watching ---------------------------------------------------------------------------------------------------
    async def futures_ws_ticker(self) -> None:
        row = await self.exchange.watch_ticker(self.pair)
        check(0 < row["bid"] < row["ask"] and row["last"] > 0 and row["symbol"] == self.pair, f"{row}")

    async def futures_ws_book(self) -> None:
        self._book(await self.exchange.watch_order_book(self.pair))

    async def futures_ws_trades(self) -> None:
        rows = await self.exchange.watch_trades(self.pair)
        check(rows and all(row["price"] > 0 and row["amount"] > 0 and row["symbol"] == self.pair for row in rows), f"{rows[:1]}")

    async def futures_ws_orders_and_fills(self) -> None:
        orders = asyncio.create_task(self.exchange.watch_orders(self.pair))
        await asyncio.sleep(0.5)
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(), self.price(0.5))
        while order["id"] not in [row["id"] for row in await orders]:  # the first may be the snapshot, where signing in took longer
            orders = asyncio.create_task(self.exchange.watch_orders(self.pair))
        await self.gone(order["id"])
        await self._told()  # the snapshot
        listening = asyncio.create_task(self._told())
        await asyncio.sleep(0.1)
        bought = await self.exchange.create_order(self.pair, "market", "buy", self.amount())
        while bought["id"] not in await listening:
            listening = asyncio.create_task(self._told())

    async def _told(self) -> set[str]:
        """Orders of the fills that are told next."""
        return {row["order"] for row in await self.exchange.watch_my_trades(self.pair)}
