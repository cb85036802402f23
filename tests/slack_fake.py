"""A Slack on this machine: keeps what was posted, misbehaves as told, and fails the test on a broken limit."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "xoxb-not-a-secret"


@dataclass
class Post:
    """A message as Slack keeps it."""

    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread_ts: str | None
    key: str
    kind: str
    edits: list[str] = field(default_factory=list)


class FakeSlack:
    """`faults`: what happens to the next calls of chat.postMessage, one each: 429, 503, reset, hang, late, html, or an error code."""

    def __init__(self, faults: tuple[str, ...] = (), *, token: str = TOKEN) -> None:
        self.faults = deque(faults)
        self.token = token
        self.posts: list[Post] = []
        self.calls: list[tuple[str, float]] = []
        self.problems: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeSlack:
        app = web.Application()
        app.router.add_post("/api/chat.postMessage", self._post)
        app.router.add_post("/api/chat.update", self._update)
        app.router.add_post("/api/auth.test", self._auth)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}/api"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request, "chat.postMessage")
        fault = self.faults.popleft() if self.faults else ""
        if fault == "429":
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "0.2"})
        if fault == "503":
            return web.Response(status=503, text="<html>later</html>", content_type="text/html")
        if fault == "html":
            return web.Response(text="<html>a portal</html>", content_type="text/html")
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "hang":
            await asyncio.sleep(30)
        if fault == "too_big" and not body.get("blocks"):
            fault = ""
        if fault and fault not in ("late", "hang"):
            return web.json_response({"ok": False, "error": "msg_blocks_too_long" if fault == "too_big" else fault})
        post = self._keep(body)
        if fault == "late":  # it was posted, but nobody hears of it
            await asyncio.sleep(30)
        return web.json_response({"ok": True, "channel": "C1", "ts": post.ts})

    async def _update(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request, "chat.update")
        found = next((post for post in self.posts if post.ts == body["ts"]), None)
        if found is None:
            return web.json_response({"ok": False, "error": "message_not_found"})
        found.edits.append(body["text"])
        return web.json_response({"ok": True, "channel": "C1", "ts": found.ts})

    async def _auth(self, request: web.Request) -> web.StreamResponse:
        await self._body(request, "auth.test")
        return web.json_response({"ok": True, "team": "T"})

    async def _body(self, request: web.Request, name: str) -> dict[str, Any]:
        self.calls.append((name, asyncio.get_running_loop().time()))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.problems.append("no bearer token")
        if "json" not in request.content_type:
            return dict(await request.post())
        body: dict[str, Any] = await request.json()
        return body

    def _keep(self, body: dict[str, Any]) -> Post:
        if not body.get("text"):
            self.problems.append("no fallback text")
        blocks = body.get("blocks") or []
        blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
        if len(json.dumps(body)) > 13_200:
            self.problems.append("the payload is too long")
        if len(blocks) > 50:
            self.problems.append("more than 50 blocks")
        for block in blocks:
            text = block.get("text", {}).get("text", "")
            if len(text) > (150 if block["type"] == "header" else 3_000):
                self.problems.append(f"a {block['type']} of {len(text)} characters")
        metadata = body["metadata"]
        post = Post(
            ts=f"{1_700_000_000 + len(self.posts)}.000100", text=body["text"], blocks=blocks, thread_ts=body.get("thread_ts"),
            key=metadata["event_payload"]["dedupe_key"], kind=metadata["event_type"],
        )  # fmt: skip
        self.posts.append(post)
        return post
