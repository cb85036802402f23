"""Subscriptions to the public channels: parameters, refusals in Kraken's words, and the snapshot that follows (KRAKEN.md section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import PairRules, Refused, invalid
from trader.simulation.intervals import Span, interval_of
from trader.simulation.kraken_server.spot.book import DEPTHS
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.stream.connection import BBO, TRADES, BookView, Connection
from trader.simulation.kraken_server.stream.public_frames import PublicFrames

BY_SYMBOL = ("ticker", "ohlc", "trade", "book")
CHANNELS = (*BY_SYMBOL, "instrument")
ALREADY, NOT_FOUND = "Already subscribed", "Subscription Not Found"
ONE_INTERVAL = "Already subscribed to one ohlc interval on this symbol"
WARNINGS = {
    "ohlc": ["timestamp is deprecated, use interval_begin"],
    "instrument": ["tick_size is deprecated, use price_increment"],
}

Outcome = tuple[dict[str, Any], str | None]  # fields of the answer's result, snapshot frame


class PublicChannels:
    """Judges one symbol of a request at a time. Every method raises Refused with Kraken's words."""

    def __init__(self, view: MarketView, clock: Clock, shown: PublicFrames) -> None:
        self._view, self._clock, self._frames = view, clock, shown
        self._subscribers: Mapping[str, Callable[[Connection, PairRules, Mapping[str, Any]], Outcome]] = {
            "ticker": self._ticker,
            "ohlc": self._candles,
            "trade": self._trades,
            "book": self._book,
        }

    def subscribe(self, connection: Connection, channel: str, symbol: object, params: Mapping[str, Any]) -> Outcome:
        """Enter a subscription; a snapshot comes where it is wanted and the pair has a price."""
        result, snapshot = self._subscribers[channel](connection, self._rules(symbol), params)
        result |= {"warnings": WARNINGS[channel]} if channel in WARNINGS else {}
        return {"channel": channel, "symbol": symbol} | result, snapshot

    def unsubscribe(self, connection: Connection, channel: str, symbol: object, params: Mapping[str, Any]) -> dict[str, Any]:
        """End a subscription of this connection."""
        name, extra = self._rules(symbol).symbol, {}
        tables: dict[str, dict[str, Any]] = {"ticker": connection.tickers, "trade": connection.trades, "book": connection.books}
        if channel == "ohlc":
            extra = {"interval": self._timeframe(params).minutes}
            tables["ohlc"] = connection.candles.get(extra["interval"], {})
        elif channel == "book":
            extra = {"depth": _depth(params)}
        if name not in tables[channel]:
            raise Refused(NOT_FOUND)
        del tables[channel][name]
        return {"channel": channel, "symbol": name} | extra

    def instruments(self, connection: Connection, method: str, params: Mapping[str, Any]) -> Outcome:
        """Subscribe to, or unsubscribe from, the reference data of all pairs."""
        subscribing = method == "subscribe"
        if connection.instruments == subscribing:
            raise Refused(ALREADY if subscribing else NOT_FOUND)
        connection.instruments = subscribing
        if not subscribing:
            return {"channel": "instrument"}, None
        wanted = _switch(params, "snapshot", default=True)
        result = {"channel": "instrument", "snapshot": wanted, "warnings": WARNINGS["instrument"]}
        return result, self._frames.instruments("snapshot", self._view.exchange.rules, assets=True) if wanted else None

    # --- channels --------------------------------------------------------------------------------------------------
    def _ticker(self, connection: Connection, rules: PairRules, params: Mapping[str, Any]) -> Outcome:
        trigger = params.get("event_trigger", TRADES)
        if trigger not in (TRADES, BBO):
            raise invalid("event_trigger")
        if connection.tickers.get(rules.symbol) == trigger:
            raise Refused(ALREADY)
        wanted = _switch(params, "snapshot", default=True)
        connection.tickers[rules.symbol] = trigger
        snapshot = self._frames.ticker("snapshot", rules, self._clock.now_us()) if wanted and self._priced(rules) else None
        return {"event_trigger": trigger, "snapshot": wanted}, snapshot

    def _candles(self, connection: Connection, rules: PairRules, params: Mapping[str, Any]) -> Outcome:
        timeframe = self._timeframe(params)
        if any(rules.symbol in symbols for symbols in connection.candles.values()):
            raise Refused(ONE_INTERVAL)
        wanted = _switch(params, "snapshot", default=True)
        connection.candles.setdefault(timeframe.minutes, {})[rules.symbol] = None
        snapshot = self._frames.candle(rules, timeframe, self._clock.now_us()) if wanted and self._priced(rules) else None
        return {"interval": timeframe.minutes, "snapshot": wanted}, snapshot

    def _trades(self, connection: Connection, rules: PairRules, params: Mapping[str, Any]) -> Outcome:
        if rules.symbol in connection.trades:
            raise Refused(ALREADY)
        wanted = _switch(params, "snapshot", default=False)
        connection.trades[rules.symbol] = None
        snapshot = self._frames.trades(rules) if wanted and self._priced(rules) else None
        return {"snapshot": wanted}, snapshot

    def _book(self, connection: Connection, rules: PairRules, params: Mapping[str, Any]) -> Outcome:
        depth = _depth(params)
        if rules.symbol in connection.books:
            raise Refused(ALREADY)
        wanted = _switch(params, "snapshot", default=True)
        view = connection.books[rules.symbol] = BookView(depth=depth)
        snapshot = None
        if self._priced(rules):
            view.shown = self._view.book(rules, depth)
            snapshot = self._frames.book(rules, view.shown) if wanted else None
        return {"depth": depth, "snapshot": wanted}, snapshot

    # --- parameters ------------------------------------------------------------------------------------------------
    def _rules(self, symbol: object) -> PairRules:
        rules = self._view.exchange.by_symbol.get(symbol) if isinstance(symbol, str) else None
        if rules is None:
            raise Refused(f"Currency pair not supported {symbol}")
        return rules

    def _priced(self, rules: PairRules) -> bool:
        return self._view.exchange.priced(rules.symbol)

    def _timeframe(self, params: Mapping[str, Any]) -> Span:
        interval = params.get("interval", 1)
        if not isinstance(interval, int) or isinstance(interval, bool):
            raise Refused("Subscription ohlc interval must be an integer")
        timeframe = interval_of(interval, self._view.market.base)
        if timeframe is None:
            raise Refused("Subscription ohlc interval not supported")
        return timeframe


def _depth(params: Mapping[str, Any]) -> int:
    depth = params.get("depth", DEPTHS[0])
    if not isinstance(depth, int) or isinstance(depth, bool):
        raise Refused("Subscription book depth must be an integer")
    if depth not in DEPTHS:
        raise Refused("Subscription depth not supported")
    return depth


def _switch(params: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = params.get(name, default)
    if not isinstance(value, bool):
        raise invalid(name)
    return value
