"""Frames of the public channels, made of the market's state: snapshots for subscribers, updates for each tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trader.simulation.exchange_orders import PairRules
from trader.simulation.intervals import Span
from trader.simulation.kraken_server.spot.book import Book, changes
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.spot.render import iso
from trader.simulation.kraken_server.stream import frames
from trader.simulation.kraken_server.wire.compact import dumps

TRADES_SHOWN = 50  # of the trade channel's snapshot


class PublicFrames:
    """Renders one symbol at a time; `view` says what the market shows."""

    def __init__(self, view: MarketView) -> None:
        self._view = view

    def ticker(self, kind: str, rules: PairRules, now_us: int) -> str:
        """Best prices and 24 h figures."""
        bid, ask, last = self._view.quotes(rules)
        top, lot = self._view.book(rules, 1), 10**rules.lot_decimals
        sizes = (top.bids[0].quantity / lot, top.asks[0].quantity / lot)
        best = frames.Best(float(bid), sizes[0], float(ask), sizes[1], float(last))
        return frames.ticker(kind, rules, best, self._view.stats(rules, now_us), iso(now_us))

    def candle(self, rules: PairRules, timeframe: Span, now_us: int) -> str:
        """The running candle, as a snapshot."""
        begin, o, h, low, c, v = self._view.running(rules, timeframe, now_us)
        times = (iso(begin), iso(begin + timeframe.us), timeframe.minutes)
        return frames.ohlc("snapshot", rules.symbol, times, (o, h, low, c, v), iso(now_us))

    def trades(self, rules: PairRules) -> str:
        """The newest trades, oldest first, as a snapshot."""
        rows = self._view.trades(rules, TRADES_SHOWN, None)
        return frames.trades(
            rules.symbol,
            [("buy" if row[3] == "b" else "sell", float(row[0]), float(row[1]), row[6], iso(round(row[2] * 1e6))) for row in rows],
        )

    def book(self, rules: PairRules, book: Book) -> str:
        """A whole book, as a snapshot."""
        return frames.book("snapshot", rules, book, book.asks, book.bids)

    def book_change(self, rules: PairRules, before: Book, after: Book) -> str | None:
        """What leads from one book to the next, None where nothing changed."""
        asks, bids = changes(before, after)
        return frames.book("update", rules, after, asks, bids) if asks or bids else None

    def instruments(self, kind: str, rules: Sequence[PairRules], *, assets: bool) -> str:
        """Reference data of pairs, with or without the assets they are made of; symbols and ids are unified names."""
        named: dict[str, int] = {}
        for pair in rules:
            named |= {pair.base: pair.lot_decimals, pair.quote: pair.quote_decimals}
        data = {
            "assets": [_asset(name, named[name]) for name in sorted(named)] if assets else [],
            "pairs": [_instrument(pair) for pair in rules],
        }
        return dumps({"channel": "instrument", "type": kind, "data": data})


def _asset(name: str, decimals: int) -> Mapping[str, Any]:
    row = {"id": name, "status": "enabled", "precision": decimals, "precision_display": min(decimals, 5), "class": "currency"}
    return row | {"borrowable": False, "collateral_value": 0.0, "margin_rate": 0.0, "multiplier": 1.0}


def _instrument(rules: PairRules) -> Mapping[str, Any]:
    return {
        "symbol": rules.symbol,
        "base": rules.base,
        "quote": rules.quote,
        "status": rules.status,
        "qty_precision": rules.lot_decimals,
        "qty_increment": float(rules.lot),
        "qty_min": float(rules.ordermin),
        "price_precision": rules.pair_decimals,
        "price_increment": float(rules.tick),
        "tick_size": float(rules.tick),
        "cost_precision": rules.cost_decimals,
        "cost_min": float(rules.costmin),
        "marginable": False,
        "has_index": False,
    }
