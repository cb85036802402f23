"""A network inside one event loop: servers and connections on 127.0.0.1 that never touch the kernel.

Real protocol code (aiohttp, ccxt, google-genai) runs on top. Bytes arrive in order at the next turn of the loop, several
writes of one turn in one piece, as a kernel would deliver them. A closed side gives the other its last bytes, then EOF;
a reset one takes away even those.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import struct
from asyncio import transports
from collections.abc import Callable, Iterable
from typing import Any, cast

Address = tuple[str, int]
Factory = Callable[[], asyncio.BaseProtocol]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "", None})  # noqa: S104 - names, nothing is bound
# What a kernel would hold for a slow reader before the writer is asked to pause.
KERNEL_BUFFER = 256 * 1024
FIRST_EPHEMERAL_PORT = 49152
LINGER_NOT = struct.pack("ii", 1, 0)


class StubSocket:
    """What libraries ask of `get_extra_info("socket")`: addresses, family and options.

    Options are accepted and ignored, but for SO_LINGER with a time of 0, which makes closing a reset.
    """

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, name: Address, peer: Address | None) -> None:
        self._name = name
        self._peer = peer
        self.resets = False

    def getsockname(self) -> Address:
        return self._name

    def getpeername(self) -> Address:
        if self._peer is None:
            raise OSError(errno.ENOTCONN, "a listening socket has no peer")
        return self._peer

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.resets = value == LINGER_NOT

    def getsockopt(self, *_: object) -> int:
        return 0

    def fileno(self) -> int:
        return -1


class MemoryTransport(transports._FlowControlMixin, asyncio.Transport):
    """One end of a connection; `peer` is the other."""

    peer: MemoryTransport

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, name: Address, peer: Address) -> None:
        super().__init__({"sockname": name, "peername": peer, "socket": StubSocket(name, peer)}, loop)
        self._event_loop = loop
        self._inbox: list[bytes] = []
        self._inbox_size = 0
        self._reading = True
        self._closing = False  # close() was called here, or the connection broke
        self._finished = False  # we send nothing any more (write_eof or close)
        self._eof_waiting = False  # the other side finished; to be told after its last bytes
        self._scheduled = False
        self.set_protocol(protocol)

    # --- writing -------------------------------------------------------------------------------------------------------
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._finished and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        peer = self.peer
        if peer._closing:
            self._break(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
            return
        peer._inbox.append(data if type(data) is bytes else bytes(data))
        peer._inbox_size += len(data)
        if not peer._scheduled:
            peer._schedule()
        if peer._inbox_size > KERNEL_BUFFER:
            self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._finished:
            self._finished = True
            self.peer._tell_eof()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return max(0, self.peer._inbox_size - KERNEL_BUFFER)

    # --- reading -------------------------------------------------------------------------------------------------------
    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            if self._inbox or self._eof_waiting:
                self._schedule()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._event_loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self._closing or not self._reading:
            return
        if self._inbox:
            data = self._inbox[0] if len(self._inbox) == 1 else b"".join(self._inbox)
            self._inbox.clear()
            self._inbox_size = 0
            if not self.peer._closing:
                self.peer._maybe_resume_protocol()  # type: ignore[attr-defined]
            if not self._hand_over(data):
                return
        # data_received may have paused or closed us, or caused more bytes to be written
        if self._eof_waiting and not self._inbox and self._reading and not self._closing:
            self._eof_waiting = False
            if not cast(asyncio.Protocol, self._protocol).eof_received():
                self.close()

    def _hand_over(self, data: bytes) -> bool:
        try:
            if self._buffered:
                _feed(cast(asyncio.BufferedProtocol, self._protocol), data)
            else:
                cast(asyncio.Protocol, self._protocol).data_received(data)
        except Exception as error:  # noqa: BLE001 - as a kernel transport: the connection breaks, the loop is told
            context = {"message": "Fatal error: data_received() failed.", "exception": error, "transport": self, "protocol": self._protocol}
            self._event_loop.call_exception_handler(context)
            self._break(error)
            return False
        return True

    def _tell_eof(self) -> None:
        self._eof_waiting = True
        self._schedule()

    # --- ending --------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        self._break(None)

    def abort(self) -> None:
        self._break(None)

    def is_closing(self) -> bool:
        return self._closing

    def _break(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._inbox.clear()
        self._inbox_size = 0
        self._event_loop.call_soon(self._protocol.connection_lost, error)
        if self.get_extra_info("socket").resets:
            self._finished = True
            self._event_loop.call_soon(self.peer._break, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        elif not self._finished:
            self._finished = True
            self.peer._tell_eof()


def _feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        buffer = memoryview(cast(Any, protocol.get_buffer(len(rest))))
        if not buffer:
            raise RuntimeError("get_buffer() returned an empty buffer")
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]


class MemoryServer(asyncio.AbstractServer):
    """A listening port of a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, address: Address, factory: Factory) -> None:
        self.factory = factory
        self._network = network
        self._address = address
        self._sockets = (StubSocket(address, None),)

    @property
    def sockets(self) -> tuple[StubSocket, ...]:
        return self._sockets if self.is_serving() else ()

    def is_serving(self) -> bool:
        return self._network.servers.get(self._address[1]) is self

    def close(self) -> None:
        """Stop listening; connections that exist stay."""
        if self.is_serving():
            del self._network.servers[self._address[1]]

    async def start_serving(self) -> None:
        self._network.listen(self._address, self)

    async def serve_forever(self) -> None:
        await self.start_serving()
        await asyncio.get_running_loop().create_future()

    async def wait_closed(self) -> None:
        return None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop


class MemoryNetwork:
    """The ports that are served on one loop, and the connections to them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.servers: dict[int, MemoryServer] = {}
        self._ports = itertools.count(FIRST_EPHEMERAL_PORT)

    def serve(self, factory: Factory, port: int | None, *, start: bool = True) -> MemoryServer:
        """Listen on 127.0.0.1:`port` (None or 0: any free one). Raises OSError EADDRINUSE."""
        address = ("127.0.0.1", port or next(self._ports))
        server = MemoryServer(self, address, factory)
        if start:
            self.listen(address, server)
        return server

    def listen(self, address: Address, server: MemoryServer) -> None:
        if self.servers.setdefault(address[1], server) is not server:
            raise OSError(errno.EADDRINUSE, f"address {address} is already served on this loop")

    def check(self, host: str | None, port: int) -> None:
        """Raises ConnectionRefusedError where nobody serves the port, OSError ENETUNREACH for another host."""
        if host not in LOOPBACK:
            raise OSError(errno.ENETUNREACH, f"{host}:{port}: a stepped loop reaches only 127.0.0.1")
        if port not in self.servers:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('127.0.0.1', {port})")

    def connect(self, factory: Factory, port: int) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Open a connection to a served port; both protocols learn of it before any byte."""
        self.check("127.0.0.1", port)
        near, far = ("127.0.0.1", next(self._ports)), ("127.0.0.1", port)
        client = MemoryTransport(self.loop, factory(), near, far)
        server = MemoryTransport(self.loop, self.servers[port].factory(), far, near)
        client.peer, server.peer = server, client
        self.loop.call_soon(server.get_protocol().connection_made, server)
        client.get_protocol().connection_made(client)
        return client, client.get_protocol()
