"""Candles of the futures API: trade, mark and spot prices at nine resolutions (KRAKEN.md section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from trader.domain.market import DAY, Timeframe
from trader.domain.money import from_float, plain, round_to
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.prices import last_of, mark_of, premium
from trader.simulation.kraken_server.futures.market import FuturesMarket

TYPES = ("mark", "spot", "trade")
MOST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A bar length made of `count` candles of `source`; bars begin at multiples of it after `offset_us`."""

    source: Timeframe
    count: int = 1
    offset_us: int = 0

    @property
    def us(self) -> int:
        return self.source.us * self.count

    def floor(self, time_us: int) -> int:
        """Begin of the bar that covers a time."""
        return time_us - (time_us - self.offset_us) % self.us


RESOLUTIONS: Mapping[str, Resolution] = {
    "1m": Resolution(source=Timeframe.M1),
    "5m": Resolution(source=Timeframe.M5),
    "15m": Resolution(source=Timeframe.M15),
    "30m": Resolution(source=Timeframe.M15, count=2),
    "1h": Resolution(source=Timeframe.H1),
    "4h": Resolution(source=Timeframe.H4),
    "12h": Resolution(source=Timeframe.H4, count=3),
    "1d": Resolution(source=Timeframe.D1),
    "1w": Resolution(source=Timeframe.D1, count=7, offset_us=4 * DAY),  # weeks begin on Monday
}


class Bar(NamedTuple):
    """A candle of the spot market, volume in base."""

    time_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class FuturesCharts:
    """/api/charts/v1. The running bar is the last one where the range reaches it."""

    def __init__(self, market: FuturesMarket) -> None:
        self._market = market

    def candles(self, kind: str, contract: Contract, resolution: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """At most 2,000 bars from `from` on (without it: the newest ones up to `to`); times in seconds."""
        if kind not in TYPES or resolution not in RESOLUTIONS:
            raise Refused("invalidArgument: resolution" if kind in TYPES else "invalidArgument: tick_type")
        now_us, length = self._market.clock.now_us(), RESOLUTIONS[resolution]
        if length.source.us < self._market.view.market.base.us:
            raise Refused("invalidArgument: resolution")
        end = min(_seconds(fields, "to", now_us), now_us)
        start = _seconds(fields, "from", length.floor(end) - (MOST - 1) * length.us)
        bars = self._bars(contract, length, start, end)
        return {"candles": [self._row(kind, contract, bar) for bar in bars[:MOST]], "more_candles": len(bars) > MOST}

    def _bars(self, contract: Contract, length: Resolution, start_us: int, end_us: int) -> list[Bar]:
        """Bars that open in [start, end], the running one included."""
        view, source = self._market.view, length.source
        first = max(length.floor(start_us + length.us - 1), length.floor(view.market.first_us))
        last = min(end_us, first + (MOST + 1) * length.us)  # one more shows that there are more
        running = source.floor(self._market.clock.now_us())
        closed = view.market.candles(contract.pair, source, first, min(running, length.floor(last) + length.us))
        columns = (closed.time, closed.open, closed.high, closed.low, closed.close, closed.volume)
        parts = [Bar(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        if length.floor(last) + length.us > running >= first:
            parts.append(Bar(*view.running(self._market.rules(contract), source, self._market.clock.now_us())))
        return _joined(parts, length)

    def _row(self, kind: str, contract: Contract, bar: Bar) -> dict[str, Any]:
        """Trade prices lie on the tick; the mark carries the premium of the hour in which the bar opens."""
        prices = [from_float(price) for price in bar[1:5]]
        volume = "0"
        if kind == "mark":
            over = premium(self._market.seed, contract, bar.time_us)
            prices = [mark_of(price, over) for price in prices]
        elif kind == "trade":
            prices = [last_of(price, contract) for price in prices]
            base = from_float(round(bar.volume, 8))
            volume = plain(round_to(base * prices[3] if contract.inverse else base, contract.lot))
        texts: list[str] = [plain(price) for price in prices]
        return {"time": bar.time_us // 1000, **dict(zip(("open", "high", "low", "close"), texts, strict=True)), "volume": volume}


def _joined(parts: list[Bar], length: Resolution) -> list[Bar]:
    """Longer bars of shorter ones in order of time."""
    bars: list[Bar] = []
    for part in parts:
        begin = length.floor(part.time_us)
        if bars and bars[-1].time_us == begin:
            bar = bars[-1]
            bars[-1] = Bar(begin, bar.open, max(bar.high, part.high), min(bar.low, part.low), part.close, bar.volume + part.volume)
        else:
            bars.append(part._replace(time_us=begin))
    return bars


def _seconds(fields: Mapping[str, str], name: str, default_us: int) -> int:
    text = fields.get(name, "")
    if not text:
        return default_us
    if not text.isdecimal() or len(text) > 11:
        raise Refused(f"invalidArgument: {name}")
    return int(Decimal(text) * 1_000_000)
