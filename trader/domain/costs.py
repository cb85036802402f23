"""Trading costs and touch prices: fees, slippage, round trips. Plain functions, so that numba can compile them too."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from trader.domain.money import mul, round_to


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


def fee(cost: Decimal, rate: Decimal, step: Decimal) -> Decimal:
    """Fee on `cost` in quote, rounded up to `step`."""
    return round_to(mul(cost, rate), step, ROUND_UP)
