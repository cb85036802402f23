"""Exact decimal arithmetic for money, prices and quantities.

Sums and products run under one context in which an inexact result is an error; a division always names its quantum.
"""

from __future__ import annotations

import decimal
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal

PHI = 1.618033988749895
ZERO = Decimal(0)
EXACT = decimal.Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero])
_WIDE = decimal.Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero])


def plain(value: Decimal) -> str:
    """Plain notation without exponent or trailing zeros: `Decimal('1E-7')` -> `0.0000001`, `-0` -> `0`."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def add(*values: Decimal) -> Decimal:
    """Exact sum."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def sub(a: Decimal, b: Decimal) -> Decimal:
    """Exact difference a - b."""
    return EXACT.subtract(a, b)


def mul(a: Decimal, b: Decimal) -> Decimal:
    """Exact product."""
    return EXACT.multiply(a, b)


def quantum(digits: int) -> Decimal:
    """Smallest step with this many decimal places: 2 -> 0.01."""
    return Decimal(1).scaleb(-digits)


def round_to(value: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """`value` as a whole multiple of `step` (> 0), rounded as named; raises ValueError for a step that is not positive."""
    return _WIDE.multiply(_steps(value, step, rounding), step)


def steps(value: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> int:
    """How many `step`s (> 0) `value` is, rounded as named; raises ValueError for a step that is not positive."""
    return int(_steps(value, step, rounding))


def _steps(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if step <= 0:
        raise ValueError(f"step must be positive, not {step}")
    return _WIDE.divide(value, step).to_integral_value(rounding, _WIDE)


def down(value: Decimal, step: Decimal) -> Decimal:
    """Toward zero onto a multiple of `step`."""
    return round_to(value, step, ROUND_DOWN)


def up(value: Decimal, step: Decimal) -> Decimal:
    """Away from zero onto a multiple of `step`."""
    return round_to(value, step, ROUND_UP)


def divide(a: Decimal, b: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """a / b on a multiple of `step`; raises decimal.DivisionByZero for b = 0."""
    return round_to(_WIDE.divide(a, b), step, rounding)


def from_float(value: float) -> Decimal:
    """The shortest decimal that reads back as `value`: the one crossing from analysis to money; refuses NaN and infinities."""
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number
