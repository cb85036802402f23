"""Fill assumptions of the twin as small objects: bar path, slippage, fee, liquidity (SIMULATION.md section 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any, Protocol

import numpy as np

from trader.domain.market import Timeframe
from trader.domain.money import ZERO, divide, down, from_float, mul, round_to, sub, up
from trader.simulation.exchange_orders import PairRules, TwinOrder
from trader.simulation.exchange_terms import BUY, waits_below
from trader.simulation.market import Row
from trader.simulation.price_path import ticks

Prices = np.ndarray[Any, np.dtype[np.float64]]


class Ticked(Protocol):
    """Anything whose prices lie on a tick: a pair, a contract."""

    @property
    def tick(self) -> Decimal: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRules:
    """Costs and liquidity. Rates are fractions; `share` (0, 1]: part of an order's volume that one touch fills; `trades`: in how
    many trades an order fills that meets the market on arrival, as one that takes several levels of a book does.
    """

    taker: Decimal = Decimal("0.0040")
    maker: Decimal = Decimal("0.0025")
    slippage: Decimal = Decimal("0.0005")
    share: Decimal = Decimal(1)
    trades: int = 1

    def taken(self, side: str, price: Decimal, rules: Ticked) -> Decimal:
        """Price of a market or stop fill around `price`: buys round up and sells down to the tick, never below one tick."""
        if side == BUY:
            return up(mul(price, 1 + self.slippage), rules.tick)
        return max(down(mul(price, 1 - self.slippage), rules.tick), rules.tick)

    def marketable(
        self, side: str, limit: Decimal, last: Decimal, rules: Ticked, *, before: Decimal | None = None, once: bool = False
    ) -> Decimal | None:
        """Price at which a new limit order fills at once, or None where it does not.

        `before`: the price of the tick before `last`. A limit that lies on the way between the two fills at its own price: a
        candle has four ticks, and whoever answers a touch was there when the price passed it. Any other meets the market as it
        stands: slipped, or at its limit where the slip would pass that. `once`: an order that cannot rest (IOC, FOK) takes the
        slipped price or nothing, for that is what the other side of the book asks.
        """
        sign = 1 if side == BUY else -1
        if sign * limit < sign * last:
            return None
        if before is not None and sign * limit < sign * before:
            return limit
        taken = self.taken(side, last, rules)
        if sign * taken <= sign * limit:
            return taken
        return None if once else limit

    def fee(self, cost: Decimal, *, maker: bool, rules: PairRules) -> Decimal:
        """Fee in quote, rounded up to quote precision."""
        return round_to(mul(cost, self.maker if maker else self.taker), rules.quote_step, ROUND_UP)

    def portion(self, order: TwinOrder, rules: PairRules) -> Decimal:
        """How much of the rest one touch fills: everything, or `share` of the volume while more than that is left.

        An iceberg never gives more than it shows.
        """
        most = order.remaining if order.display is None else min(order.display, order.remaining)
        if self.share >= 1:
            return most
        part = down(mul(order.volume, self.share), rules.lot)
        return most if part <= ZERO else min(part, most)

    def slices(self, quantity: Decimal, rules: PairRules) -> list[Decimal]:
        """`quantity` as whole lots in `trades` parts, the last one with the remainder; one part where that is too fine."""
        part = divide(quantity, Decimal(self.trades), rules.lot, ROUND_DOWN)
        if self.trades == 1 or part <= ZERO:
            return [quantity]
        return [*[part] * (self.trades - 1), sub(quantity, mul(part, Decimal(self.trades - 1)))]


def to_price(value: float, rules: Ticked) -> Decimal:
    """A price of the market's arrays on the pair's tick."""
    return round_to(from_float(value), rules.tick)


def acts_below(order: TwinOrder) -> bool:
    """Whether a falling price reaches it: buy limits, sell stops and buy take-profits."""
    return waits_below(order.ordertype, order.side) if order.waiting else order.side == BUY


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One price update of all pairs. `gap`: prices jump there instead of moving; `part` of 4 ticks seen in this candle."""

    time_us: int
    prices: Prices
    gap: bool
    part: int


def carried(before: Prices, prices: Prices) -> Prices:
    """The newest price of every pair: one without a candle (NaN) keeps its price.

    Nearly always all have one, which the sum of a list tells sooner than numpy sets about it.
    """
    return np.where(np.isnan(prices), before, prices) if math.isnan(sum(prices.tolist())) else prices


def bar_path(open_us: int, base: Timeframe, row: Row) -> Iterator[Tick]:
    """The ticks of the base candle that opens at `open_us` (price_path.ticks)."""
    columns = {"open": row.open, "high": row.high, "low": row.low, "close": row.close}
    for part, tick in enumerate(ticks(base), start=1):
        yield Tick(time_us=open_us + tick.offset_us, prices=columns[tick.field], gap=not tick.continuous, part=part)
