"""Kraken futures as `ports.MarketData`: charts, tickers and book by REST, ticks and own orders by WebSocket v1.

The stream has no candles, and trades that were lost in it leave no gap. So every closed candle is the charts' own, asked for
after its end, late rather than never; the trade feed gives ticks and the forming candle. A minute the charts leave out
between two others is a minute without trades.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from trader.domain.market import MINUTE, SECOND, Book, Candle, Ticker, Timeframe
from trader.domain.messages import BarsClosed, FeedEvent, FeedReset
from trader.errors import RetryableError
from trader.kraken import futures_rest as rest
from trader.kraken import futures_translate
from trader.kraken.futures import KrakenFuturesExchange
from trader.kraken.futures_board import TradeBoard
from trader.kraken.futures_channels import FuturesChannels
from trader.kraken.futures_rest import FuturesLimiter, FuturesRest
from trader.kraken.futures_transport import FuturesTransport
from trader.kraken.repairs import Repairs
from trader.kraken.silence import Staleness
from trader.kraken.stream import Events, taken
from trader.kraken.streamed import StreamedMarketData
from trader.ports import Clock, Rng

CLOSE_AFTER_US = 2 * SECOND  # a candle is asked for this long after its end
FETCH_S = 10.0  # I/O time a close waits for the charts; what comes later comes with a later close
NEWEST = 720  # candles of a history without a beginning
MOST_PAGES = 100  # of 2,000 candles
SNAPSHOT_FILLS_US = 10 * MINUTE  # older fills at the first connect are reconciliation's, not the stream's
log = logging.getLogger(__name__)


class KrakenFuturesMarketData(StreamedMarketData[FuturesChannels]):
    """Public data of all perpetuals, and the account's own stream where the client has a key. One `stream` at a time."""

    def __init__(self, client: FuturesTransport, clock: Clock, *, rng: Rng | None = None, limiter: FuturesLimiter | None = None) -> None:
        super().__init__()
        self._rest, self._clock = FuturesRest(client, clock, rng=rng, limiter=limiter), clock
        self._account = KrakenFuturesExchange(client, clock, rng=rng, limiter=self._rest.limiter)
        self._charted: Counter[str] = Counter()

    # --- REST -----------------------------------------------------------------------------------------------------------
    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        """Closed candles from `since_us` (the newest 720 without it), page by page. Raises RejectedError for an unknown pair."""
        symbol, now_us = await self._rest.symbol(pair), self._clock.now_us()
        start = timeframe.floor(now_us) - NEWEST * timeframe.us if since_us is None else max(0, since_us)
        fields = {"price_type": "trade", "symbol": symbol, "interval": timeframe.value, "to": str(now_us // SECOND)}
        rows: list[Candle] = []

        def read(body: Any) -> tuple[list[Candle], bool]:
            return [futures_translate.candle(row, pair, timeframe) for row in body["candles"]], body.get("more_candles") is True

        for _ in range(MOST_PAGES):
            page, more = await self._rest.read(rest.CHART, fields | {"from": str(-(-start // SECOND))}, read=read)
            rows += page
            if not more or not page:
                whole = without_holes(rows)
                return [row for row in whole if row.close_us <= now_us and (since_us is None or row.time_us >= since_us)]
            start = max(row.time_us for row in page) + timeframe.us
        raise RetryableError(f"charts of {pair}: still more candles after {MOST_PAGES} pages")

    async def tickers(self) -> Mapping[str, Ticker]:
        """All perpetuals in one call."""
        names = await self._rest.named()

        def read(body: Any) -> dict[str, Ticker]:
            rows = [(names.pairs.get(str(row.get("symbol")).upper()), row) for row in body["tickers"]]
            return {
                pair: futures_translate.ticker(row, pair) for pair, row in rows if pair is not None and row.get("suspended") is not True
            }

        return await self._rest.read(rest.TICKERS, read=read)

    async def book(self, pair: str, depth: int = 10) -> Book:
        """The best `depth` levels a side; `time_us` is when the request left."""
        symbol, asked_us = await self._rest.symbol(pair), self._clock.now_us()

        def read(body: Any) -> Book:
            sides = {side: futures_translate.levels(body["orderBook"][side], side) for side in ("bids", "asks")}
            bids, asks = sorted(sides["bids"], reverse=True), sorted(sides["asks"])
            return Book(pair=pair, bids=tuple(bids[:depth]), asks=tuple(asks[:depth]), time_us=asked_us)

        return await self._rest.read(rest.BOOK, {"symbol": symbol}, read=read)

    # --- stream ---------------------------------------------------------------------------------------------------------
    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        """Candles of all pairs, closed by the clock; own fills and orders; ticks of the watched pairs.

        Runs until it is closed. Raises FatalError when Kraken refuses the key, RuntimeError where one is running already.
        """
        names = await self._rest.named()
        self._must_be_idle()
        now = self._clock.now_us()
        queue: Events = asyncio.Queue()
        board = TradeBoard(timeframe, now)
        channels = FuturesChannels(self._rest, self._account, board, names=names, queue=queue, since_us=now - SNAPSHOT_FILLS_US)
        self._charted = Counter()
        repairs = Repairs(timeframe, lambda pair, since: self.history(pair, timeframe, since), self._charted, lambda _: None)
        closer = self._close_candles(board, channels, repairs, queue)
        async with self._running(pairs, board, channels, repairs=repairs, closer=closer, queue=queue):
            while True:
                yield await taken(queue)

    @property
    def counts(self) -> Mapping[str, int]:
        """What the newest stream rejected, dropped, got late or lost, and reconnected, by reason."""
        late = {reason: self._charted[reason] for reason in ("late candle", "lost candle") if self._charted[reason]}
        return dict(self._counts) | late

    # --- closing --------------------------------------------------------------------------------------------------------
    async def _close_candles(self, board: TradeBoard, channels: FuturesChannels, repairs: Repairs, queue: Events) -> None:
        stale, length = Staleness(channels.counts), board.timeframe.us
        while True:
            await self._clock.sleep_until(board.closed_us + length + CLOSE_AFTER_US)
            end = board.timeframe.floor(self._clock.now_us() - CLOSE_AFTER_US)
            behind = (end - board.closed_us) // length
            if behind > 1:  # a suspended machine: nothing is decided about these candles any more, but they are delivered
                queue.put_nowait(FeedReset(reason=f"{behind} candles were missed while this process stood still"))
            owed, heard = board.close(end)
            places = {pair: place for place, pair in enumerate(board.since)}
            delivered = await repairs.close([], owed, end, patience_s=FETCH_S)
            delivered.sort(key=lambda candle: (candle.time_us, places[candle.pair]))
            if board.since:
                queue.put_nowait(BarsClosed(close_us=end, candles=tuple(delivered)))
            newest = [candle for candle in delivered if candle.close_us == end]
            lost = [candle.pair for candle in newest if candle.pair not in heard and not candle.filled]
            if again := stale.judge(lost, [pair for pair in places if pair in heard]):
                await channels.subscribe(again)


def without_holes(rows: Sequence[Candle]) -> list[Candle]:
    """The candles with those between them that the charts left out, at the close before; as they came where they do not ascend."""
    if any(before.time_us >= after.time_us for before, after in pairwise(rows)):
        log.warning("charts of %s came out of order", rows[0].pair)
        return list(rows)
    whole = list(rows[:1])
    for row in rows[1:]:
        whole += [quiet(whole[-1], time_us) for time_us in range(whole[-1].close_us, row.time_us, row.timeframe.us)]
        whole.append(row)
    return whole


def quiet(before: Candle, time_us: int) -> Candle:
    """A minute without trades after `before`."""
    last = before.close
    return Candle(
        pair=before.pair, timeframe=before.timeframe, time_us=time_us, open=last, high=last, low=last, close=last, volume=0.0, filled=True
    )
