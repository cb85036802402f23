"""What the exchange says about the account, read by a client of its own: no ccxt, no code shared with the session.

For `trader verify`: plain HTTP, own signing, own paging, own parsing into Decimals.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.errors import RetryableError

PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTrade:
    """One row of TradesHistory."""

    trade_id: str
    txid: str
    pair: str
    side: str
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOrder:
    """One row of OpenOrders or ClosedOrders."""

    txid: str
    cl_ord_id: str | None
    refid: str | None
    pair: str
    side: str
    ordertype: str
    status: str
    quantity: Decimal
    filled: Decimal
    opened_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFacts:
    """Everything the checker compares. `balances`: asset -> total; assets and pairs under their usual names."""

    trades: dict[str, ExchangeTrade]
    orders: dict[str, ExchangeOrder]
    balances: dict[str, Decimal]
    minimums: dict[str, tuple[Decimal, Decimal]]  # pair -> (ordermin, costmin)


class Reader:
    """Signed GET-like calls to Kraken's private REST API."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url, self.key, self.secret = url, key, base64.b64decode(secret)
        self._nonce = 0

    def public(self, name: str) -> Any:
        return self._answer(urllib.request.Request(f"{self.url}/0/public/{name}"))  # noqa: S310 - the twin or Kraken, by configuration

    def private(self, name: str, **fields: str | int) -> Any:
        """One private read; raises RetryableError with the exchange's own words."""
        path = f"/0/private/{name}"
        self._nonce = max(time.time_ns(), self._nonce + 1)
        nonce = str(self._nonce)
        body = urllib.parse.urlencode({"nonce": nonce, **fields}).encode()
        digest = hashlib.sha256(nonce.encode() + body).digest()
        sign = base64.b64encode(hmac.new(self.secret, path.encode() + digest, hashlib.sha512).digest()).decode()
        return self._answer(urllib.request.Request(f"{self.url}{path}", data=body, headers={"API-Key": self.key, "API-Sign": sign}))  # noqa: S310

    def _answer(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
                payload = json.loads(reply.read(), parse_float=Decimal)
        except (urllib.error.URLError, TimeoutError, json.JSONDecodeError) as error:
            raise RetryableError(f"{request.full_url}: {error}") from error
        if payload.get("error"):
            raise RetryableError(f"{request.full_url}: {', '.join(payload['error'])}")
        return payload["result"]

    def pages(self, name: str, field: str) -> dict[str, Any]:
        """All rows of a paged answer, by id."""
        rows: dict[str, Any] = {}
        while True:
            answer = self.private(name, ofs=len(rows))
            page = answer[field]
            rows |= page
            if len(page) == 0 or len(rows) >= int(answer["count"]):
                return rows


def read_exchange(url: str, key: str, secret: str) -> ExchangeFacts:
    """Trades, orders, balances and minimums, complete, or RetryableError."""
    reader = Reader(url, key, secret)
    names, minimums, assets = _names(reader)
    trades = {
        trade_id: ExchangeTrade(
            trade_id=trade_id, txid=row["ordertxid"], pair=names[row["pair"]], side=row["type"], price=Decimal(row["price"]),
            quantity=Decimal(row["vol"]), cost=Decimal(row["cost"]), fee=Decimal(row["fee"]),
        )
        for trade_id, row in reader.pages("TradesHistory", "trades").items()
    }  # fmt: skip
    raw = reader.private("OpenOrders")["open"] | reader.pages("ClosedOrders", "closed")
    orders = {txid: _order(txid, row, names) for txid, row in raw.items()}
    balances = {assets.get(asset, asset): Decimal(row["balance"]) for asset, row in reader.private("BalanceEx").items()}
    return ExchangeFacts(trades=trades, orders=orders, balances=balances, minimums=minimums)


def _names(reader: Reader) -> tuple[dict[str, str], dict[str, tuple[Decimal, Decimal]], dict[str, str]]:
    """Kraken's pair ids and altnames, and asset ids, to the usual names."""
    usual = {"XBT": "BTC", "XDG": "DOGE"}
    names: dict[str, str] = {}
    minimums: dict[str, tuple[Decimal, Decimal]] = {}
    for pair_id, row in reader.public("AssetPairs").items():
        base, quote = row["wsname"].split("/")
        pair = f"{usual.get(base, base)}/{usual.get(quote, quote)}"
        names[pair_id] = names[row["altname"]] = pair
        minimums[pair] = (Decimal(row["ordermin"]), Decimal(row["costmin"]))
    assets = {asset: usual.get(row["altname"], row["altname"]) for asset, row in reader.public("Assets").items()}
    return names, minimums, assets


def _order(txid: str, row: dict[str, Any], names: dict[str, str]) -> ExchangeOrder:
    return ExchangeOrder(
        txid=txid, cl_ord_id=row.get("cl_ord_id"), refid=row.get("refid"), pair=names[row["descr"]["pair"]], side=row["descr"]["type"],
        ordertype=row["descr"]["ordertype"], status=row["status"], quantity=Decimal(row["vol"]), filled=Decimal(row["vol_exec"]),
        opened_s=float(row["opentm"]),
    )  # fmt: skip
