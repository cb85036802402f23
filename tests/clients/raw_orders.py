"""Private spot answers in Kraken's own shapes: orders of every type, history and money, as krakenex and python-kraken-sdk get them."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from tests.clients.raw_public import MINUTE, RawPublic, number
from tests.clients.table import check, same

ORDER_ID, TRADE_ID, LEDGER_ID = (re.compile(letter + r"[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}") for letter in "OTL")
WORDS = {
    "limit": "limit {0}", "stop-loss": "stop loss {0}", "take-profit": "take profit {0}", "trailing-stop": "trailing stop {0}",
    "stop-loss-limit": "stop loss {0} -> limit {1}", "take-profit-limit": "take profit {0} -> limit {1}", "market": "market",
}  # fmt: skip
"""Order type -> its sentence in `descr`, of price and second price (KRAKEN.md section 2)."""


class RawOrders(RawPublic):
    """Checks of private answers; `post(method, **fields)` is the library's door. Every operation takes away what it placed."""

    volume = 0.0
    bought = ""

    @abstractmethod
    def post(self, method: str, **fields: Any) -> Any:
        """The `result` of a private endpoint; raises the library's own error."""

    def refused(self, words: str, method: str, **fields: Any) -> None:
        """The call must fail, with these words of Kraken in it."""
        try:
            answer = self.post(method, **fields)
        except Exception as error:  # noqa: BLE001 - each library has its own class
            check(words in self.words_of(error), f"refused with {error}, not {words}")
        else:
            check(False, f"{method} was accepted: {answer}")

    def words_of(self, error: Exception) -> str:
        """Kraken's words in an error of this library."""
        return str(error)

    # --- placing ----------------------------------------------------------------------------------------------------
    def price(self, share: float) -> str:
        """A price at this share of the last one, on the tick."""
        last = float(self.get("Ticker", pair=self.pair_id)[self.pair_id]["c"][0])
        return f"{last * share:.{self.row['pair_decimals']}f}"

    def amount(self, cost: float = 30.0) -> str:
        """A volume worth about this much quote."""
        return f"{cost / float(self.price(1.0)):.8f}"

    def placed(self, ordertype: str, side: str, volume: str, *prices: str, **more: Any) -> str:
        """Send AddOrder, check its answer to the letter, return the order's id."""
        fields = dict(zip(("price", "price2"), prices, strict=False)) | more
        answer = self.post("AddOrder", pair=self.pair_id, type=side, ordertype=ordertype, volume=volume, **fields)
        same("fields of the answer", sorted(answer), ["descr", "txid"])
        (txid,) = answer["txid"]
        check(ORDER_ID.fullmatch(txid), f"txid {txid!r}")
        shown = [f"{float(price.rstrip('%')):+.4f}%" if price.endswith("%") else price for price in prices]
        sentence = f"{side} {volume} {self.row['altname']} @ " + WORDS[ordertype].format(*shown)
        same("descr.order", answer["descr"]["order"], sentence)
        return str(txid)

    def resting(self, txid: str, ordertype: str, volume: str, *prices: str) -> dict[str, Any]:
        """The open order as OpenOrders shows it, checked against what was sent."""
        row: dict[str, Any] = self.post("OpenOrders")["open"][txid]
        same("status", row["status"], "open")
        descr = row["descr"]
        same("descr.pair", descr["pair"], self.row["altname"])
        same("descr.ordertype", descr["ordertype"], ordertype)
        same("vol, vol_exec", (number("vol", row["vol"]), number("vol_exec", row["vol_exec"])), (float(volume), 0.0))
        for name, price in zip(("price", "price2"), prices, strict=False):
            if not price.endswith("%"):
                same(f"descr.{name}", number(name, descr[name]), float(price))
        check(abs(row["opentm"] - time.time()) < MINUTE, f"opentm {row['opentm']}")
        same("leverage", descr["leverage"], "none")
        check(isinstance(row["oflags"], str) and isinstance(row["misc"], str) and isinstance(row["userref"], int | None), "flags")
        for name in ("cost", "fee", "price", "stopprice", "limitprice"):
            number(name, row[name])
        return row

    def gone(self, txid: str) -> None:
        """Cancel and see that it is no longer open."""
        same("count", self.post("CancelOrder", txid=txid)["count"], 1)
        check(txid not in self.post("OpenOrders")["open"], "a cancelled order is still open")

    def rests(self, ordertype: str, side: str, *shares: float, **more: Any) -> None:
        """Place far from the market at shares of the last price, see it rest, take it away."""
        volume, prices = self.amount(15.0), [self.price(share) for share in shares]
        txid = self.placed(ordertype, side, volume, *prices, **more)
        self.resting(txid, ordertype, volume, *prices)
        self.gone(txid)

    # --- orders -----------------------------------------------------------------------------------------------------
    def market_order(self) -> None:
        """Buys what the selling orders below sell; remembers the order."""
        volume = self.amount(60.0)
        self.bought = self.placed("market", "buy", volume)
        row = self.post("QueryOrders", txid=self.bought, trades=True)[self.bought]
        same("status", row["status"], "closed")
        same("vol_exec", number("vol_exec", row["vol_exec"]), float(volume))
        check(number("cost", row["cost"]) > 50 and number("fee", row["fee"]) > 0 and number("price", row["price"]) > 0, f"{row}")
        check(row["trades"] and all(TRADE_ID.fullmatch(one) for one in row["trades"]), f"trades {row.get('trades')}")

    def limit_order(self) -> None:
        self.rests("limit", "buy", 0.5)

    def stop_loss(self) -> None:
        self.rests("stop-loss", "sell", 0.5)

    def stop_loss_limit(self) -> None:
        self.rests("stop-loss-limit", "sell", 0.5, 0.49)

    def take_profit(self) -> None:
        self.rests("take-profit", "sell", 1.5)

    def take_profit_limit(self) -> None:
        self.rests("take-profit-limit", "sell", 1.5, 1.49)

    def trailing_stop(self) -> None:
        volume = self.amount(15.0)
        txid = self.placed("trailing-stop", "sell", volume, "+15%")
        row = self.resting(txid, "trailing-stop", volume, "+15%")
        trigger = number("stopprice", row["stopprice"])
        check(0.8 < trigger / float(self.price(1.0)) < 0.9, f"stopprice {trigger} for a trail of 15 %")
        self.gone(txid)

    def conditional_close(self) -> None:
        volume, stop = self.amount(20.0), self.price(0.6)
        answer = self.post("AddOrder", pair=self.pair_id, type="buy", ordertype="market", volume=volume, oflags="fciq",
                           **{"close[ordertype]": "stop-loss", "close[price]": stop})  # fmt: skip
        same("descr.close", answer["descr"]["close"], f"close position @ stop loss {stop}")
        (entry,) = answer["txid"]
        closing = {txid: row for txid, row in self.post("OpenOrders")["open"].items() if row["refid"] == entry}
        same("closing volume", sum(number("vol", row["vol"]) for row in closing.values()), float(volume))
        for txid, row in closing.items():
            same("closing order", (row["descr"]["type"], row["descr"]["ordertype"]), ("sell", "stop-loss"))
            self.gone(txid)

    def post_only(self) -> None:
        volume = self.amount(15.0)
        self.refused("EOrder:Post only order", "AddOrder", pair=self.pair_id, type="buy", ordertype="limit", volume=volume,
                     price=self.price(1.1), oflags="post")  # fmt: skip
        txid = self.placed("limit", "buy", volume, price := self.price(0.5), oflags="post")
        check("post" in self.resting(txid, "limit", volume, price)["oflags"].split(","), "oflags without post")
        self.gone(txid)

    def amend(self) -> None:
        volume, price, other = self.amount(30.0), self.price(0.5), self.price(0.45)
        txid = self.placed("limit", "buy", volume, price)
        answer = self.post("AmendOrder", txid=txid, limit_price=other, order_qty=f"{float(volume) / 2:.8f}")
        check(TRADE_ID.fullmatch(answer["amend_id"]), f"amend_id {answer['amend_id']!r}")
        self.resting(txid, "limit", f"{float(volume) / 2:.8f}", other)
        self.gone(txid)

    def edit(self) -> None:
        volume, price, other = self.amount(30.0), self.price(0.5), self.price(0.45)
        txid = self.placed("limit", "buy", volume, price)
        answer = self.post("EditOrder", txid=txid, pair=self.pair_id, price=other, volume=volume)
        same("originaltxid", answer["originaltxid"], txid)
        check(ORDER_ID.fullmatch(answer["txid"]) and answer["txid"] != txid, f"txid {answer['txid']!r}")
        self.resting(answer["txid"], "limit", volume, other)
        check(txid not in self.post("OpenOrders")["open"], "the edited order is still open")
        self.gone(answer["txid"])

    def cancel(self) -> None:
        volume = self.amount(15.0)
        txid = self.placed("limit", "buy", volume, self.price(0.5))
        self.gone(txid)
        row = self.post("ClosedOrders")["closed"][txid]
        same("status", row["status"], "canceled")
        check(row["reason"] and abs(row["closetm"] - time.time()) < MINUTE, f"reason {row['reason']!r}, closetm {row['closetm']}")
        self.refused("EOrder:Unknown order", "CancelOrder", txid=txid)

    def batch(self) -> None:
        volume, price = self.amount(15.0), self.price(0.5)
        order = {"ordertype": "limit", "type": "buy", "volume": volume, "price": price}
        orders = [order, order | {"volume": "0"}, order | {"price": self.price(0.4)}]
        first, refused, third = self.post("AddOrderBatch", pair=self.pair_id, orders=orders)["orders"]
        check(str(refused["error"]).startswith("E"), f"the impossible order of the batch: {refused}")
        check(volume in first["descr"]["order"] and first["txid"] != third["txid"], f"{first}, {third}")
        same("count", self.post("CancelOrderBatch", orders=[first["txid"], third["txid"]])["count"], 2)

    def dead_mans_switch(self) -> None:
        answer = self.post("CancelAllOrdersAfter", timeout=60)
        current, trigger = (datetime_of(answer[name]) for name in ("currentTime", "triggerTime"))
        check(55 <= trigger - current <= 65 and abs(current - time.time()) < MINUTE, f"{answer}")
        same("triggerTime when disarmed", self.post("CancelAllOrdersAfter", timeout=0)["triggerTime"], "0")

    def cancel_all(self) -> None:
        volume = self.amount(15.0)
        placed = [self.placed("limit", "buy", volume, self.price(share)) for share in (0.5, 0.45)]
        check(self.post("CancelAll")["count"] >= len(placed), "cancelled fewer orders than were open")
        same("open orders", self.post("OpenOrders")["open"], {})

    # --- looking up -------------------------------------------------------------------------------------------------
    def open_orders(self) -> None:
        volume, mine = self.amount(15.0), f"c{time.time_ns() % 10**16:016d}"
        price = self.price(0.5)
        txid = self.placed("limit", "buy", volume, price, cl_ord_id=mine)
        found = self.post("OpenOrders", cl_ord_id=mine)["open"]
        same("orders of this client id", list(found), [txid])
        row = self.resting(txid, "limit", volume, price)
        same("cl_ord_id", row["cl_ord_id"], mine)
        self.gone(txid)

    def closed_orders(self) -> None:
        answer = self.post("ClosedOrders", trades=True)
        check(isinstance(answer["count"], int) and answer["count"] >= len(answer["closed"]) > 0, f"count {answer['count']!r}")
        row = answer["closed"][self.bought]
        same("status, ordertype", (row["status"], row["descr"]["ordertype"]), ("closed", "market"))
        check(row["opentm"] <= row["closetm"] and row["trades"], f"times and trades: {row}")

    def fills(self) -> None:
        answer = self.post("TradesHistory")
        check(isinstance(answer["count"], int), f"count {answer['count']!r}")
        mine = {one: row for one, row in answer["trades"].items() if row["ordertxid"] == self.bought}
        check(mine, "the market order has no trade")
        for trade_id, row in mine.items():
            check(TRADE_ID.fullmatch(trade_id), f"trade {trade_id!r}")
            same("pair, type, ordertype", (row["pair"], row["type"], row["ordertype"]), (self.pair_id, "buy", "market"))
            price, cost, vol = (number(name, row[name]) for name in ("price", "cost", "vol"))
            check(abs(price * vol - cost) < 0.01 and number("fee", row["fee"]) > 0, f"cost {cost} of {vol} at {price}")
            check(isinstance(row["trade_id"], int) and isinstance(row["maker"], bool) and row["time"] > 1e9, f"{row}")
            number("margin", row["margin"])
        one = next(iter(mine))
        same("QueryTrades", self.post("QueryTrades", txid=one)[one]["ordertxid"], self.bought)

    # --- money ------------------------------------------------------------------------------------------------------
    def balance(self) -> None:
        plain, held = self.post("Balance"), self.post("BalanceEx")
        quote = self.row["quote"]
        check(number("balance", plain[quote]) > 0, f"Balance {plain}")
        row = held[quote]
        check(number("balance", row["balance"]) >= number("hold_trade", row["hold_trade"]) >= 0, f"BalanceEx {row}")

    def trade_balance(self) -> None:
        row = self.post("TradeBalance", asset=self.row["quote"])
        for name in ("eb", "tb", "m", "n", "c", "v", "e", "mf"):
            number(name, row[name])
        check(float(row["eb"]) > 0 and float(row["mf"]) > 0, f"{row}")

    def fees(self) -> None:
        answer = self.post("TradeVolume", pair=self.pair_id)
        check(isinstance(answer["currency"], str) and number("volume", answer["volume"]) >= 0, f"{answer}")
        taker, maker = (number("fee", answer[name][self.pair_id]["fee"]) for name in ("fees", "fees_maker"))
        check(taker >= maker > 0, f"fees {taker}, {maker}")

    def ledger(self) -> None:
        rows: Mapping[str, Any] = self.post("Ledgers")["ledger"]
        check(all(LEDGER_ID.fullmatch(one) for one in rows), f"ledger ids {list(rows)[:3]}")
        trades = {row["ordertxid"]: one for one, row in self.post("TradesHistory")["trades"].items()}
        mine = {one: row for one, row in rows.items() if row["refid"] == trades[self.bought]}
        same("assets moved", {row["asset"] for row in mine.values()}, {self.row["base"], self.row["quote"]})
        for one, row in mine.items():
            same("type", row["type"], "trade")
            check(
                number("amount", row["amount"]) != 0 and number("fee", row["fee"]) >= 0 and number("balance", row["balance"]) >= 0, f"{row}"
            )
            same("QueryLedgers", self.post("QueryLedgers", id=one)[one]["refid"], row["refid"])

    def key_info_and_token(self) -> None:
        info = self.post("GetApiKeyInfo")
        check("permissions" in info and len(info["permissions"]) >= 5, f"permissions {info}")
        token = self.post("GetWebSocketsToken")
        same("expires", token["expires"], 900)
        check(isinstance(token["token"], str) and len(token["token"]) > 20, f"token {token}")

    # --- what crossings are made of ---------------------------------------------------------------------------------
    def x_place(self) -> str:
        return self.placed("limit", "buy", self.amount(30.0), self.price(0.5))

    def x_price_of(self, txid: str) -> float | None:
        row = self.post("OpenOrders")["open"].get(txid)
        return None if row is None else number("price", row["descr"]["price"])

    def x_amend(self, txid: str, price: float) -> None:
        self.post("AmendOrder", txid=txid, limit_price=str(price))

    def x_cancel(self, txid: str) -> None:
        same("count", self.post("CancelOrder", txid=txid)["count"], 1)

    def x_buy(self) -> str:
        return self.placed("market", "buy", self.amount(20.0))

    def x_trades_of(self, txid: str) -> list[str]:
        return sorted(one for one, row in self.post("TradesHistory")["trades"].items() if row["ordertxid"] == txid)


def datetime_of(text: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
