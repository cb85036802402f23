"""Money in the database: every Decimal that fits comes back exactly, everything else is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.dialects import sqlite

from trader.data.types import Flag, Micros, Money, money_text

DIALECT = sqlite.dialect()
MONEY = Money()
fitting = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(f"{n}E-18"))


@given(fitting)
def test_money_round_trips_with_all_38_digits(value: Decimal) -> None:
    text = MONEY.process_bind_param(value, DIALECT)
    assert MONEY.process_result_value(text, DIALECT) == value
    assert "E" not in text and text not in ("-0", "")


@given(st.lists(fitting, min_size=1, max_size=20))
def test_money_round_trips_through_a_real_table(values: list[Decimal]) -> None:
    engine = create_engine("sqlite://")
    table = Table("t", MetaData(), Column("n", Integer, primary_key=True), Column("m", Money), sqlite_strict=True)
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"n": n, "m": value} for n, value in enumerate(values)])
        assert list(connection.execute(select(table.c.m).order_by(table.c.n)).scalars()) == values


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_is_stored_exactly_or_refused(value: Decimal) -> None:
    try:
        text = money_text(value)
    except (TypeError, ValueError):
        return
    assert Decimal(text) == value


@pytest.mark.parametrize("value", [1, 1.5, "1", True, Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_finite_decimal_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="finite Decimal"):
        money_text(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1E20", "100000000000000000000", "1E-19", "0.1234567890123456789"])
def test_too_many_digits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        money_text(Decimal(text))


def test_times_and_flags_refuse_lookalikes() -> None:
    for value in (1.0, True, "1"):
        with pytest.raises(TypeError):
            Micros().process_bind_param(value, DIALECT)  # type: ignore[arg-type]
    for flag in (0, 1, "x"):
        with pytest.raises(TypeError):
            Flag().process_bind_param(flag, DIALECT)  # type: ignore[arg-type]
