"""Futures contracts as an account sees them: margin, liquidation, hourly funding. Linear perpetuals only: sizes in base, money in quote."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from enum import StrEnum

from trader.domain.money import divide, mul, quantum
from trader.domain.orders import Side

HOUR_US = 3_600_000_000
FUNDING_STEP = quantum(10)  # to which what accrues is kept
MARGIN_STEP = quantum(8)
RATE_STEP = quantum(10)
MOST_LEVERAGE = 3
STOPS_TO_LIQUIDATION = 2  # a stop must be this many times nearer than liquidation (SPEC section 10)


class MarketKind(StrEnum):
    """What a session trades on. On spot only longs are possible: nothing can be sold that was not bought."""

    SPOT = "spot"
    FUTURES = "futures"

    def pair(self, base: str, quote: str) -> str:
        """The unified name of a pair: `BTC/EUR`, of a linear perpetual `BTC/USD:USD`."""
        return f"{base}/{quote}" if self is MarketKind.SPOT else f"{base}/{quote}:{quote}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginRules:
    """Isolated margin: `leverage` 1 to 3; `maintenance`: the part of its value below which a position is closed by the venue.

    0.01 is the first margin level of Kraken's linear perpetuals (positions below 500,000 USD). Raises ValueError outside 1 to 3.
    """

    leverage: Decimal = Decimal(1)
    maintenance: Decimal = Decimal("0.01")

    def __post_init__(self) -> None:
        if not 1 <= self.leverage <= MOST_LEVERAGE:
            raise ValueError(f"leverage {self.leverage} must be from 1 to {MOST_LEVERAGE}")

    def needed(self, worth: Decimal) -> Decimal:
        """Initial margin of a position entered for `worth`: what it takes of the cash until it is closed."""
        return divide(mul(worth, divide(Decimal(1), self.leverage, RATE_STEP)), Decimal(1), MARGIN_STEP, ROUND_UP)

    def liquidation(self, entry: Decimal, side: Side) -> Decimal:
        """Mark price at which own margin and loss leave the maintenance margin: entry (1 -+ 1/L) / (1 -+ m); 0: never."""
        lost, kept = Decimal(1) / self.leverage, self.maintenance
        return entry * (1 - lost) / (1 - kept) if side is Side.BUY else entry * (1 + lost) / (1 + kept)

    def distance(self, side: Side) -> float:
        """How far from the entry liquidation is, as a fraction of it."""
        return abs(float(self.liquidation(Decimal(1), side)) - 1.0)

    def too_near(self, stop: float, side: Side) -> bool:
        """Whether a stop at this fraction of the entry price lies too near to liquidation."""
        return self.distance(side) < STOPS_TO_LIQUIDATION * stop


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPayment:
    """What a position received (or, below 0, paid) in `asset`: on the hour, or with the trade that changed the position."""

    pair: str
    asset: str
    amount: Decimal
    time_us: int


def accrued(size: Decimal, rate: Decimal, part_us: int) -> Decimal:
    """Funding of a signed `size` over a part of an hour whose `rate` is in quote per unit of base and hour: longs pay a positive
    rate (KRAKEN.md section 6)."""
    return divide(mul(mul(-size, rate), Decimal(part_us)), Decimal(HOUR_US), FUNDING_STEP)
