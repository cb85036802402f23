"""A client that trades on the twin's private WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from tests.wire.kraken_twin_harness import PAIR, trading
from tests.wire.stream_kit import Frame, Stream, stream
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.loops import run_stepped

LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.1, "symbol": PAIR, "limit_price": 1000.5}


class Door:
    """A private connection with a token."""

    def __init__(self, twin: KrakenTwin, exchange: Any, client: Stream, token: str) -> None:
        self.twin, self.exchange, self.client, self.token = twin, exchange, client, token

    async def call(self, method: str, *, settle: float = 0.5, **params: Any) -> list[Frame]:
        answers = await self.client.ask(method, {"token": self.token} | params, settle=settle)
        assert all((answer["method"], answer["req_id"]) == (method, 7) for answer in answers)
        assert all(answer["time_in"] <= answer["time_out"] for answer in answers)
        return answers

    async def one(self, method: str, **params: Any) -> Frame:
        (answer,) = await self.call(method, **params)
        return answer

    async def place(self, **changes: Any) -> str:
        answer = await self.one("add_order", **(LIMIT | changes))
        assert answer["success"], answer
        return str(answer["result"]["order_id"])

    def open(self) -> list[str]:
        return [order.txid for order in self.twin.exchange.open_orders()]


def at_the_door(test: Callable[[Door], Awaitable[None]], **options: Any) -> None:
    """Run a test with an authenticated connection."""

    async def main() -> None:
        async with trading(**options) as (twin, exchange), stream() as client:
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            await test(Door(twin, exchange, client, token))

    run_stepped(main)


def price(door: Door, factor: str) -> float:
    rules = door.twin.exchange.rule(PAIR)
    return float((door.twin.exchange.last(PAIR) * Decimal(factor)).quantize(rules.tick))
