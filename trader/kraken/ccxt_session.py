"""What the spot and the futures client share around ccxt: settings, HTTP session, clock, deadlines, the turn of private calls.

Never ccxt's throttle or its log. Importing this module imports ccxt (seconds).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import certifi
from ccxt.base.errors import AuthenticationError, BaseError

from trader.errors import ConfigError, FatalError
from trader.kraken.exact import exact_json
from trader.kraken.frame_socket import FrameSocket
from trader.kraken.gate import Gate
from trader.kraken.transport import NotSent, SocketEvents, Unanswered
from trader.ports import Clock

TIMEOUT_S = 10.0  # total, in I/O time, for one request
LATE = "no answer in time"
QUEUE_S = 60.0  # longest wait for earlier private calls
BODY_LIMIT = 32 * 1024 * 1024  # bytes after decompression

# ccxt logs every request with key and signature at DEBUG; this logger never lets a record through.
SILENT = logging.Logger("trader.kraken.silent", level=logging.CRITICAL + 1)


class CappedResponse(aiohttp.ClientResponse):
    """A response whose body may not grow beyond `BODY_LIMIT`."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            try:
                async for chunk in self.content.iter_any():
                    body += chunk
                    if len(body) > BODY_LIMIT:
                        raise aiohttp.ClientPayloadError(f"body exceeds {BODY_LIMIT} bytes")
            except BaseException:
                self.close()
                raise
            self._body = bytes(body)
        return await super().read()


class OwnSession:
    """Mixin before a ccxt exchange class: our clock, our deadlines and one private call at a time.

    Its HTTP session has capped bodies, our keep-alive, and no TLS context it does not need.
    """

    apiKey: str  # ccxt's own, as all that follow
    asyncio_loop: asyncio.AbstractEventLoop
    closed_by_user: bool
    urls: Any
    session: aiohttp.ClientSession | None
    request: Callable[..., Awaitable[Any]]
    milliseconds: Callable[[], int]

    def __init__(self, config: Mapping[str, Any], *, clock: Clock, keepalive_s: float) -> None:
        self.clock, self.keepalive_s, self.gate, self.logger = clock, keepalive_s, Gate(), SILENT
        super().__init__(config)  # type: ignore[call-arg]  # of the class behind the mixin
        self.milliseconds = lambda: clock.now_us() // 1000
        self.seconds = lambda: clock.now_us() // 1_000_000
        self.microseconds = clock.now_us
        self.verbose = False

    @property
    def has_key(self) -> bool:
        return bool(self.apiKey)

    async def _in_time(self, path: str, call: Awaitable[Any]) -> Any:
        """The answer of a call that waits for nobody. Raises Unanswered when it takes too long."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await call
        except TimeoutError as error:
            raise Unanswered(f"{path}: {LATE}") from error

    async def _in_turn(self, path: str, call: Callable[[], Awaitable[Any]], *, urgent: bool) -> Any:
        """The answer of a private call, made when earlier ones have ended. Raises NotSent or Unanswered when that takes too long."""
        try:
            async with asyncio.timeout(QUEUE_S):
                await self.gate.enter(urgent=urgent)
        except TimeoutError as error:
            raise NotSent(f"{path}: earlier private calls did not end within {QUEUE_S:.0f} s") from error
        try:
            async with asyncio.timeout(TIMEOUT_S) as scope:
                self.gate.holds(None if urgent else scope)
                return await call()
        except TimeoutError as error:
            raise Unanswered(f"{path}: {LATE}") from error
        finally:
            self.gate.leave()

    async def _exchange(self, path: str, api: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One request through ccxt: the body as it came. Raises Unanswered, FatalError (no key), or what `handle_errors` raises."""
        try:
            body = await self.request(path, [api], method, dict(params))
        except AuthenticationError as error:
            raise FatalError(f"{path}: {error}") from None
        except BaseError as error:
            late = isinstance(error.__cause__, TimeoutError)  # ccxt's deadline, which may fall on the moment of ours
            raise Unanswered(f"{path}: {LATE if late else f'{type(error).__name__}: {cause_of(error)}'}") from error
        except (OSError, ValueError, aiohttp.ClientError) as error:
            raise Unanswered(f"{path}: {type(error).__name__}") from error
        if not isinstance(body, dict):
            raise Unanswered(f"{path}: not an answer of Kraken")
        return body

    async def _dial(self, url: str, events: SocketEvents) -> FrameSocket:
        """A connected socket. Raises Unanswered when the dial fails."""
        self.open()
        link = FrameSocket(url, events, self.asyncio_loop)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await link.open(self.session)
        except TimeoutError as error:
            raise Unanswered("dial: no answer in time") from error
        if not link.isConnected:
            raise Unanswered(f"dial: {link.error}")
        return link

    def on_json_response(self, body: str) -> Any:
        return exact_json(body)

    def open(self, lazy: bool = False) -> None:
        if self.session is None and not (lazy and self.closed_by_user):
            loop = asyncio.get_running_loop()
            self.ssl_context = ssl.create_default_context(cafile=certifi.where()) if self._tls() else True
            self.tcp_connector = aiohttp.TCPConnector(ssl=self.ssl_context, keepalive_timeout=self.keepalive_s, loop=loop)
            self.session = aiohttp.ClientSession(connector=self.tcp_connector, response_class=CappedResponse, loop=loop)
        super().open(lazy)  # type: ignore[misc]  # ccxt's own, from the class behind the mixin

    def _tls(self) -> bool:
        return any(str(self.urls["api"][kind]).startswith("https") for kind in ("public", "private"))


def ccxt_config(api_key: str | None, api_secret: str | None) -> dict[str, Any]:
    """ccxt without throttle, retries, compression and log. Raises ConfigError for half a key or a secret that is not base64."""
    if bool(api_key) != bool(api_secret):
        raise ConfigError("Kraken needs both an API key and its secret, or neither")
    config: dict[str, Any] = {
        "enableRateLimit": False, "timeout": int(TIMEOUT_S * 1000), "verbose": False,
        "options": {"maxRetriesOnFailure": 0, "compress": 0, "ws": {"options": {"compress": 0}}},
    }  # fmt: skip
    if api_key and api_secret:
        try:
            base64.b64decode(api_secret, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError("the Kraken API secret is not base64; copy it as Kraken shows it") from None
        config |= {"apiKey": api_key, "secret": api_secret}
    return config


def addresses(url: str | None, ws_url: str | None) -> tuple[str, str] | None:
    """Both without a slash at the end; None: Kraken's own. Raises ConfigError for one without the other."""
    if (url is None) != (ws_url is None):
        raise ConfigError(f"set both addresses or none, not url={url!r} and ws_url={ws_url!r}")
    return None if url is None or ws_url is None else (url.rstrip("/"), ws_url.rstrip("/"))


def cause_of(error: BaseException) -> str:
    """What the network said; ccxt's own text repeats the address only."""
    return f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ is not None else str(error)[:200]
