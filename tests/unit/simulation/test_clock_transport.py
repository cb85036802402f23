from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

from trader.simulation.loops import run_stepped
from trader.simulation.memory_transport import KERNEL_BUFFER

both = pytest.mark.parametrize("memory", [True, False], ids=["memory", "kernel"])


class Recorder(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.events: list[Any] = []
        self.keep_open = keep_open
        self.transport: asyncio.Transport
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost" if exc is None else type(exc).__name__)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def bytes_seen(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))


async def connect(**kind: Any) -> tuple[Recorder, Recorder, asyncio.AbstractServer]:
    loop = asyncio.get_running_loop()
    accepted: list[Recorder] = []

    def factory() -> Recorder:
        accepted.append(Recorder(**kind))
        return accepted[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0)
    _, client = await loop.create_connection(Recorder, "127.0.0.1", port_of(server))
    await asyncio.sleep(0.001)
    return client, accepted[0], server


def port_of(server: Any) -> int:
    return int(server.sockets[0].getsockname()[1])


@both
def test_closing_one_side_gives_the_other_its_last_bytes_then_eof_then_connection_lost(memory: bool) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        client, server, listener = await connect()
        client.transport.write(b"first ")
        client.transport.write(b"second")
        client.transport.close()
        await server.lost
        await client.lost
        listener.close()
        return client.events, [server.events[0], server.bytes_seen(), *server.events[-2:]]

    assert run_stepped(main, memory=memory) == (["made", "lost"], ["made", b"first second", "eof", "lost"])


@both
def test_half_close_lets_the_other_side_answer(memory: bool) -> None:
    async def main() -> tuple[bytes, bool]:
        client, server, listener = await connect(keep_open=True)
        client.transport.write(b"question")
        client.transport.write_eof()
        await asyncio.sleep(1)
        assert server.events[-1] == "eof"
        server.transport.write(b"answer")
        server.transport.close()
        await client.lost
        listener.close()
        return client.bytes_seen(), client.transport.is_closing()

    assert run_stepped(main, memory=memory) == (b"answer", True)


@both
def test_a_port_that_nobody_serves_refuses(memory: bool) -> None:
    async def main() -> None:
        _, _, listener = await connect()
        port = port_of(listener)
        listener.close()
        await asyncio.sleep(1)
        await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", port)

    with pytest.raises(ConnectionRefusedError):
        run_stepped(main, memory=memory)


@both
def test_a_port_cannot_be_served_twice(memory: bool) -> None:
    async def main() -> None:
        _, _, listener = await connect()
        try:
            with pytest.raises(OSError) as caught:
                await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", port_of(listener))
            assert caught.value.errno == errno.EADDRINUSE
        finally:
            listener.close()

    run_stepped(main, memory=memory)


@both
def test_a_paused_reader_holds_its_bytes_and_does_not_hold_time(memory: bool) -> None:
    async def main() -> tuple[list[Any], bytes, float]:
        client, server, listener = await connect()
        server.transport.pause_reading()
        client.transport.write(b"held")
        await asyncio.sleep(100)
        before = list(server.events)
        server.transport.resume_reading()
        await asyncio.sleep(1)
        listener.close()
        client.transport.close()
        await server.lost
        return before, server.bytes_seen(), asyncio.get_running_loop().time()

    before, after, seconds = run_stepped(main, memory=memory)
    assert (before, after) == (["made"], b"held")
    assert seconds == pytest.approx(101.001)


def test_a_writer_is_paused_when_the_reader_is_slow_and_resumed_when_it_caught_up() -> None:
    async def main() -> tuple[list[Any], int]:
        client, server, listener = await connect()
        server.transport.pause_reading()
        client.transport.write(b"x" * (KERNEL_BUFFER + 200_000))
        assert client.transport.get_write_buffer_size() == 200_000
        await asyncio.sleep(1)
        server.transport.resume_reading()
        await asyncio.sleep(1)
        listener.close()
        return client.events, len(server.bytes_seen())

    assert run_stepped(main) == (["made", "pause", "resume"], KERNEL_BUFFER + 200_000)


@both
def test_writing_to_a_side_that_is_gone_breaks_the_connection(memory: bool) -> None:
    async def main() -> str:
        client, server, listener = await connect(keep_open=True)
        client.transport.close()
        await asyncio.sleep(1)
        for _ in range(3):
            server.transport.write(b"too late")
            await asyncio.sleep(1)
        await server.lost
        listener.close()
        return str(server.events[-1])

    assert run_stepped(main, memory=memory) in ("ConnectionResetError", "BrokenPipeError")


@both
def test_a_protocol_that_fails_loses_its_connection_and_the_loop_is_told(memory: bool) -> None:
    class Broken(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("broken protocol")

    async def main() -> tuple[list[str], str, str]:
        loop = asyncio.get_running_loop()
        told: list[str] = []
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        broken = Broken()
        server = await loop.create_server(lambda: broken, "127.0.0.1", 0)
        _, client = await loop.create_connection(Recorder, "127.0.0.1", port_of(server))
        client.transport.write(b"!")
        await client.lost
        server.close()
        return told, broken.events[-1], client.events[-1]

    told, server_end, client_end = run_stepped(main, memory=memory)
    assert (told, server_end) == (["broken protocol"], "ValueError")
    assert client_end in ("lost", "ConnectionResetError")


@both
def test_megabytes_arrive_whole_and_without_time(memory: bool) -> None:
    async def main() -> tuple[int, float]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(await reader.readexactly(8)) * 1_000_000)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        asyncio.get_running_loop().call_later(3600, lambda: None)
        writer.write(b"12345678")
        data = await reader.read()
        writer.close()
        server.close()
        return len(data), asyncio.get_running_loop().time()

    assert run_stepped(main, memory=memory) == (8_000_000, 0.0)


def test_buffered_protocols_are_served_in_pieces() -> None:
    class Pieces(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(3)
            self.seen = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.seen += bytes(self.buffer[:nbytes])

    async def main() -> bytes:
        pieces = Pieces()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: pieces, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(Recorder, "127.0.0.1", port_of(server))
        transport.write(b"abcdefgh")
        await asyncio.sleep(1)
        return pieces.seen

    assert run_stepped(main) == b"abcdefgh"


@both
def test_libraries_find_addresses_and_a_socket(memory: bool) -> None:
    async def main() -> None:
        client, server, listener = await connect()
        name, peer = client.transport.get_extra_info("sockname"), client.transport.get_extra_info("peername")
        assert peer == ("127.0.0.1", port_of(listener))
        assert server.transport.get_extra_info("peername") == name
        socket = client.transport.get_extra_info("socket")
        assert (socket.getsockname(), socket.getpeername()) == (name, peer)
        listener.close()

    run_stepped(main, memory=memory)


def test_the_memory_network_reaches_no_other_host_and_speaks_no_tls() -> None:
    async def elsewhere() -> None:
        await asyncio.get_running_loop().create_connection(Recorder, "192.0.2.1", 443)

    async def tls() -> None:
        await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", 443, ssl=True)

    with pytest.raises(OSError, match="reaches only 127"):
        run_stepped(elsewhere)
    with pytest.raises(ValueError, match="ssl"):
        run_stepped(tls)
