"""The twin's stream under clients of other hands: ccxt.pro on the stepped loop, python-kraken-sdk over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from kraken.spot import Market, SpotOrderBookClient, SpotWSClient

from tests.wire.kraken_twin_harness import KEY, MARKET, PAIR, SECRET, trading
from trader.simulation.clock import LoopClock
from trader.simulation.faults import parse_plan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.spot.book import digits
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

CHEAP = min(MARKET.pairs, key=lambda pair: MARKET.listing(pair).tick)
SPEED = 900.0  # simulated seconds a second: a market tick every 17 ms
CALM = 10.0  # for what signs in: a token lives 900 simulated seconds, and a loaded machine may take its time to use it
UPDATES = 500
HASTE_S = 0.2  # the library's own farewell takes seconds


# --- ccxt.pro ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("depth", [10, 100, 1000])
def test_ccxt_keeps_the_same_book_as_the_exchange(depth: int) -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            seen = 0
            for pair in (PAIR, CHEAP):
                rules = twin.exchange.rule(pair)
                for _ in range(40 if depth <= 100 else 6):
                    kept = await exchange.watch_order_book(pair, depth)
                    await asyncio.sleep(0.1)  # the rest of the tick's frames
                    book = twin.view.book(rules, depth)
                    for side, levels in (("asks", book.asks), ("bids", book.bids)):
                        wanted = [
                            [float(digits(level.price, rules.pair_decimals)), float(digits(level.quantity, rules.lot_decimals))]
                            for level in levels
                        ]
                        assert [list(level[:2]) for level in kept[side][:depth]] == wanted
                    seen += 1
            assert seen >= 12

    run_stepped(main)


def test_ccxt_places_amends_and_cancels_by_stream() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            placed = await exchange.create_order_ws(PAIR, "limit", "buy", 0.1, 1000.5, {"clientOrderId": "mine", "postOnly": True})
            order = twin.exchange.state.orders[placed["id"]]
            assert (order.cl_ord_id, order.price, order.post_only) == ("mine", Decimal("1000.5"), True)
            assert (await exchange.edit_order_ws(placed["id"], PAIR, "limit", "buy", 0.2, 1001))["id"] == placed["id"]
            assert (order.volume, order.price) == (Decimal("0.2"), Decimal(1001))
            await exchange.cancel_order_ws(placed["id"])
            assert order.status == "canceled"
            stop = await exchange.create_order_ws(PAIR, "market", "buy", 0.1, None, {"stopLossPrice": 4000})
            trailing = await exchange.create_order_ws(PAIR, "market", "buy", 0.1, None, {"trailingPercent": 1.5})
            kinds = [twin.exchange.state.orders[item["id"]].ordertype for item in (stop, trailing)]
            assert kinds == ["stop-loss", "trailing-stop"]
            assert (await exchange.cancel_all_orders_ws())["result"]["count"] == 2
            bought = await exchange.create_order_ws(PAIR, "market", "buy", 0.1, None, {"stopLoss": {"triggerPrice": 1500}})
            (close,) = twin.exchange.open_orders()
            assert (close.refid, close.trigger) == (bought["id"], Decimal(1500))

    run_stepped(main)


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (("limit", "buy", 0.00000001, 1000), ccxt.ExchangeError),
        (("limit", "buy", 1000, 1000), ccxt.ExchangeError),
        (("limit", "buy", 0.1, 1000, {"timeInForce": "DAY"}), ccxt.BadRequest),
    ],
)
def test_ccxt_raises_what_the_stream_refuses(order: tuple[Any, ...], kind: type[Exception]) -> None:
    async def main() -> None:
        async with trading() as (_, exchange):
            with pytest.raises(kind):
                await exchange.create_order_ws(PAIR, *order)
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order_ws("ONONE1-AAAAA-AAAAAA")

    run_stepped(main)


# --- python-kraken-sdk ------------------------------------------------------------------------------------------------
@contextmanager
def running_twin(plan: str = "", speed: float = SPEED) -> Iterator[tuple[str, KrakenTwin]]:
    """A twin on real sockets in a thread of its own, since the library's REST calls block the loop they are made on."""
    ready, stop = threading.Event(), threading.Event()
    found: list[tuple[str, KrakenTwin]] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(EPOCH_US, speed=speed, loop=loop)
        clock.origin_us -= round(clock.speed * loop.time() * 1e6)
        twin = KrakenTwin(
            MARKET, clock, state_dir=None, plan=parse_plan(plan, seed=1), api_key=KEY, api_secret=SECRET, seed=7, tag="abc",
            starting_cash=Decimal(10_000),
        )  # fmt: skip
        port = await twin.start("127.0.0.1", 0)
        market = asyncio.create_task(twin.run_market(None))
        found.append((f"127.0.0.1:{port}", twin))
        ready.set()
        await loop.run_in_executor(None, stop.wait)
        market.cancel()
        await asyncio.gather(market, return_exceptions=True)
        await twin.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="twin")
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        stop.set()
        thread.join(10)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that a library's own tasks bring about."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + 30
    while not condition():
        assert loop.time() < ends, "nothing came within 30 s"
        await asyncio.sleep(0.02)


class Book(SpotOrderBookClient):
    """The library's order book; it takes no address, so it is told where the twin is before and after it is built."""

    def __init__(self, address: str, depth: int) -> None:
        self.URL, self.WS_URL, self.AUTH_WS_URL = f"http://{address}", f"ws://{address}", f"ws://{address}"
        super().__init__(depth=depth)
        self._SpotOrderBookClient__market = Market(url=self.URL)
        self.updates: dict[str, int] = {}
        self.complaints: list[str] = []

    async def on_book_update(self, pair: str, message: dict[str, Any]) -> None:
        if "error" in message:
            self.complaints.append(message["error"])
        elif message["type"] == "update":
            self.updates[pair] = self.updates.get(pair, 0) + 1


async def keep(address: str, depth: int, done: Any) -> Book:
    """The library's books of all pairs until `done` says so of the client."""
    book = Book(address, depth)
    await book.start()
    try:
        await book.add_book(pairs=list(MARKET.pairs))
        await until(lambda: done(book))
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(book.close(), HASTE_S)
    return book


@pytest.mark.parametrize("depth", [10, 100])
def test_the_sdk_validates_every_checksum(depth: int) -> None:
    with running_twin() as (address, _):
        book = asyncio.run(keep(address, depth, lambda book: sum(book.updates.values()) >= UPDATES or book.complaints))
    assert book.complaints == []
    assert sum(book.updates.values()) >= UPDATES
    assert min(book.updates[pair] for pair in MARKET.pairs) > 20
    assert len((book.get(CHEAP) or {})["ask"]) == depth


def test_the_sdk_rejects_a_checksum_with_one_wrong_bit() -> None:
    plan = '[[fault]]\nwhere = "book"\nnth = 20\naction = "ws_wrong_crc"\n'
    with running_twin(plan) as (address, _):
        book = asyncio.run(keep(address, 10, lambda book: book.complaints))
    assert len(book.complaints) == 1
    assert book.complaints[0].startswith("Checksum mismatch")


def test_the_sdk_trades_and_hears_of_it() -> None:
    frames: list[dict[str, Any]] = []

    async def heard(message: dict[str, Any]) -> None:
        frames.append(message)

    async def first(condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        await until(lambda: any(condition(frame) for frame in frames))
        return next(frame for frame in frames if condition(frame))

    async def main(address: str) -> None:
        base, socket = f"http://{address}", f"ws://{address}"
        client = SpotWSClient(KEY, SECRET, callback=heard, rest_url=base, ws_url=socket, auth_ws_url=socket)
        await client.start()
        try:
            await client.subscribe(params={"channel": "executions", "snap_orders": True})
            await client.subscribe(params={"channel": "balances"})
            await first(lambda frame: frame.get("channel") == "balances")
            order = {"order_type": "limit", "side": "buy", "order_qty": 0.1, "symbol": PAIR, "limit_price": 1000.5}
            await client.send_message({"method": "add_order", "params": order, "req_id": 1})
            placed = await first(lambda frame: frame.get("req_id") == 1)
            assert placed["success"], placed
            names = {"order_id": [placed["result"]["order_id"]]}
            await client.send_message({"method": "cancel_order", "params": names, "req_id": 2})
            assert (await first(lambda frame: frame.get("req_id") == 2))["success"]
            market = {"order_type": "market", "side": "buy", "order_qty": 0.1, "symbol": PAIR}
            await client.send_message({"method": "add_order", "params": market, "req_id": 3})
            await first(
                lambda frame: frame.get("channel") == "balances" and frame["type"] == "update" and frame["data"][0]["asset"] == "EUR"
            )
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(client.close(), HASTE_S)

    with running_twin(speed=CALM) as (address, twin):
        asyncio.run(main(address))
        executions = [frame for frame in frames if frame.get("channel") == "executions"]
        assert [frame["sequence"] for frame in executions] == list(range(1, len(executions) + 1))
        kinds = [row["exec_type"] for frame in executions[1:] for row in frame["data"]]
        assert kinds == ["pending_new", "new", "canceled", "pending_new", "new", "trade", "filled"]
        assert len(twin.exchange.state.trades) == 1
