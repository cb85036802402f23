"""Accounting for kernel sockets: what was handed to the kernel and not yet read keeps simulated time still.

A channel is one direction of one connection. Its units are bytes, plus one for the dial and one for the end of the stream.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Channel = tuple[int, int]
"""Ports of writer and reader; all addresses are 127.0.0.1."""

# Ends of connections whose other end lives in another process are remembered this long.
DROPPED_KEPT = 4096


class Flight:
    """Units on their way on the channels of one process.

    `owed` counts units not yet read; a channel without a transport is one whose dial was not accepted yet.
    """

    def __init__(self) -> None:
        self.owed: dict[Channel, int] = {}
        self.readers: dict[Channel, asyncio.Transport] = {}
        self._descriptors: dict[Channel, int] = {}
        self._dropped: dict[Channel, int] = {}
        self.dials = 0

    def busy(self) -> bool:
        """True while something is on its way to a reader that is reading."""
        if not self.owed:
            return bool(self.dials)
        return bool(self.dials) or any(units > 0 and self._reads(channel) for channel, units in self.owed.items())

    def owed_descriptors(self) -> set[int]:
        """Descriptors that must become readable."""
        return {self._descriptors[c] for c, units in self.owed.items() if units > 0 and c in self._descriptors and self._reads(c)}

    def _reads(self, channel: Channel) -> bool:
        reader = self.readers.get(channel)
        return reader is None or reader.is_reading()

    def describe(self) -> str:
        waiting = [f"{n} units from port {a} to {b}" for (a, b), n in sorted(self.owed.items()) if n > 0]
        return ", ".join(waiting) or f"{self.dials} dials"

    @contextmanager
    def dialling(self) -> Iterator[None]:
        self.dials += 1
        try:
            yield
        finally:
            self.dials -= 1

    def dialled(self, sock: socket.socket) -> None:
        """A connection of ours was made; its dial is owed to whoever accepts it."""
        self.sent(_out(sock), 1)

    def sent(self, channel: Channel, units: int) -> None:
        """The kernel took units from this process; what nobody can read any more does not count."""
        if channel not in self._dropped:
            self.owed[channel] = self.owed.get(channel, 0) + units

    def got(self, channel: Channel, units: int) -> None:
        self.owed[channel] = self.owed.get(channel, 0) - units

    def attach(self, channel: Channel, transport: asyncio.Transport, descriptor: int, *, accepted: bool) -> None:
        """A reader for the channel exists; an accepted one has taken the dial."""
        counted = self._dropped.pop(channel, 0) == 0  # else the port is used again and its dial was not counted
        self.owed[channel] = self.owed.get(channel, 0) - (accepted and counted)
        self.readers[channel] = transport
        self._descriptors[channel] = descriptor

    def drop(self, channel: Channel) -> None:
        """The reader is gone: nothing on its channel will ever be read. Both gone: forget the connection."""
        self.owed.pop(channel, None)
        self.readers.pop(channel, None)
        self._descriptors.pop(channel, None)
        back = (channel[1], channel[0])
        if back in self._dropped:
            del self._dropped[back]
            self.owed.pop(back, None)
        else:
            self._dropped[channel] = 1
            if len(self._dropped) > DROPPED_KEPT:
                del self._dropped[next(iter(self._dropped))]


class CountedSocket:
    """A connected socket that reports to a `Flight` what really passed between process and kernel."""

    def __init__(self, sock: socket.socket, flight: Flight) -> None:
        self._sock = sock
        self._flight = flight
        self._out = _out(sock)
        self.incoming = (self._out[1], self._out[0])
        self._finished = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: Any) -> int:
        count = self._sock.send(data)
        self._flight.sent(self._out, count)
        return count

    def sendmsg(self, parts: Any) -> int:
        count = self._sock.sendmsg(parts)
        self._flight.sent(self._out, count)
        return count

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(size)
        self._flight.got(self.incoming, len(data) or 1)
        return data

    def recv_into(self, buffer: Any) -> int:
        count = self._sock.recv_into(buffer)
        self._flight.got(self.incoming, count or 1)
        return count

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)
        self._finish()

    def close(self) -> None:
        self._sock.close()
        self._finish()
        self._flight.drop(self.incoming)

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._flight.sent(self._out, 1)


def flight_transport(flight: Flight, transport: Any, sock: socket.socket, *, accepted: bool) -> Any:
    """Put the counting socket under a transport of asyncio's selector loop."""
    try:
        counted = CountedSocket(sock, flight)
    except OSError:  # reset before it was accepted: the transport will find out, nothing is on its way
        return transport
    transport._sock = counted
    flight.attach(counted.incoming, transport, sock.fileno(), accepted=accepted)
    return transport


def _out(sock: socket.socket) -> Channel:
    return sock.getsockname()[1], sock.getpeername()[1]
