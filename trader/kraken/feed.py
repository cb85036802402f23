"""Kraken spot as `ports.MarketData`: history, tickers and book by REST, candles, ticks and own orders by WebSocket v2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from trader.domain.market import MINUTE, SECOND, Book, Candle, Instrument, Ticker, Timeframe, TradePage
from trader.domain.messages import BarsClosed, FeedEvent, FeedReset
from trader.kraken import translate
from trader.kraken.board import CandleBoard
from trader.kraken.channels import Channels
from trader.kraken.limits import Limiter
from trader.kraken.repairs import Repairs
from trader.kraken.rest import Rest
from trader.kraken.silence import QuietProof, Staleness, contradicted
from trader.kraken.stream import Events, taken
from trader.kraken.streamed import StreamedMarketData
from trader.kraken.transport import Transport
from trader.kraken.venue_rest import MALFORMED
from trader.ports import Clock, Rng

CLOSE_AFTER_US = 2 * SECOND  # a candle is closed by exchange time, this long after its end
FETCH_S = 10.0  # I/O time a close waits for candles by REST that the stream may have missed; later ones come with a later close
SNAPSHOT_TRADES_US = 10 * MINUTE  # fills older than this at the first connect are reconciliation's, not the stream's
log = logging.getLogger(__name__)


class KrakenMarketData(StreamedMarketData[Channels]):
    """Public data of all pairs, and the account's own stream where the client has a key. One `stream` at a time.

    Give it the `limiter` of the exchange of the same client: the venue counts both together.
    """

    def __init__(self, client: Transport, clock: Clock, *, rng: Rng | None = None, limiter: Limiter | None = None) -> None:
        super().__init__()
        self._rest, self._clock = Rest(client, clock, rng=rng, limiter=limiter), clock

    async def instruments(self) -> Mapping[str, Instrument]:
        """Trading rules of every pair, which are public: whoever only watches needs no order side to learn them."""
        return await self._rest.load()

    # --- REST -----------------------------------------------------------------------------------------------------------
    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        """Closed candles as served, none before `since_us`; Kraken keeps about 720, so the first may be later than asked.

        They ascend unless the answer was spoilt: nothing is repaired here, so that the data gate can refuse it by name.
        Raises RejectedError for a pair Kraken does not list.
        """
        pair_id = await self._rest.pair_id(pair)
        fields = {"pair": pair_id, "interval": str(timeframe.minutes)}
        if since_us is not None:
            fields["since"] = str(max(0, (since_us - timeframe.us) // SECOND))

        def read(result: Any) -> list[Candle]:
            return _closed(result[pair_id], pair, timeframe, since_us, self._clock.now_us())

        return await self._rest.public("OHLC", fields, read=read)

    async def tickers(self) -> Mapping[str, Ticker]:
        """All pairs in one call; one whose row cannot be read is left out and counted."""
        names = await self._rest.named()

        def read(result: Any) -> dict[str, Ticker]:
            rows = {names.pairs[key]: row for key, row in translate.mapping(result, "Ticker").items() if key in names.pairs}
            found: dict[str, Ticker] = {}
            for pair, row in rows.items():
                try:
                    found[pair] = _ticker(pair, row)
                except MALFORMED as error:
                    self._counts["malformed ticker"] += 1
                    log.warning("Ticker of %s is malformed: %s: %s", pair, type(error).__name__, error)
            if rows and not found:
                raise ValueError("no row of it can be read")
            return found

        return await self._rest.public("Ticker", read=read)

    async def book(self, pair: str, depth: int = 10) -> Book:
        """The best `depth` levels a side; `time_us` is when the request left."""
        pair_id = await self._rest.pair_id(pair)
        asked_us = self._clock.now_us()

        def read(result: Any) -> Book:
            sides = result[pair_id]
            bids, asks = (translate.levels(sides[side], side)[:depth] for side in ("bids", "asks"))
            return Book(pair=pair, bids=bids, asks=asks, time_us=asked_us)

        return await self._rest.public("Depth", {"pair": pair_id, "count": str(depth)}, read=read)

    async def trades(self, pair: str, cursor: str) -> TradePage:
        """Public trades after a cursor in nanoseconds, 1,000 at most; the cursor is passed on digit by digit, as Kraken gave it."""
        pair_id = await self._rest.pair_id(pair)

        def read(result: Any) -> TradePage:
            return TradePage(trades=tuple(map(translate.public_trade, result[pair_id])), cursor=translate.text(str(result["last"]), "last"))

        return await self._rest.public("Trades", {"pair": pair_id, "since": cursor, "count": "1000"}, read=read, background=True)

    # --- stream ---------------------------------------------------------------------------------------------------------
    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        """Candles of all pairs, closed by the clock; own fills and orders; ticks of the watched pairs.

        Runs until it is closed. Raises FatalError when Kraken refuses the key, RuntimeError where one is running already.
        """
        self._must_be_idle()
        now = self._clock.now_us()
        queue: Events = asyncio.Queue()
        board, proof = CandleBoard(timeframe, now), QuietProof(self._rest)
        channels = Channels(self._rest, self._clock, board, queue, proof, since_us=now - SNAPSHOT_TRADES_US)
        repairs = Repairs(timeframe, lambda pair, since_us: self.history(pair, timeframe, since_us), channels.counts, board.known)
        closer = self._close_candles(board, channels, repairs, proof, queue)
        async with self._running(pairs, board, channels, repairs=repairs, closer=closer, queue=queue):
            while True:
                yield await taken(queue)

    @property
    def system(self) -> str:
        """Kraken's own state as the status channel says: online, maintenance, cancel_only, post_only."""
        return "online" if self._channels is None else self._channels.system

    # --- closing --------------------------------------------------------------------------------------------------------
    async def _close_candles(self, board: CandleBoard, channels: Channels, repairs: Repairs, proof: QuietProof, queue: Events) -> None:
        stale, length = Staleness(channels.counts), board.timeframe.us
        end = board.closed_us + length
        while True:
            await self._clock.sleep_until(end + CLOSE_AFTER_US)
            missing: dict[str, int] = {}
            behind = (self._clock.now_us() - CLOSE_AFTER_US - end) // length
            if behind >= 2:  # a suspended machine: nothing is decided about these candles any more, but they are delivered
                queue.put_nowait(FeedReset(reason=f"{behind} candles were missed while this process stood still"))
                missing = board.skip(end + (behind - 2) * length)
                end += behind * length
            closing = board.close(end - length, alive=channels.public_alive)
            quiet = dict.fromkeys(closing.quiet)
            doubtful = await proof.doubtful([candle for candle in closing.candles if candle.pair in quiet])
            asked = dict.fromkeys(candle.pair for candle in doubtful)
            board.doubt(asked)
            candles = [candle for candle in closing.candles if candle.pair not in asked]
            missing = dict.fromkeys([*closing.missing, *asked], end - length) | missing
            delivered = await repairs.close(candles, missing, end, patience_s=FETCH_S)
            if board.since:
                queue.put_nowait(BarsClosed(close_us=end, candles=tuple(delivered)))
            heard = [candle.pair for candle in candles if candle.pair not in quiet]
            if again := stale.judge(contradicted(doubtful, delivered), heard):
                await channels.resubscribe(again)
            end += length


def _closed(rows: Any, pair: str, timeframe: Timeframe, since_us: int | None, now_us: int) -> list[Candle]:
    """Candles whose end has passed (by time, never by position). Order and values pass as they came: the data gate judges them."""
    candles = [translate.candle(row, pair, timeframe) for row in rows]
    if any(a.time_us >= b.time_us for a, b in pairwise(candles)):
        log.warning("OHLC of %s came out of order", pair)
    return [candle for candle in candles if candle.close_us <= now_us and (since_us is None or candle.time_us >= since_us)]


def _ticker(pair: str, row: Any) -> Ticker:
    volume, vwap = translate.decimal(row["v"][1], "v"), translate.decimal(row["p"][1], "p")
    bid, ask, last = (_first(row, field) for field in ("b", "a", "c"))
    return Ticker(pair=pair, bid=bid, ask=ask, last=last, quote_volume=float(volume * vwap))


def _first(row: Any, field: str) -> Decimal:
    return translate.decimal(row[field][0], field)
