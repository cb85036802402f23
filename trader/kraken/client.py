"""The transport: an unmodified ccxt.pro 4.5.90 exchange class with our clock, our deadlines and one private call at a time.

ccxt signs and sends; the answers come back raw. Importing this module imports ccxt (seconds), so bootstrap does it lazily.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ccxt.pro as ccxtpro

from trader.kraken.ccxt_session import OwnSession, addresses, ccxt_config
from trader.kraken.frame_socket import FrameSocket
from trader.kraken.transport import Refused, SocketEvents, Unanswered
from trader.ports import Clock

NONCE_AHEAD_MS = 60_000  # how far a refused nonce makes us jump
FLOOR_AHEAD_MS = 600_000  # how far ahead of the nonces in use the floor is stored

_fast_json: Callable[[str], Any] = ccxtpro.kraken.on_json_response
log = logging.getLogger(__name__)


class KrakenClient(OwnSession, ccxtpro.kraken):  # type: ignore[misc]  # ccxt has no types
    """`public` and `private` return the `result` of Kraken's envelope; `socket` opens a WebSocket."""

    def __init__(
        self, config: Mapping[str, Any], *, clock: Clock, save_nonce: Callable[[int], None] | None, nonce_floor: int, keepalive_s: float
    ) -> None:
        self.save_nonce = partial(save_nonce) if save_nonce is not None else None  # ccxt trips over bound methods
        self.nonce_now = nonce_floor
        self.nonce_saved = nonce_floor
        super().__init__(config, clock=clock, keepalive_s=keepalive_s)

    # --- what callers use -----------------------------------------------------------------------------------------------
    async def public(self, path: str, params: Mapping[str, str]) -> Any:
        """GET. Raises Refused with Kraken's strings, or Unanswered."""
        return (await self._in_time(path, self._exchange(path, "public", "GET", params)))["result"]

    async def private(self, path: str, build: Callable[[], Mapping[str, Any]], *, urgent: bool) -> Any:
        """POST, signed; `build` is called at the last moment and may raise NotSent. Raises Refused, Unanswered or NotSent."""
        return (await self._in_turn(path, lambda: self._exchange(path, "private", "POST", build()), urgent=urgent))["result"]

    async def socket(self, *, private: bool, events: SocketEvents) -> FrameSocket:
        """A connected socket. Raises Unanswered when the dial fails."""
        return await self._dial(self.urls["api"]["ws"]["privateV2" if private else "publicV2"], events)

    def raise_nonce(self) -> None:
        """The key has seen a higher nonce than ours: go a minute ahead."""
        self.nonce_now = max(self.nonce_now, self.milliseconds()) + NONCE_AHEAD_MS

    # --- overrides of ccxt ----------------------------------------------------------------------------------------------
    def incrementing_nonce(self) -> int:
        """Strictly increasing milliseconds above the persisted floor; the ceiling is stored before it is passed."""
        self.nonce_now = max(self.milliseconds(), self.nonce_now + 1)
        if self.nonce_now >= self.nonce_saved:
            self.nonce_saved = self.nonce_now + FLOOR_AHEAD_MS
            if self.save_nonce is not None:
                self.save_nonce(self.nonce_saved)
        return self.nonce_now

    def handle_errors(  # noqa: PLR0917 - the signature is ccxt's
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, response: Any, sent_headers: Any, sent: Any
    ) -> None:
        """Judge the envelope, never ccxt's classes. Raises Refused for strings, Unanswered for what is not an envelope."""
        errors = response.get("error") if isinstance(response, dict) else None
        if not isinstance(errors, list) or not all(isinstance(text, str) for text in errors):
            raise Unanswered(f"HTTP {code}: not an answer of Kraken ({len(body or '')} characters)")
        result = response.get("result")
        hard = [text for text in errors if not text.startswith("W")]
        if hard or (errors and result is None):
            raise Refused(tuple(errors), has_result=bool(result))
        if errors:
            log.warning("Kraken warns: %s", "; ".join(errors))
        if code >= 400 or result is None:
            raise Unanswered(f"HTTP {code}: an envelope without error and result")

    def parse(self, text: str) -> Any:
        """Fast JSON for frames that carry no money; raises ValueError."""
        try:
            return _fast_json(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def make_client(
    *, url: str | None, ws_url: str | None, api_key: str | None, api_secret: str | None, clock: Clock,
    save_nonce: Callable[[int], None] | None = None, nonce_floor: int = 0, keepalive_s: float = 15.0,
) -> KrakenClient:  # fmt: skip
    """A client for Kraken itself (`url` None: addresses untouched) or for another server (`http://host:port`, `ws://host:port`).

    `save_nonce` is told a ceiling ten minutes ahead of the nonces in use; give the newest one back as `nonce_floor` at the
    next start (`keyfile.KeyFile` does both). Raises ConfigError for half a key, one address without the other, or a secret
    that is not base64.
    """
    config = ccxt_config(api_key, api_secret)
    if (elsewhere := addresses(url, ws_url)) is not None:
        http, socket = elsewhere[0], elsewhere[1].removesuffix("/v2")
        streams = {"public": socket, "private": socket, "publicV2": socket + "/v2", "privateV2": socket + "/v2"}
        config["urls"] = {"api": {"public": http, "private": http, "ws": streams}}
    return KrakenClient(config, clock=clock, save_nonce=save_nonce, nonce_floor=nonce_floor, keepalive_s=keepalive_s)
