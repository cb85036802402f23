"""What runs over the two WebSockets: candles, public trades and states of pairs on one, own executions on the other."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from trader.domain.messages import FeedReset, PairStatus, Tick
from trader.kraken import translate
from trader.kraken.board import CandleBoard
from trader.kraken.catchup import CatchUp
from trader.kraken.exact import exact_json
from trader.kraken.executions import ExecutionReader, SequenceGapError
from trader.kraken.rest import Rest
from trader.kraken.silence import QuietProof
from trader.kraken.stream import Events, Link, Work
from trader.ports import Clock

ACK_S = 10.0  # I/O time in which a subscription must be answered; nobody else waits for refusals (pitfall B)
SYMBOLS_PER_FRAME = 100  # a subscription of more goes out in several frames
QUEUE_LIMIT = 20_000  # events the consumer may be behind; ticks beyond it are dropped
ONLINE = "online"
HEARTBEAT = '{"channel":"heartbeat"}'
KNOWN = ("ohlc", "trade", "executions", "status", "instrument")
SYMBOL, HEAD = re.compile(r'"symbol":\s*"([^"]{1,40})"'), 400  # whose an unreadable frame was, if its beginning says so
log = logging.getLogger(__name__)


class Channels:
    """Subscriptions and frames of a running stream; events go to `queue`."""

    def __init__(self, rest: Rest, clock: Clock, board: CandleBoard, queue: Events, proof: QuietProof, *, since_us: int) -> None:
        self._rest, self._clock, self._board, self._queue = rest, clock, board, queue
        self._proof = proof
        self._parse: Callable[[str], Any] = rest.transport.parse
        self._reader = ExecutionReader(since_us, lambda pair: not rest.names.pairs or pair in rest.names.pairs)
        self._catchup = CatchUp(rest, self._reader, queue.put_nowait)
        self._public = Link("public", rest.transport, self, private=False, rng=rest.rng)
        self._private = Link("private", rest.transport, self, private=True, rng=rest.rng) if rest.transport.has_key else None
        self._ticking: dict[str, None] = {}
        self._pending: dict[str, float] = {}  # pair -> loop time by which its ohlc subscription must be answered
        self._reasons: dict[str, str] = {}
        self._requests = 0
        self._told = False  # the private subscription stands
        self._heard_us = clock.now_us()  # the newest private frame under a subscription that stands
        self.refused: dict[str, str] = {}
        self.system = ONLINE  # as the status channel says
        self._modes: dict[str, str] = {}  # of pairs, as told last
        self.counts: Counter[str] = Counter()  # what was rejected, dropped or repaired, by reason

    # --- for the feed ---------------------------------------------------------------------------------------------------
    @property
    def public_alive(self) -> bool:
        return self._public.alive

    def loops(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """The coroutines that keep the connections alive."""
        if self._private is None:
            return [(self._public.run(), "public stream")]
        self._private.wanted.set()
        return [(self._public.run(), "public stream"), (self._private.run(), "private stream"), (self._catchup.run(), "catch-up")]

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
        if link.connects > 1:
            await self._proof.refresh()
        await self._subscribe_candles(list(self._board.since))
        await self._trades("subscribe", list(self._ticking))
        await self._send(link, "subscribe", {"channel": "instrument", "snapshot": True})
        self._announce(link)

    def down(self, link: Link, reason: str) -> None:
        self._reasons.setdefault(link.name, reason)
        self.counts[f"{link.name} reconnects"] += 1
        if link is self._public:
            self._board.interrupted(self._clock.now_us())
            self._pending.clear()
            self._modes.clear()
        else:
            self._told = False

    def watch(self, link: Link) -> Work | None:
        if link is not self._public or not self._pending:
            return None
        now = asyncio.get_running_loop().time()
        overdue = [pair for pair, limit in self._pending.items() if limit <= now]
        return partial(self._subscribe_candles, overdue) if overdue else None

    def text(self, link: Link, text: str) -> None:
        """One frame; a bad one is rejected alone and counted. Candles come by the hundred thousand: they take the shortest way."""
        if link is self._private and self._told:
            self._heard_us = self._clock.now_us()
        if text == HEARTBEAT:  # on a quiet account every other frame
            return
        channel: object = None
        try:
            message = self._parse(text)
            channel = message.get("channel")
            if channel == "ohlc":
                self._candles(message)
            elif channel == "trade":
                self._ticks(message)
            elif channel == "executions":
                self._executions(exact_json(text))
            elif channel in ("status", "instrument"):
                (self._status if channel == "status" else self._instruments)(message["data"])
            elif message.get("method") in ("subscribe", "unsubscribe"):
                self._answered(link, message)
            elif "error" in message:
                self._reject(f"{link.name} stream said", message["error"])
        except SequenceGapError as gap:
            link.lost(str(gap))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._reject(f"malformed {channel if channel in KNOWN else 'frame'}", f"{type(error).__name__}: {error}")
            if link is self._public and (named := SYMBOL.search(text, 0, HEAD)) is not None:
                self._board.distrust(named[1])
            if link is self._private:
                self._catchup.owe(self._heard_us, unnamed=True)

    # --- frames ---------------------------------------------------------------------------------------------------------
    def _reject(self, reason: str, detail: object) -> None:
        self.counts[reason] += 1
        log.warning("%s: %.300s", reason, detail)

    def _candles(self, message: Mapping[str, Any]) -> None:
        snapshot = message.get("type") == "snapshot"
        for reason, detail in self._board.take(message["data"], self._clock.now_us(), snapshot=snapshot):
            self._reject(reason, detail)

    def _executions(self, frame: Mapping[str, Any]) -> None:
        for event in self._reader.read(frame):
            self._queue.put_nowait(event)
        doubtful, self._reader.doubtful = self._reader.doubtful, {}
        for txid, why in doubtful.items():
            self._reject("execution to look up", f"{txid or 'unnamed order'}: {why}")
        if doubtful:
            self._catchup.owe(self._heard_us, [txid for txid in doubtful if txid], unnamed="" in doubtful)

    def _status(self, items: Any) -> None:
        """The venue's own state; what it lets through is judged by its answers, this is for those who watch."""
        for item in items:
            system = translate.text(item["system"], "system")
            if system != self.system:
                log.warning("Kraken is %s (was %s)", system, self.system)
                self.counts[f"system {system}"] += 1
                self.system = system

    def _instruments(self, data: Any) -> None:
        """What each pair lets through: only changes are told, and after a break all: rules that were read meanwhile may say otherwise."""
        for item in data["pairs"]:
            try:
                pair, status = translate.text(item["symbol"], "symbol"), translate.text(item["status"], "status")
            except (ValueError, KeyError, TypeError) as error:  # one of the 1,300 of a snapshot, refused alone
                self._reject("malformed instrument", f"{type(error).__name__}: {error}")
                continue
            if status != self._modes.get(pair):
                self._modes[pair] = status
                self._queue.put_nowait(PairStatus(pair=pair, status=status))

    def _ticks(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == "snapshot":
            return
        for item in message["data"]:
            if item["symbol"] not in self._ticking:
                continue
            if self._queue.qsize() > QUEUE_LIMIT:
                self.counts["dropped tick"] += 1
                continue
            price: Decimal = translate.positive(item["price"], "price")
            self._queue.put_nowait(Tick(pair=item["symbol"], price=price, time_us=translate.stamp_us(item["timestamp"], "timestamp")))

    def _answered(self, link: Link, message: Mapping[str, Any]) -> None:
        error = str(message.get("error", ""))
        if message.get("success") or error.startswith("Already subscribed"):
            result = message.get("result") or ({"channel": "ohlc", "symbol": message["symbol"]} if " ohlc " in error else {})
            if message["method"] == "unsubscribe":
                return
            if result.get("channel") == "ohlc":
                self._pending.pop(result["symbol"], None)
                self.refused.pop(result["symbol"], None)
                self._board.acknowledged(result["symbol"], self._clock.now_us())
            elif result.get("channel") == "executions":
                self._stands(link)
            return
        if link is self._private:
            link.lost(f"subscription refused: {error}")
            return
        pair = str(message.get("symbol") or error.rpartition(" ")[2])
        log.error("public stream: subscription refused: %s", error)
        if self._pending.pop(pair, None) is not None:
            self.refused[pair] = error

    def _stands(self, link: Link) -> None:
        """Executions flow from here on; what happened before on this account is asked for, not hoped for."""
        if link.connects > 1:
            self._catchup.owe(self._heard_us, again=True)
        self._told, self._heard_us = True, self._clock.now_us()
        self._announce(link)

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
        await self._ohlc("subscribe", pairs, {"snapshot": True})

    async def resubscribe(self, pairs: Sequence[str]) -> None:
        """Candles of pairs that went silent while others flow: leave and join again, they alone."""
        self.counts["resubscribed"] += len(pairs)
        await self._ohlc("unsubscribe", pairs, {})
        await self._subscribe_candles(pairs)

    async def _ohlc(self, method: str, pairs: Sequence[str], more: Mapping[str, Any]) -> None:
        for batch in _batches(pairs):
            params = {"channel": "ohlc", "symbol": batch, "interval": self._board.timeframe.minutes, **more}
            await self._send(self._public, method, params)

    async def _trades(self, method: str, pairs: Sequence[str]) -> None:
        for batch in _batches(pairs):
            await self._send(self._public, method, {"channel": "trade", "symbol": batch, "snapshot": False})

    async def _send(self, link: Link, method: str, params: Mapping[str, Any]) -> None:
        self._requests += 1
        await link.send({"method": method, "params": dict(params), "req_id": self._requests})


def _batches(pairs: Sequence[str]) -> list[list[str]]:
    return [list(pairs[start : start + SYMBOLS_PER_FRAME]) for start in range(0, len(pairs), SYMBOLS_PER_FRAME)]
