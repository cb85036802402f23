"""Column types of the ledger: exact money as text, times as whole microseconds, booleans as 0 and 1.

STRICT tables accept only INTEGER, REAL and TEXT, so each type says what it is in both SQLite and Postgres. Both compare text
byte by byte and keep floats in eight bytes, so that the same calls leave the same rows in the same order.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from sqlalchemy import DOUBLE_PRECISION, REAL, BigInteger, Boolean, Dialect, Integer, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from trader.domain.money import plain

WHOLE_DIGITS = 20
FRACTION_DIGITS = 18
WORDS = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts by its bytes, whatever the locale of the server."""


def money_text(value: Decimal) -> str:
    """Plain notation of `value`; TypeError unless a finite Decimal, ValueError beyond NUMERIC(38, 18)."""
    if type(value) is not Decimal or not value.is_finite():
        raise TypeError(f"money must be a finite Decimal, not {value!r}")
    text = plain(value)
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole) > WHOLE_DIGITS or len(fraction) > FRACTION_DIGITS:
        raise ValueError(f"{text} does not fit NUMERIC(38, 18)")  # Postgres would round, silently
    return text


class Money(TypeDecorator[Decimal]):
    """Decimal <-> TEXT in plain notation (NUMERIC(38, 18) on Postgres). Compare for equality only; sum in Python."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric(38, 18) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        text = money_text(value)
        return Decimal(text) if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or isinstance(value, str):
            return None if value is None else Decimal(value)
        return Decimal(plain(Decimal(value)))


class Micros(TypeDecorator[int]):
    """UTC microseconds since 1970 as a 64-bit integer; refuses floats and booleans."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "postgresql" else Integer())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if value is not None and type(value) is not int:
            raise TypeError(f"a time must be whole microseconds as int, not {value!r}")
        return value


class Flag(TypeDecorator[bool]):
    """bool <-> 0 and 1 (BOOLEAN on Postgres)."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Boolean() if dialect.name == "postgresql" else Integer())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> Any:
        if value is not None and type(value) is not bool:
            raise TypeError(f"a flag must be a bool, not {value!r}")
        return value if value is None or dialect.name == "postgresql" else int(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


class Real(TypeDecorator[float]):
    """float <-> REAL of eight bytes (DOUBLE PRECISION on Postgres, whose REAL has four); NaN is stored as NULL, as SQLite does."""

    impl = REAL
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DOUBLE_PRECISION() if dialect.name == "postgresql" else REAL())

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value
