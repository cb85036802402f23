"""A futures transport that answers from a script, and the orders the futures tests send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from trader.domain.orders import Intent, Leg, OrderType, Side
from trader.kraken.futures import KrakenFuturesExchange
from trader.kraken.futures_rest import FuturesLimiter
from trader.kraken.futures_transport import Endpoint
from trader.simulation.clock import LoopClock

NOW = 1_767_571_200_000_000
PAIR = "BTC/USD:USD"
INSTRUMENTS = {
    "result": "success",
    "instruments": [
        {"symbol": "PF_XBTUSD", "tickSize": 1, "contractValueTradePrecision": 4, "tradeable": True, "postOnly": False},
        {"symbol": "PF_PEPEUSD", "tickSize": Decimal("1e-10"), "contractValueTradePrecision": -3, "tradeable": True, "postOnly": False},
        {"symbol": "PI_XBTUSD", "tickSize": Decimal("0.5"), "contractValueTradePrecision": 0, "tradeable": False, "postOnly": False},
        {"symbol": "FI_XBTUSD_260130", "tickSize": Decimal("0.5"), "contractValueTradePrecision": 0, "tradeable": True},
        {"symbol": "in_xbtusd", "tradeable": False},
    ],
}


class FuturesWire:
    """Values are bodies, exceptions are raised, a list is used up answer by answer, a function is asked with the parameters."""

    has_key = True

    def __init__(self, **answers: Any) -> None:
        self.answers = {"instruments": INSTRUMENTS} | answers
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []

    async def call(self, endpoint: Endpoint, build: Callable[[], Mapping[str, Any]], *, urgent: bool = False) -> Any:
        params = build()
        self.calls.append((endpoint.method, endpoint.path, params))
        answer = self.answers[endpoint.path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sent(self, path: str) -> list[Mapping[str, Any]]:
        """Parameters of the calls of one endpoint."""
        return [params for _, name, params in self.calls if name == path]

    async def socket(self, *, private: bool, events: Any) -> Any:
        raise AssertionError("no test of the order side opens a socket")

    def challenge_request(self) -> dict[str, str]:
        return {"event": "challenge", "api_key": "k"}

    def signed(self, challenge: str) -> dict[str, str]:
        return {"original_challenge": challenge}

    async def close(self) -> None:
        return None


def exchange(wire: FuturesWire, **options: Any) -> KrakenFuturesExchange:
    clock = LoopClock(NOW)
    return KrakenFuturesExchange(wire, clock, limiter=FuturesLimiter(clock), **options)


def intent(**changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "cl_ord_id": "tabcdefghijklmnopq", "key": "k", "leg": Leg.ENTRY, "attempt": 1, "position_id": "p", "pair": PAIR,
        "side": Side.BUY, "order_type": OrderType.LIMIT, "quantity": Decimal("0.0100"), "limit_price": Decimal("6E+4"),
        "immediate": True, "deadline_us": NOW + 5_000_000, "created_us": NOW,
    }  # fmt: skip
    return Intent(**(fields | changes))


def stop(**changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "leg": Leg.STOP, "side": Side.SELL, "order_type": OrderType.STOP_LOSS, "limit_price": None, "trigger_price": Decimal(55_000),
        "immediate": False,
    }  # fmt: skip
    return intent(**(fields | changes))
