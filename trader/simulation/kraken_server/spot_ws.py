"""WebSocket v2: connections, requests and the one way by which frames leave (KRAKEN.md section 5)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from aiohttp import WSMsgType, web

from trader.ports import Clock
from trader.simulation.fills import Tick
from trader.simulation.kraken_server import frames
from trader.simulation.kraken_server.connection import Connection
from trader.simulation.kraken_server.frame_faults import FrameFaults
from trader.simulation.kraken_server.market_view import MarketView
from trader.simulation.kraken_server.middleware import Middleware
from trader.simulation.kraken_server.order_methods import ENDPOINTS, OrderMethods
from trader.simulation.kraken_server.private_channels import PrivateChannels
from trader.simulation.kraken_server.public_channels import PublicChannels
from trader.simulation.kraken_server.public_frames import PublicFrames
from trader.simulation.kraken_server.publisher import Publisher
from trader.simulation.kraken_server.subscriptions import Request, Subscriptions
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.market import Row

BUFFER = 1 << 26  # a client that leaves this many bytes unread is cut off
NO_DRAIN = 1 << 30  # sending never waits for a slow client; BUFFER bounds what it may cost
SECOND_US = 1_000_000
SUBSCRIBING = ("subscribe", "unsubscribe")
METHODS = (*SUBSCRIBING, *ENDPOINTS)


class Hub:
    """All connections; market ticks come through `publish`, what happened to orders and balances waits for `flush`."""

    def __init__(
        self,
        view: MarketView,
        clock: Clock,
        middleware: Middleware,
        *,
        private: PrivateChannels,
        orders: OrderMethods,
        switches: Switches,
    ) -> None:
        self._view, self._clock, self._middleware, self._private, self._orders = view, clock, middleware, private, orders
        self._switches = switches
        self._faults = FrameFaults(middleware.plan)
        self.connections: list[Connection] = []
        self.opened = self.sent = 0
        self._system = view.exchange.system_status  # as the clients were told
        shown = PublicFrames(view)
        self._subscriptions = Subscriptions(clock, PublicChannels(view, clock, shown), private)
        self._publisher = Publisher(view, shown, self._push, per_minute=switches.frames_per_minute)

    # --- connections -----------------------------------------------------------------------------------------------
    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = web.WebSocketResponse(compress=False, writer_limit=NO_DRAIN)
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.WriteTransport):
            return socket
        self.opened += 1
        connection = Connection(socket=socket, transport=transport, number=self.opened)
        self.connections.append(connection)
        try:
            await self._push(connection, "status", "", frames.status(connection.number, self._view.exchange.system_status))
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
            await asyncio.sleep(self._switches.heartbeat_s)
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
        if self._too_fast(connection, now_us):
            await self.send(connection, frames.MSG_RATE)
            return
        try:
            message = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            await self.send(connection, frames.MALFORMED)
            return
        method, req_id, params = message.get("method"), message.get("req_id"), message.get("params")
        if method == "ping":
            await self.send(connection, frames.pong(req_id, now_us))
        elif method in METHODS:
            params = params if isinstance(params, dict) else {}
            await self._request(connection, Request(method=method, params=params, req_id=req_id))
        else:
            await self.send(connection, frames.answer(str(method), req_id, now_us, error="Unsupported method"))

    def _too_fast(self, connection: Connection, now_us: int) -> bool:
        """Count a message, where messages are counted; a refused one does not count."""
        if (most := self._switches.messages_per_s) is None:
            return False
        connection.heard = [time_us for time_us in connection.heard if time_us > now_us - SECOND_US]
        if len(connection.heard) >= most:
            return True
        connection.heard.append(now_us)
        return False

    async def _request(self, connection: Connection, request: Request) -> None:
        place = self._subscriptions.answer if request.method in SUBSCRIBING else self._orders.answer
        answers = await self._middleware.stream(
            request.method, _fields(request), lambda error: place(connection, request, error), self.flush
        )
        if answers is None:
            connection.transport.abort()
            return
        for text in answers:
            if text.startswith('{"channel"'):  # a snapshot
                await self._push(connection, request.channel, _symbol_of(text), text, snapshot=True)
            else:
                await self.send(connection, text)

    # --- pushes ----------------------------------------------------------------------------------------------------
    async def flush(self) -> None:
        """Send what happened to orders, balances, pairs and the exchange as a whole."""
        for connection, channel, subject, text in self._private.drain(tuple(self.connections), self._clock.now_us()):
            await self._push(connection, channel, subject, text)
        await self._publisher.instruments(tuple(self.connections))
        if (system := self._view.exchange.system_status) != self._system:
            self._system = system
            for connection in tuple(self.connections):
                await self._push(connection, "status", "", frames.status(connection.number, system))

    async def publish(self, open_us: int, tick: Tick, row: Row) -> None:
        """Tell everybody about a market tick of the base candle at `open_us`."""
        await self._publisher.tick(tuple(self.connections), open_us, tick, row)

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
    return str(rows[0].get("symbol", "")) if isinstance(rows, list) and rows else ""


def _fields(request: Request) -> dict[str, str]:
    """Parameters as the fault plan and the log of writes compare them: lists joined with commas, a batch's orders as JSON too."""
    open_params = {key: value for key, value in request.params.items() if key != "token"}
    texts = {key: ",".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in open_params.items()}
    return texts | ({"json": json.dumps(open_params, default=str)} if request.method.startswith("batch_") else {})


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
