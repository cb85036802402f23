"""Kraken's JSON into domain values: exact Decimals, UTC microseconds, unified pair names.

REST bodies are parsed with Decimal for every number that has a point, so nothing here ever meets a float of money.
Every function raises ValueError naming the field when a value that decides something is missing or malformed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from trader.domain.market import Candle, PublicTrade, Timeframe
from trader.domain.money import ZERO, mul
from trader.domain.orders import Balance, ExchangeStatus, Fill, RemoteOrder, Side

PairName = Callable[[str], str]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMERIC = (str, Decimal, int, float)
MOST_DIGITS = 30  # before or after the point: 1e400 is valid JSON and no amount of anything
_LIMITED = ("limit", "stop-loss-limit", "take-profit-limit", "trailing-stop-limit", "iceberg")


def decimal(value: Any, field: str) -> Decimal:
    """An exact finite Decimal of a JSON string, integer or Decimal."""
    kind = type(value)
    if kind not in NUMERIC:
        raise ValueError(f"{field}: {value!r} is not a number")
    try:
        number = Decimal(repr(value) if kind is float else value)
    except InvalidOperation as error:
        raise ValueError(f"{field}: {value!r} is not a number") from error
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"{field}: {value!r:.40} is not a finite number of a sane size")
    return number


def positive(value: Any, field: str) -> Decimal:
    """As `decimal`, above zero."""
    number = decimal(value, field)
    if number <= ZERO:
        raise ValueError(f"{field}: {value!r:.40} is not above zero")
    return number


def text(value: Any, field: str) -> str:
    """A non-empty string."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field}: {value!r} is not a text")
    return value


def mapping(value: Any, field: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{field}: {value!r:.80} is not an object")
    return value


def seconds_us(value: Any, field: str) -> int:
    """UTC microseconds of Kraken's (fractional) Unix seconds."""
    return int(decimal(value, field) * 1_000_000)


def stamp_us(value: Any, field: str) -> int:
    """UTC microseconds of an RFC 3339 stamp in Z with up to nine decimals."""
    raw = text(value, field)
    if not raw.endswith("Z"):
        raise ValueError(f"{field}: {value!r} is not a UTC stamp ending in Z")
    return _stamp_us(raw)


@lru_cache(maxsize=256)
def _stamp_us(stamp: str) -> int:
    """What came at one moment, of many pairs, is stamped alike."""
    whole, _, fraction = stamp[:-1].partition(".")
    return _second(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


@lru_cache(maxsize=256)
def _second(whole: str) -> int:
    """Unix seconds of a stamp without its fraction; what came in one second is stamped alike."""
    since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH
    return since.days * 86_400 + since.seconds


def rfc3339(time_us: int) -> str:
    """`2026-01-05T00:15:05.250000Z`."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def order(txid: str, raw: Any, name: PairName) -> RemoteOrder:
    """An order object of OpenOrders, ClosedOrders or QueryOrders."""
    row = mapping(raw, f"order {txid}")
    descr = mapping(row.get("descr"), f"order {txid}.descr")
    kind = text(descr.get("ordertype"), "descr.ordertype")
    closed = row.get("closetm")
    trigger, limit = _prices(kind, row, descr)
    return RemoteOrder(
        txid=txid, cl_ord_id=row.get("cl_ord_id") or None, refid=row.get("refid") or None, pair=name(text(descr.get("pair"), "descr.pair")),
        side=Side(text(descr.get("type"), "descr.type")), order_type=kind, status=ExchangeStatus(text(row.get("status"), "status")),
        quantity=decimal(row.get("vol"), "vol"),
        filled=decimal(row.get("vol_exec"), "vol_exec"), limit_price=limit or None, trigger_price=trigger or None,
        opened_us=seconds_us(row.get("opentm"), "opentm"), closed_us=seconds_us(closed, "closetm") if closed else None,
        reason=row.get("reason") or None,
    )  # fmt: skip


def _prices(kind: str, row: Mapping[str, Any], descr: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    """(trigger, limit) of an order. A trailing one names distances in `descr` ("+50.0000%"); where it stands is told beside it."""
    if kind.startswith("trailing"):
        trigger, second = (decimal(row.get(field) or 0, field) for field in ("stopprice", "limitprice"))
        return trigger, second if kind in _LIMITED else None
    price, second = (decimal(descr.get(field) or 0, f"descr.{field}") for field in ("price", "price2"))
    if kind in ("market", "limit", "iceberg", "settle-position"):
        return None, price if kind in _LIMITED else None
    trigger = price if price > ZERO else decimal(row.get("stopprice") or 0, "stopprice")
    return trigger, second if kind in _LIMITED else None


def fill(trade_id: str, raw: Any, name: PairName) -> Fill:
    """A trade of TradesHistory or QueryTrades; its pair may be an id or an altname."""
    row = mapping(raw, f"trade {trade_id}")
    return Fill(
        trade_id=trade_id, txid=text(row.get("ordertxid"), "ordertxid"), pair=name(text(row.get("pair"), "pair")),
        side=Side(text(row.get("type"), "type")),
        price=decimal(row.get("price"), "price"), quantity=decimal(row.get("vol"), "vol"), cost=decimal(row.get("cost"), "cost"),
        fee=decimal(row.get("fee"), "fee"), time_us=seconds_us(row.get("time"), "time"), maker=row.get("maker") is True,
    )  # fmt: skip


def stream_fill(item: Mapping[str, Any], pair: str, side: Side) -> Fill:
    """A `trade` item of the executions channel; `cost` is price x quantity where the frame has none."""
    price, quantity = positive(item.get("last_price"), "last_price"), positive(item.get("last_qty"), "last_qty")
    cost = item.get("cost")
    fees = item.get("fees") or ()
    fee = sum((decimal(mapping(part, "fees").get("qty"), "fees.qty") for part in fees), ZERO)
    return Fill(
        trade_id=text(item.get("exec_id"), "exec_id"), txid=text(item.get("order_id"), "order_id"), pair=pair, side=side, price=price,
        quantity=quantity, cost=mul(price, quantity) if cost is None else decimal(cost, "cost"), fee=fee,
        time_us=stamp_us(item.get("timestamp"), "timestamp"), maker=item.get("liquidity_ind") == "m",
    )  # fmt: skip


def candle(row: Any, pair: str, timeframe: Timeframe) -> Candle:
    """A row of OHLC: `[time, open, high, low, close, vwap, volume, count]`."""
    if not isinstance(row, Sequence) or len(row) < 8:
        raise ValueError(f"OHLC row of {pair}: {row!r:.120} has not eight columns")
    opened, high, low, close, vwap, volume = map(float, row[1:7])  # NaN passes: what is served is judged by the data gate
    count = int(decimal(row[7], "count"))
    return Candle(
        pair=pair, timeframe=timeframe, time_us=seconds_us(row[0], "time"), open=opened, high=high, low=low, close=close,
        volume=volume, vwap=vwap, count=count, filled=count == 0 and volume == 0.0,
    )  # fmt: skip


def public_trade(row: Any) -> PublicTrade:
    """A row of Trades: `[price, volume, time, side, type, misc, trade id]`."""
    if not isinstance(row, Sequence) or len(row) < 3:
        raise ValueError(f"trade row {row!r:.120} has no price, volume and time")
    return PublicTrade(time_us=seconds_us(row[2], "time"), price=positive(row[0], "price"), quantity=positive(row[1], "volume"))


def stream_candle(item: Mapping[str, Any], pair: str, timeframe: Timeframe, time_us: int) -> Candle:
    """An item of the ohlc channel. Raises KeyError, TypeError or ValueError for a malformed one."""
    count = int(item["trades"])
    volume = float(item["volume"])
    return Candle(
        pair=pair, timeframe=timeframe, time_us=time_us, open=float(item["open"]), high=float(item["high"]), low=float(item["low"]),
        close=float(item["close"]), volume=volume, vwap=float(item["vwap"]), count=count, filled=count == 0 and volume == 0.0,
    )  # fmt: skip


def levels(rows: Any, field: str) -> tuple[tuple[Decimal, Decimal], ...]:
    """(price, quantity) of the book rows `[price, volume, time]`."""
    if not isinstance(rows, Sequence):
        raise ValueError(f"{field}: {rows!r:.80} is not a list")
    return tuple((decimal(row[0], field), decimal(row[1], field)) for row in rows)


def balance(asset: str, raw: Any) -> Balance:
    """A row of BalanceEx."""
    row = mapping(raw, f"balance {asset}")
    return Balance(asset=asset, total=decimal(row.get("balance"), "balance"), held=decimal(row.get("hold_trade", "0"), "hold_trade"))
