"""Answers to subscribe and unsubscribe: one a symbol, each followed by its snapshot (KRAKEN.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import Refused
from trader.simulation.kraken_server.stream import frames, private_channels, public_channels
from trader.simulation.kraken_server.stream.connection import Connection
from trader.simulation.kraken_server.stream.private_channels import PrivateChannels
from trader.simulation.kraken_server.stream.public_channels import PublicChannels

PUBLIC, PRIVATE = public_channels.CHANNELS, private_channels.CHANNELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A subscribe or unsubscribe message as it came. `req_id` is echoed, whatever it is."""

    method: str
    params: Mapping[str, Any]
    req_id: Any

    @property
    def channel(self) -> str:
        return str(self.params.get("channel"))


class Subscriptions:
    """Sends a request to its channel and words the answers."""

    def __init__(self, clock: Clock, public: PublicChannels, private: PrivateChannels) -> None:
        self._clock, self._public, self._private = clock, public, private

    def answer(self, connection: Connection, request: Request, error: str | None = None) -> list[str]:
        """The answers in order. `error`: refuse everything with these words."""
        if error is not None:
            return [self._refused(request, error)]
        if request.channel not in (*PUBLIC, *PRIVATE):
            return [self._refused(request, f"Channel not supported {request.channel}")]
        if request.channel not in public_channels.BY_SYMBOL:
            return self._whole(connection, request)
        symbols = request.params.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            return [self._refused(request, "Symbol(s) not found")]
        return [text for symbol in symbols for text in self._symbol(connection, request, symbol)]

    def _symbol(self, connection: Connection, request: Request, symbol: object) -> list[str]:
        snapshot = None
        try:
            if request.method == "subscribe":
                result, snapshot = self._public.subscribe(connection, request.channel, symbol, request.params)
            else:
                result = self._public.unsubscribe(connection, request.channel, symbol, request.params)
        except Refused as refusal:
            return [self._refused(request, refusal.error, symbol=str(symbol))]
        return self._accepted(request, result, snapshot)

    def _whole(self, connection: Connection, request: Request) -> list[str]:
        """A channel that is not subscribed by symbol."""
        snapshot = None
        try:
            if request.channel == "instrument":
                result, snapshot = self._public.instruments(connection, request.method, request.params)
            elif request.method == "subscribe":
                result, snapshot = self._private.subscribe(connection, request.channel, request.params)
            else:
                result = self._private.unsubscribe(connection, request.channel, request.params)
        except Refused as refusal:
            return [self._refused(request, refusal.error)]
        return self._accepted(request, result, snapshot)

    def _accepted(self, request: Request, result: dict[str, Any], snapshot: str | None) -> list[str]:
        answer = frames.answer(request.method, request.req_id, self._clock.now_us(), result=result)
        return [answer] if snapshot is None else [answer, snapshot]

    def _refused(self, request: Request, error: str, *, symbol: str | None = None) -> str:
        return frames.answer(request.method, request.req_id, self._clock.now_us(), error=error, symbol=symbol)
