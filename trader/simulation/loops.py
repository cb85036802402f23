"""The stepped loop: an asyncio loop whose time stands still while anybody has work and then jumps to the next timer."""

from __future__ import annotations

import asyncio
import heapq
import selectors
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple, cast

from trader.simulation.kernel_sockets import Flight, flight_transport
from trader.simulation.memory_transport import LOOPBACK, MemoryNetwork, MemoryServer
from trader.simulation.turns import POLL_EVERY, TurningLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Events = list[tuple[selectors.SelectorKey, int]]

# Turns of the loop at one instant before we call it a task that spins (at about 5 us a turn, 15 s or more).
SPIN_LIMIT = 3_000_000
# Bytes handed to the kernel arrive within microseconds; after this long nobody will ever read them.
LOST_BYTES_S = 30.0


class SimulatedDeadlock(RuntimeError):
    """Nothing is ready, no timer is set and nothing is in flight; the message names the waiting tasks."""


class StepSelector(selectors.DefaultSelector):
    """Asks the kernel without waiting, and moves the loop's time where a real selector would sleep."""

    loop: StepLoop

    def __init__(self) -> None:
        super().__init__()
        self._serials: dict[int, int] = {}
        self._next_serial = 0
        self._idles = self._registered = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self._next_serial += 1
        self._serials[key.fd] = self._next_serial
        self._registered = len(self.get_map())
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self._registered = len(self.get_map())
        return key

    def glance(self) -> Events:
        """What has arrived, though callbacks are ready. Raises RuntimeError where they never end."""
        if self.loop.turns > SPIN_LIMIT:
            raise RuntimeError(f"a task spins at simulated second {self.loop.time()}: {describe_tasks(self.loop)}")
        return self.poll(0)

    def idle(self, timeout: float | None) -> Events:
        """Nothing is ready: take what is in flight, else results of threads, else move time."""
        loop = self.loop
        flight = loop.flight
        if (flight.owed or flight.dials) and flight.busy():
            return self.arrivals()
        self._idles += 1
        # Connections that stay inside leave only the loop's own pipe to the kernel: without threads it carries signals, which may wait.
        may_tell = timeout is None or self._registered > 1 or loop.jobs or not self._idles % POLL_EVERY
        if may_tell and (events := self.poll(0)):
            return events
        if loop.jobs and loop.deliver_job():
            return []
        if loop.jobs:
            return self.poll(None)
        if loop.resting:
            heapq.heappop(loop.resting)[-1]()  # at once: nobody else has anything to do before it
            return []
        if timeout is None:
            raise SimulatedDeadlock(f"simulated deadlock at {loop.time()} s: no timer, nothing ready or in flight: {describe_tasks(loop)}")
        loop.advance_to(loop.due(timeout))
        return []

    def advance_to(self, seconds: float) -> None:
        self.loop.advance_to(seconds)

    def poll(self, timeout: float | None) -> Events:
        """Ready descriptors in the order they were registered, which does not depend on their numbers."""
        events = super().select(timeout)
        if len(events) > 1:
            events.sort(key=lambda event: self._serials[event[0].fd])
        return events

    def arrivals(self) -> Events:
        """Wait for bytes in flight; all of them, so that their order does not depend on the kernel's haste."""
        owed = self.loop.flight.owed_descriptors()
        events: Events = []
        for _ in range(1000):
            events = self.poll(LOST_BYTES_S)
            if owed <= {key.fd for key, _ in events}:
                break
        if not events:
            raise RuntimeError(f"bytes in flight that nobody read for {LOST_BYTES_S} s: {self.loop.flight.describe()}")
        return events


class StepLoop(TurningLoop):
    """An event loop in simulated time, starting at 0 with a resolution of 1 us.

    Not idle: callbacks that are ready, bytes in flight on sockets of this loop, dials not yet accepted, jobs in an
    executor (their results are handed over in the order they were submitted, when nothing else is ready).
    `memory` True keeps connections to 127.0.0.1 inside the loop and refuses every other host; False uses kernel sockets,
    where both ends must live on this loop.
    """

    def __init__(self, *, memory: bool = True, selector: StepSelector | None = None, flight: Flight | None = None) -> None:
        self.jobs: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()
        self.flight = flight or Flight()
        self.resting: list[tuple[int, int, Callable[[], object]]] = []
        self._pool: Executor | None = None
        self._dialled: dict[int, int] = {}
        chosen = selector or StepSelector()
        chosen.loop = self
        super().__init__(chosen)
        self.network = MemoryNetwork(self) if memory else None

    def advance_to(self, seconds: float) -> None:
        """Move simulated time, never back; only the selector does so."""
        self.turns = 0
        self.now = max(self.now, seconds)

    def at_rest(self, order: int, callback: Callable[[], object]) -> None:
        """Call it at this instant, once nobody has work left; of several the lowest `order` first, each at a rest of its own."""
        heapq.heappush(self.resting, (order, next(self._serials), callback))

    # --- threads -------------------------------------------------------------------------------------------------------
    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a job in a thread; time stands still until its result was delivered."""
        self._check_closed()
        if executor is None:
            executor = self._pool = self._pool or ThreadPoolExecutor(thread_name_prefix="stepped")
        job = executor.submit(func, *args)
        outer: asyncio.Future[T] = self.create_future()
        self.jobs.append((job, outer))
        job.add_done_callback(self._wake)
        return outer

    def _wake(self, _: Future[Any]) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(_nothing)

    def deliver_job(self) -> bool:
        """Hand over the oldest job's result if it is there; forget jobs nobody waits for. True: something became ready."""
        while self.jobs:
            job, outer = self.jobs[0]
            if outer.cancelled():
                job.cancel()
                self.jobs.popleft()
            elif job.done():
                self.jobs.popleft()
                _copy(job, outer)
                return True
            else:
                return False
        return False

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    # --- connections ---------------------------------------------------------------------------------------------------
    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if self.network is None:
            return await super().create_server(protocol_factory, host, port, **options)
        hosts = host if isinstance(host, list | tuple) else [host]
        if options.get("ssl") or any(name not in LOOPBACK for name in hosts):
            raise ValueError(f"create_server: host {host!r}, ssl {options.get('ssl')!r}; a stepped loop serves 127.0.0.1 without TLS")
        sock = options.get("sock")
        return self._serve(protocol_factory, sock.getsockname()[1] if sock is not None else port, options.get("start_serving", True))

    def _serve(self, factory: Any, port: int | None, start: bool) -> MemoryServer:
        return cast(MemoryNetwork, self.network).serve(factory, port, start=start)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if self.network is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            self.network.check(address[0], address[1])
            self._dialled[sock.fileno()] = address[1]
            return
        with self.flight.dialling():
            await super().sock_connect(sock, address)
            self.flight.dialled(sock)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        sock = options.get("sock")
        known = self._dialled.pop(sock.fileno(), None) if sock is not None else None
        if self.network is None or (sock is not None and known is None):
            return await super().create_connection(protocol_factory, host, port, **options)
        if options.get("ssl"):
            raise ValueError("create_connection: ssl is not available between 127.0.0.1 and itself on a stepped loop")
        if sock is not None and known is not None:
            self.network.check("127.0.0.1", known)
            sock.close()
            return self.network.connect(protocol_factory, known)
        self.network.check(host, port)
        return self.network.connect(protocol_factory, port)

    def _make_socket_transport(self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None) -> Any:
        make = super()._make_socket_transport  # type: ignore[misc]
        return flight_transport(self.flight, make(sock, protocol, waiter, extra=extra, server=server), sock, accepted=server is not None)


def run_stepped(main: Callable[[], Awaitable[T]], *, memory: bool = True) -> T:
    """Run `main()` on a new stepped loop to its end, cancel what is left, close the loop, return the result.

    Raises what `main` raises, or SimulatedDeadlock.
    """
    return run_on(lambda: StepLoop(memory=memory), main)


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], main: Callable[[], Awaitable[T]]) -> T:
    """`run_stepped` for a loop of one's own making."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_await(main))


async def _await(main: Callable[[], Awaitable[T]]) -> T:
    return await main()


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Every unfinished task with the line it waits at, in the order of their names."""
    return "; ".join(sorted(_describe(task) for task in asyncio.all_tasks(loop))) or "no task"


def _describe(task: asyncio.Task[Any]) -> str:
    inner: Any = task.get_coro()
    while getattr(inner, "cr_await", None) is not None and getattr(inner.cr_await, "cr_frame", None) is not None:
        inner = inner.cr_await
    frame = getattr(inner, "cr_frame", None)
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown line"
    return f"{task.get_name()} in {getattr(inner, '__qualname__', inner)} at {where}"


def _copy(job: Future[Any], outer: asyncio.Future[Any]) -> None:
    if job.cancelled():
        outer.cancel()
    elif (error := job.exception()) is not None:
        outer.set_exception(error)
    else:
        outer.set_result(job.result())


def _nothing() -> None:
    return None
