"""Numbers and codes as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.domain.messages import Refusal
from trader.reporting import words


def test_every_refusal_has_words_of_its_own() -> None:
    told = [words.decision_words(code) for code in (*Refusal, "ENTER", "DEFER")]
    assert len(told) == len(set(told)) > 25
    assert not any("_" in text or text.isupper() for text in told)


@pytest.mark.parametrize(("value", "shown"), [("1234.5", "1,234.50"), ("-0.004", "0.00"), ("-12", "−12.00"), ("0", "0.00")])
def test_money(value: str, shown: str) -> None:
    assert words.money(value) == shown


def test_gains_and_losses_carry_signs() -> None:
    assert [words.money(v, sign=True) for v in ("1", "-1", "0")] == ["+1.00", "−1.00", "0.00"]
    assert [words.percent(v, sign=True) for v in (0.0123, -0.0123, 0.0)] == ["+1.23 %", "−1.23 %", "0.00 %"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("2838.190493", "2,838.19"), ("0.328017", "0.328017"), ("100", "100.00"), ("0.00001234567", "0.0000123457"), ("0", "0")],
)
def test_price_keeps_six_digits(value: str, shown: str) -> None:
    assert words.price(value) == shown


def test_a_tiny_share_never_reads_as_zero() -> None:
    assert words.percent(0.00001) == "0.0010 %"
    assert words.percent(0.0) == "0.00 %"


@pytest.mark.parametrize(("seconds", "shown"), [(5, "5 s"), (125, "2 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h"), (-3, "0 s")])
def test_span(seconds: float, shown: str) -> None:
    assert words.span(seconds) == shown


@pytest.mark.parametrize(("reason", "shown"), [("STOP_LOSS", "stop-loss"), ("RATCHET_L3", "trailing stop, step 3"), ("NEW_ONE", "new one")])
def test_exit_reasons(reason: str, shown: str) -> None:
    assert words.exit_words(reason) == shown


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**300), max_value=10**300))
def test_no_number_is_refused(value: object) -> None:
    assert words.money(str(value))
    assert words.price(str(value))
