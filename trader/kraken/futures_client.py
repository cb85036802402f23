"""The futures transport: an unmodified ccxt.pro `krakenfutures` class with our clock, our deadlines and one private call at a time.

ccxt signs (query string, no nonce header) and sends; answers come back whole. Importing this module imports ccxt (seconds),
so bootstrap does it lazily.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import ccxt.pro as ccxtpro

from trader.errors import RejectedError
from trader.kraken.ccxt_session import OwnSession, addresses, ccxt_config
from trader.kraken.frame_socket import FrameSocket
from trader.kraken.futures_transport import Endpoint, WrongMethod
from trader.kraken.transport import Refused, SocketEvents, Unanswered
from trader.ports import Clock

_TRAILING = ("trailingPercent", "trailingAmount")  # ccxt sends these as a plain market order (KRAKEN.md pitfall E)
_TIMES_IN_FORCE = (None, "ioc", "PO")  # all others go out as a resting limit order


class KrakenFuturesClient(OwnSession, ccxtpro.krakenfutures):  # type: ignore[misc]  # ccxt has no types
    """`call` returns the whole body of a success; `socket` opens the WebSocket."""

    # --- what callers use -----------------------------------------------------------------------------------------------
    async def call(self, endpoint: Endpoint, build: Callable[[], Mapping[str, Any]], *, urgent: bool = False) -> Any:
        """One request; `build` is called at the last moment and may raise NotSent. Raises Refused, Unanswered or NotSent."""

        def exchange() -> Awaitable[Any]:
            return self._exchange(endpoint.path, endpoint.api, endpoint.method, build())

        if endpoint.private:
            return await self._in_turn(endpoint.path, exchange, urgent=urgent)
        return await self._in_time(endpoint.path, exchange())

    async def socket(self, *, private: bool, events: SocketEvents) -> FrameSocket:
        """A connected socket; public and private feeds share one address. Raises Unanswered when the dial fails."""
        return await self._dial(self.urls["api"]["ws"], events)

    def challenge_request(self) -> dict[str, str]:
        """The frame that asks for a challenge."""
        return {"event": "challenge", "api_key": str(self.apiKey)}

    def signed(self, challenge: str) -> dict[str, str]:
        """The fields that make a subscription private (KRAKEN.md section 4)."""
        digest = hashlib.sha256(challenge.encode()).digest()
        signature = hmac.new(base64.b64decode(self.secret), digest, hashlib.sha512).digest()
        return {"api_key": str(self.apiKey), "original_challenge": challenge, "signed_challenge": base64.b64encode(signature).decode()}

    # --- overrides of ccxt ----------------------------------------------------------------------------------------------
    def handle_errors(  # noqa: PLR0917 - the signature is ccxt's
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, response: Any, sent_headers: Any, sent: Any
    ) -> None:
        """Judge the body, never ccxt's classes. Raises Refused for Kraken's words, Unanswered for what is not an answer."""
        words = _words(response)
        if words:
            raise Refused(words)
        if code in (404, 405):
            raise WrongMethod(f"HTTP {code}: {method} is not served here")
        if code >= 400 or not isinstance(response, dict) or response.get("result", "success") != "success":
            raise Unanswered(f"HTTP {code}: not an answer of Kraken ({len(body or '')} characters)")

    def create_order_request(  # noqa: PLR0917 - the signature is ccxt's
        self, symbol: Any, type: Any, side: Any, amount: Any, price: Any = None, params: Any = None
    ) -> Any:
        """Refuse what ccxt would send as another order than it was asked for (pitfall E). Raises RejectedError."""
        asked = params or {}
        for name in _TRAILING:
            if asked.get(name) is not None:
                raise RejectedError(f"{name}: ccxt sends a trailing stop on futures as a plain market order")
        if asked.get("timeInForce") not in _TIMES_IN_FORCE:
            raise RejectedError(f"timeInForce {asked['timeInForce']!r}: ccxt sends it as a resting limit order; use 'ioc'")
        return super().create_order_request(symbol, type, side, amount, price, asked)


def _words(response: Any) -> tuple[str, ...]:
    """Kraken's own words of refusal: `error`, or the messages of `errors`; none where it is no refusal."""
    if not isinstance(response, dict):
        return ()
    error, errors = response.get("error"), response.get("errors")
    if isinstance(error, str) and error:
        return (error,)
    if not isinstance(errors, list):
        return ()
    messages = [item.get("message") if isinstance(item, dict) else item for item in errors]
    return tuple(text for text in messages if isinstance(text, str) and text)


def make_futures_client(
    *, url: str | None, ws_url: str | None, api_key: str | None, api_secret: str | None, clock: Clock, keepalive_s: float = 15.0
) -> KrakenFuturesClient:
    """A client for Kraken itself (`url` None: addresses untouched) or for another server (`http://host:port`, `ws://host:port`).

    Raises ConfigError for half a key, one address without the other, or a secret that is not base64.
    """
    config = ccxt_config(api_key, api_secret)
    if (elsewhere := addresses(url, ws_url)) is not None:
        http, socket = elsewhere
        orders = f"{http}/derivatives/api/"
        apis = {"public": orders, "private": orders, "charts": f"{http}/api/charts/", "history": f"{http}/api/history/"}
        config["urls"] = {"api": apis | {"ws": socket.removesuffix("/ws/v1") + "/ws/v1"}}
    return KrakenFuturesClient(config, clock=clock, keepalive_s=keepalive_s)
