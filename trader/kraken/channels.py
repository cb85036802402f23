"""What runs over the two WebSockets: candles and public trades on one, own executions on the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.messages import FeedEvent, FeedReset, Tick
from trader.kraken import translate
from trader.kraken.board import CandleBoard
from trader.kraken.exact import exact_json
from trader.kraken.executions import ExecutionReader, SequenceGapError
from trader.kraken.rest import Rest
from trader.kraken.stream import Link
from trader.ports import Clock

ACK_S = 10.0  # I/O time in which a subscription must be answered; nobody else waits for refusals (pitfall B)
QUEUE_LIMIT = 20_000  # events the consumer may be behind; ticks beyond it are dropped
Events = asyncio.Queue[FeedEvent | BaseException]
log = logging.getLogger(__name__)


class Channels:
    """Subscriptions and frames of a running stream; events go to `queue`."""

    def __init__(self, rest: Rest, clock: Clock, board: CandleBoard, queue: Events, *, since_us: int) -> None:
        self._rest, self._clock, self._board, self._queue = rest, clock, board, queue
        self._parse: Callable[[str], Any] = rest.transport.parse
        self._reader = ExecutionReader(since_us)
        self._public = Link("public", rest.transport, self, private=False, rng=rest.rng)
        self._private = Link("private", rest.transport, self, private=True, rng=rest.rng) if rest.transport.has_key else None
        self._ticking: dict[str, None] = {}
        self._pending: dict[str, float] = {}  # pair -> loop time by which its ohlc subscription must be answered
        self._reasons: dict[str, str] = {}
        self._requests = 0
        self.refused: dict[str, str] = {}
        self.dropped_ticks = self.malformed = self.frames = 0

    # --- for the feed ---------------------------------------------------------------------------------------------------
    @property
    def public_alive(self) -> bool:
        return self._public.alive

    def loops(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """The coroutines that keep the connections alive."""
        if self._private is None:
            return [(self._public.run(), "public stream")]
        self._private.wanted.set()
        return [(self._public.run(), "public stream"), (self._private.run(), "private stream")]

    async def want(self, pairs: Sequence[str]) -> None:
        """Candles of these pairs from the running one on."""
        fresh = self._board.want(pairs, self._clock.now_us())
        if fresh:
            self._public.wanted.set()
            await self._subscribe_candles(fresh)

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        """Trades of exactly these pairs."""
        wanted = dict.fromkeys(pairs)
        gone, fresh = [pair for pair in self._ticking if pair not in wanted], [pair for pair in wanted if pair not in self._ticking]
        self._ticking = wanted
        if wanted:
            self._public.wanted.set()
        elif not self._board.since:
            self._public.wanted.clear()  # without a subscription there is no heartbeat either
        await self._trades("unsubscribe", gone)
        await self._trades("subscribe", fresh)

    # --- LinkOwner ------------------------------------------------------------------------------------------------------
    async def up(self, link: Link) -> None:
        if link is self._private:
            self._reader.reconnected()
            token = await self._rest.private("GetWebSocketsToken", read=lambda result: translate.text(result["token"], "token"))
            params = {"channel": "executions", "token": token, "snap_orders": True, "snap_trades": True, "order_status": True}
            await self._send(link, "subscribe", params)
            return
        await self._subscribe_candles(list(self._board.since))
        await self._trades("subscribe", list(self._ticking))
        self._announce(link)

    def down(self, link: Link, reason: str) -> None:
        self._reasons.setdefault(link.name, reason)
        if link is self._public:
            self._board.interrupted(self._clock.now_us())
            self._pending.clear()

    def watch(self, link: Link) -> Awaitable[None] | None:
        if link is not self._public or not self._pending:
            return None
        now = asyncio.get_running_loop().time()
        overdue = [pair for pair, limit in self._pending.items() if limit <= now]
        return self._subscribe_candles(overdue) if overdue else None

    def text(self, link: Link, text: str) -> None:
        """One frame. Candles come by the hundred thousand, so they take the shortest way."""
        self.frames += 1
        try:
            message = self._parse(text)
            channel = message.get("channel")
            if channel == "ohlc":
                self._board.take(message["data"], self._clock.now_us())
            elif channel == "heartbeat":
                return
            elif channel == "trade":
                self._ticks(message)
            elif channel == "executions":
                for event in self._reader.read(exact_json(text)):
                    self._queue.put_nowait(event)
            elif message.get("method") in ("subscribe", "unsubscribe"):
                self._answered(link, message)
            elif "error" in message:
                log.error("%s stream: %s", link.name, message["error"])
        except SequenceGapError as gap:
            link.lost(str(gap))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.malformed += 1
            log.warning("%s stream: malformed frame: %s: %s", link.name, type(error).__name__, error)

    # --- frames ---------------------------------------------------------------------------------------------------------
    def _ticks(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == "snapshot":
            return
        for item in message["data"]:
            if item["symbol"] not in self._ticking:
                continue
            if self._queue.qsize() > QUEUE_LIMIT:
                self.dropped_ticks += 1
                continue
            price: Decimal = translate.decimal(item["price"], "price")
            self._queue.put_nowait(Tick(pair=item["symbol"], price=price, time_us=translate.stamp_us(item["timestamp"], "timestamp")))

    def _answered(self, link: Link, message: Mapping[str, Any]) -> None:
        error = str(message.get("error", ""))
        if message.get("success") or error == "Already subscribed":
            result = message.get("result") or {}
            if result.get("channel") == "ohlc":
                self._pending.pop(result["symbol"], None)
                self.refused.pop(result["symbol"], None)
                self._board.acknowledged(result["symbol"], self._clock.now_us())
            elif result.get("channel") == "executions":
                self._announce(link)
            return
        if link is self._private:
            link.lost(f"subscription refused: {error}")
            return
        pair = str(message.get("symbol") or error.rpartition(" ")[2])
        log.error("public stream: subscription refused: %s", error)
        if self._pending.pop(pair, None) is not None:
            self.refused[pair] = error

    def _announce(self, link: Link) -> None:
        """A connection that came back: whoever keeps state from the stream must reconcile."""
        reason = self._reasons.pop(link.name, None)
        if reason is not None and link.connects > 1:
            self._queue.put_nowait(FeedReset(reason=f"{link.name} stream: {reason}"))

    # --- requests -------------------------------------------------------------------------------------------------------
    async def _subscribe_candles(self, pairs: Sequence[str]) -> None:
        if not pairs:
            return
        limit = asyncio.get_running_loop().time() + ACK_S
        self._pending.update(dict.fromkeys(pairs, limit))
        params = {"channel": "ohlc", "symbol": list(pairs), "interval": self._board.timeframe.minutes, "snapshot": True}
        await self._send(self._public, "subscribe", params)

    async def _trades(self, method: str, pairs: Sequence[str]) -> None:
        if pairs:
            await self._send(self._public, method, {"channel": "trade", "symbol": list(pairs), "snapshot": False})

    async def _send(self, link: Link, method: str, params: Mapping[str, Any]) -> None:
        self._requests += 1
        await link.send({"method": method, "params": dict(params), "req_id": self._requests})
