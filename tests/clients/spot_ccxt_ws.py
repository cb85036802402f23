"""ccxt.pro for Python against the twin: what it watches, and orders over its socket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.clients.spot_ccxt import MINUTE_MS, CcxtRest
from tests.clients.table import check, same


class Ccxt(CcxtRest):
    """The whole of ccxt for Python; watching shares the exchange object with REST."""

    async def ws_ticker(self) -> None:
        self.ticker_row(await self.exchange.watch_ticker(self.pair))

    async def ws_candles(self) -> None:
        rows = await self.exchange.watch_ohlcv(self.pair, "1m")
        check(rows, "no candle")
        opened, o, h, low, c, volume = rows[-1]
        check(opened % MINUTE_MS == 0 and abs(opened - time.time() * 1000) < 3 * MINUTE_MS, f"candle at {opened}")
        check(h >= max(o, c) >= min(o, c) >= low > 0 and volume >= 0, f"{rows[-1]}")

    async def ws_trades(self) -> None:
        self.trade_rows(await self.exchange.watch_trades(self.pair))

    async def ws_book_with_crc(self) -> None:
        """The levels after the snapshot and one update; ccxt's own checksum test cannot be used (KRAKEN.md pitfall D)."""
        self.book(await self.exchange.watch_order_book(self.pair, 10))
        book = await self.exchange.watch_order_book(self.pair, 10)
        self.book(book)
        check(book["symbol"] == self.pair, f"{book}")

    async def ws_executions(self) -> None:
        """From placing to the end; `new` and `canceled` carry no symbol, so all symbols are watched (KRAKEN.md pitfall A3)."""
        seen: list[dict[str, Any]] = []
        watching = asyncio.create_task(self._watched(seen))
        try:
            await asyncio.sleep(0.5)
            order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(0.5))
            await self.exchange.cancel_order(order["id"], self.pair)
            while not (rows := [row for row in seen if row["id"] == order["id"]]) or rows[-1]["status"] != "canceled":
                check(not watching.done(), f"watching ended: {watching}")
                await asyncio.sleep(0.1)
        finally:
            watching.cancel()
        check(any(row["symbol"] == self.pair and row["side"] == "buy" and row["amount"] == self.amount(15.0) for row in rows), f"{rows}")

    async def _watched(self, seen: list[dict[str, Any]]) -> None:
        """Orders of the whole account, as they are watched."""
        while True:
            seen += [dict(row) for row in await self.exchange.watch_orders()]

    async def ws_balances(self) -> None:
        watched = await self.exchange.watch_balance()
        check(watched[self.quote]["total"] > 0, f"{watched}")
        update = asyncio.create_task(self.exchange.watch_balance())
        await asyncio.sleep(0.3)
        await self.x_buy()
        after = await update
        check(after[self.quote]["total"] > 0 and after["BTC"]["total"] > 0, f"{after}")

    async def ws_order_entry(self) -> None:
        order = await self.exchange.create_order_ws(self.pair, "limit", "buy", amount := self.amount(30.0), self.price(0.5))
        answer = await self.exchange.edit_order_ws(order["id"], self.pair, "limit", "buy", amount, self.price(0.45))
        check(answer is not None, "no answer to amend_order")
        same("price seen by REST", await self.x_price_of(order["id"]), self.price(0.45))
        await self.exchange.cancel_order_ws(order["id"])
        same("seen by REST", await self.x_price_of(order["id"]), None)

    async def x_listen(self) -> None:
        """Begin to receive executions."""
        self._listening = asyncio.create_task(self._trades())
        await asyncio.sleep(0.5)

    async def _trades(self) -> list[dict[str, Any]]:
        return list(await self.exchange.watch_my_trades())

    async def x_executed(self, txid: str) -> list[str]:
        """Ids of the trades of this order, as executions tells them."""
        while True:
            found = sorted(row["id"] for row in await self._listening if row["order"] == txid)
            if found:
                return found
            self._listening = asyncio.create_task(self._trades())
