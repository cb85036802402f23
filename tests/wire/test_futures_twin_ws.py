"""WebSocket v1 of the futures twin: ccxt.pro.krakenfutures and bare sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.wire.futures_twin_harness import PF, futures_trading
from tests.wire.kraken_twin_harness import KEY, SECRET
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.futures.signing import sign_challenge
from trader.simulation.loops import run_stepped

SYMBOL = "PF_XBTUSD"


class Socket:
    """A bare client that keeps every frame it gets."""

    def __init__(self, session: aiohttp.ClientSession, socket: Any) -> None:
        self._session, self._socket = session, socket
        self.frames: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read(), name="reader")

    @classmethod
    async def open(cls) -> Socket:
        session = aiohttp.ClientSession()
        return cls(session, await session.ws_connect("http://127.0.0.1:8701/ws/v1", compress=0))

    async def _read(self) -> None:
        async for message in self._socket:
            self.frames.append(json.loads(message.data))

    async def say(self, **message: Any) -> list[dict[str, Any]]:
        """Send a request; returns the frames that came of it."""
        before = len(self.frames)
        await self._socket.send_str(json.dumps(message))
        await asyncio.sleep(0.01)
        return self.frames[before:]

    async def text(self, text: str) -> list[dict[str, Any]]:
        before = len(self.frames)
        await self._socket.send_str(text)
        await asyncio.sleep(0.01)
        return self.frames[before:]

    async def signed(self, event: str, feed: str) -> list[dict[str, Any]]:
        """A request for a private feed, with a fresh challenge."""
        (answer,) = await self.say(event="challenge", api_key=KEY)
        challenge = answer["message"]
        return await self.say(
            event=event, feed=feed, api_key=KEY, original_challenge=challenge, signed_challenge=sign_challenge(challenge, SECRET)
        )

    def of(self, feed: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame.get("feed") == feed and "event" not in frame]

    async def close(self) -> None:
        await self._socket.close()
        await self._reader
        await self._session.close()


def on_socket(test: Callable[[KrakenTwin, Any, Socket], Awaitable[None]], plan: str = "") -> None:
    async def main() -> None:
        async with futures_trading(plan) as (twin, exchange):
            socket = await Socket.open()
            await asyncio.sleep(0.01)
            try:
                await test(twin, exchange, socket)
            finally:
                await socket.close()

    run_stepped(main)


# --- ccxt.pro ---------------------------------------------------------------------------------------------------------
def test_ccxt_watches_market_data() -> None:
    async def test(_: KrakenTwin, exchange: Any, __: Socket) -> None:
        ticker = await exchange.watch_ticker(PF)
        assert (ticker["symbol"], ticker["last"]) == (PF, (await exchange.fetch_ticker(PF))["last"])
        tickers = await exchange.watch_bids_asks([PF, "ETH/USD:USD"])
        assert next(iter(tickers.values()))["bid"] > 0
        trades = await exchange.watch_trades(PF)
        assert trades[-1]["price"] > 0
        for _number in range(60):
            book = await exchange.watch_order_book(PF)
        rest = await exchange.fetch_order_book(PF)
        for side in ("bids", "asks"):
            assert [row[:2] for row in book[side]] == [row[:2] for row in rest[side]]

    on_socket(test)


def test_ccxt_watches_orders_fills_positions_and_balances() -> None:
    async def test(_: KrakenTwin, exchange: Any, __: Socket) -> None:
        seen: dict[str, list[Any]] = {"orders": [], "trades": [], "positions": [], "balances": []}

        async def follow(name: str, watch: Callable[[], Awaitable[Any]]) -> None:
            while True:
                seen[name].append(await watch())

        watches = {"trades": exchange.watch_my_trades, "positions": exchange.watch_positions, "balances": exchange.watch_balance,
                   "orders": exchange.watch_orders}  # fmt: skip
        tasks = [asyncio.create_task(follow(name, watch)) for name, watch in watches.items()]
        await asyncio.sleep(1)
        placed = await exchange.create_order(PF, "limit", "buy", 0.02, 50_000)
        await exchange.create_order(PF, "market", "buy", 0.01)
        await exchange.cancel_order(placed["id"], PF)
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [order["status"] for order in exchange.orders if order["id"] == placed["id"]] == ["canceled"]
        (trade,) = [trade for trade in seen["trades"][-1] if trade["side"] == "buy"]
        assert trade["id"] == (await exchange.fetch_my_trades(PF))[0]["id"]
        (position,) = seen["positions"][-1]
        assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.01, trade["price"])
        assert seen["balances"][-1]["USD"]["total"] == (await exchange.fetch_balance())["USD"]["total"]

    on_socket(test)


# --- requests ---------------------------------------------------------------------------------------------------------
def test_requests_are_answered_and_bad_ones_refused() -> None:
    async def test(_: KrakenTwin, __: Any, socket: Socket) -> None:
        assert socket.frames == [{"event": "info", "version": 1}]
        cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"event": "subscribe", "feed": "moon"}, {"event": "error", "message": "Invalid feed"}),
            ({"event": "subscribe", "feed": "ticker"}, {"event": "error", "message": "Invalid product id"}),
            ({"event": "subscribe", "feed": "book", "product_ids": ["PF_NOPEUSD"]}, {"event": "error", "message": "Invalid product id"}),
            ({"event": "sing"}, {"event": "error", "message": "Bad websocket message"}),
            ({"event": "subscribe", "feed": "fills"}, {"event": "alert", "message": "Failed to subscribe to authenticated feed"}),
            ({"event": "ping"}, {"event": "pong"}),
        ]
        for message, answer in cases:
            assert await socket.say(**message) == [answer]
        for text in ("{", "[]", "[" * 100_000):
            assert await socket.text(text) == [{"event": "error", "message": "Json Error"}]
        first = await socket.say(event="subscribe", feed="ticker_lite", product_ids=[SYMBOL, SYMBOL.lower()])
        assert len(first) == 2  # a product named twice has one snapshot
        assert first[0] == {"event": "subscribed", "feed": "ticker_lite", "product_ids": [SYMBOL]}
        again = await socket.say(event="subscribe", feed="ticker_lite", product_ids=[SYMBOL])
        assert again[0] == {"event": "alert", "message": "Already subscribed to feed, re-requesting"}
        gone = await socket.say(event="unsubscribe", feed="ticker_lite", product_ids=[SYMBOL])
        assert gone == [{"event": "unsubscribed", "feed": "ticker_lite", "product_ids": [SYMBOL]}]
        count = len(socket.of("ticker_lite"))
        await asyncio.sleep(120)
        assert len(socket.of("ticker_lite")) == count

    on_socket(test)


def test_a_challenge_serves_only_the_key_that_asked_and_signed_it() -> None:
    async def test(_: KrakenTwin, __: Any, socket: Socket) -> None:
        assert (await socket.signed("subscribe", "fills"))[0] == {"event": "subscribed", "feed": "fills"}
        (answer,) = await socket.say(event="challenge", api_key="unknown")
        base = {"event": "subscribe", "feed": "fills", "original_challenge": answer["message"]}
        good = sign_challenge(answer["message"], SECRET)
        for changed in ({"api_key": "unknown", "signed_challenge": good}, {"api_key": KEY, "signed_challenge": good}):
            assert (await socket.say(**base, **changed))[0]["event"] == "alert"
        assert (await socket.signed("unsubscribe", "fills"))[0] == {"event": "unsubscribed", "feed": "fills"}

    on_socket(test)


def test_heartbeats_come_every_second_while_wanted() -> None:
    async def test(_: KrakenTwin, __: Any, socket: Socket) -> None:
        await socket.say(event="subscribe", feed="heartbeat")
        await asyncio.sleep(5.5)
        assert len(socket.of("heartbeat")) == 5
        await socket.say(event="unsubscribe", feed="heartbeat")
        await asyncio.sleep(5)
        assert len(socket.of("heartbeat")) == 5

    on_socket(test)


# --- feeds ------------------------------------------------------------------------------------------------------------
def test_the_book_has_no_gap_and_ends_where_rest_does() -> None:
    async def test(_: KrakenTwin, exchange: Any, socket: Socket) -> None:
        await socket.say(event="subscribe", feed="book", product_ids=[SYMBOL])
        await asyncio.sleep(300)
        late = await Socket.open()
        await late.say(event="subscribe", feed="book", product_ids=[SYMBOL])
        await asyncio.sleep(300)
        for client in (socket, late):
            (snapshot,) = client.of("book_snapshot")
            deltas = client.of("book")
            assert [frame["seq"] for frame in deltas] == list(range(snapshot["seq"] + 1, snapshot["seq"] + 1 + len(deltas)))
            assert len(deltas) > 500
            sides = {name: {row["price"]: row["qty"] for row in snapshot[name]} for name in ("bids", "asks")}
            for frame in deltas:
                side = sides["asks" if frame["side"] == "sell" else "bids"]
                side[frame["price"]] = frame["qty"]
            ladder = await exchange.public_get_orderbook({"symbol": SYMBOL})
            for name in ("bids", "asks"):
                left = {price: size for price, size in sides[name].items() if size}
                assert left == {float(price): float(size) for price, size in ladder["orderBook"][name]}
        await late.close()

    on_socket(test)


def test_no_trade_is_told_twice_and_none_is_left_out() -> None:
    async def test(_: KrakenTwin, exchange: Any, socket: Socket) -> None:
        names = sorted(exchange.markets_by_id)
        await socket.say(event="subscribe", feed="trade", product_ids=names)
        await asyncio.sleep(1_200)
        told = [frame["uid"] for frame in socket.of("trade")]
        assert len(told) == len(dict.fromkeys(told)) > 500
        for name in names[:3]:
            (snapshot,) = [frame for frame in socket.of("trade_snapshot") if frame["product_id"] == name]
            seen = [frame["seq"] for frame in socket.of("trade") if frame["product_id"] == name]
            rest = (await exchange.public_get_history({"symbol": name}))["history"]
            newer = [int(row["trade_id"]) for row in reversed(rest) if int(row["trade_id"]) > snapshot["trades"][0]["seq"]]
            assert seen == newer

    on_socket(test)


def test_order_frames_tell_the_life_of_an_order() -> None:
    async def test(twin: KrakenTwin, exchange: Any, socket: Socket) -> None:
        (_, snapshot) = await socket.signed("subscribe", "open_orders")
        assert (snapshot["feed"], snapshot["orders"]) == ("open_orders_snapshot", [])
        await socket.signed("subscribe", "fills")
        last = (await exchange.fetch_ticker(PF))["last"]
        first = await exchange.create_order(PF, "limit", "buy", 0.02, 50_000, {"clientOrderId": "a"})
        await exchange.edit_order(first["id"], PF, "limit", "buy", 0.03, 51_000)
        await exchange.cancel_order(first["id"], PF)
        await exchange.create_order(PF, "limit", "buy", 0.01, last * 1.01)
        stop = await exchange.create_order(PF, "market", "sell", 0.01, None, {"stopLossPrice": last * 1.5})
        await asyncio.sleep(0.1)
        frames = socket.of("open_orders")
        told = [(frame["reason"], frame["is_cancel"], "order" in frame) for frame in frames]
        assert told == [
            ("new_placed_order_by_user", False, True),
            ("edited_by_user", False, True),
            ("cancelled_by_user", True, False),
            ("new_placed_order_by_user", False, True),
            ("full_fill", True, True),
            ("new_placed_order_by_user", False, True),
            ("stop_order_triggered", True, False),
        ]
        assert (frames[2]["order_id"], frames[2]["cli_ord_id"]) == (first["id"], "a")
        assert (frames[4]["order"]["qty"], frames[4]["order"]["filled"]) == (0.0, 0.01)
        assert frames[5]["order"]["triggerSignal"] == "last"
        fills = [frame["fills"][0] for frame in socket.of("fills")]
        assert [(fill["buy"], fill["order_id"] == stop["id"]) for fill in fills] == [(True, False), (False, True)]
        (_, again) = await socket.signed("subscribe", "fills")
        assert again["fills"] == fills
        assert twin.futures.exchange.positions() == []

    on_socket(test)


def test_the_account_log_and_open_positions_follow_the_account() -> None:
    async def test(twin: KrakenTwin, exchange: Any, socket: Socket) -> None:
        for feed in ("account_log", "open_positions", "notifications_auth", "open_orders_verbose"):
            assert (await socket.signed("subscribe", feed))[0] == {"event": "subscribed", "feed": feed}
        await exchange.create_order(PF, "market", "buy", 0.5)
        await asyncio.sleep(0.1)
        rows = [frame["new_entry"] for frame in socket.of("account_log")]
        assert [row["asset"] for row in rows] == ["usd", "pf_xbtusd"]
        (position,) = socket.of("open_positions")[-1]["positions"]
        engine = twin.futures.exchange
        assert position["liquidation_threshold"] == float(engine.liquidation_price(engine.positions()[0]) or 0)
        assert 0 < position["liquidation_threshold"] < position["mark_price"]
        count = len(socket.of("open_positions"))
        await asyncio.sleep(180)
        assert len(socket.of("open_positions")) == count + 3

    on_socket(test)


def test_whoever_joins_hides_nothing_from_those_who_listen() -> None:
    """Money moves unseen, another client joins, and the first still hears of it; neither sees a gap."""

    async def test(twin: KrakenTwin, exchange: Any, socket: Socket) -> None:
        late, engine = await Socket.open(), twin.futures.exchange
        for feed in ("balances", "account_log", "open_positions"):
            await socket.signed("subscribe", feed)
        await exchange.create_order(PF, "market", "buy", 0.01)
        await asyncio.sleep(0.1)
        engine.move_cash("flex", "cash", "usd", Decimal(7), now_us=twin.clock.now_us())  # not told yet
        for feed in ("balances", "account_log", "open_positions"):
            await late.signed("subscribe", feed)
        await asyncio.sleep(0.1)
        await exchange.create_order(PF, "market", "buy", 0.02)
        await asyncio.sleep(61)
        assert len(socket.of("balances")) == 3
        assert [frame["holding"]["USD"] for frame in socket.of("balances") if "holding" in frame] == [7.0]
        told = [frame["new_entry"]["id"] for frame in socket.of("account_log")]
        assert told == [1, 2, 3, 5, 7, 8]  # two rows a trade, one each side of the transfer, which leaves its second number out
        for client in (socket, late):
            (snapshot,), deltas = client.of("balances_snapshot"), client.of("balances")
            assert [frame["seq"] for frame in deltas] == list(range(snapshot["seq"] + 1, snapshot["seq"] + 1 + len(deltas)))
            assert deltas[-1]["flex_futures"]["balance_value"] == float(engine.balance("flex"))
            places = [frame["seq"] for frame in client.of("open_positions")]
            assert places == list(range(places[0], places[0] + len(places)))
        await late.close()

    on_socket(test)


@pytest.mark.parametrize(
    ("action", "count"), [("ws_duplicate", 3), ("ws_lost", 1)],
)  # fmt: skip
def test_frames_pass_the_fault_plan(action: str, count: int) -> None:
    plan = f'[[fault]]\nwhere = "futures_ws:fills"\nnth = 2\naction = "{action}"\n'

    async def test(_: KrakenTwin, exchange: Any, socket: Socket) -> None:
        await socket.signed("subscribe", "fills")  # its snapshot is the first frame
        for _number in range(2):
            await exchange.create_order(PF, "market", "buy", 0.001)
        await asyncio.sleep(0.1)
        assert len(socket.of("fills")) == count

    on_socket(test, plan)
