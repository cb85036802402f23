"""Public spot answers in Kraken's own shapes: what krakenex and python-kraken-sdk hand over as they got it, and what must hold of it."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from tests.clients.table import Client, check, same

MINUTE = 60
TICKER = {"a": 3, "b": 3, "c": 2, "v": 2, "p": 2, "t": 2, "l": 2, "h": 2}
"""Field of a ticker -> how many values it lists; `o` is one price."""


def number(what: str, text: object) -> float:
    """A number Kraken sends as a string; WrongError for anything else."""
    check(isinstance(text, str), f"{what} is {text!r}, not a string")
    try:
        return float(str(text))
    except ValueError:
        check(False, f"{what} is {text!r}, not a number")
        raise


class RawPublic(Client, ABC):
    """Checks of public answers; `get(method, **fields)` is the library's door."""

    row: dict[str, Any]
    pair_id: str

    @abstractmethod
    def get(self, method: str, **fields: Any) -> Any:
        """The `result` of a public endpoint; raises the library's own error."""

    def load_markets(self) -> None:
        """Assets and pairs; everything later reads our own pair's row."""
        assets, pairs = self.get("Assets"), self.get("AssetPairs")
        check(len(pairs) >= 20, f"{len(pairs)} pairs listed")
        named = {row["wsname"]: (pair_id, row) for pair_id, row in pairs.items()}
        check(self.pair in named, f"no pair has the wsname {self.pair}")
        self.pair_id, self.row = named[self.pair]
        base, quote = self.pair.split("/")
        same("altname of the pair", self.row["altname"], base + quote)
        for side, name in (("base", base), ("quote", quote)):
            asset = assets[self.row[side]]
            same(f"altname of the {side}", asset["altname"], name)
            same(f"status of the {side}", asset["status"], "enabled")
            check(isinstance(asset["decimals"], int), f"decimals of the {side}: {asset['decimals']!r}")
        same("lot_decimals", self.row["lot_decimals"], 8)
        same("tick_size", number("tick_size", self.row["tick_size"]), 10.0 ** -self.row["pair_decimals"])
        check(number("ordermin", self.row["ordermin"]) > 0 and number("costmin", self.row["costmin"]) > 0, "no minimums")
        check(isinstance(self.row["cost_decimals"], int), "cost_decimals")
        check(self.row["fees"][0][1] >= self.row["fees_maker"][0][1] > 0, f"fees {self.row['fees']}, {self.row['fees_maker']}")
        check(isinstance(self.row["leverage_buy"], list) and isinstance(self.row["leverage_sell"], list), "leverage lists")
        same("status of the pair", self.row["status"], "online")

    def time_and_status(self) -> None:
        now = self.get("Time")
        check(abs(now["unixtime"] - time.time()) < MINUTE, f"unixtime {now['unixtime']}")
        datetime.strptime(now["rfc1123"], "%a, %d %b %y %H:%M:%S %z")
        status = self.get("SystemStatus")
        same("status", status["status"], "online")
        check(abs(datetime.fromisoformat(status["timestamp"]).timestamp() - time.time()) < MINUTE, f"timestamp {status['timestamp']}")

    def candles_with_running_bar(self) -> None:
        begun = int(time.time()) // MINUTE * MINUTE
        answer = self.get("OHLC", pair=self.pair_id, interval=1)
        rows = answer[self.pair_id]
        same("number of candles", len(rows), 721)
        check(begun <= rows[-1][0] <= time.time(), f"last candle at {rows[-1][0]}, now {time.time():.0f}")
        same("last", answer["last"], rows[-2][0])
        same("distance of candles", {b[0] - a[0] for a, b in itertools.pairwise(rows)}, {MINUTE})
        for opened, *prices, vwap, volume, count in rows[-20:]:
            o, h, low, c = (number("price of a candle", price) for price in prices)
            check(h >= max(o, c) >= min(o, c) >= low > 0, f"candle {opened} crosses itself: {prices}")
            check(number("vwap", vwap) >= 0 and number("volume", volume) >= 0 and isinstance(count, int), f"candle {opened}")

    def ticker(self) -> None:
        self.ticker_row(self.get("Ticker", pair=self.pair_id)[self.pair_id])

    def ticker_row(self, row: dict[str, Any]) -> None:
        same("lengths", {name: len(row[name]) for name in TICKER}, TICKER)
        ask, bid, last = (number(name, row[name][0]) for name in "abc")
        check(0 < bid < ask and bid <= last <= ask, f"bid {bid}, last {last}, ask {ask}")
        check(number("high", row["h"][1]) >= number("low", row["l"][1]) > 0, "high below low")
        check(number("open", row["o"]) > 0 and number("vwap", row["p"][1]) > 0 and number("volume", row["v"][1]) > 0, "24 h figures")
        check(isinstance(row["t"][1], int), f"trades {row['t']!r}")

    def tickers(self) -> None:
        rows = self.get("Ticker")
        check(len(rows) >= 20, f"{len(rows)} tickers")
        self.ticker_row(rows[self.pair_id])

    def order_book(self) -> None:
        book = self.get("Depth", pair=self.pair_id, count=10)[self.pair_id]
        same("levels", (len(book["asks"]), len(book["bids"])), (10, 10))
        asks, bids = ([number("price", level[0]) for level in book[side]] for side in ("asks", "bids"))
        check(asks == sorted(asks) and bids == sorted(bids, reverse=True) and bids[0] < asks[0], f"asks {asks}, bids {bids}")
        for price, volume, at in (*book["asks"], *book["bids"]):
            check(number("volume", volume) > 0 and isinstance(at, int), f"level {price}")

    def public_trades(self) -> None:
        answer = self.get("Trades", pair=self.pair_id, count=50)
        rows = answer[self.pair_id]
        same("trades", len(rows), 50)
        for price, volume, at, side, kind, misc, trade_id in rows:
            check(number("price", price) > 0 and number("volume", volume) > 0 and isinstance(at, float), f"trade {trade_id}")
            check(side in ("b", "s") and kind in ("m", "l") and isinstance(misc, str), f"trade {trade_id}: {side}, {kind}")
        ids = [row[6] for row in rows]
        check(ids == sorted(set(ids)), "trade ids do not rise")
        check(isinstance(answer["last"], str) and abs(int(answer["last"]) / 1e9 - rows[-1][2]) < 0.001, f"last {answer['last']!r}")
