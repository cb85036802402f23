"""Paper trading: the real market's public data, and orders that only our own matching engine ever sees.

Engine, order side and fill rules are those of the demo and the replay (exchange.py, venue.py, fills.py); what differs is
where prices come from. A public trade of a pair moves its price there at once, a closed candle tells of trades that were
missed, and an order meets the newest price that anybody told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from trader.domain.market import Book, Candle, Instrument, Ticker, Timeframe
from trader.domain.messages import BarsClosed, FeedEvent, PairStatus
from trader.domain.messages import Tick as PublicTrade
from trader.domain.money import from_float
from trader.domain.orders import Answer, Intent
from trader.ports import Clock, MarketData
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Event, PairRules
from trader.simulation.exchange_venue import STATUSES
from trader.simulation.fills import FillRules, Tick
from trader.simulation.kraken_server.spot.market_view import QUOTE_DECIMALS
from trader.simulation.venue import VenueExchange
from trader.simulation.venue_feed import own_event, standing


def rules_of(instrument: Instrument, index: int) -> PairRules:
    """The engine's rules of a listed pair; ids and names are for a wire, which paper has none of."""
    name = instrument.pair.replace("/", "")
    return PairRules(
        index=index, symbol=instrument.pair, pair_id=name, altname=name, wsname=instrument.pair, base=instrument.base,
        quote=instrument.quote, base_id=instrument.base, quote_id=instrument.quote, tick=instrument.tick,
        pair_decimals=_decimals(instrument.tick), lot_decimals=_decimals(instrument.lot), cost_decimals=_decimals(instrument.quote_step),
        quote_decimals=QUOTE_DECIMALS, ordermin=instrument.order_min, costmin=instrument.cost_min, status=instrument.status,
    )  # fmt: skip


def _decimals(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


class PaperVenue:
    """The engine on prices from outside. `state_dir` holds its books (None: memory only); pairs of one currency."""

    def __init__(
        self, instruments: Mapping[str, Instrument], clock: Clock, *, quote: str, cash: Decimal, tag: str, state_dir: Path | None = None,
        fills: FillRules | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        listed = [instruments[pair] for pair in sorted(instruments) if instruments[pair].quote == quote]
        self.clock, self._books = clock, Books(state_dir)
        self.engine = TwinExchange(
            [rules_of(instrument, index) for index, instrument in enumerate(listed)], cash={quote: cash}, fills=fills or FillRules(),
            books=self._books, seed=seed, tag=tag, start_us=clock.now_us(),
        )  # fmt: skip

    def moved(self, pair: str, price: Decimal, time_us: int, *, through: bool = False) -> None:
        """The market trades here: match what that reaches. `through`: at every level on the way, too, and not only here."""
        rules = self.engine.by_symbol.get(pair)
        if rules is None or price <= 0:
            return
        prices = np.full(len(self.engine.rules), np.nan)
        prices[rules.index] = float(price)
        self.engine.advance(Tick(time_us=time_us, prices=prices, gap=not through, part=0))

    def closed(self, candle: Candle) -> None:
        """A whole candle of the market: what rested all through it meets its low and high, also where their trades were missed."""
        rules = self.engine.by_symbol.get(candle.pair)
        if rules is None:
            return
        resting = [order for order in self.engine.open_orders() if order.pair == candle.pair]
        if resting and all(order.changed_us < candle.time_us for order in resting):
            for value in (candle.low, candle.high):
                self.moved(candle.pair, from_float(value), candle.close_us, through=True)
        self.moved(candle.pair, from_float(candle.close), candle.close_us, through=True)

    def told(self, pair: str, status: str) -> None:
        """The real pair's mode is that of ours; one that we do not know lets nothing through."""
        rules, mode = self.engine.by_symbol.get(pair), status if status in STATUSES else "maintenance"
        if rules is not None and rules.status != mode:  # at a connect all are told, nearly all as they are
            self.engine.set_pair_status(pair, mode)

    def close(self) -> None:
        """Close the books."""
        self._books.close()


class PaperMarketData:
    """`ports.MarketData`: what the real market says, which also moves the engine, and the account's events, which are the engine's."""

    def __init__(self, market: MarketData, venue: PaperVenue) -> None:
        self._market, self._venue = market, venue

    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        return await self._market.history(pair, timeframe, since_us)

    async def tickers(self) -> Mapping[str, Ticker]:
        """Of all pairs; the first price of those that nobody has told of yet."""
        found = await self._market.tickers()
        for pair, ticker in found.items():
            if pair in self._venue.engine.by_symbol and not self._venue.engine.priced(pair):
                self._venue.moved(pair, ticker.last, self._venue.clock.now_us())
        return found

    async def book(self, pair: str, depth: int = 10) -> Book:
        return await self._market.book(pair, depth)

    async def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        """The market's events in their order, each after what it did to our orders."""
        queue: asyncio.Queue[FeedEvent | BaseException] = asyncio.Queue()
        for event in standing(self._venue.engine, self._venue.clock.now_us()):
            queue.put_nowait(event)

        def own(event: Event) -> None:
            queue.put_nowait(own_event(event))

        self._venue.engine.listeners.append(own)
        pump = asyncio.create_task(self._pump(pairs, timeframe, queue), name="paper feed")
        try:
            while True:
                told = await queue.get()
                if isinstance(told, BaseException):
                    raise told
                yield told
        finally:
            self._venue.engine.listeners.remove(own)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, pairs: Sequence[str], timeframe: Timeframe, queue: asyncio.Queue[FeedEvent | BaseException]) -> None:
        try:
            async for event in self._market.stream(pairs, timeframe):
                if isinstance(event, PublicTrade):
                    self._venue.moved(event.pair, event.price, event.time_us)
                elif isinstance(event, BarsClosed):
                    for candle in event.candles:
                        self._venue.closed(candle)
                elif isinstance(event, PairStatus):
                    self._venue.told(event.pair, event.status)
                queue.put_nowait(event)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
            queue.put_nowait(error)

    def forming(self, pair: str) -> Candle | None:
        return self._market.forming(pair)

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        await self._market.watch_ticks(pairs)

    async def add_pairs(self, pairs: Iterable[str]) -> None:
        await self._market.add_pairs(pairs)


class PaperExchange(VenueExchange):
    """The order side. An order meets the price of the running candle, the newest one that is known of a pair nobody watches."""

    def __init__(self, venue: PaperVenue, market: MarketData) -> None:
        super().__init__(venue)
        self._paper, self._market = venue, market

    async def submit(self, intent: Intent) -> Answer:
        running = self._market.forming(intent.pair)
        if running is not None:
            self._paper.moved(intent.pair, from_float(running.close), self._paper.clock.now_us())
        return await super().submit(intent)
