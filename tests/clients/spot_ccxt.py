"""ccxt for Python against the twin: unified methods over REST."""

from __future__ import annotations

import itertools
import time
from typing import Any

import ccxt.pro

from tests.clients.table import Client, check, same
from tests.clients.twin_process import Twin, key_of

MINUTE_MS = 60_000


def kraken(twin: Twin, client: str) -> Any:
    """ccxt.pro's kraken with other URLs (KRAKEN.md section 11); its throttle is off, since it is not Kraken's."""
    key, base, socket = key_of(client), twin.url, twin.ws
    streams = {"public": socket, "private": socket, "publicV2": socket + "/v2", "privateV2": socket + "/v2"}
    return ccxt.pro.kraken(
        {
            "apiKey": key.key,
            "secret": key.secret,
            "enableRateLimit": False,
            "urls": {"api": {"public": base, "private": base, "ws": streams}},
        }
    )


class CcxtRest(Client):
    """Unified REST methods; every operation takes away what it placed."""

    name, pair = "ccxt", "BTC/EUR"
    quote = "EUR"

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self.exchange = kraken(twin, self.name)
        self.last = 0.0
        self.bought = ""

    async def close(self) -> None:
        await self.exchange.close()

    # --- public -----------------------------------------------------------------------------------------------------
    async def load_markets(self) -> None:
        markets = await self.exchange.load_markets()
        check(len(markets) >= 20, f"{len(markets)} markets")
        market = markets[self.pair]
        same("names", (market["id"], market["base"], market["quote"], market["altname"], market["wsId"]),
             ("XXBTZEUR", "BTC", "EUR", "XBTEUR", "XBT/EUR"))  # fmt: skip
        same("active, spot", (market["active"], market["spot"]), (True, True))
        same("precision", (market["precision"]["amount"], market["precision"]["price"]), (1e-8, 0.1))
        check(market["limits"]["amount"]["min"] > 0 and market["limits"]["cost"]["min"] > 0, f"limits {market['limits']}")
        check(market["taker"] >= market["maker"] > 0, f"fees {market['taker']}, {market['maker']}")
        same("currency", (self.exchange.currencies["BTC"]["id"], self.exchange.currencies["BTC"]["active"]), ("XXBT", True))
        self.last = (await self.exchange.fetch_ticker(self.pair))["last"]

    async def time_and_status(self) -> None:
        check(abs(await self.exchange.fetch_time() - time.time() * 1000) < MINUTE_MS, "fetch_time is far off")
        status = await self.exchange.fetch_status()
        same("status", (status["status"], status["info"]["result"]["status"]), ("ok", "online"))

    async def candles_with_running_bar(self) -> None:
        begun = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
        rows = await self.exchange.fetch_ohlcv(self.pair, "1m")
        check(len(rows) >= 720, f"{len(rows)} candles")
        check(begun <= rows[-1][0] <= time.time() * 1000, f"last candle {rows[-1]}")
        same("distance of candles", {b[0] - a[0] for a, b in itertools.pairwise(rows)}, {MINUTE_MS})
        for _, o, h, low, c, volume in rows:
            check(h >= max(o, c) >= min(o, c) >= low > 0 and volume >= 0, "a candle crosses itself")

    async def ticker(self) -> None:
        self.ticker_row(await self.exchange.fetch_ticker(self.pair))

    def ticker_row(self, row: dict[str, Any]) -> None:
        same("symbol", row["symbol"], self.pair)
        check(0 < row["bid"] <= row["last"] <= row["ask"], f"{row['bid']}, {row['last']}, {row['ask']}")
        check(row["high"] >= row["low"] > 0 and min(row["vwap"], row["baseVolume"], row["open"]) > 0, f"{row}")

    async def tickers(self) -> None:
        rows = await self.exchange.fetch_tickers()
        check(len(rows) >= 20, f"{len(rows)} tickers")
        self.ticker_row(rows[self.pair])

    async def order_book(self) -> None:
        self.book(await self.exchange.fetch_order_book(self.pair, 10))

    def book(self, book: Any) -> None:
        asks, bids = ([level[0] for level in book[side]] for side in ("asks", "bids"))
        same("levels", (len(asks), len(bids)), (10, 10))
        check(asks == sorted(asks) and bids == sorted(bids, reverse=True) and bids[0] < asks[0], f"{book}")
        check(min(level[1] for side in ("asks", "bids") for level in book[side]) > 0, f"{book}")

    async def public_trades(self) -> None:
        rows = await self.exchange.fetch_trades(self.pair, limit=50)
        same("trades", len(rows), 50)
        self.trade_rows(rows)

    def trade_rows(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            check(row["price"] > 0 and row["amount"] > 0 and row["side"] in ("buy", "sell") and row["timestamp"] and row["id"], f"{row}")
            check(row["type"] in ("market", "limit") and row["symbol"] == self.pair, f"{row}")

    # --- money ------------------------------------------------------------------------------------------------------
    async def balance(self) -> None:
        row = (await self.exchange.fetch_balance())[self.quote]
        check(row["total"] > 0 and row["used"] >= 0 and abs(row["free"] + row["used"] - row["total"]) < 1e-6, f"{row}")

    async def trade_balance(self) -> None:
        row = (await self.exchange.private_post_tradebalance({"asset": "ZEUR"}))["result"]
        check(
            all(isinstance(float(row[name]), float) for name in ("eb", "tb", "m", "n", "c", "v", "e", "mf")) and float(row["eb"]) > 0,
            f"{row}",
        )

    async def fees(self) -> None:
        row = await self.exchange.fetch_trading_fee(self.pair)
        check(0.01 > row["taker"] >= row["maker"] > 0, f"{row}")

    async def ledger(self) -> None:
        rows = await self.exchange.fetch_ledger()
        trades = {trade["order"]: trade["id"] for trade in await self.exchange.fetch_my_trades(self.pair)}
        mine = [row for row in rows if row["referenceId"] == trades[self.bought]]
        same("currencies moved", {row["currency"] for row in mine}, {"BTC", self.quote})
        for row in mine:
            same("type, status", (row["type"], row["status"]), ("trade", "ok"))
            check(
                row["amount"] > 0 and row["direction"] in ("in", "out") and row["after"] >= 0 and row["timestamp"] and row["fee"], f"{row}"
            )
        same("one entry", (await self.exchange.fetch_ledger_entry(mine[0]["id"]))["referenceId"], mine[0]["referenceId"])

    async def key_info_and_token(self) -> None:
        info = (await self.exchange.private_post_getapikeyinfo())["result"]
        check(len(info["permissions"]) >= 5, f"{info}")
        token = (await self.exchange.private_post_getwebsocketstoken())["result"]
        check(str(token["expires"]) == "900" and len(token["token"]) > 20, f"{token}")

    # --- orders -----------------------------------------------------------------------------------------------------
    def price(self, share: float) -> float:
        return float(self.exchange.price_to_precision(self.pair, self.last * share))

    def amount(self, cost: float = 30.0) -> float:
        return float(self.exchange.amount_to_precision(self.pair, cost / self.last))

    async def rests(self, kind: str, side: str, share: float | None, shown: str, **params: Any) -> dict[str, Any]:
        """Place far away, see it open as `shown`, cancel, see it gone; the order as it was open."""
        price = None if share is None else self.price(share)
        order = await self.exchange.create_order(self.pair, kind, side, amount := self.amount(15.0), price, params)
        found: dict[str, Any] = {row["id"]: row for row in await self.exchange.fetch_open_orders(self.pair)}[order["id"]]
        same("order", (found["symbol"], found["side"], found["amount"], found["filled"], found["status"]),
             (self.pair, side, amount, 0.0, "open"))  # fmt: skip
        same("ordertype", found["info"]["descr"]["ordertype"], shown)
        if shown == "limit":
            same("price", found["price"], price)
        for name in ("stopLossPrice", "takeProfitPrice"):
            if name in params:
                same("trigger", found["triggerPrice"], params[name])
        await self.gone(order["id"])
        return found

    async def gone(self, txid: str) -> None:
        same("count", str((await self.exchange.cancel_order(txid, self.pair))["info"]["result"]["count"]), "1")
        check(txid not in [row["id"] for row in await self.exchange.fetch_open_orders(self.pair)], "a cancelled order is still open")

    async def market_order(self) -> None:
        order = await self.exchange.create_order(self.pair, "market", "buy", amount := self.amount(60.0))
        same("side, type, amount", (order["side"], order["type"], order["amount"]), ("buy", "market", amount))
        self.bought = order["id"]
        row = await self.exchange.fetch_order(self.bought, self.pair)
        same("status, filled", (row["status"], row["filled"]), ("closed", amount))
        check(row["cost"] > 50 and row["average"] > 0 and float(row["fee"]["cost"]) > 0, f"{row}")

    async def limit_order(self) -> None:
        await self.rests("limit", "buy", 0.5, "limit")

    async def stop_loss(self) -> None:
        await self.rests("market", "sell", None, "stop-loss", stopLossPrice=self.price(0.5))

    async def stop_loss_limit(self) -> None:
        row = await self.rests("limit", "sell", 0.49, "stop-loss-limit", stopLossPrice=self.price(0.5))
        same("limit", float(row["info"]["descr"]["price2"]), self.price(0.49))

    async def take_profit(self) -> None:
        await self.rests("market", "sell", None, "take-profit", takeProfitPrice=self.price(1.5))

    async def take_profit_limit(self) -> None:
        await self.rests("limit", "sell", 1.49, "take-profit-limit", takeProfitPrice=self.price(1.5))

    async def trailing_stop(self) -> None:
        row = await self.rests("market", "sell", None, "trailing-stop", trailingPercent=15)
        check(row["info"]["descr"]["price"].startswith("+15"), f"{row['info']['descr']}")

    async def conditional_close(self) -> None:
        close = {"ordertype": "stop-loss", "price": str(self.price(0.6))}
        order = await self.exchange.create_order(self.pair, "market", "buy", self.amount(20.0), None, {"close": close, "oflags": "fciq"})
        closing = [row for row in await self.exchange.fetch_open_orders(self.pair) if row["info"]["refid"] == order["id"]]
        same("closing volume", sum(row["amount"] for row in closing), order["amount"])
        for row in closing:
            same("side, trigger", (row["side"], row["triggerPrice"]), ("sell", self.price(0.6)))
            await self.gone(row["id"])

    async def post_only(self) -> None:
        try:
            await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(1.1), {"postOnly": True})
        except ccxt.ExchangeError as error:
            check("EOrder:Post only order" in str(error), f"refused with {error}")
        else:
            check(False, "a post-only order at a taker's price was accepted")
        check((await self.rests("limit", "buy", 0.5, "limit", postOnly=True))["postOnly"] is True, "postOnly is not told")

    async def amend(self) -> None:
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(30.0), self.price(0.5))
        amount, price = self.amount(20.0), self.price(0.45)
        answer = await self.exchange.edit_order(order["id"], self.pair, "limit", "buy", amount, price)
        check(answer["info"]["amend_id"].startswith("T"), f"{answer['info']}")
        found = {row["id"]: row for row in await self.exchange.fetch_open_orders(self.pair)}[order["id"]]
        same("amount, price", (found["amount"], found["price"]), (amount, price))
        await self.gone(order["id"])

    async def edit(self) -> None:
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(30.0), self.price(0.5))
        words = {"txid": order["id"], "pair": "XXBTZEUR", "price": str(self.price(0.45)), "volume": f"{self.amount(30.0):.8f}"}
        answer = (await self.exchange.private_post_editorder(words))["result"]
        same("originaltxid", answer["originaltxid"], order["id"])
        found = {row["id"]: row for row in await self.exchange.fetch_open_orders(self.pair)}
        check(order["id"] not in found, "the edited order is still open")
        same("price", found[answer["txid"]]["price"], self.price(0.45))
        await self.gone(answer["txid"])

    async def cancel(self) -> None:
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(0.5))
        await self.gone(order["id"])
        found = {row["id"]: row for row in await self.exchange.fetch_closed_orders(self.pair)}[order["id"]]
        same("status", found["status"], "canceled")
        try:
            await self.exchange.cancel_order(order["id"], self.pair)
        except ccxt.OrderNotFound as error:
            check("EOrder:Unknown order" in str(error), f"refused with {error}")
        else:
            check(False, "a cancelled order was cancelled again")

    async def batch(self) -> None:
        orders = [{"symbol": self.pair, "type": "limit", "side": "buy", "amount": self.amount(15.0), "price": self.price(share)}
                  for share in (0.5, 0.4)]  # fmt: skip
        ids = [row["id"] for row in await self.exchange.create_orders(orders)]
        same("orders", len(set(ids)), 2)
        answer = await self.exchange.cancel_orders(ids, self.pair)
        same("count", str(answer[0]["info"]["result"]["count"]), "2")

    async def dead_mans_switch(self) -> None:
        answer = (await self.exchange.cancel_all_orders_after(60_000))["result"]
        current, trigger = (self.exchange.parse8601(answer[name]) for name in ("currentTime", "triggerTime"))
        check(55_000 <= trigger - current <= 65_000, f"{answer}")
        same("triggerTime when disarmed", (await self.exchange.cancel_all_orders_after(0))["result"]["triggerTime"], "0")

    async def cancel_all(self) -> None:
        for share in (0.5, 0.45):
            await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(share))
        (answer,) = await self.exchange.cancel_all_orders(self.pair)
        check(int(answer["info"]["result"]["count"]) >= 2, f"{answer}")
        same("open orders", await self.exchange.fetch_open_orders(self.pair), [])

    # --- looking up -------------------------------------------------------------------------------------------------
    async def open_orders(self) -> None:
        mine = f"c{time.time_ns() % 10**16:016d}"
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(0.5), {"clientOrderId": mine})
        (found,) = await self.exchange.fetch_open_orders(self.pair, params={"clientOrderId": mine})
        same("id, clientOrderId", (found["id"], found["clientOrderId"]), (order["id"], mine))
        check(found["timestamp"] and abs(found["timestamp"] - time.time() * 1000) < MINUTE_MS, f"timestamp {found['timestamp']}")
        await self.gone(order["id"])

    async def closed_orders(self) -> None:
        found = {row["id"]: row for row in await self.exchange.fetch_closed_orders(self.pair)}[self.bought]
        same("status, type", (found["status"], found["type"]), ("closed", "market"))
        check(found["lastTradeTimestamp"] is None or found["lastTradeTimestamp"] > 0, f"{found}")
        check(int(found["timestamp"]) > 0 and found["filled"] == found["amount"] and found["remaining"] == 0, f"{found}")

    async def fills(self) -> None:
        rows = [row for row in await self.exchange.fetch_my_trades(self.pair) if row["order"] == self.bought]
        check(rows, "the market order has no trade")
        for row in rows:
            same("symbol, side, type", (row["symbol"], row["side"], row["type"]), (self.pair, "buy", "market"))
            check(row["takerOrMaker"] == "taker" and row["fee"]["cost"] > 0 and row["fee"]["currency"] == self.quote, f"{row}")
            check(abs(row["price"] * row["amount"] - row["cost"]) < 0.01 and row["timestamp"] and row["id"].startswith("T"), f"{row}")
        found = await self.exchange.fetch_order_trades(self.bought, self.pair, params={"trades": [row["id"] for row in rows]})
        same("trades of the order", [row["id"] for row in found], [row["id"] for row in rows])

    # --- what crossings are made of ---------------------------------------------------------------------------------
    async def x_place(self) -> str:
        return str((await self.exchange.create_order(self.pair, "limit", "buy", self.amount(30.0), self.price(0.5)))["id"])

    async def x_price_of(self, txid: str) -> float | None:
        rows = {row["id"]: row for row in await self.exchange.fetch_open_orders()}
        return rows[txid]["price"] if txid in rows else None

    async def x_amend(self, txid: str, price: float) -> None:
        (row,) = [row for row in await self.exchange.fetch_open_orders() if row["id"] == txid]
        await self.exchange.edit_order(txid, row["symbol"], "limit", "buy", None, price)

    async def x_cancel(self, txid: str) -> None:
        await self.exchange.cancel_order(txid)

    async def x_buy(self) -> str:
        return str((await self.exchange.create_order(self.pair, "market", "buy", self.amount(20.0)))["id"])

    async def x_trades_of(self, txid: str) -> list[str]:
        return sorted(row["id"] for row in await self.exchange.fetch_my_trades() if row["order"] == txid)
