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
        watching = asyncio.create_task(self._watched("canceled"))
        await asyncio.sleep(0.5)
        order = await self.exchange.create_order(self.pair, "limit", "buy", self.amount(15.0), self.price(0.5))
        await self.exchange.cancel_order(order["id"], self.pair)
        rows = [row for row in await watching if row["id"] == order["id"]]
        check(any(row["symbol"] == self.pair and row["side"] == "buy" and row["amount"] == self.amount(15.0) for row in rows), f"{rows}")
        same("end", rows[-1]["status"], "canceled")

    async def _watched(self, status: str) -> list[dict[str, Any]]:
        """Orders as they are watched, up to one of this status that is no older than the watching."""
        begun, seen = self.exchange.milliseconds(), []
        while True:
            for row in await self.exchange.watch_orders():
                seen.append(dict(row))
                if row["status"] == status and (row["timestamp"] or 0) >= begun - 1000:
                    return seen

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
        await self.exchange.cancel_order_ws(order["id"], self.pair)
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
