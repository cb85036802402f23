"""What the spot and the futures client share below ccxt: settings, HTTP session and silence; never its throttle or its log."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import ssl
from typing import Any

import aiohttp
import certifi

from trader.errors import ConfigError

TIMEOUT_S = 10.0  # total, in I/O time, for one request
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
    """Mixin before a ccxt exchange class: its HTTP session has capped bodies, our keep-alive, and no TLS context it does not need."""

    keepalive_s: float
    closed_by_user: bool
    urls: Any
    session: aiohttp.ClientSession | None

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


def cause_of(error: BaseException) -> str:
    """What the network said; ccxt's own text repeats the address only."""
    return f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ is not None else str(error)[:200]
