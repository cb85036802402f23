"""What runs over the two futures WebSockets: public trades on one, own fills and orders on the other."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from trader.domain.market import MINUTE
from trader.domain.messages import FeedEvent, FeedReset, Tick
from trader.errors import RejectedError, RetryableError
from trader.kraken import futures_translate, translate
from trader.kraken.exact import exact_json
from trader.kraken.futures import KrakenFuturesExchange
from trader.kraken.futures_board import TradeBoard
from trader.kraken.futures_names import Contracts
from trader.kraken.futures_own import OwnReader
from trader.kraken.futures_rest import FuturesRest
from trader.kraken.stream import Events, Link, Work
from trader.kraken.transport import Unanswered

ACK_S = 10.0  # I/O time in which a challenge must be answered
PING_S = 25.0  # the venue wants a ping at least every 60 s
SYMBOLS_PER_FRAME = 50
QUEUE_LIMIT = 20_000  # events the consumer may be behind; ticks beyond it are dropped
MARGIN_US = MINUTE  # own fills are asked from this long before the last good private frame
OWN_FEEDS = ("fills", "open_orders")
log = logging.getLogger(__name__)


class FuturesChannels:
    """Subscriptions and frames of a running stream; events go to `queue`. `account` reads by REST what a break may have hidden."""

    def __init__(
        self, rest: FuturesRest, account: KrakenFuturesExchange, board: TradeBoard, *, names: Contracts, queue: Events, since_us: int
    ) -> None:
        self._rest, self._account, self._clock, self._board, self._names, self._queue = rest, account, rest.clock, board, names, queue
        self._reader = OwnReader(since_us, names.pair)
        self._public = Link("public", rest.transport, self, private=False, rng=rest.rng)
        self._private = Link("private", rest.transport, self, private=True, rng=rest.rng) if rest.transport.has_key else None
        self._ticking: dict[str, None] = {}
        self._challenge: asyncio.Future[str] | None = None
        self._told: set[str] = set()  # own feeds that stand
        self._heard_us, self._owed_us = self._clock.now_us(), None if self._private is None else since_us
        self._unknown: dict[str, None] = {}  # orders to look up by id
        self._due = asyncio.Event()
        self._reasons: dict[str, str] = {}
        self._pinged: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        self.counts: Counter[str] = Counter()  # what was rejected, dropped or repaired, by reason

    # --- for the feed ---------------------------------------------------------------------------------------------------
    def loops(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """The coroutines that keep the connections alive."""
        if self._private is None:
            return [(self._public.run(), "public stream")]
        self._private.wanted.set()
        return [(self._public.run(), "public stream"), (self._private.run(), "private stream"), (self._catch_up(), "catch-up")]

    async def want(self, pairs: Sequence[str]) -> None:
        """Candles of these pairs from the running one on; one that is no perpetual is refused by name."""
        for pair in pairs:
            if pair not in self._names.symbols and pair not in self.refused:
                self.refused[pair] = f"not among the {len(self._names.symbols)} perpetuals Kraken lists"
                log.error("public stream: %s: %s", pair, self.refused[pair])
        fresh = self._board.want([pair for pair in pairs if pair in self._names.symbols], self._clock.now_us())
        if fresh:
            self._public.wanted.set()
            await self.subscribe(fresh)

    async def subscribe(self, pairs: Sequence[str]) -> None:
        """Trades of these pairs; repeating it is harmless."""
        symbols = [self._names.symbols[pair] for pair in pairs]
        for start in range(0, len(symbols), SYMBOLS_PER_FRAME):
            part = symbols[start : start + SYMBOLS_PER_FRAME]
            await self._public.send({"event": "subscribe", "feed": "trade", "product_ids": part})

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        """Ticks of exactly these pairs."""
        self._ticking = dict.fromkeys(pair for pair in pairs if pair in self._names.symbols)
        if self._ticking:
            self._public.wanted.set()
            await self.subscribe(list(self._ticking))

    # --- LinkOwner ------------------------------------------------------------------------------------------------------
    async def up(self, link: Link) -> None:
        await link.send({"event": "subscribe", "feed": "heartbeat"})
        if link is self._public:
            await self.subscribe(list(dict.fromkeys([*self._board.since, *self._ticking])))
            self._announce(link)
            return
        self._told.clear()
        self._challenge = asyncio.get_running_loop().create_future()
        await link.send(self._rest.transport.challenge_request())
        try:
            async with asyncio.timeout(ACK_S):
                signed = self._rest.transport.signed(await self._challenge)
        except TimeoutError as error:
            raise Unanswered("no challenge in time") from error
        finally:
            self._challenge = None
        for feed in OWN_FEEDS:
            await link.send({"event": "subscribe", "feed": feed} | signed)

    def down(self, link: Link, reason: str) -> None:
        self._reasons.setdefault(link.name, reason)
        self.counts[f"{link.name} reconnects"] += 1
        if link is self._private:
            self._told.clear()
            self._owe()

    def watch(self, link: Link) -> Work | None:
        now = asyncio.get_running_loop().time()
        if now - self._pinged.setdefault(link.name, now) < PING_S:
            return None
        self._pinged[link.name] = now
        return link.ping

    def text(self, link: Link, text: str) -> None:
        """One frame; a bad one is rejected alone and counted."""
        feed: object = None
        try:
            message = exact_json(text)
            feed = message.get("feed")
            if feed == "heartbeat":
                return
            if "event" in message:
                self._event(link, message)
            elif feed == "trade":
                self._trade(message)
            elif feed == "trade_snapshot":
                for row in reversed(message["trades"]):
                    self._trade(row, old=True)
            elif feed in ("fills", "fills_snapshot"):
                self._own(self._reader.fills, message)
            elif feed in ("open_orders", "open_orders_snapshot"):
                self._own(self._reader.orders, message)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._reject(f"malformed {feed}" if isinstance(feed, str) and feed in OWN_FEEDS else "malformed frame", error)
            if link is self._private:
                self._owe()

    # --- frames ---------------------------------------------------------------------------------------------------------
    def _trade(self, row: Mapping[str, Any], *, old: bool = False) -> None:
        pair = self._names.pair(translate.text(row.get("product_id"), "product_id"))
        price, time_us = translate.decimal(row.get("price"), "price"), futures_translate.millis_us(row.get("time"), "time")
        fresh = self._board.take(translate.text(row.get("uid"), "uid"), pair, price, translate.decimal(row.get("qty"), "qty"), time_us)
        if not fresh:
            self.counts["repeated trade"] += not old
        elif not old and pair in self._ticking:
            if self._queue.qsize() > QUEUE_LIMIT:
                self.counts["dropped tick"] += 1
            else:
                self._queue.put_nowait(Tick(pair=pair, price=price, time_us=time_us))

    def _own(self, read: Callable[[Mapping[str, Any]], Iterable[FeedEvent]], message: Mapping[str, Any]) -> None:
        for event in read(message):
            self._queue.put_nowait(event)
        doubtful, self._reader.doubtful = self._reader.doubtful, []
        for why in doubtful:
            self._reject("own row to look up", why)
        self._unknown |= self._reader.unknown
        self._reader.unknown = {}
        if doubtful or self._unknown:
            self._owe()
        elif self._told.issuperset(OWN_FEEDS):
            self._heard_us = self._clock.now_us()

    def _event(self, link: Link, message: Mapping[str, Any]) -> None:
        event, feed = message["event"], message.get("feed")
        if event == "challenge" and self._challenge is not None and not self._challenge.done():
            self._challenge.set_result(translate.text(message.get("message"), "message"))
        elif event == "subscribed" and link is self._private and feed in OWN_FEEDS:
            self._told.add(feed)
            if self._told.issuperset(OWN_FEEDS):
                self._due.set()
                self._announce(link)
        elif event in ("error", "alert", "subscribed_failed"):
            self._reject(f"{link.name} stream said", message.get("message"))
            if link is self._private and not self._told.issuperset(OWN_FEEDS):
                link.lost(f"subscription refused: {message.get('message')}")

    def _reject(self, reason: str, detail: object) -> None:
        self.counts[reason] += 1
        log.warning("%s: %.300s", reason, detail)

    def _announce(self, link: Link) -> None:
        """A connection that came back: whoever keeps state from the stream must reconcile."""
        reason = self._reasons.pop(link.name, None)
        if reason is not None and link.connects > 1:
            self._queue.put_nowait(FeedReset(reason=f"{link.name} stream: {reason}"))

    # --- what a break may have hidden ---------------------------------------------------------------------------------
    def _owe(self) -> None:
        since = self._heard_us - MARGIN_US
        self._owed_us = since if self._owed_us is None else min(self._owed_us, since)
        self._due.set()

    async def _catch_up(self) -> None:
        """After every subscription and every unreadable row: fills since the last good frame, and orders that went missing."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._owed_us is None or not self._told.issuperset(OWN_FEEDS):
                continue
            since_us, self._owed_us = self._owed_us, None
            unknown, self._unknown = self._unknown, {}
            try:
                for fill in await self._account.fills(since_us):  # told at once: whatever the orders below come to
                    for event in self._reader.take_fill(fill):
                        self._queue.put_nowait(event)
                standing = {order.txid for order in await self._account.open_orders()}
                ended = [txid for txid in dict.fromkeys([*self._reader.live, *unknown]) if txid not in standing]
                states = await self._account.orders(ended) if ended else []
            except (RetryableError, RejectedError) as error:
                log.warning("own trades could not be read after the stream broke: %s", error)
                self._owed_us, self._unknown = since_us, unknown | self._unknown
                await asyncio.sleep(ACK_S)
                self._due.set()
                continue
            self.counts["catch-ups"] += 1
            for order in states:
                for event in self._reader.take_order(order):
                    self._queue.put_nowait(event)
