"""Public spot endpoints (KRAKEN.md section 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import UNKNOWN_PAIR, PairRules, Refused, invalid
from trader.simulation.fills import FillRules
from trader.simulation.intervals import Span, interval_of
from trader.simulation.kraken_server.book import Level, digits
from trader.simulation.kraken_server.market_view import MarketView
from trader.simulation.kraken_server.middleware import Call

Handler = Callable[[Call], Any]


class SpotPublic:
    """Market data without a key; `shown`: the exchange's own clock. Every handler raises Refused with Kraken's string."""

    def __init__(self, view: MarketView, clock: Clock, *, shown: Clock) -> None:
        self._view, self._clock, self._shown = view, clock, shown
        self.handlers: Mapping[str, Handler] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "OHLC": self._ohlc,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "Trades": self._trades,
        }

    def _time(self, _: Call) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._shown.now_us() // 1_000_000, UTC)
        return {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _status(self, _: Call) -> dict[str, str]:
        now = datetime.fromtimestamp(self._shown.now_us() // 1_000_000, UTC)
        return {"status": self._view.exchange.system_status, "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _assets(self, call: Call) -> dict[str, Any]:
        assets: dict[str, Any] = {}
        for rules in self._view.exchange.rules:
            listing = self._view.market.listing(rules.symbol)
            assets[rules.base_id] = _asset(listing.base_altname, rules.lot_decimals, 5)
            assets[rules.quote_id] = _asset(listing.quote_altname, rules.quote_decimals, 2)
        if wanted := call.fields.get("asset"):
            by_name = {name: key for key, row in assets.items() for name in (key, row["altname"])}
            if any(name not in by_name for name in wanted.split(",")):
                raise Refused("EQuery:Unknown asset")
            return {by_name[name]: assets[by_name[name]] for name in wanted.split(",")}
        return assets

    def _asset_pairs(self, call: Call) -> dict[str, Any]:
        """Keyed by id; by the name asked where that has a slash, which is where python-kraken-sdk's order book looks."""
        names = call.fields.get("pair", "").split(",")
        asked = {rules.pair_id: name for name in names if "/" in name and (rules := self._view.find(name))}
        fills = self._view.exchange.fills
        return {asked.get(rules.pair_id, rules.pair_id): asset_pair(rules, fills) for rules in self._pairs(call)}

    def _ohlc(self, call: Call) -> dict[str, Any]:
        rules, timeframe = self._pair(call), self._timeframe(call.fields.get("interval", "1"))
        rows = spoil(self._view.ohlc(rules, timeframe, self._clock.now_us()), call.flags)
        return {rules.pair_id: rows, "last": rows[-2][0] if len(rows) > 1 else rows[-1][0]}

    def _ticker(self, call: Call) -> dict[str, Any]:
        now_us = self._clock.now_us()
        priced = [rules for rules in self._pairs(call) if self._view.exchange.priced(rules.symbol)]
        return {rules.pair_id: self._ticker_row(rules, now_us) for rules in priced}

    def _ticker_row(self, rules: PairRules, now_us: int) -> dict[str, Any]:
        bid, ask, last = self._view.quotes(rules)
        stats, digits = self._view.stats(rules, now_us), rules.pair_decimals
        figures = {name: f"{value:.{digits}f}" for name, value in stats.items()}
        volume, trades = f"{stats['volume']:.8f}", int(stats["trades"])
        return {
            "a": [f"{ask:.{digits}f}", "1", "1.000"],
            "b": [f"{bid:.{digits}f}", "1", "1.000"],
            "c": [f"{last:.{digits}f}", f"{rules.ordermin:.8f}"],
            "v": [volume, volume],
            "p": [figures["vwap"], figures["vwap"]],
            "t": [trades, trades],
            "l": [figures["low"], figures["low"]],
            "h": [figures["high"], figures["high"]],
            "o": figures["open"],
        }

    def _depth(self, call: Call) -> dict[str, Any]:
        rules, count = self._pair(call), _count(call, 100, 500)
        book = self._view.book(rules, count)
        return {rules.pair_id: {"asks": _depth_rows(book.asks, rules), "bids": _depth_rows(book.bids, rules)}}

    def _trades(self, call: Call) -> dict[str, Any]:
        rules, count, since = self._pair(call), _count(call, 1000, 1000), call.fields.get("since")
        rows = self._view.trades(rules, count, None if since is None else _since_us(since), self._clock.now_us())
        last_ns = str(round(rows[-1][2] * 1e6) * 1000) if rows else since or "0"
        return {rules.pair_id: rows, "last": last_ns}

    def _pair(self, call: Call) -> PairRules:
        rules = self._view.find(call.fields.get("pair", ""))
        if rules is None:
            raise Refused(UNKNOWN_PAIR if call.fields.get("pair") else "EGeneral:Invalid arguments")
        return rules

    def _pairs(self, call: Call) -> list[PairRules]:
        wanted = call.fields.get("pair")
        if not wanted:
            return list(self._view.exchange.rules)
        found = [self._view.find(name) for name in wanted.split(",")]
        if any(rules is None for rules in found):
            raise Refused(UNKNOWN_PAIR)
        return [rules for rules in found if rules is not None]

    def _timeframe(self, minutes: str) -> Span:
        timeframe = interval_of(int(minutes), self._view.market.base) if minutes.isdecimal() else None
        if timeframe is None:
            raise invalid("interval")
        return timeframe


def _asset(altname: str, decimals: int, display: int) -> dict[str, Any]:
    return {"aclass": "currency", "altname": altname, "decimals": decimals, "display_decimals": display, "status": "enabled"}


def asset_pair(rules: PairRules, fills: FillRules) -> dict[str, Any]:
    """A pair as AssetPairs describes it; fees in percent."""
    return {
        "altname": rules.altname,
        "wsname": rules.wsname,
        "aclass_base": "currency",
        "base": rules.base_id,
        "aclass_quote": "currency",
        "quote": rules.quote_id,
        "lot": "unit",
        "cost_decimals": rules.cost_decimals,
        "pair_decimals": rules.pair_decimals,
        "lot_decimals": rules.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, float(fills.taker * 100)]],
        "fees_maker": [[0, float(fills.maker * 100)]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{rules.ordermin.normalize():f}",
        "costmin": f"{rules.costmin.normalize():f}",
        "tick_size": f"{rules.tick.normalize():f}",
        "status": rules.status,
    }


def _depth_rows(levels: Sequence[Level], rules: PairRules) -> list[list[Any]]:
    """Rows [price, volume, unix seconds] of one side of Depth."""
    return [
        [digits(price, rules.pair_decimals), digits(quantity, rules.lot_decimals), changed_us // 1_000_000]
        for price, quantity, changed_us in levels
    ]


def _count(call: Call, default: int, most: int) -> int:
    text = call.fields.get("count", str(default))
    if not text.isdecimal() or not int(text) >= 1:
        raise invalid("count")
    return min(int(text), most)


def _since_us(text: str) -> int:
    """`since` of Trades: nanoseconds, or seconds where ccxt has cut it."""
    if not text.isdecimal():
        raise invalid("since")
    value = int(text)
    return value // 1000 if value > 10**15 else value * 1_000_000


def spoil(rows: list[list[Any]], flags: Mapping[str, bool]) -> list[list[Any]]:
    """Play the market data faults on OHLC rows; each touches closed rows near the end, where readers look."""
    if len(rows) < 8:
        return rows
    if flags.get("non_monotonic"):
        rows[-4], rows[-5] = rows[-5], rows[-4]
    if flags.get("nan"):
        rows[-3] = [*rows[-3][:4], "NaN", *rows[-3][5:]]
    if flags.get("negative"):
        rows[-3] = [*rows[-3][:3], f"-{rows[-3][3]}", *rows[-3][4:]]
    if flags.get("gap"):
        del rows[-6:-4]
    return rows
