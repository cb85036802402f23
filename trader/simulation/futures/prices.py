"""Prices of the futures market, all made of the spot market's: index, mark, last, and the hourly funding rate.

index = spot price in its quote, taken as USD; last = index on the contract's tick; mark = index x (1 + premium), where the premium
is a number between -5 and 5 basis points that depends on seed, contract and hour only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.money import from_float, mul, quantum, round_to
from trader.simulation.exchange_orders import unit_hash
from trader.simulation.futures.contracts import Contract

HOUR = 3_600_000_000
PREMIUM_STEP = Decimal("0.000001")
MOST_PREMIUM = 500  # steps either way
FUNDING_COEFFICIENT = 24  # instruments say so: an hour pays this part of the premium
MOST_RELATIVE_FUNDING = Decimal("0.0025")
RATE_STEP = quantum(18)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRate:
    """Funding of the hour that begins at `hour_us`. `relative`: of the position's value; `absolute`: per unit of size, in `asset`."""

    hour_us: int
    relative: Decimal
    absolute: Decimal


def premium(seed: int, contract: Contract, hour_us: int) -> Decimal:
    """Premium of the mark over the index in the hour that covers this time."""
    number = unit_hash(seed, "premium", contract.symbol, hour_us // HOUR)
    return PREMIUM_STEP * (int(number * (2 * MOST_PREMIUM + 1)) - MOST_PREMIUM)


def last_of(price: Decimal, contract: Contract) -> Decimal:
    """A price of the spot market as a trade of the contract: on its tick, never below one."""
    return max(round_to(price, contract.tick), contract.tick)


def mark_of(index: Decimal, over: Decimal) -> Decimal:
    """Mark price at a premium, to 10 decimals (of an index below 1e-4: to 16)."""
    return round_to(mul(index, 1 + over), quantum(10 if index >= Decimal("0.0001") else 16))


def funding_rate(over: Decimal, contract: Contract, index: float, hour_us: int) -> FundingRate:
    """Rate of an hour from its premium, as Kraken's: premium / 24, at most 0.25 % an hour; longs pay where it is positive.

    `index`: the price when the hour began. The absolute rate of an inverse contract is in base per USD.
    """
    relative = round_to(over / FUNDING_COEFFICIENT, RATE_STEP)
    relative = max(-MOST_RELATIVE_FUNDING, min(MOST_RELATIVE_FUNDING, relative))
    price = from_float(index)
    absolute = relative / price if contract.inverse else relative * price
    return FundingRate(hour_us=hour_us, relative=relative, absolute=round_to(absolute, RATE_STEP))


def hourly_rates(seed: int, contracts: Mapping[str, Contract], price_at: Callable[[str, int], float]) -> Callable[[str, int], Decimal]:
    """The absolute rates of contracts by pair, for whoever has no engine to ask: (pair, an hour's begin in us) -> rate."""

    def rate(pair: str, hour_us: int) -> Decimal:
        contract = contracts[pair]
        return funding_rate(premium(seed, contract, hour_us), contract, price_at(pair, hour_us), hour_us).absolute

    return rate
