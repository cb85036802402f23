"""WebSocket v1 of the futures API at /ws/v1: challenge, subscriptions and the one way by which frames leave (KRAKEN.md sections 4, 6)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from trader.simulation.fills import Tick
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.orders import Happening, content_uuid
from trader.simulation.kraken_server.futures import feeds
from trader.simulation.kraken_server.futures.history import FuturesHistory
from trader.simulation.kraken_server.futures.market import FuturesMarket
from trader.simulation.kraken_server.futures.rest import SecretOf
from trader.simulation.kraken_server.futures.signing import same, sign_challenge
from trader.simulation.kraken_server.futures.streams import FuturesStreams
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.middleware import Middleware
from trader.simulation.kraken_server.wire.sockets import Client, SocketDoor

PLACE = "futures_ws:"  # how fault plans name its feeds and events
PUBLIC = ("ticker", "ticker_lite", "trade", "book")
PRIVATE = ("open_orders", "open_orders_verbose", "fills", "balances", "open_positions", "account_log", "notifications_auth")
HEARTBEAT, HEARTBEAT_S = "heartbeat", 1.0
EVENTS = ("challenge", "subscribe", "unsubscribe")
UNSIGNED = "Failed to subscribe to authenticated feed"
TICKS = 4  # of a base candle; positions are shown anew after the last one


@dataclass(slots=True, eq=False)
class FuturesConnection(Client):
    """One client. `public`: feed -> symbols; `private`: feeds; `challenges`: API key -> the challenge it was given."""

    public: dict[str, dict[str, None]] = field(default_factory=dict)
    private: dict[str, None] = field(default_factory=dict)
    challenges: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A frame that answers a request, with the feed and symbol it belongs to where it is a snapshot."""

    text: str
    feed: str = ""
    symbol: str = ""


class FuturesHub(SocketDoor[FuturesConnection]):
    """All connections. Market ticks come through `publish`; what happened to orders and money waits for `flush`."""

    def __init__(
        self,
        market: FuturesMarket,
        middleware: Middleware,
        history: FuturesHistory,
        *,
        secret_of: SecretOf,
        uid: str,
    ) -> None:
        super().__init__(FuturesConnection, middleware.plan, prefix=PLACE)
        self._market, self._exchange, self._clock = market, market.exchange, market.clock
        self._middleware, self._secret_of = middleware, secret_of
        self._streams = FuturesStreams(market, history, uid)
        self._happened: list[Happening] = []
        self._moved = False
        self._beat: asyncio.Task[None] | None = None
        self._exchange.listeners.append(self._happened.append)
        self._exchange.account_listeners.append(self._on_account)
        self.places = tuple(f"{PLACE}{name}" for name in (*PUBLIC, *PRIVATE, HEARTBEAT, *EVENTS))

    # --- connections -----------------------------------------------------------------------------------------------
    async def _greet(self, connection: FuturesConnection) -> None:
        await self._send(connection, dumps({"event": "info", "version": 1}))

    async def close(self) -> None:
        """Say goodbye to everybody."""
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
        await super().close()

    async def _heartbeats(self) -> None:
        """A frame a second on every connection that wants one; ends with the last of them."""
        while any(HEARTBEAT in connection.public for connection in self.connections):
            await asyncio.sleep(HEARTBEAT_S)
            text = dumps({"feed": HEARTBEAT, "time": self._clock.now_us() // 1000})
            for connection in tuple(self.connections):
                if HEARTBEAT in connection.public:
                    await self._push(connection, HEARTBEAT, "", text)

    # --- requests --------------------------------------------------------------------------------------------------
    async def _receive(self, connection: FuturesConnection, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            await self._send(connection, _said("error", "Json Error"))
            return
        event = message.get("event")
        if event == "ping":
            await self._send(connection, dumps({"event": "pong"}))
        elif event not in EVENTS:
            await self._send(connection, _said("error", "Bad websocket message"))
        else:
            await self._answer(connection, str(event), message)

    async def _answer(self, connection: FuturesConnection, event: str, message: dict[str, Any]) -> None:
        fields = {key: str(value) for key, value in message.items() if isinstance(value, (str, int))}
        made: list[Answer] = []

        def effect(error: str | None) -> list[str]:
            made[:] = [Answer(text=_said("error", error))] if error is not None else self._effect(connection, event, message)
            return [answer.text for answer in made]

        texts = await self._middleware.stream(PLACE + event, fields, effect, self.flush)
        if texts is None:
            connection.transport.abort()
            return
        for place, text in enumerate(texts):  # a fault may answer before anything was made
            if place < len(made) and made[place].feed:
                await self._push(connection, made[place].feed, made[place].symbol, text, snapshot=True)
            else:
                await self._send(connection, text)

    def _effect(self, connection: FuturesConnection, event: str, message: dict[str, Any]) -> list[Answer]:
        if event == "challenge":
            return [Answer(text=self._challenge(connection, str(message.get("api_key", ""))))]
        feed = message.get("feed")
        if feed in PRIVATE:
            return self._private(connection, event, str(feed), message)
        if feed == HEARTBEAT:
            return self._heartbeat(connection, event)
        if feed not in PUBLIC:
            return [Answer(text=_said("error", "Invalid feed"))]
        return self._public(connection, event, str(feed), message.get("product_ids"))

    def _challenge(self, connection: FuturesConnection, key: str) -> str:
        """A challenge for any key: that it is unknown shows when a feed is asked for."""
        seed, number = self._market.seed, len(connection.challenges)
        challenge = content_uuid(seed, "challenge", connection.number, number, self._clock.now_us())
        connection.challenges[key] = challenge
        return dumps({"event": "challenge", "message": challenge})

    def _public(self, connection: FuturesConnection, event: str, feed: str, names: Any) -> list[Answer]:
        """One answer for all products, then a snapshot each."""
        wanted = list(dict.fromkeys(str(name).upper() for name in names)) if isinstance(names, list) else []  # each snapshot once
        if not wanted or any(name not in self._exchange.contracts for name in wanted):
            return [Answer(text=_said("error", "Invalid product id"))]
        table = connection.public.setdefault(feed, {})
        if event == "unsubscribe":
            for name in wanted:
                table.pop(name, None)
            return [Answer(text=dumps({"event": "unsubscribed", "feed": feed, "product_ids": wanted}))]
        answers = [Answer(text=dumps({"event": "subscribed", "feed": feed, "product_ids": wanted}))]
        if any(name in table for name in wanted):
            answers.insert(0, Answer(text=_said("alert", "Already subscribed to feed, re-requesting")))
        for name in wanted:
            alone = not any(name in other.public.get(feed, ()) for other in self.connections)
            frames = self._streams.opening(feed, self._contract(name), alone=alone)
            answers += [Answer(text=dumps(frame), feed=feed, symbol=name) for frame in frames]
        table.update(dict.fromkeys(wanted))
        return answers

    def _private(self, connection: FuturesConnection, event: str, feed: str, message: dict[str, Any]) -> list[Answer]:
        """Judged by key and signed challenge, each time anew."""
        key, challenge = str(message.get("api_key", "")), str(message.get("original_challenge", ""))
        secret, given = self._secret_of(key), str(message.get("signed_challenge", ""))
        if secret is None or connection.challenges.get(key) != challenge or not same(given, sign_challenge(challenge, secret)):
            return [Answer(text=_said("alert", UNSIGNED))]
        if event == "unsubscribe":
            connection.private.pop(feed, None)
            return [Answer(text=dumps({"event": "unsubscribed", "feed": feed}))]
        alone = not self._wanted(feed)
        connection.private[feed] = None
        answers = [Answer(text=dumps({"event": "subscribed", "feed": feed}))]
        return answers + [Answer(text=dumps(frame), feed=feed) for frame in self._streams.account_opening(feed, alone=alone)]

    def _heartbeat(self, connection: FuturesConnection, event: str) -> list[Answer]:
        if event == "unsubscribe":
            connection.public.pop(HEARTBEAT, None)
            return [Answer(text=dumps({"event": "unsubscribed", "feed": HEARTBEAT}))]
        connection.public[HEARTBEAT] = {}
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._heartbeats(), name="futures heartbeats")
        return [Answer(text=dumps({"event": "subscribed", "feed": HEARTBEAT}))]

    def _contract(self, symbol: str) -> Contract:
        return self._exchange.contracts[symbol]

    # --- pushes ----------------------------------------------------------------------------------------------------
    def _on_account(self, _: int) -> None:
        self._moved = True

    async def flush(self) -> None:
        """Send what happened to orders, fills, money and positions, in this order."""
        happened, moved = self._happened[:], self._moved
        self._happened.clear()
        self._moved = False
        for item in happened:
            for feed in ("open_orders", "open_orders_verbose"):
                await self._tell(feed, item.order.symbol, feeds.order_frames(feed, item))
            if item.fill is not None:
                await self._tell("fills", item.order.symbol, [self._streams.fill(item.fill)])
        if moved:
            await self._tell("account_log", "", self._streams.log_entries() if self._wanted("account_log") else [])
            await self._tell_account("balances")
            await self._tell_account("open_positions")

    def _wanted(self, feed: str) -> bool:
        return any(feed in connection.private for connection in self.connections)

    async def _tell_account(self, feed: str) -> None:
        if self._wanted(feed):
            await self._tell(feed, "", self._streams.account_update(feed))

    async def _tell(self, feed: str, symbol: str, frames: list[feeds.Frame]) -> None:
        """Send frames to all who listen to a private feed."""
        for frame in frames:
            text = dumps(frame)
            for connection in tuple(self.connections):
                if feed in connection.private:
                    await self._push(connection, feed, symbol, text)

    async def publish(self, tick: Tick) -> None:
        """Tell everybody about a market tick."""
        for feed in PUBLIC:
            symbols = dict.fromkeys(name for connection in tuple(self.connections) for name in connection.public.get(feed, ()))
            for symbol in symbols:
                contract = self._contract(symbol)
                if not tick.prices[contract.index] > 0:  # NaN: no candle, nothing new
                    continue
                texts = [dumps(frame) for frame in self._streams.update(feed, contract)]
                for connection in tuple(self.connections):
                    if symbol in connection.public.get(feed, ()):
                        for text in texts:
                            await self._push(connection, feed, symbol, text)
        if tick.part == TICKS and self._exchange.state.positions:
            await self._tell_account("open_positions")


def _said(event: str, message: str) -> str:
    return dumps({"event": event, "message": message})
