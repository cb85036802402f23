"""`ports.MarketData` straight on the market and the matching engine: the same events as the adapter's stream, never a reset."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

from trader.domain.market import MINUTE, SECOND, Book, Candle, Ticker, Timeframe
from trader.domain.messages import BarsClosed, FeedEvent, Filled, OrderChanged
from trader.domain.messages import Tick as PublicTrade
from trader.domain.money import quantum
from trader.domain.orders import ExchangeStatus
from trader.errors import RejectedError
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import Event, PairRules, Refused
from trader.simulation.fills import Tick, bar_path, to_price
from trader.simulation.kraken_server.spot.market_view import OHLC_ROWS, TICKS, RunningBars
from trader.simulation.market import Row
from trader.simulation.venue import Venue, fill_of, remote_order

CLOSE_AFTER_US = 2 * SECOND  # as the adapter: a candle is closed this long after its end
SNAPSHOT_TRADES_US = 10 * MINUTE  # older fills are reconciliation's, not the stream's


class VenueMarketData:
    """Market data of all pairs and the account's own events. One `stream` at a time; `run_market` of the venue feeds it.

    `frames_per_minute`: how often a running candle is shown, after its last tick or (4) each, as the twin's switch of that name.
    """

    def __init__(self, venue: Venue, *, frames_per_minute: int = 1) -> None:
        self._frames_per_minute = frames_per_minute
        self._venue, self._engine, self._clock = venue, venue.engine, venue.clock
        self._since: dict[str, int] = {}  # pair -> open of its first wanted candle
        self._ticking: dict[str, None] = {}
        self._queue: asyncio.Queue[FeedEvent] | None = None
        self._bars: RunningBars[Timeframe] | None = None
        self._running: tuple[int, Row] | None = None  # (open, candles of all pairs as far as they were shown)
        self._first: dict[str, Candle] = {}  # as shown when a pair was added

    # --- questions --------------------------------------------------------------------------------------------------------
    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        """All closed candles from `since_us`, or the newest 720. Raises RejectedError for a pair that is not listed."""
        await asyncio.sleep(0)
        rules = self._rules(pair)
        end = timeframe.floor(self._clock.now_us())
        rows = self._venue.market.candles(pair, timeframe, end - OHLC_ROWS * timeframe.us if since_us is None else since_us, end)
        columns = (rows.time, rows.open, rows.high, rows.low, rows.close, rows.volume)
        values = zip(*(column.tolist() for column in columns), strict=True)
        return [candle(rules, timeframe, time_us, (o, h, low, c, v)) for time_us, o, h, low, c, v in values]

    async def tickers(self) -> Mapping[str, Ticker]:
        """Every pair that has a price."""
        await asyncio.sleep(0)
        return {rules.symbol: self._ticker(rules) for rules in self._engine.rules if self._engine.priced(rules.symbol)}

    async def book(self, pair: str, depth: int = 10) -> Book:
        """The best `depth` levels a side. Raises RejectedError for a pair that is not listed or has no price yet."""
        await asyncio.sleep(0)
        rules, now_us = self._rules(pair), self._clock.now_us()
        try:
            book = self._venue.view.book(rules, depth)
        except Refused as refusal:
            raise RejectedError(f"{pair}: {refusal.error}") from None
        price, lot = quantum(rules.pair_decimals), rules.lot  # what the book counts in
        bids, asks = (tuple((level.price * price, level.quantity * lot) for level in side) for side in (book.bids, book.asks))
        return Book(pair=pair, bids=bids, asks=asks, time_us=now_us)

    # --- the stream -------------------------------------------------------------------------------------------------------
    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        """Candles of all pairs, own orders and fills, ticks of the watched pairs, for ever. RuntimeError where one runs already."""
        if self._queue is not None:
            raise RuntimeError("a stream is running already; close it before starting another")
        queue: asyncio.Queue[FeedEvent] = asyncio.Queue()
        self._queue = queue
        self._bars = RunningBars(self._venue.market, timeframe)
        await self.add_pairs(pairs)
        for event in self._snapshot():
            queue.put_nowait(event)
        self._listen(on=True)
        self._venue.watchers.append(self._moved)
        closer = asyncio.create_task(self._close_candles(timeframe, queue), name="candle closer")
        try:
            while True:
                yield await queue.get()
        finally:
            self._listen(on=False)
            self._venue.watchers.remove(self._moved)
            self._queue, self._bars, self._running, self._since, self._first = None, None, None, {}, {}
            closer.cancel()
            await asyncio.gather(closer, return_exceptions=True)

    def forming(self, pair: str) -> Candle | None:
        """The base candle that is not closed yet, as it was shown last; None without a stream, or before it was shown."""
        rules = self._engine.by_symbol.get(pair)
        if self._bars is None or rules is None:
            return None
        if self._running is not None and (values := _values(self._running[1], rules)) is not None:
            return candle(rules, self._bars.timeframe, self._running[0], values)
        return self._first.get(pair)

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        self._ticking = dict.fromkeys(pairs)

    async def add_pairs(self, pairs: Iterable[str]) -> None:
        begin = 0 if self._bars is None else self._bars.timeframe.floor(self._clock.now_us())
        for pair in pairs:
            if self._bars is not None and pair not in self._since and (rules := self._engine.by_symbol.get(pair)) is not None:
                opened, *values = self._venue.view.running(rules, self._bars.timeframe, self._clock.now_us())
                self._first[pair] = candle(rules, self._bars.timeframe, opened, (values[0], values[1], values[2], values[3], values[4]))
            self._since.setdefault(pair, begin)

    # --- helpers ----------------------------------------------------------------------------------------------------------
    def _rules(self, pair: str) -> PairRules:
        if (rules := self._engine.by_symbol.get(pair)) is None:
            raise RejectedError(f"pair {pair!r} is not among the {len(self._engine.rules)} pairs listed")
        return rules

    def _ticker(self, rules: PairRules) -> Ticker:
        bid, ask, last = self._venue.view.quotes(rules)
        day = self._venue.view.stats(rules, self._clock.now_us())
        return Ticker(pair=rules.symbol, bid=bid, ask=ask, last=last, quote_volume=day["volume"] * day["vwap"])

    def _snapshot(self) -> Iterator[FeedEvent]:
        """What a new connection is told."""
        return standing(self._engine, self._clock.now_us())

    def _listen(self, *, on: bool) -> None:
        """Hear of own orders and fills, or no longer."""
        (self._engine.listeners.append if on else self._engine.listeners.remove)(self._own)

    def _own(self, event: Event) -> None:
        if self._queue is not None:
            self._queue.put_nowait(own_event(event))

    async def _moved(self, open_us: int, tick: Tick, row: Row) -> None:
        if self._bars is None or self._queue is None:
            return
        if TICKS in (tick.part, self._frames_per_minute):
            self._running = self._bars.at(open_us, tick, row)
        for pair in self._ticking:
            rules = self._engine.by_symbol.get(pair)
            if rules is not None and tick.prices[rules.index] > 0:  # NaN: no candle, no trade
                self._queue.put_nowait(PublicTrade(pair=pair, price=to_price(float(tick.prices[rules.index]), rules), time_us=tick.time_us))

    async def _close_candles(self, timeframe: Timeframe, queue: asyncio.Queue[FeedEvent]) -> None:
        market, bars = self._venue.market, RunningBars(self._venue.market, timeframe)
        end = timeframe.floor(self._clock.now_us()) + timeframe.us
        while True:
            await self._clock.sleep_until(end + CLOSE_AFTER_US)
            begin, last_us = end - timeframe.us, end - market.base.us
            minute = market.minute(last_us)
            _, row = bars.at(last_us, list(bar_path(last_us, market.base, minute))[-1], minute)
            wanted = [pair for pair, since in self._since.items() if since <= begin]
            candles = [made for pair in wanted if (made := self._closed(pair, timeframe, begin, row)) is not None]
            if self._since:
                queue.put_nowait(BarsClosed(close_us=end, candles=tuple(candles)))
            if self._running is not None and self._running[0] <= begin:
                self._running = None
            self._first = {pair: shown for pair, shown in self._first.items() if shown.time_us > begin}
            end += timeframe.us

    def _closed(self, pair: str, timeframe: Timeframe, begin: int, row: Row) -> Candle | None:
        """The whole candle of a pair; None for one that is not listed or never had a price."""
        rules = self._engine.by_symbol.get(pair)
        if rules is None or not self._engine.priced(pair):
            return None
        values = _values(row, rules)
        if values is None:  # a minute the market leaves out is a minute without trades
            last = float(self._engine.last(pair))
            values = (last, last, last, last, 0.0)
        return candle(rules, timeframe, begin, values)


def standing(engine: TwinExchange, now_us: int) -> Iterator[FeedEvent]:
    """What a new connection is told: live orders, and the fills of the last minutes."""
    for order in engine.open_orders():
        yield OrderChanged(order=remote_order(order))
    for trade in engine.state.trades.values():
        if trade.time_us >= now_us - SNAPSHOT_TRADES_US:
            yield Filled(fill=fill_of(trade))


def own_event(event: Event) -> FeedEvent:
    """An event of the engine as the stream tells it."""
    if event.trade is not None:
        return Filled(fill=fill_of(event.trade))
    status = ExchangeStatus.PENDING if event.kind == "pending_new" else None
    return OrderChanged(order=remote_order(event.order, status))


def _values(row: Row, rules: PairRules) -> tuple[float, float, float, float, float] | None:
    """(o, h, l, c, v) of one pair; None where it has no candle."""
    o, h, low, c, v = (float(column[rules.index]) for column in (row.open, row.high, row.low, row.close, row.volume))
    return None if math.isnan(o) else (o, h, low, c, v)


def candle(rules: PairRules, timeframe: Timeframe, time_us: int, values: tuple[float, float, float, float, float]) -> Candle:
    """A candle from (o, h, l, c, v), with the vwap and count the wire would show (market_view.ohlc_row)."""
    o, h, low, c, v = values
    vwap, count = (round((h + low + c) / 3, rules.pair_decimals), TICKS) if v > 0 else (0.0, 0)
    return Candle(
        pair=rules.symbol, timeframe=timeframe, time_us=time_us, open=o, high=h, low=low, close=c, volume=v, vwap=vwap, count=count,
        filled=count == 0,
    )  # fmt: skip
