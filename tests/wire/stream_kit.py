"""A bare WebSocket client of the twin's v2 door, and a book kept as Kraken's guide says."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.wire.kraken_twin_harness import PAIR

Frame = dict[str, Any]


class Stream:
    """One connection. `frames`: everything received, in order, heartbeats left out (they are counted)."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.frames: list[Frame] = []
        self.heartbeats = 0
        self.came_s: list[float] = []  # the loop's time at each frame, heartbeats included

    async def listen(self) -> None:
        async for message in self._socket:
            frame = json.loads(message.data)
            self.came_s.append(asyncio.get_running_loop().time())
            if frame == {"channel": "heartbeat"}:
                self.heartbeats += 1
            else:
                self.frames.append(frame)

    async def send(self, message: Frame | str, *, settle: float = 0.5) -> list[Frame]:
        """Send one message; the frames that arrived within `settle` simulated seconds."""
        before = len(self.frames)
        await self._socket.send_str(message if isinstance(message, str) else json.dumps(message))
        await asyncio.sleep(settle)
        return self.frames[before:]

    async def ask(self, method: str, params: Frame | None = None, *, req_id: int | None = 7, settle: float = 0.5) -> list[Frame]:
        """Send a request; its answers (frames with a method)."""
        message: Frame = {"method": method} | ({} if params is None else {"params": params})
        frames = await self.send(message | ({} if req_id is None else {"req_id": req_id}), settle=settle)
        return [frame for frame in frames if "method" in frame]

    async def subscribe(self, channel: str, **params: Any) -> list[Frame]:
        """Subscribe to one pair's channel, or to one without pairs; everything that came back."""
        symbols = {} if channel in ("executions", "balances", "instrument") else {"symbol": [PAIR]}
        return await self.send({"method": "subscribe", "params": {"channel": channel} | symbols | params, "req_id": 7})

    def of(self, channel: str, kind: str | None = None) -> list[Frame]:
        """Frames of a channel."""
        return [frame for frame in self.frames if frame.get("channel") == channel and kind in (None, frame["type"])]

    async def close(self) -> None:
        await self._socket.close()


@asynccontextmanager
async def stream(port: int = 8701) -> AsyncIterator[Stream]:
    """A connected client that reads beside the test."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/v2", max_msg_size=0) as socket:
        made = Stream(socket)
        reader = asyncio.create_task(made.listen())
        await asyncio.sleep(0.1)
        try:
            yield made
        finally:
            await socket.close()
            await reader


class KeptBook:
    """A book of one pair, cut to its depth after each frame; `wrong` counts checksums that did not fit."""

    def __init__(self, depth: int, price_decimals: int, lot_decimals: int = 8) -> None:
        self.depth, self._decimals = depth, (price_decimals, lot_decimals)
        self.asks: dict[float, float] = {}
        self.bids: dict[float, float] = {}
        self.checked = self.wrong = 0

    def take(self, frame: Frame) -> None:
        (data,) = frame["data"]
        if frame["type"] == "snapshot":
            self.asks, self.bids = {}, {}
        for side, levels in ((self.asks, data["asks"]), (self.bids, data["bids"])):
            for level in levels:
                if level["qty"] == 0:
                    side.pop(level["price"], None)
                else:
                    side[level["price"]] = level["qty"]
        self.asks = dict(sorted(self.asks.items())[: self.depth])
        self.bids = dict(sorted(self.bids.items(), reverse=True)[: self.depth])
        self.checked += 1
        self.wrong += self.crc() != data["checksum"]

    def crc(self) -> int:
        text = ""
        for price, quantity in (*list(self.asks.items())[:10], *list(self.bids.items())[:10]):
            for value, decimals in zip((price, quantity), self._decimals, strict=True):
                text += f"{value:.{decimals}f}".replace(".", "").lstrip("0")
        return zlib.crc32(text.encode())
