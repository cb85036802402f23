"""The direct transport: ccxt's fetch and frame hand-over replaced by the twin's core, everything before and after them kept.

ccxt signs and parses as always; what is left out is HTTP, aiohttp and sockets. A session over it writes the same journal as one
over the wire.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
from multidict import CIMultiDict

from trader.kraken.ccxt_session import BODY_LIMIT
from trader.kraken.transport import Socket, SocketEvents, Unanswered
from trader.simulation.kraken_server.app import KrakenTwin, Target
from trader.simulation.kraken_server.stream.frames import HEARTBEAT
from trader.simulation.kraken_server.wire.replies import MEGABYTE, End, Reply

T = TypeVar("T")
ADDRESS = "127.0.0.1"


class Border:
    """Where a trader's messages meet the exchange's, one at a time and each only once nobody has work left at that instant.

    Within an instant the number of turns a message takes is the transport's affair; so neither side sees an order that depends on
    it. What arrives comes before what leaves: frames of the private stream, frames of the public one, answers, requests.
    Once cut, no byte leaves and nobody hears what comes.
    """

    def __init__(self, client: Any, *, answered: Callable[[], None]) -> None:
        self.is_cut, self._answered = False, answered
        self._request, self._dial = client.request, client.socket
        client.request, client.socket = self._asked, self._dialled

    def cut(self) -> None:
        self.is_cut = True

    async def passed(self, rank: int) -> None:
        """Returns when it is this message's turn; never, once cut."""
        loop: Any = asyncio.get_running_loop()  # a StepLoop
        turn: asyncio.Future[None] = loop.create_future()
        loop.at_rest(rank, lambda: turn.done() or self.is_cut or turn.set_result(None))
        await turn

    def _asked(self, *words: Any, **more: Any) -> Awaitable[Any]:
        return self._crossed(self._request, *words, **more)

    async def _dialled(self, *, private: bool, events: SocketEvents) -> Socket:
        heard = Heard(self, events, PRIVATE if private else PUBLIC)
        return Told(self, await self._crossed(self._dial, private=private, events=heard))

    async def _crossed(self, work: Callable[..., Awaitable[T]], *words: Any, **more: Any) -> T:
        await self.passed(LEAVING)
        try:
            result = await work(*words, **more)
        except Exception:
            await self._back()
            raise
        await self._back()
        return result

    async def _back(self) -> None:
        """Whatever came of a message, its sender hears of it in its turn."""
        await self.passed(ANSWERED)
        self._answered()


PRIVATE, PUBLIC, ANSWERED, LEAVING = range(4)


class Heard:
    """What comes from a socket waits for its turn, in its order; but for heartbeats, which tell nothing, so that no order shows."""

    def __init__(self, border: Border, events: SocketEvents, rank: int) -> None:
        self._border, self._events, self._rank = border, events, rank
        self._waiting: list[tuple[Callable[[str], None], str]] = []
        self._frame = events.frame

    def frame(self, text: str) -> None:
        if text == HEARTBEAT and not self._border.is_cut:
            self._frame(text)
        else:
            self._later(self._frame, text)

    def lost(self, reason: str) -> None:
        self._later(self._events.lost, reason)

    def _later(self, tell: Callable[[str], None], word: str) -> None:
        if not self._waiting:
            loop: Any = asyncio.get_running_loop()  # a StepLoop
            loop.at_rest(self._rank, self._tell)
        self._waiting.append((tell, word))

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tell, word in waiting:
            if not self._border.is_cut:
                tell(word)


class Told:
    """A socket whose frames leave when it is their turn."""

    def __init__(self, border: Border, socket: Socket) -> None:
        self._border, self._socket = border, socket

    async def send_text(self, text: str) -> None:
        await self._border.passed(LEAVING)
        await self._socket.send_text(text)

    async def ping(self) -> None:
        await self._socket.ping()

    async def shut(self) -> None:
        await self._socket.shut()


class Pipe:
    """Both ends of a WebSocket: what the twin's door asks of aiohttp, and what our stream asks of its socket."""

    def __init__(self, events: SocketEvents) -> None:
        self.events, self.closed = events, False
        self.heard: asyncio.Queue[str | None] = asyncio.Queue()

    # the exchange's end: `web.WebSocketResponse` and its transport
    async def send_str(self, text: str) -> None:
        if not self.closed:
            self.events.frame(text)

    def abort(self) -> None:
        self._end("1006")

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    async def close(self) -> None:
        self._end("1000")

    def _end(self, code: str) -> None:
        if not self.closed:
            self.closed = True
            self.heard.put_nowait(None)
            self.events.lost(f"closed with {code}")

    async def texts(self) -> AsyncIterator[str]:
        """What our end sends, until it ends."""
        while (text := await self.heard.get()) is not None:
            yield text

    # our end
    async def send_text(self, text: str) -> None:
        if self.closed:
            raise Unanswered("socket: closed")
        self.heard.put_nowait(text)

    async def ping(self) -> None:
        """Answered by the protocol itself; nothing to see."""

    async def shut(self) -> None:
        self.closed = True
        self.heard.put_nowait(None)


class _Response:
    """What ccxt reads of an answer."""

    def __init__(self, reply: Reply, url: Any) -> None:
        self.status, self.reason, self.url = reply.status, "", url
        self.headers = CIMultiDict({"Content-Type": reply.content_type})
        self._body = reply.body

    async def text(self, errors: str = "strict") -> str:
        return self._body.decode(errors=errors)


class _Answering:
    """An answer on its way, as ccxt waits for it."""

    def __init__(self, answer: Awaitable[_Response]) -> None:
        self._answer = answer

    async def __aenter__(self) -> _Response:
        return await self._answer

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held open."""


class DirectSession:
    """In place of aiohttp's session: requests go to the twin's core, which goes on with one whose client has left."""

    closed = False

    def __init__(self, twin: KrakenTwin) -> None:
        self.twin = twin
        self.headers = CIMultiDict[str]()
        self.tasks: set[asyncio.Task[Any]] = set()

    def get(self, url: Any, **more: Any) -> _Answering:
        return _Answering(self._call(url, **more))

    post = get

    async def _call(self, url: Any, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, **_: Any) -> _Response:
        sent = CIMultiDict(headers or {})
        target = Target(path=url.path, query=url.raw_query_string, content_type=sent.get("Content-Type", ""))
        answering = self.keep(self.twin.answer(target, data or b"", sent, address=ADDRESS))
        return _Response(await self._received(await asyncio.shield(answering)), url)

    def keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run beside whoever asked."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _received(self, reply: Reply) -> Reply:
        """The answer as aiohttp would hand it over. Raises its errors where the connection ends or the body is too long."""
        if reply.end in (End.SILENT, End.UNREAD):
            await self.twin.middleware.stopped.wait()
        if reply.end is End.RST:
            raise aiohttp.ClientOSError(errno.ECONNRESET, "Connection reset by peer")
        if reply.end is not None:
            raise aiohttp.ServerDisconnectedError
        if reply.drip_s is not None:
            await asyncio.sleep(reply.drip_s * len(reply.body))
        if reply.padding_mb * MEGABYTE > BODY_LIMIT:
            raise aiohttp.ClientPayloadError(f"body exceeds {BODY_LIMIT} bytes")
        return reply

    async def close(self) -> None:
        """The client leaves; what it has sent is still acted upon."""
        self.closed = True


def direct(client: Any, twin: KrakenTwin) -> None:
    """Let a ccxt client talk to the twin's core without a network; ccxt closes what it was given."""
    session = DirectSession(twin)

    async def socket(*, private: bool, events: SocketEvents) -> Pipe:
        del private  # the twin serves both kinds at one door
        pipe = Pipe(events)
        session.keep(twin.hub.serve(pipe, pipe, pipe.texts()))
        return pipe

    client.session, client.socket = session, socket
    client.ssl_context = True  # nothing is encrypted here, so ccxt need not read the certificates
