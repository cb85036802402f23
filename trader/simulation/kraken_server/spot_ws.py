"""WebSocket v2: connections, subscriptions and what is pushed to them (KRAKEN.md section 5)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from trader.domain.market import Timeframe
from trader.ports import Clock
from trader.simulation.exchange_orders import BalanceChange, Event
from trader.simulation.fills import Tick
from trader.simulation.kraken_server import frames
from trader.simulation.kraken_server.frame_faults import FrameFaults
from trader.simulation.kraken_server.market_view import TICKS, MarketView, RunningBars
from trader.simulation.kraken_server.middleware import Middleware
from trader.simulation.kraken_server.render import execution, iso
from trader.simulation.kraken_server.subscriptions import Connection, Subscriptions, wallet
from trader.simulation.market import Row

BUFFER = 1 << 26  # a client that leaves this many bytes unread is cut off
NO_DRAIN = 1 << 30  # sending never waits for a slow client; BUFFER bounds what it may cost


class Hub:
    """All connections; market ticks come through `publish`, order events wait for `flush`."""

    def __init__(
        self,
        view: MarketView,
        clock: Clock,
        middleware: Middleware,
        subscriptions: Subscriptions,
        *,
        frames_per_minute: int,
        heartbeat_s: float,
    ) -> None:
        self._view, self._clock, self._middleware, self._subscriptions = view, clock, middleware, subscriptions
        self._faults = FrameFaults(middleware.plan)
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
            await self._push(connection, "status", "", frames.status(self.opened))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._receive(connection, message.data)
        finally:
            self.connections.remove(connection)
        return socket

    async def send(self, connection: Connection, text: str) -> None:
        """Send one frame, unless the connection is stalled, gone or far behind."""
        if (
            asyncio.get_running_loop().time() < connection.wire.stalled_until
            or connection.socket.closed
            or connection.transport.is_closing()
        ):
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

    def disconnect(self, *, private_only: bool) -> int:
        """Cut all connections, or those with private subscriptions; returns how many."""
        chosen = [connection for connection in self.connections if connection.sequences or not private_only]
        for connection in chosen:
            connection.transport.abort()
        return len(chosen)

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
            await self._subscribe(connection, method, message.get("params"), req_id)
        else:
            await self.send(connection, frames.answer(str(method), req_id, now_us, error="Unsupported method"))

    async def _subscribe(self, connection: Connection, method: str, params: Any, req_id: Any) -> None:
        wanted: dict[str, Any] = params if isinstance(params, dict) else {}
        fields = {key: str(value) for key, value in wanted.items() if isinstance(value, (str, int))}
        answers = await self._middleware.stream(
            method, fields, lambda error: self._subscriptions.answer(connection, method, wanted, req_id, error)
        )
        if answers is None:
            connection.transport.abort()
            return
        for text in answers:
            if text.startswith('{"channel"'):  # a snapshot
                await self._push(connection, str(wanted.get("channel")), _symbol_of(text), text, snapshot=True)
            else:
                await self.send(connection, text)

    # --- pushes ----------------------------------------------------------------------------------------------------
    def _on_event(self, event: Event) -> None:
        self._queue.append(("executions", execution(event, self._view.exchange.rule(event.order.pair)), event.order.pair))

    def _on_balance(self, change: BalanceChange) -> None:
        row = wallet(change.asset, float(change.balance)) | {
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
        queue, self._queue = self._middleware.late_orders.split(self._queue)
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
                    await self._push(connection, "ticker", symbol, self._subscriptions.ticker("update", rules, tick.time_us))

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

    async def _push(self, connection: Connection, channel: str, symbol: str, text: str, *, snapshot: bool = False) -> None:
        """Send a frame through the fault plan."""
        loop = asyncio.get_running_loop()
        texts = self._faults.outgoing(connection.wire, channel, symbol, text, now=loop.time(), snapshot=snapshot)
        if texts is None:
            connection.transport.abort()
            return
        for one in texts:
            await self.send(connection, one)


def _symbol_of(text: str) -> str:
    """The pair a public snapshot is about."""
    rows = json.loads(text)["data"]
    return str(rows[0].get("symbol", "")) if rows else ""
