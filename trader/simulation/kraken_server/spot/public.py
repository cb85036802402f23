"""Public spot endpoints (KRAKEN.md section 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trader.domain.market import SECOND
from trader.ports import Clock
from trader.simulation.exchange_orders import UNKNOWN_PAIR, PairRules, Refused, invalid
from trader.simulation.intervals import interval_of
from trader.simulation.kraken_server.spot.assets import Assets
from trader.simulation.kraken_server.spot.book import Level, digits
from trader.simulation.kraken_server.spot.fee_tiers import FeeTiers
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.spot.order_form import is_whole, number
from trader.simulation.kraken_server.wire.middleware import Call

Handler = Callable[[Call], Any]
SPREADS = 200  # rows of Spread
NANOSECONDS = 10**15  # a `since` beyond this many counts nanoseconds
PAIR_INFO: Mapping[str, tuple[str, ...]] = {
    "info": (),  # everything
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


class SpotPublic:
    """Market data without a key; `shown`: the exchange's own clock. Every handler raises Refused with Kraken's string."""

    def __init__(self, view: MarketView, clock: Clock, *, shown: Clock, assets: Assets, fees: FeeTiers) -> None:
        self._view, self._clock, self._shown = view, clock, shown
        self._known_assets, self._fees = assets, fees
        self.handlers: Mapping[str, Handler] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "OHLC": self._ohlc,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "Trades": self._trades,
            "Spread": self._spread,
        }

    def _time(self, _: Call) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._shown.now_us() // 1_000_000, UTC)
        return {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _status(self, _: Call) -> dict[str, str]:
        now = datetime.fromtimestamp(self._shown.now_us() // 1_000_000, UTC)
        return {"status": self._view.exchange.system_status, "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _assets(self, call: Call) -> dict[str, Any]:
        if call.fields.get("aclass", "currency") not in ("currency", ""):
            raise invalid("aclass")
        names = [name for name in call.fields.get("asset", "").split(",") if name]
        wanted = [self._known_assets.of(self._known_assets.known(name)) for name in names] or self._known_assets.all
        return {asset.asset_id: asset.row() for asset in wanted}

    def _asset_pairs(self, call: Call) -> dict[str, Any]:
        """Keyed by pair id; a pair asked for by a name with a slash is keyed by that name, as python-kraken-sdk expects."""
        info = call.fields.get("info", "info")
        if info not in PAIR_INFO:
            raise invalid("info")
        names = [name for name in call.fields.get("pair", "").split(",") if name]
        keys = [name if "/" in name else None for name in names] or [None] * len(self._view.exchange.rules)
        rows = [(rules, asset_pair(rules, self._fees)) for rules in self._pairs(call)]
        chosen = PAIR_INFO[info]
        return {
            key or rules.pair_id: {name: row[name] for name in chosen} if chosen else row
            for key, (rules, row) in zip(keys, rows, strict=True)
        }

    def _ohlc(self, call: Call) -> dict[str, Any]:
        rules, minutes = self._pair(call), call.fields.get("interval") or "1"
        interval = interval_of(int(minutes), self._view.market.base) if is_whole(minutes) else None
        if interval is None:
            raise invalid("interval")
        now_us = self._clock.now_us()
        rows = spoil(self._view.ohlc(rules, interval, now_us, _since_us(call)), call.flags)
        return {rules.pair_id: rows, "last": (interval.floor(now_us) - interval.us) // SECOND}

    def _ticker(self, call: Call) -> dict[str, Any]:
        now_us = self._clock.now_us()
        priced = [rules for rules in self._pairs(call) if self._view.exchange.priced(rules.symbol)]
        return {rules.pair_id: self._ticker_row(rules, now_us) for rules in priced}

    def _ticker_row(self, rules: PairRules, now_us: int) -> dict[str, Any]:
        bid, ask, last = self._view.quotes(rules)
        stats, places = self._view.stats(rules, now_us), rules.pair_decimals
        day_vwap, vwap, opened = (f"{stats[name]:.{places}f}" for name in ("today_vwap", "vwap", "today_open"))
        highest, lowest = max(stats["high"], float(last)), min(stats["low"], float(last))
        today = max(stats["today_high"], float(last)), min(stats["today_low"], float(last))
        volume, trades = self._view.today.at(self._view.exchange.state.tick_us, rules.index)
        return {
            "a": [f"{ask:.{places}f}", "1", "1.000"],
            "b": [f"{bid:.{places}f}", "1", "1.000"],
            "c": [f"{last:.{places}f}", f"{rules.ordermin:.8f}"],
            "v": [f"{volume:.8f}", f"{stats['volume']:.8f}"],
            "p": [day_vwap, vwap],
            "t": [trades, int(stats["trades"])],
            "l": [f"{today[1]:.{places}f}", f"{lowest:.{places}f}"],
            "h": [f"{today[0]:.{places}f}", f"{highest:.{places}f}"],
            "o": opened,
        }

    def _depth(self, call: Call) -> dict[str, Any]:
        rules, count = self._pair(call), _count(call, 100, 500)
        book = self._view.book(rules, count)
        return {rules.pair_id: {"asks": _depth_rows(book.asks, rules), "bids": _depth_rows(book.bids, rules)}}

    def _trades(self, call: Call) -> dict[str, Any]:
        rules, count, since = self._pair(call), _count(call, 1000, 1000), call.fields.get("since")
        rows = self._view.trades(rules, count, _since_us(call) if since else None)
        last_ns = str(round(rows[-1][2] * 1e6) * 1000) if rows else since or "0"
        return {rules.pair_id: rows, "last": last_ns}

    def _spread(self, call: Call) -> dict[str, Any]:
        rules, since_s = self._pair(call), _since_us(call) // SECOND
        rows = self._view.spreads(rules, SPREADS)
        return {rules.pair_id: [row for row in rows if row[0] >= since_s], "last": rows[-1][0] if rows else max(since_s, 0)}

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


def asset_pair(rules: PairRules, fees: FeeTiers) -> dict[str, Any]:
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
        "fees": fees.rows("taker"),
        "fees_maker": fees.rows("maker"),
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
    if not is_whole(text) or int(text) < 1:
        raise invalid("count")
    return min(int(text), most)


def _since_us(call: Call) -> int:
    """`since` in microseconds, -1 where absent or before 1970: nanoseconds, or seconds as OHLC and Spread count and ccxt cuts it to."""
    text = call.fields.get("since", "")
    value = number({"since": text.removeprefix("-")}, "since")
    if value is None or text.startswith("-"):
        return -1
    return int(value) // 1000 if value > NANOSECONDS else int(value * SECOND)


def spoil(rows: list[list[Any]], flags: Mapping[str, Any]) -> list[list[Any]]:
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
