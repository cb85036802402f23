"""Tells the subscribers of the public channels about each market tick. Candles of 150 pairs are the hot path: one text for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal

from trader.domain.market import MINUTE
from trader.simulation.exchange_orders import PairRules
from trader.simulation.fills import Tick
from trader.simulation.intervals import Span, interval_of
from trader.simulation.kraken_server.spot.book import Book
from trader.simulation.kraken_server.spot.market_view import TICKS, MarketView, RunningBars
from trader.simulation.kraken_server.spot.public_trades import SCALE, share
from trader.simulation.kraken_server.spot.render import iso
from trader.simulation.kraken_server.stream import frames
from trader.simulation.kraken_server.stream.connection import BBO, BookView, Connection
from trader.simulation.kraken_server.stream.public_frames import PublicFrames
from trader.simulation.market import Row

Frames = list[tuple[str, str]]  # symbol, text
Push = Callable[[Connection, str, Frames], Awaitable[None]]  # to whom, channel, what a tick shows of it


class Publisher:
    """`per_minute`: candle frames a minute, 1 or one for each of the four ticks; `rules`: as the clients were told."""

    def __init__(self, view: MarketView, shown: PublicFrames, push: Push, *, per_minute: int) -> None:
        self._view, self._frames, self._push, self._per_minute = view, shown, push, per_minute
        self._bars: dict[int, RunningBars[Span]] = {}
        self._best: dict[str, tuple[Decimal, Decimal]] = {}
        self.rules = view.exchange.rules

    async def tick(self, connections: Sequence[Connection], open_us: int, tick: Tick, row: Row) -> None:
        """Everything a tick of the base candle at `open_us` shows."""
        if TICKS in (tick.part, self._per_minute):
            await self._candles(connections, open_us, tick, row)
        prices: list[float] = tick.prices.tolist()
        if listening := [connection for connection in connections if connection.trades]:
            await self._trades(listening, open_us, tick, prices, row)
        if listening := [connection for connection in connections if connection.tickers]:
            await self._tickers(listening, tick, prices)
        if listening := [connection for connection in connections if connection.books]:
            await self._books(listening)

    async def instruments(self, connections: Sequence[Connection]) -> None:
        """Pairs whose reference data changed since the last call."""
        rules = self._view.exchange.rules
        changed = [now for now, before in zip(rules, self.rules, strict=True) if now != before]
        self.rules = rules
        if not changed:
            return
        text = self._frames.instruments("update", changed, assets=False)
        for connection in connections:
            if connection.instruments:
                await self._push(connection, "instrument", [(changed[0].symbol, text)])

    # --- channels --------------------------------------------------------------------------------------------------
    async def _candles(self, connections: Sequence[Connection], open_us: int, tick: Tick, row: Row) -> None:
        now, rules = iso(tick.time_us), self._view.exchange.by_symbol
        for interval in sorted(dict.fromkeys(key for connection in connections for key, names in connection.candles.items() if names)):
            begin_us, columns = self._running(interval).at(open_us, tick, row)
            rows = list(zip(*(c.tolist() for c in (columns.open, columns.high, columns.low, columns.close, columns.volume)), strict=True))
            begin, end = iso(begin_us), iso(begin_us + interval * MINUTE)
            texts: dict[str, str] = {}
            for connection in connections:
                shown: Frames = []
                for symbol in connection.candles.get(interval, ()):
                    if (text := texts.get(symbol)) is None:
                        values = rows[rules[symbol].index]
                        if values[0] != values[0]:  # NaN: the market has no candle of this pair
                            continue
                        text = texts[symbol] = frames.ohlc("update", symbol, (begin, end, interval), values, now)
                    shown.append((symbol, text))
                if shown:
                    await self._push(connection, "ohlc", shown)

    def _running(self, interval: int) -> RunningBars[Span]:
        if (running := self._bars.get(interval)) is None:
            span = interval_of(interval, self._view.market.base)
            if span is None:
                raise ValueError(f"a candle subscription of {interval} minutes was let in")
            running = self._bars[interval] = RunningBars(self._view.market, span)
        return running

    async def _trades(self, connections: Sequence[Connection], open_us: int, tick: Tick, prices: Sequence[float], row: Row) -> None:
        texts: dict[str, str] = {}
        rules, volumes = self._view.exchange.by_symbol, row.volume.tolist()
        side, number = "buy" if tick.part % 2 else "sell", open_us // self._view.market.base.us * TICKS + tick.part - 1
        when = iso(tick.time_us)
        for connection in connections:
            shown: Frames = []
            for symbol in connection.trades:
                if (text := texts.get(symbol)) is None:
                    index = rules[symbol].index
                    if not (prices[index] > 0 and volumes[index] > 0):  # no candle (NaN), or one in which nobody traded
                        continue
                    quantity = share(volumes[index], tick.part) / SCALE
                    text = texts[symbol] = frames.trade(symbol, (side, prices[index], quantity, number, when))
                shown.append((symbol, text))
            if shown:
                await self._push(connection, "trade", shown)

    async def _tickers(self, connections: Sequence[Connection], tick: Tick, prices: Sequence[float]) -> None:
        """A frame for each trade, or (bbo) where the best prices moved."""
        texts: dict[str, str] = {}
        still: dict[str, bool] = {}
        for connection in connections:
            shown: Frames = []
            for rules in self._moved(connection.tickers, prices):
                symbol = rules.symbol
                if symbol not in still:
                    best = self._view.quotes(rules)[:2]
                    still[symbol], self._best[symbol] = self._best.get(symbol) == best, best
                if still[symbol] and connection.tickers.get(symbol) == BBO:
                    continue
                if (text := texts.get(symbol)) is None:
                    text = texts[symbol] = self._frames.ticker("update", rules, tick.time_us)
                shown.append((symbol, text))
            if shown:
                await self._push(connection, "ticker", shown)

    async def _books(self, connections: Sequence[Connection]) -> None:
        books: dict[tuple[str, int], Book] = {}
        texts: dict[tuple[str, int, int], str | None] = {}
        for connection in connections:
            shown: Frames = []
            for symbol, view in connection.books.items():
                rules = self._view.exchange.rule(symbol)
                if not self._view.exchange.priced(symbol):
                    continue
                if (book := books.get((symbol, view.depth))) is None:
                    book = books[symbol, view.depth] = self._view.book(rules, view.depth)
                text = self._book(rules, view, book, texts)
                view.shown = book
                if text is not None:
                    shown.append((symbol, text))
            if shown:
                await self._push(connection, "book", shown)

    def _book(self, rules: PairRules, view: BookView, book: Book, texts: dict[tuple[str, int, int], str | None]) -> str | None:
        """What this client must hear of a book: the whole of a pair that had no price before, else what changed, if anything."""
        key = (rules.symbol, view.depth, -1 if view.shown is None else view.shown.tick_us)
        if key not in texts:
            before = view.shown
            texts[key] = self._frames.book(rules, book) if before is None else self._frames.book_change(rules, before, book)
        return texts[key]

    def _moved(self, symbols: Iterable[str], prices: Sequence[float]) -> list[PairRules]:
        """Those pairs that have a price in this tick (NaN: no candle, no trade)."""
        rules = self._view.exchange.by_symbol
        return [pair for symbol in symbols if prices[(pair := rules[symbol]).index] > 0]
