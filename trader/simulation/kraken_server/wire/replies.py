"""Answers on their way out: what a request gets instead of, or as, Kraken's envelope, and how it goes over the wire."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from trader.simulation.kraken_server.wire.compact import dumps

MEGABYTE = 1_000_000
CHUNK = b" " * (MEGABYTE // 16)
RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with a time of 0: closing sends RST, not FIN
_TITLES = {
    429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out",
    520: "Web server is returning an unknown error", 522: "Connection timed out", 524: "A timeout occurred",
}  # fmt: skip


class End(StrEnum):
    """How a connection goes instead of an answer: ended (FIN), reset (RST), left open in silence, or left open and unread."""

    FIN = "fin"
    RST = "rst"
    SILENT = "silent"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, or (`end`) what becomes of the connection instead.

    `padding_mb`: blanks before the text; `zipped`: compressed on the wire; `drip_s`: pause after each byte, in loop time.
    """

    text: str = ""
    raw: bytes | None = None  # bytes that are no text, in place of `text`
    status: int = 200
    content_type: str = "application/json"
    end: End | None = None
    padding_mb: int = 0
    zipped: bool = False
    drip_s: float | None = None

    @property
    def body(self) -> bytes:
        return self.text.encode() if self.raw is None else self.raw


def envelope(result: Any = None, error: str | None = None) -> str:
    """Kraken's answer: always an `error` list, and a `result` where there is none."""
    body: dict[str, Any] = {"error": [error]} if error else {"error": [], "result": result}
    return dumps(body)


def page(status: int) -> str:
    """The proxy's HTML page for a status."""
    title = f"{status} {_TITLES.get(status, 'Error')}"
    return (
        f"<!DOCTYPE html>\n<html><head><title>api.kraken.com | {title}</title></head>"
        f"<body><center><h1>{title}</h1></center><hr><center>cloudflare</center></body></html>"
    )


async def deliver(request: web.Request, reply: Reply, stopped: asyncio.Event) -> web.StreamResponse:
    """Send a reply, or do to the connection what it says. `stopped` ends the silent ones."""
    transport = request.transport
    if reply.end is not None:
        if reply.end is End.UNREAD and transport is not None:
            transport.pause_reading()
        if reply.end in (End.SILENT, End.UNREAD):
            await stopped.wait()
        if transport is not None:
            if reply.end is End.RST and (sock := transport.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
            transport.abort()
        return web.Response()
    if not reply.padding_mb and reply.drip_s is None:
        return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type, charset="utf-8")
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
    if reply.zipped:
        response.headers["Content-Encoding"] = "gzip"
    try:
        await response.prepare(request)
        async for chunk in _pieces(reply):
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        if transport is not None:
            transport.abort()  # the client has seen enough
    return response


async def _pieces(reply: Reply) -> AsyncIterator[bytes]:
    if reply.drip_s is not None:
        for place in range(len(reply.body)):
            yield reply.body[place : place + 1]
            await asyncio.sleep(reply.drip_s)
        return
    if reply.zipped:
        yield await asyncio.to_thread(gzip.compress, b" " * (reply.padding_mb * MEGABYTE) + reply.body)
        return
    for _ in range(reply.padding_mb * MEGABYTE // len(CHUNK)):
        yield CHUNK
    yield reply.body
