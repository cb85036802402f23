"""What the futures adapter needs of a transport, and the endpoints it calls; free of ccxt, so that importing it is cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trader.kraken.transport import Dialler, Unanswered


class WrongMethod(Unanswered):
    """The path or its method is not served (HTTP 404 or 405)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`api` names ccxt's group of addresses; `cost` in units of 500 per 10 s, `tokens` of 100 per 10 min (KRAKEN.md section 8)."""

    path: str
    api: str = "private"
    method: str = "GET"
    cost: float = 0.0
    tokens: float = 0.0

    @property
    def private(self) -> bool:
        """Whether it is signed, and hence waits for its turn."""
        return self.api == "private" or self.tokens > 0


class FuturesTransport(Dialler, Protocol):
    """`call` returns the body of a success; raises Refused, Unanswered, NotSent or FatalError (no key)."""

    @property
    def has_key(self) -> bool: ...
    async def call(self, endpoint: Endpoint, build: Callable[[], Mapping[str, Any]], *, urgent: bool = False) -> Any: ...
    def challenge_request(self) -> dict[str, str]: ...
    def signed(self, challenge: str) -> dict[str, str]: ...
    async def close(self) -> None: ...
