"""Words of an order: its types, prices relative to the market, and the terms of a conditional close (KRAKEN.md section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trader.domain.money import add, divide, mul, quantum, round_to, sub

BUY, SELL = "buy", "sell"
MARKET, LIMIT, ICEBERG = "market", "limit", "iceberg"
STOP_LOSS, STOP_LOSS_LIMIT = "stop-loss", "stop-loss-limit"
TAKE_PROFIT, TAKE_PROFIT_LIMIT = "take-profit", "take-profit-limit"
TRAILING_STOP, TRAILING_STOP_LIMIT = "trailing-stop", "trailing-stop-limit"

TYPES = (
    MARKET,
    LIMIT,
    ICEBERG,
    STOP_LOSS,
    STOP_LOSS_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TRAILING_STOP,
    TRAILING_STOP_LIMIT,
)
TRIGGERED = frozenset(TYPES[3:])
LIMITED = frozenset((LIMIT, ICEBERG, STOP_LOSS_LIMIT, TAKE_PROFIT_LIMIT, TRAILING_STOP_LIMIT))
TRAILING = frozenset((TRAILING_STOP, TRAILING_STOP_LIMIT))
PROFIT = frozenset((TAKE_PROFIT, TAKE_PROFIT_LIMIT))
CLOSING = tuple(kind for kind in TYPES if kind not in (MARKET, ICEBERG))  # types a conditional close may have
SIGNS = ("+", "-", "#")
MOST_DIGITS = 20  # before or after the point
_NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]{1,3})?")


def sane(value: Decimal) -> bool:
    """Whether it is a number one can reckon with: 1e400 is a decimal and no amount of anything."""
    return value.is_finite() and abs(value.adjusted()) <= MOST_DIGITS


def decimal_of(text: str) -> Decimal:
    """A number as the wire writes one. Raises ValueError for anything else, such as `1_000` and digits of other scripts, which
    `Decimal` would take."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """A distance from a reference price: quote currency, or percent of the reference. `sign` "#" is set by side and type."""

    sign: str
    amount: Decimal
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Offset:
        """`+100`, `-1.5%`, `#2%`. Raises ValueError for anything else, negative or infinite amounts included."""
        sign, rest = text[:1], text[1:]
        percent = rest.endswith("%")
        amount = decimal_of(rest.removesuffix("%"))
        if sign not in SIGNS or not sane(amount) or rest[:1] in ("+", "-"):
            raise ValueError(f"{text!r} is not a relative price")
        return cls(sign=sign, amount=amount, percent=percent)

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        return f"{self.sign}{self.amount:f}{'%' if self.percent else ''}"

    def signed(self, sign: str) -> Offset:
        """The same distance with `sign` instead of "#"."""
        return Offset(sign=sign, amount=self.amount, percent=self.percent) if self.sign == "#" else self

    def of(self, reference: Decimal, tick: Decimal) -> Decimal:
        """The price this far from `reference`, on the tick; may be zero or less."""
        distance = divide(mul(reference, self.amount), Decimal(100), quantum(12)) if self.percent else self.amount
        return round_to(sub(reference, distance) if self.sign == "-" else add(reference, distance), tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """A conditional close: the order that appears with each fill of its entry. Each price is absolute or relative, not both."""

    ordertype: str
    price: Decimal | None = None
    price_by: Offset | None = None
    trigger: Decimal | None = None
    trigger_by: Offset | None = None


def opposite(side: str) -> str:
    """The other side."""
    return SELL if side == BUY else BUY


def waits_below(ordertype: str, side: str) -> bool:
    """Whether a falling price sets off a triggered order: sell stops and buy take-profits."""
    return (side == SELL) != (ordertype in PROFIT)


def automatic_sign(ordertype: str, side: str, *, second: bool) -> str:
    """What "#" stands for: triggers and limits on their natural side of the market, `second` limits worse than their trigger."""
    if second:
        return "+" if side == BUY else "-"
    if ordertype in TRIGGERED:
        return "-" if waits_below(ordertype, side) else "+"
    return "-" if side == BUY else "+"
