"""WebSocket clients of every door: how they come and go, and the one way by which frames leave."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import WSMsgType, web

from trader.simulation.faults import FaultPlan
from trader.simulation.kraken_server.wire.frame_faults import FrameFaults, Wire

BUFFER = 1 << 26  # a client that leaves this many bytes unread is cut off
NO_DRAIN = 1 << 30  # sending never waits for a slow client; BUFFER bounds what it may cost


class Sink(Protocol):
    """What a door writes to: aiohttp's side of a WebSocket, or a stand-in within the process."""

    @property
    def closed(self) -> bool: ...
    async def send_str(self, data: str) -> None: ...
    async def close(self) -> Any: ...


class Line(Protocol):
    """The connection under it."""

    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...


async def _texts(socket: web.WebSocketResponse) -> AsyncIterator[str]:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield message.data


@dataclass(slots=True, eq=False)
class Client:
    """The `number`-th client of this run."""

    socket: Sink
    transport: Line
    number: int
    wire: Wire = field(default_factory=Wire)  # what faults do to it
    spoke_s: float = 0.0  # loop time of its last frame


C = TypeVar("C", bound=Client)
Make = Callable[[Sink, Line, int], C]


class SocketDoor(ABC, Generic[C]):
    """All clients at one address. A door says how it greets (`_greet`) and what it makes of a text (`_receive`).

    `prefix` stands before a channel's name in fault plans.
    """

    _time: Callable[[], float]  # of the loop that serves; to ask which loop runs takes as long as to send a frame

    def __init__(self, make: Make[C], plan: FaultPlan, *, prefix: str = "") -> None:
        self._make, self._faults, self._prefix = make, FrameFaults(plan), prefix
        self.connections: list[C] = []
        self.opened = self.sent = 0

    @abstractmethod
    async def _greet(self, connection: C) -> None:
        """Say what every client hears first."""

    @abstractmethod
    async def _receive(self, connection: C, text: str) -> None:
        """Answer a text."""

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves."""
        socket = web.WebSocketResponse(compress=False, writer_limit=NO_DRAIN)
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.WriteTransport):
            return socket
        await self.serve(socket, transport, _texts(socket))
        return socket

    async def serve(self, socket: Sink, transport: Line, texts: AsyncIterator[str]) -> None:
        """Serve one client, however it is connected, until it sends nothing more."""
        self._time = asyncio.get_running_loop().time
        self.opened += 1
        connection = self._make(socket, transport, self.opened)
        self.connections.append(connection)
        try:
            await self._greet(connection)
            async for text in texts:
                await self._receive(connection, text)
        finally:
            self.connections.remove(connection)

    async def _send(self, connection: C, *texts: str) -> None:
        """Send frames, unless the connection is stalled, gone or far behind."""
        now, socket, transport = self._time(), connection.socket, connection.transport
        if now < connection.wire.stalled_until or socket.closed or transport.is_closing():
            return
        try:
            for text in texts:
                if transport.get_write_buffer_size() > BUFFER:
                    transport.abort()
                    return
                self.sent += 1
                connection.spoke_s = now
                await socket.send_str(text)
        except ConnectionError:
            pass  # it left between the check and the write

    def _push(self, connection: C, channel: str, symbol: str, text: str, *, snapshot: bool = False) -> Awaitable[None]:
        """Send one frame of a channel through the fault plan."""
        return self._push_all(connection, channel, ((symbol, text),), snapshot=snapshot)

    async def _push_all(self, connection: C, channel: str, frames: Sequence[tuple[str, str]], *, snapshot: bool = False) -> None:
        """Send frames (symbol, text) of a channel through the fault plan."""
        name = self._prefix + channel
        if not self._faults.touch(connection.wire, name):
            await self._send(connection, *[text for _, text in frames])
            return
        for symbol, text in frames:
            now = self._time()
            texts = self._faults.outgoing(connection.wire, name, symbol, text, now=now, snapshot=snapshot)
            if texts is None:
                connection.transport.abort()
            else:
                await self._send(connection, *texts)

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for connection in tuple(self.connections):
            await connection.socket.close()
