"""WebSocket v2 frames as text; candles are built with f-strings, since a day of 150 pairs is 216,000 of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trader.simulation.exchange_orders import PairRules
from trader.simulation.kraken_server.spot.book import Book, Level, checksum, digits
from trader.simulation.kraken_server.spot.render import iso
from trader.simulation.kraken_server.wire.compact import dumps

VERSION = "2.0.10"
TICKS = 4  # trades a candle shows

TradeRow = tuple[str, float, float, int, str]  # side, price, quantity, trade id, time


def status(connection_id: int, system: str = "online") -> str:
    """The greeting of a connection, and what it hears when the system's status changes."""
    data = {"system": system, "api_version": "v2", "connection_id": connection_id, "version": VERSION}
    return dumps({"channel": "status", "type": "update", "data": [data]})


HEARTBEAT = '{"channel":"heartbeat"}'
MALFORMED = '{"error":"Malformed request","success":false}'
MSG_RATE = '{"error":"Exceeded msg rate"}'


def answer(
    method: str,
    req_id: Any,
    now_us: int,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
    symbol: str | None = None,
) -> str:
    """Answer to a request: `success` with a result, or an error in Kraken's words, for a `symbol` where it is about one."""
    body: dict[str, Any] = {} if symbol is None else {"symbol": symbol}
    body |= {"success": False, "error": error} if error else {"success": True, "result": result or {}}
    return reply(method, req_id, now_us, body)


def reply(method: str, req_id: Any, now_us: int, body: Mapping[str, Any]) -> str:
    """`body` as the answer to a request."""
    head = {"method": method} if req_id is None else {"method": method, "req_id": req_id}
    return dumps(head | dict(body) | {"time_in": iso(now_us), "time_out": iso(now_us)})


def pong(req_id: Any, now_us: int) -> str:
    """Answer to the application's ping."""
    body = {"method": "pong"} | ({} if req_id is None else {"req_id": req_id})
    return dumps(body | {"time_in": iso(now_us), "time_out": iso(now_us)})


def ohlc(kind: str, symbol: str, bar: tuple[str, str, int], values: tuple[float, float, float, float, float], now: str) -> str:
    """One candle. `bar`: begin, end (text, the same for all pairs) and interval in minutes; `values`: o, h, l, c, volume."""
    (begin, end, interval), (o, h, low, c, v) = bar, values
    trades = TICKS if v > 0 else 0
    vwap = (h + low + c) / 3 if v > 0 else 0.0
    return (
        f'{{"channel":"ohlc","type":"{kind}","timestamp":"{now}","data":[{{"symbol":"{symbol}","open":{o!r},"high":{h!r},"low":{low!r},'
        f'"close":{c!r},"trades":{trades},"volume":{v!r},"vwap":{vwap!r},"interval_begin":"{begin}","interval":{interval},"timestamp":"{end}"}}]}}'
    )


def trades(symbol: str, rows: list[TradeRow]) -> str:
    """Public trades of one symbol, as a snapshot."""
    return f'{{"channel":"trade","type":"snapshot","data":[{",".join([_trade(symbol, row) for row in rows])}]}}'


def trade(symbol: str, row: TradeRow) -> str:
    """One new public trade."""
    return f'{{"channel":"trade","type":"update","data":[{_trade(symbol, row)}]}}'


def _trade(symbol: str, row: TradeRow) -> str:
    side, price, qty, number, when = row
    return (
        f'{{"symbol":"{symbol}","side":"{side}","price":{price!r},"qty":{qty!r},"ord_type":"market",'
        f'"trade_id":{number},"timestamp":"{when}"}}'
    )


def book(kind: str, rules: PairRules, whole: Book, asks: Sequence[Level], bids: Sequence[Level]) -> str:
    """Levels of one symbol, with the checksum of the `whole` book they lead to. Digits are exact, never with an exponent."""
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{rules.symbol}","bids":[{_levels(bids, rules)}],'
        f'"asks":[{_levels(asks, rules)}],"checksum":{checksum(whole)},"timestamp":"{iso(whole.tick_us)}"}}]}}'
    )


def _levels(levels: Sequence[Level], rules: PairRules) -> str:
    price, lot = rules.pair_decimals, rules.lot_decimals
    return ",".join(f'{{"price":{digits(level.price, price)},"qty":{digits(level.quantity, lot)}}}' for level in levels)


class Best(NamedTuple):
    """Best prices of a pair, and what is offered there."""

    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    last: float


def ticker(kind: str, rules: PairRules, best: Best, stats: Mapping[str, float], now: str) -> str:
    """Best prices and 24 h figures of one symbol."""
    last = best.last
    change = last - stats["open"]
    row = {
        "symbol": rules.symbol,
        "bid": best.bid,
        "bid_qty": best.bid_qty,
        "ask": best.ask,
        "ask_qty": best.ask_qty,
        "last": last,
        "volume": stats["volume"],
        "vwap": round(stats["vwap"], rules.pair_decimals),
        "low": min(stats["low"], last),
        "high": max(stats["high"], last),
        "change": round(change, rules.pair_decimals),
        "change_pct": round(100 * change / stats["open"], 2) if stats["open"] else 0.0,
        "timestamp": now,
    }
    return dumps({"channel": "ticker", "type": kind, "data": [row]})
