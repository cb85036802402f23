"""ccxt's WebSocket client, reduced to a pipe: text frames come out as they came in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import aiohttp
from ccxt.async_support.base.ws.client import Client as CcxtSocket

from trader.kraken.transport import SocketEvents, Unanswered

TIMEOUT_S = 10.0  # total, in I/O time, for one frame or a closing handshake
log = logging.getLogger(__name__)


class FrameSocket(CcxtSocket):  # type: ignore[misc]  # ccxt has no types
    """ccxt's socket client that hands each text frame over as it came and never pings on a timer of its own."""

    def __init__(self, url: str, events: SocketEvents, loop: asyncio.AbstractEventLoop) -> None:
        self.events = events
        options = {"keepAlive": 0, "asyncio_loop": loop, "log": lambda *_: None, "verbose": False, "options": {"compress": 0}}
        super().__init__(
            url, None, lambda _, error: events.lost(str(error)), lambda _, code: events.lost(f"closed with {code}"), lambda _: None, options
        )

    def handle_message(self, message: Any) -> None:
        if message.type is aiohttp.WSMsgType.TEXT:
            self.events.frame(message.data)
        else:
            super().handle_message(message)

    async def send_text(self, text: str) -> None:
        """Send one frame. Raises Unanswered when the socket is gone."""
        await self._sent(self.send(text))

    async def ping(self) -> None:
        """Send a ping of the WebSocket protocol itself. Raises Unanswered when the socket is gone."""
        if self.connection is not None:
            await self._sent(self.connection.ping())

    @staticmethod
    async def _sent(sending: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await sending
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(f"socket: {error or type(error).__name__}") from error

    async def shut(self) -> None:
        """Close; a peer that does not answer is left after the usual deadline."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self.close()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            log.debug("socket close: %s", error or type(error).__name__)
