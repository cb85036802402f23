"""Futures contracts the twin lists: PF_ linear perpetuals in USD, PI_ inverse perpetuals settled in their base (KRAKEN.md section 6).

The spot market's quote counts as USD: PF_XBTUSD follows BTC/EUR of a EUR market one to one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.money import ZERO, divide, mul, quantum
from trader.simulation.listings import Listing

LINEAR_COUNT = 50  # bases with a PF_ contract: the market's first ones
INVERSE_BASES = ("BTC", "ETH")
FLEX, CASH = "flex", "cash"
_NAMES = {"BTC": "XBT"}  # futures spell only Bitcoin in Kraken's old way
_INVERSE_TICK = {"BTC": Decimal("0.5"), "ETH": Decimal("0.05")}
VALUE_STEP = quantum(10)  # values in a base currency, and shares of an entry value, are kept to this


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginLevel:
    """From `above` on (USD of position value; contracts for an inverse contract) these fractions of it are required."""

    above: Decimal
    initial: Decimal
    maintenance: Decimal


LEVELS = tuple(
    MarginLevel(above=Decimal(above), initial=Decimal(initial), maintenance=Decimal(initial) / 2)
    for above, initial in (("0", "0.02"), ("500000", "0.04"), ("2000000", "0.1"), ("5000000", "0.2"), ("20000000", "0.5"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One perpetual. `index`: the spot pair's place in the price arrays; `precision`: decimals of a size, negative for thousands."""

    symbol: str
    base: str
    pair: str
    index: int
    inverse: bool
    tick: Decimal
    precision: int
    max_position: Decimal
    levels: tuple[MarginLevel, ...] = LEVELS

    @property
    def lot(self) -> Decimal:
        """Size step: base units of a linear contract, USD of an inverse one."""
        return quantum(self.precision)

    @property
    def name(self) -> str:
        """The base as Kraken spells it here."""
        return _NAMES.get(self.base, self.base)

    @property
    def asset(self) -> str:
        """Currency that profit, fees and margin are in, lower case as the account endpoints write it."""
        return self.name.lower() if self.inverse else "usd"

    @property
    def account(self) -> str:
        """Margin account it draws on: `flex` of all linear contracts, one of its own per inverse base."""
        return f"fi_{self.name.lower()}usd" if self.inverse else FLEX

    def value(self, size: Decimal, price: Decimal) -> Decimal:
        """Signed position value in `asset` whose differences are profit: size x price; -size / price for an inverse contract."""
        return -divide(size, price, VALUE_STEP) if self.inverse else mul(size, price)

    def level(self, size: Decimal, price: Decimal) -> MarginLevel:
        """Margin level of a position of this size entered at `price`."""
        amount = abs(size) if self.inverse else abs(mul(size, price))
        return [level for level in self.levels if level.above <= amount][-1]

    def entry_price(self, size: Decimal, basis: Decimal) -> Decimal:
        """Average entry price of a position from the sum of its trades' values, to 12 decimals; 0 without one."""
        if not size or not basis:
            return ZERO
        return divide(-size, basis, quantum(12)) if self.inverse else divide(basis, size, quantum(12))


def contracts_of(listings: Iterable[Listing], count: int = LINEAR_COUNT) -> dict[str, Contract]:
    """Contracts of a market by symbol, linear ones (of the first `count` bases) first, from its listings in the order of its price
    arrays."""
    known = list(enumerate(listings))
    linear = [_linear(listing, index) for index, listing in known[:count]]
    inverse = [_inverse(listing, index) for index, listing in known if listing.base in INVERSE_BASES]
    return {contract.symbol: contract for contract in (*linear, *inverse)}


def _linear(listing: Listing, index: int) -> Contract:
    """Tick and size precision follow the spot pair's decimals, which leave about six digits of a price."""
    magnitude = 5 - listing.pair_decimals  # 4 for a price of 60,000
    precision = magnitude if magnitude >= 0 else 0 if magnitude >= -2 else -3
    return Contract(
        symbol=f"PF_{_NAMES.get(listing.base, listing.base)}USD",
        base=listing.base,
        pair=listing.pair,
        index=index,
        inverse=False,
        tick=quantum(max(listing.pair_decimals - 1, 0)),
        precision=precision,
        max_position=Decimal(10) ** (7 - magnitude),
    )


def _inverse(listing: Listing, index: int) -> Contract:
    return Contract(
        symbol=f"PI_{_NAMES.get(listing.base, listing.base)}USD",
        base=listing.base,
        pair=listing.pair,
        index=index,
        inverse=True,
        tick=_INVERSE_TICK[listing.base],
        precision=0,
        max_position=Decimal(75_000_000),
    )
