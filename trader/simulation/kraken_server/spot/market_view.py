"""The market as the wire shows it: running bars, OHLC rows, 24 h figures, the book and public trades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import numpy as np

from trader.domain.market import Timeframe
from trader.domain.money import down, up
from trader.indicators.resample import aggregate, cut
from trader.ports import Columns
from trader.simulation.drive import prices_at
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import PairRules
from trader.simulation.exchange_terms import BUY, SELL
from trader.simulation.fills import FillRules, Tick, to_price
from trader.simulation.intervals import Span, source_of
from trader.simulation.kraken_server.spot.book import Book, make_book
from trader.simulation.kraken_server.spot.day_totals import DayTotals
from trader.simulation.kraken_server.spot.public_trades import PARTS, PublicTrades, seen_volume
from trader.simulation.listings import Listing
from trader.simulation.market import Market, Row
from trader.simulation.price_path import ticks

SpanT = TypeVar("SpanT", bound=Span)

OHLC_ROWS = 720
TICKS = PARTS
COST_DECIMALS, QUOTE_DECIMALS = 5, 4


def rules_of(listing: Listing, index: int) -> PairRules:
    """The engine's rules of a listed pair."""
    return PairRules(
        index=index,
        symbol=listing.pair,
        pair_id=listing.pair_id,
        altname=listing.altname,
        wsname=listing.wsname,
        base=listing.base,
        quote=listing.quote,
        base_id=listing.base_id,
        quote_id=listing.quote_id,
        tick=listing.tick,
        pair_decimals=listing.pair_decimals,
        lot_decimals=listing.lot_decimals,
        cost_decimals=COST_DECIMALS,
        quote_decimals=QUOTE_DECIMALS,
        ordermin=listing.ordermin,
        costmin=listing.costmin,
    )


def engine_of(market: Market, *, cash: Decimal, fills: FillRules, books: Books, seed: int, tag: str, start_us: int) -> TwinExchange:
    """The matching engine on the market's pairs, at the prices of the newest tick its books know."""
    rules = [rules_of(market.listing(pair), index) for index, pair in enumerate(market.pairs)]
    exchange = TwinExchange(rules, cash={rules[0].quote: cash}, fills=fills, books=books, seed=seed, tag=tag, start_us=start_us)
    exchange.set_prices(prices_at(market, exchange.state.tick_us))
    return exchange


class RunningBars(Generic[SpanT]):
    """The unfinished candle of every pair at one timeframe, carried forward tick by tick. Arrays have shape (n_pairs,)."""

    def __init__(self, market: Market, timeframe: SpanT) -> None:
        self.timeframe = timeframe
        self.begin_us = -1
        self._market = market
        self._done: Row | None = None  # closed base candles of this bar
        self._done_until = -1

    def at(self, open_us: int, tick: Tick, row: Row) -> tuple[int, Row]:
        """(begin, candle so far) after `tick` of the base candle `row` that opens at `open_us`."""
        begin = self.timeframe.floor(open_us)
        if begin != self.begin_us or self._done_until > open_us:
            self.begin_us, self._done, self._done_until = begin, None, begin
        while self._done_until < open_us:
            self._done = _join(self._done, self._market.minute(self._done_until))
            self._done_until += self._market.base.us
        return begin, _join(self._done, partial(row, tick.part))


def partial(row: Row, part: int) -> Row:
    """A base candle as far as `part` of its four ticks show it."""
    if part >= TICKS:
        return row
    return Row(
        open=row.open,
        high=row.high if part == 3 else row.open,
        low=row.low if part >= 2 else row.open,
        close=(row.open, row.low, row.high)[part - 1],
        volume=seen_volume(row.volume, part),
    )


def _join(first: Row | None, second: Row) -> Row:
    """Two stretches of one candle; NaN (no candle) yields to the other."""
    if first is None:
        return second
    return Row(
        open=np.where(np.isnan(first.open), second.open, first.open),
        high=np.fmax(first.high, second.high),
        low=np.fmin(first.low, second.low),
        close=np.where(np.isnan(second.close), first.close, second.close),
        volume=np.nan_to_num(first.volume) + np.nan_to_num(second.volume),
    )


class MarketView:
    """Answers of the public endpoints, in Kraken's shapes. `tick_us` of the engine decides what has been seen."""

    def __init__(self, market: Market, exchange: TwinExchange, seed: int) -> None:
        self.market, self.exchange, self._seed = market, exchange, seed
        self.public_trades = PublicTrades(market)
        self.today = DayTotals(market)
        self._stats: dict[str, tuple[int, dict[str, float]]] = {}
        names: dict[str, str] = {}
        for rules in exchange.rules:
            names |= dict.fromkeys((rules.pair_id, rules.altname, rules.wsname, rules.symbol), rules.symbol)
        self._names = names

    def find(self, name: str) -> PairRules | None:
        """The pair behind any of its four names."""
        symbol = self._names.get(name)
        return None if symbol is None else self.exchange.rule(symbol)

    def quotes(self, rules: PairRules) -> tuple[Decimal, Decimal, Decimal]:
        """(bid, ask, last): what a market order gets now."""
        last, slippage = self.exchange.last(rules.symbol), self.exchange.fills.slippage
        return max(down(last * (1 - slippage), rules.tick), rules.tick), up(last * (1 + slippage), rules.tick), last

    def running(self, rules: PairRules, timeframe: Span, now_us: int) -> tuple[int, float, float, float, float, float]:
        """(begin, o, h, l, c, v) of the candle that covers `now_us`, from the ticks seen so far."""
        begin, open_us = timeframe.floor(now_us), self.market.base.floor(now_us)
        rows: list[tuple[float, float, float, float, float]] = []
        if begin < open_us:
            done = self.market.candles(rules.symbol, self.market.base, begin, open_us)
            if len(done):
                rows.append(
                    (float(done.open[0]), float(done.high.max()), float(done.low.min()), float(done.close[-1]), float(done.volume.sum()))
                )
        if (part := self._part(open_us)) > 0:
            row = partial(self.market.minute(open_us), part)
            numbers = [float(column[rules.index]) for column in (row.open, row.high, row.low, row.close, row.volume)]
            if not math.isnan(numbers[0]):
                rows.append((numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]))
        if not rows:
            last = float(self.exchange.last(rules.symbol))
            rows.append((last, last, last, last, 0.0))
        highs, lows, volumes = (row[1] for row in rows), (row[2] for row in rows), (row[4] for row in rows)
        return begin, rows[0][0], max(highs), min(lows), rows[-1][3], sum(volumes)

    def _part(self, open_us: int) -> int:
        """How many ticks of the base candle at `open_us` the engine has worked off."""
        seen = self.exchange.state.tick_us - open_us
        return sum(seen >= tick.offset_us for tick in ticks(self.market.base))

    def ohlc(self, rules: PairRules, interval: Span, now_us: int, since_us: int = -1) -> list[list[Any]]:
        """The newest 720 closed rows and the running one; of the closed ones only those that open after `since_us`."""
        begin, source = interval.floor(now_us), source_of(interval)
        after_us = interval.floor(since_us) + interval.us if since_us >= 0 else 0
        made_of = self.market.candles(rules.symbol, source, max(begin - OHLC_ROWS * interval.us, after_us), begin)
        closed = aggregate(made_of, source, interval)
        columns = (closed.time, closed.open, closed.high, closed.low, closed.close, closed.volume)
        rows = [ohlc_row(rules, time_us, values) for time_us, *values in zip(*(column.tolist() for column in columns), strict=True)]
        begin, *running = self.running(rules, interval, now_us)
        return [*rows, ohlc_row(rules, begin, running)]

    def stats(self, rules: PairRules, now_us: int) -> dict[str, float]:
        """24 h figures up to the last full hour (cached): open, high, low, volume, vwap, trades; the same since midnight as `today_*`
        (volume and trades of the day to the tick: `today`)."""
        hour = Timeframe.H1.floor(now_us)
        cached = self._stats.get(rules.symbol)
        if cached is not None and cached[0] == hour:
            return cached[1]
        day = self.market.candles(rules.symbol, Timeframe.H1, hour - 24 * Timeframe.H1.us, hour)
        last = float(self.exchange.last(rules.symbol))
        stats = day_figures(day, last)
        today = day_figures(cut(day, Timeframe.D1.floor(now_us), hour), stats["open"] if not len(day) else float(day.close[-1]))
        stats |= {f"today_{name}": value for name, value in today.items()}
        self._stats[rules.symbol] = (hour, stats)
        return stats

    def book(self, rules: PairRules, depth: int) -> Book:
        """The synthetic book after the newest tick, `depth` levels a side."""
        bid, ask, _ = self.quotes(rules)
        return make_book(rules, bid, ask, seed=self._seed, tick_us=self.exchange.state.tick_us, depth=depth)

    def trades(self, rules: PairRules, count: int, since_us: int | None, until_us: int | None = None) -> list[list[Any]]:
        """Rows of public trades up to `until_us` (default: now): the newest `count`, or the first after `since_us`; oldest first."""
        seen_us = self.exchange.state.tick_us if until_us is None else min(until_us, self.exchange.state.tick_us)
        if since_us is None:
            return [trade.row() for trade in self.public_trades.newest(rules, count, seen_us)]
        return [trade.row() for trade in self.public_trades.after(rules, since_us, count, seen_us)]

    def spreads(self, rules: PairRules, count: int) -> list[list[Any]]:
        """The newest `count` best prices, `[unix seconds, bid, ask]`, one a tick, oldest first."""
        base, seen_us, fills = self.market.base, self.exchange.state.tick_us, self.exchange.fills
        first_us = base.floor(seen_us) - (count // TICKS + 1) * base.us
        candles = self.market.candles(rules.symbol, base, first_us, base.floor(seen_us) + base.us)
        rows = []
        for place, open_us in enumerate(candles.time.tolist()):
            for tick in ticks(base):
                last = to_price(float(getattr(candles, tick.field)[place]), rules)
                prices = [f"{fills.taken(side, last, rules):.{rules.pair_decimals}f}" for side in (SELL, BUY)]
                if open_us + tick.offset_us <= seen_us:
                    rows.append([(open_us + tick.offset_us) // 1_000_000, *prices])
        return rows[-count:]


def day_figures(hours: Columns, last: float) -> dict[str, float]:
    """Figures over whole hours; without any, `last` at no volume."""
    if not len(hours):
        return {"open": last, "high": last, "low": last, "volume": 0.0, "vwap": last, "trades": 0.0}
    volume = float(hours.volume.sum())
    typical = (hours.high + hours.low + hours.close) / 3
    return {
        "open": float(hours.open[0]),
        "high": float(hours.high.max()),
        "low": float(hours.low.min()),
        "volume": volume,
        "vwap": float((typical * hours.volume).sum()) / volume if volume > 0 else last,
        "trades": float(len(hours) * 60 * TICKS),
    }


def ohlc_row(rules: PairRules, time_us: int, values: Sequence[float]) -> list[Any]:
    """One row of OHLC from (o, h, l, c, v): strings for numbers, vwap "0.0" and count 0 for a minute without trades."""
    digits, (o, h, low, c, v) = rules.pair_decimals, values
    prices = [f"{value:.{digits}f}" for value in (o, h, low, c)]
    vwap, count = (f"{(h + low + c) / 3:.{digits}f}", TICKS) if v > 0 else ("0.0", 0)
    return [time_us // 1_000_000, *prices, vwap, f"{v:.8f}", count]
