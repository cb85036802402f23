"""Correlation of two pairs' returns: columns and streams agree, bars without a trade do not count, the unknown is said."""

from __future__ import annotations

import numpy as np
import pytest

from trader.indicators.likeness import LEAST, WINDOW, Closes, Likeness, correlation

CHANCE = np.random.default_rng(5)
COMMON = CHANCE.normal(0, 0.01, WINDOW)


def moving(share: float, n: int = WINDOW, gaps: int = 0) -> Closes:
    """Closes whose returns are `share` common noise, the rest their own; the last `gaps` bars are filled."""
    own = CHANCE.normal(0, 0.01, WINDOW)
    returns = share * COMMON + np.sqrt(1 - share**2) * own
    close = 100 * np.exp(np.concatenate(([0.0], np.cumsum(returns))))[-n - 1 :]
    filled = np.zeros(len(close), np.bool_)
    if gaps:
        close[-gaps:] = close[-gaps - 1]
        filled[-gaps:] = True
    return close, filled


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
def test_it_is_pearsons_of_log_returns(share: float) -> None:
    a, b = moving(1.0), moving(share)
    expected = np.corrcoef(np.diff(np.log(a[0])), np.diff(np.log(b[0])))[0, 1]
    assert correlation(a, b) == pytest.approx(expected, abs=1e-12)
    assert correlation(b, a) == correlation(a, b)


def test_only_bars_in_which_both_traded_count() -> None:
    a, b = moving(1.0), moving(0.9, gaps=200)
    n = WINDOW - 200
    expected = np.corrcoef(np.diff(np.log(a[0]))[:n], np.diff(np.log(b[0]))[:n])[0, 1]
    assert correlation(a, b) == pytest.approx(expected, abs=1e-12)


def test_the_shorter_history_decides_and_too_short_a_one_is_unknown() -> None:
    a, b = moving(1.0), moving(0.9, n=LEAST)
    expected = np.corrcoef(np.diff(np.log(a[0]))[-LEAST:], np.diff(np.log(b[0])))[0, 1]
    assert correlation(a, b) == pytest.approx(expected, abs=1e-12)
    assert correlation(a, moving(0.9, n=LEAST - 1)) is None
    assert correlation(a, moving(0.9, gaps=WINDOW - LEAST + 1)) is None


def test_a_pair_that_did_not_move_is_unknown() -> None:
    still = np.full(WINDOW + 1, 7.0), np.zeros(WINDOW + 1, np.bool_)
    assert correlation(moving(1.0), still) is None


def test_a_pair_without_the_bar_is_unknown_and_each_is_read_once() -> None:
    known, asked = {"A": moving(1.0), "B": moving(0.5)}, []
    likeness = Likeness(lambda pair: asked.append(pair) or known.get(pair))  # type: ignore[func-returns-value]
    assert likeness("A", "B") == correlation(known["A"], known["B"])
    assert likeness("A", "C") is None and likeness("C", "B") is None
    assert asked == ["A", "B", "C"]
