"""Trading costs and touch prices: fees, slippage, round trips. Plain functions, so that numba can compile them too."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from math import floor
from typing import Any

from trader.domain.money import ZERO, mul, round_to

SLIP_ONE = 100_000_000  # slippage is counted in 1e-8 of the price
LEAST_SLIPPAGE = 0.0005  # a side, however narrow the spread (SPEC section 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Fees and slippage as fractions of notional, per side."""

    taker: float = 0.0040
    maker: float = 0.0025
    slippage: float = 0.0005

    @property
    def round_trip(self) -> float:
        """c of SPEC section 1: fee in + fee out + slippage on both sides."""
        return 2 * self.taker + 2 * self.slippage


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """A row of a fee schedule. Rates are fractions; `volume`: 30-day volume in quote from which they hold."""

    volume: Decimal
    taker: Decimal
    maker: Decimal


SPOT_TIERS = tuple(
    FeeTier(volume=Decimal(volume), taker=Decimal(taker), maker=Decimal(maker))
    for volume, taker, maker in (
        ("0", "0.0040", "0.0025"), ("10000", "0.0035", "0.0020"), ("50000", "0.0024", "0.0014"), ("100000", "0.0022", "0.0012"),
        ("250000", "0.0020", "0.0010"), ("500000", "0.0018", "0.0008"), ("1000000", "0.0016", "0.0006"), ("2500000", "0.0014", "0.0004"),
        ("5000000", "0.0012", "0.0002"), ("10000000", "0.0010", "0"),
    )
)  # fmt: skip
"""Kraken's spot schedule as recorded in November 2025, lowest volume first."""


def tier_at(volume: Decimal) -> FeeTier:
    """The spot tier that holds at a 30-day volume; raises ValueError below 0."""
    if volume < ZERO:
        raise ValueError(f"volume {volume}: must be 0 or more")
    return next(tier for tier in reversed(SPOT_TIERS) if tier.volume <= volume)


def slippage_of(spread: float) -> float:
    """Slippage a side for a spread (ask - bid) / mid: half of it, and never less than LEAST_SLIPPAGE."""
    return max(LEAST_SLIPPAGE, spread / 2)


def fee(cost: Decimal, rate: Decimal, step: Decimal) -> Decimal:
    """Fee on `cost` in quote, rounded up to `step`."""
    return round_to(mul(cost, rate), step, ROUND_UP)


# --- touch prices: one source for whole ticks (int) and plain prices (float); indicators/compiled.py says the same to numba ---
def slip_units(slippage: float) -> int:
    """A slippage fraction in units of 1e-8."""
    return round(slippage * SLIP_ONE)


def slipped(price: Any, units: int) -> Any:
    """What a sale at `price` gets: less by `units` x 1e-8; ticks round down, in exact integers, so Decimal agrees.

    A buy is the mirrored sale: `bought`.
    """
    if isinstance(price, float):
        return price * (1.0 - units / SLIP_ONE)
    return price * (SLIP_ONE - units) // SLIP_ONE


def bought(price: Any, units: int) -> Any:
    """What a buy at `price` pays: more by `units` x 1e-8; ticks round up."""
    return -slipped(-price, -units)


def floor_like(value: float, like: Any) -> Any:
    """`value` rounded down to a whole tick where `like` counts ticks, else unchanged. A value within 1e-12 of itself below
    a tick counts as that tick: it is the rounding of 1 + c, not a price."""
    return value if isinstance(like, float) else floor(value + abs(value) * 1e-12)
