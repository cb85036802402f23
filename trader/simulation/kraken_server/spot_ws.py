"""WebSocket v2: connections, subscriptions and what is pushed to them (KRAKEN.md section 5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from trader.domain.market import Timeframe
from trader.ports import Clock
from trader.simulation.exchange_orders import BalanceChange, Event, PairRules
from trader.simulation.faults import FaultPlan
from trader.simulation.fills import Tick
from trader.simulation.kraken_server import frames
from trader.simulation.kraken_server.market_view import TICKS, MarketView, RunningBars
from trader.simulation.kraken_server.render import execution, iso, live_status, order_fields, totals
from trader.simulation.market import Row

PUBLIC, PRIVATE = ("ticker", "ohlc", "trade"), ("executions", "balances")
BUFFER = 1 << 26  # a client that leaves this many bytes unread is cut off
NO_DRAIN = 1 << 30  # sending never waits for a slow client; BUFFER bounds what it may cost


@dataclass(slots=True, eq=False)
class Connection:
    """One client. `candles`: interval -> symbols; `symbols`: other public channels -> symbols; `sequences`: private channels."""

    socket: web.WebSocketResponse
    transport: asyncio.WriteTransport
    candles: dict[int, dict[str, None]] = field(default_factory=dict)
    symbols: dict[str, dict[str, None]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    orders: bool = True  # order_status: send every transition, not fills only
    stalled_until: float = 0.0
    busy: bool = False  # a frame went out since the last heartbeat

    @property
    def subscribed(self) -> bool:
        return bool(self.candles or self.symbols or self.sequences)


class Hub:
    """All connections. `token_valid` judges stream tokens; market ticks come through `publish`."""

    def __init__(
        self,
        view: MarketView,
        clock: Clock,
        plan: FaultPlan,
        token_valid: Callable[[object], bool],
        *,
        frames_per_minute: int,
        heartbeat_s: float,
    ) -> None:
        self._view, self._clock, self._plan, self._token_valid = view, clock, plan, token_valid
        self._per_minute, self._heartbeat_s = frames_per_minute, heartbeat_s
        self.connections: list[Connection] = []
        self.opened = self.sent = 0
        self._bars: dict[int, RunningBars] = {}
        self._queue: list[tuple[str, dict[str, Any], str]] = []
        view.exchange.listeners.append(self._on_event)
        view.exchange.balance_listeners.append(self._on_balance)

    # --- connections -----------------------------------------------------------------------------------------------
    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = web.WebSocketResponse(compress=False, writer_limit=NO_DRAIN)
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.WriteTransport):
            return socket
        connection = Connection(socket=socket, transport=transport)
        self.connections.append(connection)
        self.opened += 1
        try:
            await self.send(connection, frames.status(self.opened))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._receive(connection, message.data)
        finally:
            self.connections.remove(connection)
        return socket

    async def send(self, connection: Connection, text: str) -> None:
        """Send one frame, unless the connection is stalled, gone or far behind."""
        if asyncio.get_running_loop().time() < connection.stalled_until or connection.socket.closed or connection.transport.is_closing():
            return
        if connection.transport.get_write_buffer_size() > BUFFER:
            connection.transport.abort()
            return
        self.sent += 1
        connection.busy = True
        await connection.socket.send_str(text)

    async def heartbeats(self) -> None:
        """A heartbeat on every subscribed connection that had no other frame since the last one."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for connection in tuple(self.connections):
                if connection.subscribed and not connection.busy:
                    await self.send(connection, frames.HEARTBEAT)
                connection.busy = False

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for connection in tuple(self.connections):
            await connection.socket.close()

    # --- requests --------------------------------------------------------------------------------------------------
    async def _receive(self, connection: Connection, text: str) -> None:
        now_us = self._clock.now_us()
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            await self.send(connection, frames.dumps({"error": "Malformed request", "success": False}))
            return
        method, req_id = message.get("method"), message.get("req_id")
        if method == "ping":
            await self.send(connection, frames.pong(req_id, now_us))
        elif method in ("subscribe", "unsubscribe"):
            params = message.get("params")
            await self._subscription(connection, method, params if isinstance(params, dict) else {}, req_id)
        else:
            await self.send(connection, frames.answer(str(method), req_id, now_us, error="Unsupported method"))

    async def _subscription(self, connection: Connection, method: str, params: dict[str, Any], req_id: Any) -> None:
        channel, now_us = params.get("channel"), self._clock.now_us()
        if channel in PRIVATE:
            await self._private(connection, method, channel, params, req_id)
            return
        symbols = params.get("symbol")
        if channel not in PUBLIC or not isinstance(symbols, list) or not symbols:
            error = "Symbol(s) not found" if channel in PUBLIC else f"Channel not supported {channel}"
            await self.send(connection, frames.answer(method, req_id, now_us, error=error))
            return
        for symbol in symbols:
            answer, snapshot = self._public(connection, method, channel, str(symbol), params)
            await self.send(connection, frames.answer(method, req_id, now_us, **answer))
            if snapshot:
                await self.send(connection, snapshot)

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
            return self._ticker("snapshot", rules, now_us)
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

    async def _private(self, connection: Connection, method: str, channel: str, params: dict[str, Any], req_id: Any) -> None:
        now_us = self._clock.now_us()
        if not self._token_valid(params.get("token")):
            await self.send(connection, frames.answer(method, req_id, now_us, error="ESession:Invalid session"))
            return
        if method == "unsubscribe":
            connection.sequences.pop(channel, None)
            await self.send(connection, frames.answer(method, req_id, now_us, result={"channel": channel}))
            return
        if channel in connection.sequences:
            await self.send(connection, frames.answer(method, req_id, now_us, error="Already subscribed"))
            return
        await self.send(connection, frames.answer(method, req_id, now_us, result={"channel": channel, "snapshot": True}))
        if channel == "executions":
            connection.orders = params.get("order_status", True) is not False
            data = self._open_orders() if params.get("snap_orders", True) else []
            data += self._recent_fills() if params.get("snap_trades", False) else []
        else:
            data = [_wallet(asset, float(total)) for asset, total in sorted(self._view.exchange.state.balances.items())]
        connection.sequences[channel] = 1
        await self.send(connection, frames.dumps({"channel": channel, "type": "snapshot", "data": data, "sequence": 1}))

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

    # --- pushes ----------------------------------------------------------------------------------------------------
    def _on_event(self, event: Event) -> None:
        self._queue.append(("executions", execution(event, self._view.exchange.rule(event.order.pair)), event.order.pair))

    def _on_balance(self, change: BalanceChange) -> None:
        row = _wallet(change.asset, float(change.balance)) | {
            "ledger_id": change.ledger_id,
            "ref_id": change.ref_id,
            "timestamp": iso(change.time_us),
            "type": change.kind,
            "amount": float(change.amount),
            "fee": float(change.fee),
            "wallet_type": "spot",
            "wallet_id": "main",
        }
        self._queue.append(("balances", row, change.asset))

    async def flush(self) -> None:
        """Send what happened to orders and balances, one item a frame, in order."""
        queue, self._queue = self._queue, []
        for channel, row, subject in queue:
            for connection in tuple(self.connections):
                if channel not in connection.sequences or (row.get("exec_type", "trade") != "trade" and not connection.orders):
                    continue
                connection.sequences[channel] += 1
                text = frames.dumps({"channel": channel, "type": "update", "data": [row], "sequence": connection.sequences[channel]})
                await self._push(connection, channel, subject, text)

    async def publish(self, open_us: int, tick: Tick, row: Row) -> None:
        """Tell everybody about a market tick of the base candle at `open_us`."""
        last_tick = tick.part == TICKS
        if last_tick or self._per_minute == TICKS:
            await self._candles(open_us, tick, row)
        for connection in tuple(self.connections):
            for symbol in connection.symbols.get("trade", {}):
                if tick.prices[self._view.exchange.by_symbol[symbol].index] > 0:  # NaN: no candle, no trade
                    await self._push(connection, "trade", symbol, self._trade(symbol, open_us, tick, row))
            for symbol in connection.symbols.get("ticker", {}):
                rules = self._view.exchange.by_symbol[symbol]
                if tick.prices[rules.index] > 0:
                    await self._push(connection, "ticker", symbol, self._ticker("update", rules, tick.time_us))

    async def _candles(self, open_us: int, tick: Tick, row: Row) -> None:
        now, rules = iso(tick.time_us), self._view.exchange.by_symbol
        for interval in sorted(dict.fromkeys(key for connection in self.connections for key, names in connection.candles.items() if names)):
            timeframe = next(item for item in Timeframe if item.minutes == interval)
            running = self._bars.setdefault(interval, RunningBars(self._view.market, timeframe))
            begin_us, columns = running.at(open_us, tick, row)
            rows = list(zip(*(c.tolist() for c in (columns.open, columns.high, columns.low, columns.close, columns.volume)), strict=True))
            begin, end = iso(begin_us), iso(begin_us + timeframe.us)
            texts: dict[str, str] = {}
            for connection in tuple(self.connections):
                for symbol in connection.candles.get(interval, ()):
                    if (text := texts.get(symbol)) is None:
                        values = rows[rules[symbol].index]
                        if values[0] != values[0]:  # NaN: the market has no candle of this pair
                            continue
                        text = texts[symbol] = frames.ohlc("update", symbol, (begin, end, interval), values, now)
                    await self._push(connection, "ohlc", symbol, text)

    def _trade(self, symbol: str, open_us: int, tick: Tick, row: Row) -> str:
        index = self._view.exchange.by_symbol[symbol].index
        number = open_us // self._view.market.base.us * TICKS + tick.part - 1
        side = "buy" if tick.part in (1, 3) else "sell"
        return frames.trade(
            "update", symbol, [(side, float(tick.prices[index]), float(row.volume[index]) / TICKS, number, iso(tick.time_us))]
        )

    def _ticker(self, kind: str, rules: PairRules, now_us: int) -> str:
        bid, ask, last = self._view.quotes(rules)
        return frames.ticker(kind, rules, (float(bid), float(ask), float(last)), self._view.stats(rules, now_us), iso(now_us))

    async def _push(self, connection: Connection, channel: str, symbol: str, text: str) -> None:
        """Send a frame through the fault plan."""
        if not self._plan.watches(channel):
            await self.send(connection, text)
            return
        copies = 1
        for fault in self._plan.take(channel, {"pair": symbol, "symbol": symbol}):
            if fault.action == "ws_drop":
                connection.transport.abort()
                return
            if fault.action == "ws_stall":
                loop = asyncio.get_running_loop()
                connection.stalled_until = loop.time() + fault.arg if fault.arg is not None else float("inf")
            elif fault.action == "ws_duplicate":
                copies = 2
            elif fault.action == "gap":
                return
            elif fault.action in ("nan", "negative"):
                text = _spoilt(text, fault.action)
        for _ in range(copies):
            await self.send(connection, text)


def _wallet(asset: str, balance: float) -> dict[str, Any]:
    row = {"asset": asset, "asset_class": "currency", "balance": balance}
    return row | {"wallets": [{"type": "spot", "id": "main", "balance": balance}]}


def _spoilt(text: str, action: str) -> str:
    """A candle whose low is null (JSON has no NaN) or negative."""
    frame = json.loads(text)
    row = frame["data"][0]
    row["low"] = None if action == "nan" else -row["low"]
    return frames.dumps(frame)
