"""Subscriptions of the WebSocket v2 door: who listens to what, the answers and the first snapshots (KRAKEN.md section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from trader.domain.market import Timeframe
from trader.ports import Clock
from trader.simulation.exchange_orders import Event, PairRules
from trader.simulation.kraken_server import frames
from trader.simulation.kraken_server.frame_faults import Wire
from trader.simulation.kraken_server.market_view import MarketView
from trader.simulation.kraken_server.render import execution, iso, live_status, order_fields, totals

PUBLIC, PRIVATE = ("ticker", "ohlc", "trade"), ("executions", "balances")


@dataclass(slots=True, eq=False)
class Connection:
    """One client. `candles`: interval -> symbols; `symbols`: other public channels -> symbols; `sequences`: private channels."""

    socket: web.WebSocketResponse
    transport: asyncio.WriteTransport
    candles: dict[int, dict[str, None]] = field(default_factory=dict)
    symbols: dict[str, dict[str, None]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    orders: bool = True  # order_status: send every transition, not fills only
    wire: Wire = field(default_factory=Wire)  # what faults do to it
    busy: bool = False  # a frame went out since the last heartbeat

    @property
    def subscribed(self) -> bool:
        return bool(self.candles or self.symbols or self.sequences)


class Subscriptions:
    """Judges subscribe and unsubscribe requests. `token_valid` judges stream tokens."""

    def __init__(self, view: MarketView, clock: Clock, token_valid: Callable[[object], bool]) -> None:
        self._view, self._clock, self._token_valid = view, clock, token_valid

    def answer(self, connection: Connection, method: str, params: dict[str, Any], req_id: Any, error: str | None = None) -> list[str]:
        """Answers, one a symbol, each followed by its snapshot. `error`: refuse everything with these words."""
        channel, now_us = params.get("channel"), self._clock.now_us()
        if error is not None:
            return [frames.answer(method, req_id, now_us, error=error)]
        if channel in PRIVATE:
            result, snapshot = self._private(connection, method, channel, params)
            answer = frames.answer(method, req_id, now_us, **result)
            return [answer] if snapshot is None else [answer, snapshot]
        symbols = params.get("symbol")
        if channel not in PUBLIC or not isinstance(symbols, list) or not symbols:
            error = "Symbol(s) not found" if channel in PUBLIC else f"Channel not supported {channel}"
            return [frames.answer(method, req_id, now_us, error=error)]
        texts = []
        for symbol in symbols:
            result, snapshot = self._public(connection, method, channel, str(symbol), params)
            texts.append(frames.answer(method, req_id, now_us, **result))
            if snapshot is not None:
                texts.append(snapshot)
        return texts

    def _public(
        self, connection: Connection, method: str, channel: str, symbol: str, params: dict[str, Any]
    ) -> tuple[dict[str, Any], str | None]:
        """(answer fields, snapshot frame) for one symbol of a public subscription."""
        rules = self._view.exchange.by_symbol.get(symbol)
        interval = params.get("interval", 1)
        timeframe = next((item for item in Timeframe if item.minutes == interval and item.us >= self._view.market.base.us), None)
        if rules is None:
            return {"error": f"Currency pair not supported {symbol}"}, None
        if channel == "ohlc" and timeframe is None:
            return {"error": "Ohlc interval not supported"}, None
        table = connection.candles.setdefault(interval, {}) if channel == "ohlc" else connection.symbols.setdefault(channel, {})
        result: dict[str, Any] = {"channel": channel, "symbol": symbol} | ({"interval": interval} if channel == "ohlc" else {})
        if method == "unsubscribe":
            table.pop(symbol, None)
            return {"result": result}, None
        snapshot = bool(params.get("snapshot", channel != "trade"))
        table[symbol] = None
        frame = None
        if snapshot and self._view.exchange.priced(symbol):
            frame = self._snapshot(channel, rules, timeframe or Timeframe.M1, self._clock.now_us())
        return {"result": result | {"snapshot": snapshot}}, frame

    def _snapshot(self, channel: str, rules: PairRules, timeframe: Timeframe, now_us: int) -> str:
        if channel == "ticker":
            return self.ticker("snapshot", rules, now_us)
        if channel == "trade":
            rows = self._view.trades(rules, 50, None, now_us)
            return frames.trade(
                "snapshot",
                rules.symbol,
                [("buy" if r[3] == "b" else "sell", float(r[0]), float(r[1]), r[6], iso(round(r[2] * 1e6))) for r in rows],
            )
        begin, *values = self._view.running(rules, timeframe, now_us)
        o, h, low, c, v = values
        times = (iso(begin), iso(begin + timeframe.us), timeframe.minutes)
        return frames.ohlc("snapshot", rules.symbol, times, (o, h, low, c, v), iso(now_us))

    def _private(self, connection: Connection, method: str, channel: str, params: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """(answer fields, snapshot frame) of a private subscription."""
        if not self._token_valid(params.get("token")):
            return {"error": "ESession:Invalid session"}, None
        if method == "unsubscribe":
            connection.sequences.pop(channel, None)
            return {"result": {"channel": channel}}, None
        if channel in connection.sequences:
            return {"error": "Already subscribed"}, None
        connection.sequences[channel] = 1
        if channel == "executions":
            connection.orders = params.get("order_status", True) is not False
            data = self._open_orders() if params.get("snap_orders", True) else []
            data += self._recent_fills() if params.get("snap_trades", False) else []
        else:
            data = [wallet(asset, float(total)) for asset, total in sorted(self._view.exchange.state.balances.items())]
        snapshot = frames.dumps({"channel": channel, "type": "snapshot", "data": data, "sequence": 1})
        return {"result": {"channel": channel, "snapshot": True}}, snapshot

    def _open_orders(self) -> list[dict[str, Any]]:
        rows = []
        for order in self._view.exchange.open_orders():
            rules = self._view.exchange.rule(order.pair)
            ids = {"order_id": order.txid, "order_userref": order.userref, "exec_type": "new", "order_status": live_status(order)}
            rows.append(ids | order_fields(order, rules) | totals(order, rules) | {"timestamp": iso(order.opened_us)})
        return rows

    def _recent_fills(self) -> list[dict[str, Any]]:
        state, rows = self._view.exchange.state, []
        for trade in sorted(state.trades.values(), key=lambda item: item.number)[-50:]:
            event = Event(kind="trade", order=state.orders[trade.txid], time_us=trade.time_us, trade=trade)
            rows.append(execution(event, self._view.exchange.rule(trade.pair)))
        return rows

    def ticker(self, kind: str, rules: PairRules, now_us: int) -> str:
        """One ticker frame."""
        bid, ask, last = self._view.quotes(rules)
        return frames.ticker(kind, rules, (float(bid), float(ask), float(last)), self._view.stats(rules, now_us), iso(now_us))


def wallet(asset: str, balance: float) -> dict[str, Any]:
    """A balance as the balances channel shows it."""
    row = {"asset": asset, "asset_class": "currency", "balance": balance}
    return row | {"wallets": [{"type": "spot", "id": "main", "balance": balance}]}
