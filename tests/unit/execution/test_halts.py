"""Limits of the account."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from trader.domain.market import DAY, MINUTE
from trader.execution.halts import DAILY_LOSS, DRAWDOWN, HaltLimits, Watch, evaluate, rebased, stops_in_a_row

LIMITS = HaltLimits(daily_loss=0.0382, drawdown=0.13, stops=8)


@pytest.mark.parametrize(
    ("equity", "day_open", "peak", "stops", "causes"),
    [
        ("9618.01", "10000", "10000", 7, []),
        ("9618", "10000", "10000", 0, ["DAILY_LOSS"]),
        ("8700", "8900", "10000", 0, ["DRAWDOWN"]),
        ("8700.01", "8900", "10000", 0, []),
        ("100", "10000", "10000", 8, ["DAILY_LOSS", "DRAWDOWN", "CONSECUTIVE_STOPS"]),
        ("10000", "10000", "10000", 8, ["CONSECUTIVE_STOPS"]),
        ("0", "0", "0", 0, []),
    ],
)
def test_limits_are_reached_at_equality(equity: str, day_open: str, peak: str, stops: int, causes: list[str]) -> None:
    found = evaluate(equity=D(equity), day_open=D(day_open), peak=D(peak), stops=stops, limits=LIMITS)
    assert [b.cause for b in found] == causes and all("against limit" in b.text for b in found)


def test_stops_count_until_a_winning_close() -> None:
    loss, gain = D(-1), D(1)
    assert stops_in_a_row([("STOP_LOSS", loss)] * 3) == 3
    assert stops_in_a_row([("STOP_LOSS", loss), ("TP1", gain), ("STOP_LOSS", loss)]) == 1
    assert stops_in_a_row([("STOP_LOSS", loss), ("MAX_HOLD", loss), ("RATCHET_L1", D(0)), ("STOP_LOSS", loss)]) == 2
    assert stops_in_a_row([]) == 0


def test_a_withdrawal_is_no_drawdown() -> None:
    peak = rebased(D(10_000), D(9_500), D(4_500))
    assert evaluate(equity=D(4_500), day_open=peak, peak=peak, stops=0, limits=HaltLimits(daily_loss=0.06, drawdown=0.06, stops=8)) == ()
    assert float(peak) == pytest.approx(10_000 * 4_500 / 9_500)
    assert rebased(D(0), D(0), D(500)) == D(500)


def test_the_close_of_midnight_is_the_next_days_open() -> None:
    watch = Watch(LIMITS)
    assert watch.close(D(10_000), DAY - 15 * MINUTE, 0) == ()
    assert watch.close(D(9_900), DAY, 0) == ()  # ends the first day
    assert watch.turns(DAY + 15 * MINUTE)
    found = watch.close(D(9_900) * D("0.9618"), DAY + 15 * MINUTE, 0)
    assert [breach.cause for breach in found] == [DAILY_LOSS] and watch.day_open == D(9_900) and watch.peak == D(10_000)


def test_a_cleared_limit_starts_again_from_the_last_close() -> None:
    watch = Watch(LIMITS, peak=D(10_000), last=D(8_000), day=0, day_open=D(10_000))
    assert [breach.cause for breach in watch.close(D(8_000), DAY, 0)] == [DAILY_LOSS, DRAWDOWN]
    for cause in (DAILY_LOSS, DRAWDOWN):
        watch.rebase(cause)
    assert watch.close(D(8_000), DAY, 0) == ()
