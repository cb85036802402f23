"""What every answer of the web process carries, and which requests it takes: loopback hosts only, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """Refuses a foreign Host header (DNS rebinding), adds the security headers, forbids caching where nobody allowed it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(message)
            await send(message)

        if host_of(scope) not in HOSTS:
            await _refuse(guarded)
        else:
            await self._app(scope, receive, guarded)


def host_of(scope: Scope) -> str:
    """The Host header without its port, in lower case; empty where it is missing or given twice."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(found) != 1:
        return ""
    host: str = found[0].strip().lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _with_headers(message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    headers = list(message.get("headers", []))
    known = {name.lower() for name, _ in headers}
    extra = {**HEADERS, "cache-control": "no-store"}
    return headers + [(name.encode(), value.encode()) for name, value in extra.items() if name.encode() not in known]


async def _refuse(send: Send) -> None:
    body = json.dumps({
        "type": "urn:trader:problem:foreign-host", "title": "This page answers on this machine only", "status": 421,
        "detail": f"the Host header must be one of {', '.join(sorted(HOSTS))}",
    }).encode()  # fmt: skip
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
