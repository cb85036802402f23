"""One WebSocket kept alive: silence, close and refusal end it, jittered backoff brings it back, subscriptions are re-sent."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from trader.domain.messages import FeedEvent
from trader.domain.money import PHI
from trader.errors import RetryableError
from trader.kraken.transport import Dialler, Socket, Unanswered
from trader.ports import Rng

SILENCE_S = 5.0  # I/O time; heartbeats count
LONGEST_PAUSE_S = 60.0
HEALTHY_S = 30.0  # a connection that lived this long starts the backoff afresh
Work = Callable[[], Awaitable[None]]
Events = asyncio.Queue[FeedEvent | BaseException]
log = logging.getLogger(__name__)


class LinkOwner(Protocol):
    """What a link tells its owner, in the loop's thread."""

    async def up(self, link: Link) -> None:
        """Connected: subscribe. May raise RetryableError or Unanswered."""

    def text(self, link: Link, text: str) -> None:
        """A frame came."""

    def watch(self, link: Link) -> Work | None:
        """Called about once a silence period; what is returned is called and awaited."""

    def down(self, link: Link, reason: str) -> None:
        """The connection is gone and will be dialled again."""


class Link:
    """A connection for ever. `wanted` holds back the dial until there is something to subscribe to: Kraken's heartbeat
    needs a subscription."""

    def __init__(self, name: str, transport: Dialler, owner: LinkOwner, *, private: bool, rng: Rng) -> None:
        self.name, self.wanted, self.connects = name, asyncio.Event(), 0
        self._transport, self._owner, self._private, self._rng = transport, owner, private, rng
        self._socket: Socket | None = None
        self._ended: asyncio.Future[str] | None = None
        self._next_look: asyncio.TimerHandle | None = None
        self._time = asyncio.get_running_loop().time
        self.last_frame = self._time()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        """Connected, and heard of within the silence limit."""
        return self._socket is not None and self._time() - self.last_frame < SILENCE_S

    async def run(self) -> None:
        """Dial, serve, dial again; raises FatalError only."""
        attempt = 0
        try:
            while True:
                await self.wanted.wait()
                started = self._time()
                reason = await self._once()
                attempt = 0 if self._time() - started >= HEALTHY_S else attempt + 1
                pause = min(LONGEST_PAUSE_S, PHI**attempt) * (0.5 + 0.5 * self._rng.random())
                log.warning("%s stream lost (%s); again in %.1f s", self.name, reason, pause)
                self._owner.down(self, reason)
                await asyncio.sleep(pause)
        finally:
            self._drop()
            if self._closing:
                await asyncio.wait(self._closing, timeout=SILENCE_S)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one JSON frame; a link that is down takes nothing, its subscriptions are re-sent at the next connect."""
        if self._socket is None:
            return
        try:
            await self._socket.send_text(json.dumps(message, separators=(",", ":")))
        except Unanswered as error:
            self.lost(str(error))

    async def ping(self) -> None:
        """Tell a server that asks for it that we are still here."""
        if self._socket is None:
            return
        try:
            await self._socket.ping()
        except Unanswered as error:
            self.lost(str(error))

    def frame(self, text: str) -> None:
        """A text frame from the socket."""
        self.last_frame = self._time()
        self._owner.text(self, text)

    def lost(self, reason: str) -> None:
        """The socket, or the owner, declares the connection dead."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)

    async def _once(self) -> str:
        """One connection from dial to end; the reason of the end."""
        self._ended = asyncio.get_running_loop().create_future()
        try:
            self._socket = await self._transport.socket(private=self._private, events=self)
            self.last_frame = self._time()
            self.connects += 1
            await self._owner.up(self)
            self.last_frame = self._time()
            while (work := await self._disturbed(self._ended)) is not None:
                await work()
            return self._ended.result()
        except (Unanswered, RetryableError) as error:
            return str(error)
        finally:
            self._drop()

    async def _disturbed(self, ended: asyncio.Future[str]) -> Work | None:
        """Returns what the owner wants done, or None when the connection has ended."""
        found: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()

        def over(_: object) -> None:
            if not found.done():
                found.set_result(None)

        ended.add_done_callback(over)
        self._look(found)
        try:
            return await found
        finally:
            ended.remove_done_callback(over)
            if self._next_look is not None:
                self._next_look.cancel()

    def _look(self, found: asyncio.Future[Work | None]) -> None:
        """Look for silence and for work, again and again by a timer: nearly every look is in vain, and to wake a task costs more."""
        if found.done():
            return
        left = SILENCE_S - (self._time() - self.last_frame)
        if left <= 0:
            self.lost(f"silent for {SILENCE_S:.0f} s")
            return
        try:
            work = self._owner.watch(self)
        except Exception as error:  # noqa: BLE001 - raised by whoever waits: failing in a timer, it would end all looks unseen
            found.set_exception(error)
            return
        if work is not None:
            found.set_result(work)
        else:
            self._next_look = asyncio.get_running_loop().call_later(left + 1e-3, self._look, found)

    def _drop(self) -> None:
        """Close the socket beside the loop: a dead peer answers no closing handshake."""
        socket, self._socket = self._socket, None
        if socket is not None:
            task = asyncio.create_task(socket.shut(), name=f"close {self.name} stream")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def taken(queue: Events) -> FeedEvent:
    """The next event; raises what a coroutine of the stream failed with."""
    event = await queue.get()
    if isinstance(event, BaseException):
        raise event
    return event


async def guarded(coroutine: Coroutine[Any, Any, None], queue: Events) -> None:
    """A failed helper task ends the stream with its error, handed to the consumer, instead of ending silently."""
    try:
        await coroutine
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
        queue.put_nowait(error)
