"""The market as the wire shows it: running bars, OHLC rows, 24 h figures, the book and public trades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import numpy as np

from trader.domain.market import Timeframe
from trader.domain.money import down, up
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import PairRules
from trader.simulation.fills import Tick, bar_path, to_price
from trader.simulation.intervals import Span, source_of
from trader.simulation.kraken_server.book import Book, make_book
from trader.simulation.listings import Listing
from trader.simulation.market import Market, Row
from trader.simulation.price_path import ticks
from trader.simulation.resample import aggregate

SpanT = TypeVar("SpanT", bound=Span)

OHLC_ROWS = 720
TICKS = 4  # trades a candle shows
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
        volume=row.volume * (part / TICKS),
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

    def ohlc(self, rules: PairRules, timeframe: Span, now_us: int) -> list[list[Any]]:
        """The newest 720 closed rows and the running one."""
        begin = timeframe.floor(now_us)
        source = source_of(timeframe)
        made_of = self.market.candles(rules.symbol, source, begin - OHLC_ROWS * timeframe.us, begin)
        closed = aggregate(made_of, source, timeframe)
        columns = (closed.time, closed.open, closed.high, closed.low, closed.close, closed.volume)
        rows = [ohlc_row(rules, time_us, values) for time_us, *values in zip(*(column.tolist() for column in columns), strict=True)]
        begin, *running = self.running(rules, timeframe, now_us)
        return [*rows, ohlc_row(rules, begin, running)]

    def stats(self, rules: PairRules, now_us: int) -> dict[str, float]:
        """24 h figures up to the last full hour (cached): open, high, low, volume, vwap, trades."""
        hour = Timeframe.H1.floor(now_us)
        cached = self._stats.get(rules.symbol)
        if cached is not None and cached[0] == hour:
            return cached[1]
        day = self.market.candles(rules.symbol, Timeframe.H1, hour - 24 * Timeframe.H1.us, hour)
        last = float(self.exchange.last(rules.symbol))
        stats = {"open": last, "high": last, "low": last, "volume": 0.0, "vwap": last, "trades": 0.0}
        if len(day):
            volume = float(day.volume.sum())
            typical = (day.high + day.low + day.close) / 3
            vwap = float((typical * day.volume).sum()) / volume if volume > 0 else last
            stats = {
                "open": float(day.open[0]),
                "high": float(day.high.max()),
                "low": float(day.low.min()),
                "volume": volume,
                "vwap": vwap,
                "trades": float(len(day) * 60 * TICKS),
            }
        self._stats[rules.symbol] = (hour, stats)
        return stats

    def book(self, rules: PairRules, depth: int) -> Book:
        """The synthetic book after the newest tick, `depth` levels a side."""
        bid, ask, _ = self.quotes(rules)
        return make_book(rules, bid, ask, seed=self._seed, tick_us=self.exchange.state.tick_us, depth=depth)

    def trades(self, rules: PairRules, count: int, since_us: int | None, now_us: int) -> list[list[Any]]:
        """Public trades: one a tick, newest `count`, or those after `since_us`, oldest first."""
        length = self.market.base.us
        start = self.market.base.floor(now_us) - (count // TICKS + 1) * length if since_us is None else self.market.base.floor(since_us)
        rows: list[list[Any]] = []
        for open_us in range(start, now_us + 1, length):
            row = self.market.minute(open_us)
            if math.isnan(float(row.open[rules.index])):
                continue
            for number, tick in enumerate(bar_path(open_us, self.market.base, row)):
                time_us = tick.time_us
                if time_us > self.exchange.state.tick_us or (since_us is not None and time_us <= since_us):
                    continue
                price = f"{to_price(float(tick.prices[rules.index]), rules):.{rules.pair_decimals}f}"
                volume = f"{float(row.volume[rules.index]) / TICKS:.8f}"
                side = "b" if number in (0, 2) else "s"
                rows.append([price, volume, time_us / 1e6, side, "m", "", open_us // length * TICKS + number])
            if since_us is not None and len(rows) >= count:
                break
        return rows[:count] if since_us is not None else rows[-count:]


def ohlc_row(rules: PairRules, time_us: int, values: Sequence[float]) -> list[Any]:
    """One row of OHLC from (o, h, l, c, v): strings for numbers, vwap "0.0" and count 0 for a minute without trades."""
    digits, (o, h, low, c, v) = rules.pair_decimals, values
    prices = [f"{value:.{digits}f}" for value in (o, h, low, c)]
    vwap, count = (f"{(h + low + c) / 3:.{digits}f}", TICKS) if v > 0 else ("0.0", 0)
    return [time_us // 1_000_000, *prices, vwap, f"{v:.8f}", count]
