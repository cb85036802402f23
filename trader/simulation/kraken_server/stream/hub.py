"""WebSocket v2: connections, requests and the one way by which frames leave (KRAKEN.md section 5)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from trader.ports import Clock
from trader.simulation.fills import Tick
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.stream import frames
from trader.simulation.kraken_server.stream.connection import Connection
from trader.simulation.kraken_server.stream.order_methods import ENDPOINTS, OrderMethods
from trader.simulation.kraken_server.stream.private_channels import PrivateChannels
from trader.simulation.kraken_server.stream.public_channels import PublicChannels
from trader.simulation.kraken_server.stream.public_frames import PublicFrames
from trader.simulation.kraken_server.stream.publisher import Publisher
from trader.simulation.kraken_server.stream.subscriptions import Request, Subscriptions
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.kraken_server.wire.middleware import Middleware
from trader.simulation.kraken_server.wire.sockets import SocketDoor
from trader.simulation.market import Row

SECOND_US = 1_000_000
SUBSCRIBING = ("subscribe", "unsubscribe")
METHODS = (*SUBSCRIBING, *ENDPOINTS)


class Hub(SocketDoor[Connection]):
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
        super().__init__(Connection, middleware.plan)
        self._view, self._clock, self._middleware, self._private, self._orders = view, clock, middleware, private, orders
        self._switches = switches
        self._system = view.exchange.system_status  # as the clients were told
        shown = PublicFrames(view)
        self._subscriptions = Subscriptions(clock, PublicChannels(view, clock, shown), private)
        self._publisher = Publisher(view, shown, self._push_all, per_minute=switches.frames_per_minute)

    # --- connections -----------------------------------------------------------------------------------------------
    async def _greet(self, connection: Connection) -> None:
        await self._push(connection, "status", "", frames.status(connection.number, self._view.exchange.system_status))

    async def heartbeats(self) -> None:
        """A heartbeat on every subscribed connection that is silent: no gap between two frames is longer than `heartbeat_s`.

        Half of that is silence enough where another connection is due, so that all fall into step; one that takes no frame, being
        stalled, is tried again after as long.
        """
        longest_s, loop = self._switches.heartbeat_s, asyncio.get_running_loop()
        while True:
            now = loop.time()
            quiet = now - longest_s / 2
            due = now + longest_s
            for connection in tuple(self.connections):
                if connection.subscribed:
                    if connection.spoke_s <= quiet:
                        await self._send(connection, frames.HEARTBEAT)
                    due = min(due, max(connection.spoke_s, quiet) + longest_s)
            await asyncio.sleep(due - loop.time())

    def disconnect(self, *, private_only: bool) -> int:
        """Cut all connections, or those with private subscriptions; returns how many."""
        chosen = [connection for connection in self.connections if connection.sequences or not private_only]
        for connection in chosen:
            connection.transport.abort()
        return len(chosen)

    # --- requests --------------------------------------------------------------------------------------------------
    async def _receive(self, connection: Connection, text: str) -> None:
        now_us = self._clock.now_us()
        if self._too_fast(connection, now_us):
            await self._send(connection, frames.MSG_RATE)
            return
        try:
            message = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("req_id"), int | str | None):
            await self._send(connection, frames.MALFORMED)
            return
        method, req_id, params = message.get("method"), message.get("req_id"), message.get("params")
        if method == "ping":
            await self._send(connection, frames.pong(req_id, now_us))
        elif method in METHODS:
            params = params if isinstance(params, dict) else {}
            await self._request(connection, Request(method=method, params=params, req_id=req_id))
        else:
            await self._send(connection, frames.answer(str(method), req_id, now_us, error="Unsupported method"))

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
                await self._send(connection, text)

    # --- pushes ----------------------------------------------------------------------------------------------------
    async def flush(self) -> None:
        """Send what happened to orders, balances, pairs and the exchange as a whole."""
        if self._private.waiting:
            for connection, channel, subject, text in self._private.drain(tuple(self.connections), self._clock.now_us()):
                await self._push(connection, channel, subject, text)
        if self._view.exchange.rules is not self._publisher.rules:
            await self._publisher.instruments(tuple(self.connections))
        if (system := self._view.exchange.system_status) != self._system:
            self._system = system
            for connection in tuple(self.connections):
                await self._push(connection, "status", "", frames.status(connection.number, system))

    async def publish(self, open_us: int, tick: Tick, row: Row) -> None:
        """Tell everybody about a market tick of the base candle at `open_us`."""
        await self._publisher.tick(tuple(self.connections), open_us, tick, row)


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
