"""Two processes on one simulated clock, so that one of them may really be killed (SIMULATION.md section 2).

The owner (the twins) owns time; the guest (a session) joins over a control socket. A baton passes between them: exactly one
side runs at a time, says how long it could idle and what it handed to the kernel, and the other reads all of that first.
A guest that dies is drained; time goes on for the scripted downtime and then stands still until the next guest joins.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar, cast

from trader.simulation.kernel_sockets import Channel, Flight
from trader.simulation.loops import Events, SimulatedDeadlock, StepLoop, StepSelector, describe_tasks, run_on

T = TypeVar("T")

_HEAD = struct.Struct("!BdI")  # kind, simulated seconds, number of channels
_CHANNEL = struct.Struct("!HHQ")  # writer's port, reader's port, units
_TURN, _DONE = 1, 2

JOIN_LIMIT_S = 120.0
"""Machine seconds that either side waits for the other to start."""
HANG_UP_LIMIT_S = 10.0
_PEER_CLOSED = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class GuestChange(StrEnum):
    JOINED = "joined"
    DIED = "died"
    DONE = "done"


class OwnerGone(RuntimeError):
    """The process that owns time ended while the guest was running."""


class SharedFlight(Flight):
    """What we send is read by the other process: it is collected here and told with the baton."""

    def __init__(self) -> None:
        super().__init__()
        self.outgoing: dict[Channel, int] = {}

    def sent(self, channel: Channel, units: int) -> None:
        self.outgoing[channel] = self.outgoing.get(channel, 0) + units

    def take_outgoing(self) -> dict[Channel, int]:
        units, self.outgoing = self.outgoing, {}
        return units

    def told(self, units: dict[Channel, int]) -> None:
        """The other process handed these units to the kernel."""
        for channel, count in units.items():
            super().sent(channel, count)

    def forget_peer(self) -> None:
        """The other process is gone: whatever is owed is in our sockets already, and nobody reads ours."""
        self.outgoing.clear()
        self.owed = dict.fromkeys(self.readers, 0)


class Link:
    """The control socket: one baton message at a time, in either direction."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        self._sock = sock

    def send(self, kind: int, seconds: float, units: dict[Channel, int]) -> bool:
        """False where the other side is gone."""
        body = b"".join(_CHANNEL.pack(writer, reader, count) for (writer, reader), count in units.items())
        try:
            self._sock.sendall(_HEAD.pack(kind, seconds, len(units)) + body)
        except ConnectionError:
            return False
        return True

    def receive(self) -> tuple[int, float, dict[Channel, int]] | None:
        """(kind, seconds, units), or None where the other side is gone."""
        if (head := self._exactly(_HEAD.size)) is None:
            return None
        kind, seconds, count = _HEAD.unpack(head)
        if (body := self._exactly(_CHANNEL.size * count)) is None:
            return None
        return kind, seconds, {(writer, reader): units for writer, reader, units in _CHANNEL.iter_unpack(body)}

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                more = self._sock.recv(size - len(data))
            except ConnectionError:
                return None
            if not more:
                return None
            data += more
        return data

    def close(self) -> None:
        self._sock.close()


class BatonSelector(StepSelector):
    """What both sides do at an idle instant before they speak of time."""

    def local_work(self) -> Events | None:
        """Events, [] where a thread's result became ready, None where this process has nothing left to do."""
        loop = self.loop
        if loop.flight.busy():
            return self.arrivals()
        if events := self.poll(0):
            return events
        if loop.deliver_job():
            return []
        return self.poll(None) if loop.jobs else None


# --- the guest ---------------------------------------------------------------------------------------------------------
class GuestSelector(BatonSelector):
    """The loop of a process that borrows time: with nothing to do it hands the baton back and waits for it."""

    def __init__(self, link: Link, flight: SharedFlight) -> None:
        super().__init__()
        self._link = link
        self._flight = flight

    def idle(self, timeout: float | None) -> Events:
        deadline = math.inf if timeout is None else self.loop.due(timeout)
        while (events := self.local_work()) is None:
            if self.loop.time() >= deadline:
                return []
            self._pass_turn(deadline)
        return events

    def _pass_turn(self, deadline: float) -> None:
        # Bytes that the kernel did not take yet go out as soon as the owner has read what it was told of now.
        unsent = any(key.events & selectors.EVENT_WRITE for key in self.get_map().values())
        want = self.loop.time() if unsent and self._flight.outgoing else deadline
        self._link.send(_TURN, want, self._flight.take_outgoing())
        if (message := self._link.receive()) is None:
            raise OwnerGone(f"the owner of time is gone at simulated second {self.loop.time()}")
        _, now, units = message
        self._flight.told(units)
        if now > self.loop.time():
            self.advance_to(min(now, deadline))


class GuestLoop(StepLoop):
    """The loop of the process that may be killed; it dials the owner's servers and serves nothing itself."""

    def __init__(self, link: Link, now: float) -> None:
        flight = SharedFlight()
        super().__init__(memory=False, selector=GuestSelector(link, flight), flight=flight)
        self.advance_to(now)
        self.shared = flight

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        raise ValueError(f"create_server on {host}:{port}: the guest of a two-process simulation cannot serve; the owner can")


def run_guest(main: Callable[[], Awaitable[T]], *, control_port: int) -> T:
    """Run `main()` on the clock of the owner that listens on 127.0.0.1:`control_port`; say "done" when it returns.

    Raises what `main` raises (the owner then sees a death), OwnerGone, or RuntimeError where no owner is found.
    """
    link = Link(_dial(control_port))
    try:
        if (welcome := link.receive()) is None:
            raise OwnerGone(f"the owner at control port {control_port} closed before time began")
        loop = GuestLoop(link, welcome[1])
        result = run_on(lambda: loop, main)
        link.send(_DONE, loop.time(), loop.shared.take_outgoing())
        return result
    finally:
        link.close()


def _dial(port: int) -> socket.socket:
    give_up = time.monotonic() + JOIN_LIMIT_S
    while time.monotonic() < give_up:
        try:
            sock = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.02)
            continue
        # A dial to a port of the kernel's own range that nobody serves may meet itself (TCP simultaneous open).
        if sock.getsockname() != sock.getpeername():
            return sock
        sock.close()
    raise RuntimeError(f"nobody listens on control port {port} after {JOIN_LIMIT_S} s")


# --- the owner ---------------------------------------------------------------------------------------------------------
class OwnerSelector(BatonSelector):
    """The loop of the process that owns time: it moves time only while it holds the baton."""

    def __init__(self, listener: socket.socket, flight: SharedFlight, downtime_s: float, on_change: Callable[[GuestChange], None]) -> None:
        super().__init__()
        self._listener = listener
        self._flight = flight
        self._downtime_s = downtime_s
        self._on_change = on_change
        self.free = False  # no further guest is awaited: time runs as in one process
        self._link: Link | None = None
        self._ours = True  # we hold the baton
        self._want = math.inf  # until then the guest has nothing to do
        self._join_at = 0.0

    def idle(self, timeout: float | None) -> Events:
        if self.free:
            return super().idle(timeout)
        deadline = math.inf if timeout is None else self.loop.due(timeout)
        while True:
            if not self._ours and self._take() is not GuestChange.JOINED:
                return []  # the caller's `on_change` may have scheduled something
            if (events := self.local_work()) is not None:
                return events
            if self._link is None:
                if deadline < self._join_at:
                    self.advance_to(deadline)
                    return []
                self.advance_to(self._join_at)
                self._await_guest()
            elif self._flight.outgoing or self._want <= deadline:
                self._give(deadline)
            else:
                self.advance_to(deadline)
                return []

    def _give(self, deadline: float) -> None:
        if not self._flight.outgoing:
            if self._want == deadline == math.inf:
                raise SimulatedDeadlock(f"simulated deadlock at {self.loop.time()} s in both processes; here: {describe_tasks(self.loop)}")
            self.advance_to(self._want)
        # a guest that died in between is noticed when its next message is awaited
        cast(Link, self._link).send(_TURN, self.loop.time(), self._flight.take_outgoing())
        self._ours = False

    def _take(self) -> GuestChange:
        """Wait for the guest's message; JOINED means that it goes on living."""
        message = cast(Link, self._link).receive()
        self._ours = True
        if message is None:
            self._wait_for_hang_up()
            self._flight.forget_peer()
            return self._lose(GuestChange.DIED)
        kind, self._want, units = message
        self._flight.told(units)
        return self._lose(GuestChange.DONE) if kind == _DONE else GuestChange.JOINED

    def _lose(self, change: GuestChange) -> GuestChange:
        cast(Link, self._link).close()
        self._link = None
        self._flight.outgoing.clear()
        self._join_at = self.loop.time() + self._downtime_s
        self._on_change(change)
        return change

    def _wait_for_hang_up(self) -> None:
        """The kernel closes a dead process's sockets one by one: go on only when all are closed, whatever their order.

        Systems that cannot say so (no POLLRDHUP) do not wait; there, two runs with a kill may differ.
        """
        if not hasattr(select, "POLLRDHUP"):
            return
        give_up = time.monotonic() + HANG_UP_LIMIT_S
        for reader in self._flight.readers.values():
            poll = select.poll()
            poll.register(reader.get_extra_info("socket").fileno(), _PEER_CLOSED)
            if not poll.poll(max(0.0, give_up - time.monotonic()) * 1000):
                raise RuntimeError("the guest is gone but one of its connections stays open; does a child process hold it?")

    def _await_guest(self) -> None:
        self._listener.settimeout(JOIN_LIMIT_S)
        try:
            sock, _ = self._listener.accept()
        except TimeoutError as error:
            raise RuntimeError(f"no guest joined within {JOIN_LIMIT_S} machine seconds") from error
        self._link = Link(sock)
        self._flight.forget_peer()
        self._link.send(_TURN, self.loop.time(), {})
        self._ours = False
        self._on_change(GuestChange.JOINED)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
        super().close()


class OwnerLoop(StepLoop):
    """The loop of the process that owns time and serves; it dials nobody."""

    def __init__(self, listener: socket.socket, *, downtime_s: float, on_change: Callable[[GuestChange], None]) -> None:
        flight = SharedFlight()
        self._owner = OwnerSelector(listener, flight, downtime_s, on_change)
        super().__init__(memory=False, selector=self._owner, flight=flight)

    def set_free(self) -> None:
        """Await no further guest."""
        self._owner.free = True

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        raise OSError(f"connect to {address}: the owner of a two-process simulation serves and does not dial")


def run_owner(
    main: Callable[[], Awaitable[T]],
    *,
    control_port: int,
    downtime_s: float,
    stay: bool = False,
    on_change: Callable[[GuestChange], None] | None = None,
) -> T | None:
    """Run `main()` as the owner of time, with guests joining one after another on 127.0.0.1:`control_port`.

    Time stands still until the first guest joins, and `downtime_s` simulated seconds after a guest died until the next
    one does. When a guest says "done", `main` is cancelled (what it returns then, or None, is the result), or with `stay`
    the next guest is awaited. `on_change` is told of each change, at its simulated instant.
    """
    tasks: list[asyncio.Task[T]] = []

    def changed(change: GuestChange) -> None:
        if on_change is not None:
            on_change(change)
        if change is GuestChange.DONE and not stay:
            loop = cast(OwnerLoop, tasks[0].get_loop())
            loop.set_free()
            loop.call_soon(tasks[0].cancel)

    async def whole() -> T | None:
        tasks.append(asyncio.ensure_future(_coroutine(main)))
        try:
            return await tasks[0]
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return None

    with socket.create_server(("127.0.0.1", control_port)) as listener:
        return run_on(lambda: OwnerLoop(listener, downtime_s=downtime_s, on_change=changed), whole)


async def _coroutine(main: Callable[[], Awaitable[T]]) -> T:
    return await main()
