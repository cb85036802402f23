"""Pairs, instruments, timeframes, candles: what is traded and how its numbers round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from trader.domain.money import down, from_float, steps, up

SECOND = 1_000_000  # microseconds
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


class Timeframe(StrEnum):
    """Length of a candle; a candle labelled t covers [t, t + length)."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    minutes: int
    us: int  # length in microseconds

    def __init__(self, word: str) -> None:
        self.minutes = int(word[:-1]) * {"m": 1, "h": 60, "d": 1440}[word[-1]]
        self.us = self.minutes * MINUTE

    def floor(self, time_us: int) -> int:
        """Open time of the candle that covers `time_us`."""
        return time_us - time_us % self.us


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One bar of one pair. `time_us`: open time, UTC microseconds; prices in quote per base, `volume` in base, float64."""

    pair: str
    timeframe: Timeframe
    time_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float = 0.0
    count: int = 0
    filled: bool = False  # no trade happened: o = h = l = c = previous close, volume 0

    @property
    def close_us(self) -> int:
        """First microsecond that no longer belongs to the candle."""
        return self.time_us + self.timeframe.us

    @property
    def sane(self) -> bool:
        """Whether its prices are prices and lie as those of a bar do; what an exchange serves need not."""
        prices = (self.open, self.high, self.low, self.close)
        return all(map(math.isfinite, (*prices, self.volume))) and 0 < self.low <= min(prices) and max(prices) == self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTrade:
    """One trade of the market; `quantity` in base."""

    time_us: int
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePage:
    """Trades in order of time; `cursor`, given back, asks for those after the last one."""

    trades: tuple[PublicTrade, ...]
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Best prices and 24 h activity of a pair."""

    pair: str
    bid: Decimal
    ask: Decimal
    last: Decimal
    quote_volume: float  # 24 h, in quote currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Order book: (price, quantity) levels, best first."""

    pair: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    time_us: int


def settle_of(pair: str) -> str:
    """What a futures contract settles in (`BTC/USD:USD` -> `USD`); "" for a spot pair."""
    return pair.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """Trading rules of a pair: the one place where prices and quantities are rounded.

    `tick`: price step; `lot`: quantity step; `order_min` in base and `cost_min` in quote; `status` as the venue words it.
    """

    pair: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    order_min: Decimal
    cost_min: Decimal
    quote_step: Decimal = Decimal("0.0001")  # precision of cost and fee
    status: str = "online"

    @property
    def futures(self) -> bool:
        """Whether it is a futures contract: it can be shorted, and takes margin instead of its price."""
        return bool(settle_of(self.pair))

    def to_ticks(self, price: Decimal | float) -> int:
        """Price as a whole number of ticks, half to even."""
        value = price if isinstance(price, Decimal) else from_float(price)
        return steps(value, self.tick)

    def price(self, ticks: int) -> Decimal:
        return self.tick * ticks

    def to_lots(self, quantity: Decimal) -> int:
        """Quantity as whole lots, toward zero."""
        return steps(quantity, self.lot, ROUND_DOWN)

    def quantity(self, lots: int) -> Decimal:
        return self.lot * lots

    def price_down(self, price: Decimal) -> Decimal:
        return down(price, self.tick)

    def price_up(self, price: Decimal) -> Decimal:
        return up(price, self.tick)

    def quantity_down(self, quantity: Decimal) -> Decimal:
        return down(quantity, self.lot)

    def tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether an order of this size meets both minimums."""
        return quantity >= self.order_min and quantity * price >= self.cost_min
