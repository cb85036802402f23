"""The turns of a stepped loop: asyncio's own, without what a loop in simulated time has no use for.

A simulated day is millions of turns and timers. Their order is asyncio's: what is ready runs in the order it became so, timers
of one moment in the order they were set. Timers stand in the heap as (moment, number, handle), which compare without Python.
Moments are whole microseconds: asyncio fires what falls due within its clock's resolution, so that a neighbour's timer would
decide at which microsecond one of ours fires.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, Protocol, TypeVarTuple

Ts = TypeVarTuple("Ts")
Callback = Callable[..., object]
Args = tuple[Any, ...]

# While callbacks are ready the kernel is asked only this often: what arrives is then taken at the same point of every run.
POLL_EVERY = 512
LONGEST_WAIT_S = 24 * 3600.0  # as asyncio's own
MANY = 128  # timers that are looked through for cancelled ones
NOISE_US = 1e-3  # of sums of seconds as floats; what is nearer to a microsecond is that microsecond


class Idler(Protocol):
    """What a turn asks for events."""

    def glance(self) -> Sequence[Any]:
        """What has arrived, though callbacks are ready."""

    def idle(self, timeout: float | None) -> Sequence[Any]:
        """Nothing is ready before so many seconds, None: before something arrives."""


class _Handle(asyncio.Handle):
    """A handle that takes no notes for debugging."""

    __slots__ = ()

    def __init__(self, callback: Callback, args: Args, loop: TurningLoop, context: Context | None) -> None:
        self._callback, self._args, self._loop, self._context = callback, args, loop, context or copy_context()
        self._cancelled, self._repr, self._source_traceback = False, None, None


class _Timer(asyncio.TimerHandle):
    """The same for a moment of the loop's time."""

    __slots__ = ()

    def __init__(self, when: float, callback: Callback, args: Args, loop: TurningLoop, context: Context | None) -> None:
        self._callback, self._args, self._loop, self._context = callback, args, loop, context or copy_context()
        self._cancelled, self._repr, self._source_traceback = False, None, None
        self._when, self._scheduled = when, False  # never in asyncio's own heap

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]  # as asyncio lets go of them


class TurningLoop(asyncio.SelectorEventLoop):
    """A loop whose selector is an `Idler`, and whose time is `now`."""

    _ready: deque[Any]  # handles
    _stopping: bool
    _debug: bool
    _closed: bool

    def __init__(self, selector: Any) -> None:
        self.now = 0.0
        self.turns = 0  # at this instant
        self._timers: list[tuple[float, int, _Timer]] = []
        self._many = MANY
        self._serials = itertools.count()
        self._idler: Idler = selector
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        if self._debug:
            return super().call_soon(callback, *args, context=context)
        if self._closed:
            self._check_closed()
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._timer(self.now + delay, callback, args, context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        return self._timer(when, callback, args, context)

    def _timer(self, when: float, callback: Callback, args: Args, context: Context | None) -> _Timer:
        if self._closed:
            self._check_closed()
        when = _whole_us(when)
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._serials), timer))
        return timer

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def due(self, timeout: float) -> float:
        """The moment of the timer that is so many seconds away: its own word, as a sum would be off by a rounding error."""
        first = self._timers[0][0] if self._timers else math.inf
        return first if first - self.now <= timeout else self.now + timeout

    def _run_once(self) -> None:
        """Turns, until the loop is to stop: what is ready now runs, and what it makes ready waits for the next turn."""
        ready, timers, idler = self._ready, self._timers, self._idler
        while True:
            if timers and (timers[0][2]._cancelled or len(timers) > self._many):
                self._drop_cancelled()
            self.turns += 1
            left = 0.0 if ready or self._stopping else timers[0][0] - self.now if timers else None
            if left is None or left > 0:
                events = idler.idle(left if left is None else min(left, LONGEST_WAIT_S))
            else:
                events = () if self.turns % POLL_EVERY else idler.glance()
            if events:
                self._process_events(events)  # type: ignore[attr-defined]
            while timers and timers[0][0] <= self.now:
                ready.append(heapq.heappop(timers)[2])
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)  # a frame less than by `handle._run`
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio does: told to the loop, which goes on
                    self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error, "handle": handle})
            if self._stopping:
                return  # as `run_forever` looks, but a call of ours less for each turn

    def _drop_cancelled(self) -> None:
        """No cancelled timer is the first, and of many half are not."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if len(timers) > self._many:
            timers[:] = [entry for entry in timers if not entry[2]._cancelled]
            heapq.heapify(timers)
            self._many = max(MANY, 2 * len(timers))

    def close(self) -> None:
        super().close()
        self._timers.clear()


def _whole_us(seconds: float) -> float:
    """The first whole microsecond that is not before this moment of the loop's time; never stays never."""
    try:
        return math.ceil(seconds * 1e6 - NOISE_US) / 1e6
    except OverflowError:
        return seconds
