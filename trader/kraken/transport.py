"""What the adapter needs of a transport, and the three ways a call can fail; free of ccxt, so that importing it is cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class NotSent(Exception):
    """No byte left: the call was given up before it was signed."""


class Unanswered(Exception):
    """Bytes may have left and no readable answer of Kraken came back."""


class Refused(Exception):
    """Kraken answered with error strings; `has_result`: beside a result (an order id, an amend id), so nothing is refused."""

    def __init__(self, strings: tuple[str, ...], *, has_result: bool = False) -> None:
        super().__init__("; ".join(strings))
        self.strings = strings
        self.has_result = has_result


class SocketEvents(Protocol):
    """Told by a socket, in the loop's thread."""

    def frame(self, text: str) -> None: ...
    def lost(self, reason: str) -> None: ...


class Socket(Protocol):
    async def send_text(self, text: str) -> None: ...
    async def ping(self) -> None: ...
    async def shut(self) -> None: ...


class Dialler(Protocol):
    """`socket` raises Unanswered when the dial fails."""

    async def socket(self, *, private: bool, events: SocketEvents) -> Socket: ...


class Transport(Dialler, Protocol):
    """`public` and `private` return the `result` part; both raise Refused, Unanswered or FatalError (no key, bad key)."""

    @property
    def has_key(self) -> bool: ...
    async def public(self, path: str, params: Mapping[str, str]) -> Any: ...
    async def private(self, path: str, build: Callable[[], Mapping[str, Any]], *, urgent: bool) -> Any: ...
    def parse(self, text: str) -> Any: ...
    def raise_nonce(self) -> None: ...
    async def close(self) -> None: ...
