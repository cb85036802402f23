"""Crossings of averages: live equals whole columns, a peek is the row to come, windows agree, nothing looks ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest
from series_kit import walk

from trader.indicators.crossings import EmaCross, crossed, ema_cross
from trader.indicators.technical import ema_lookback

PAIRS = [(9, 21), (21, 55), (55, 233)]


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
def test_live_equals_whole_columns_and_peek_is_the_row_to_come(fast: int, slow: int) -> None:
    close = walk(3, 4_000).close
    whole = ema_cross(close, fast, slow)
    live = EmaCross(close[: slow + 100], fast, slow)
    seen = 0
    for i in range(slow + 100, len(close)):
        ahead, before = live.peek(float(close[i])), (live.value, live.above)
        assert (live.value, live.above) == before
        assert live.update(float(close[i])) == ahead == whole[i]
        seen += whole[i] != 0
    assert seen >= 5


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
def test_a_window_of_the_warm_up_and_a_cut_future_say_the_same(fast: int, slow: int) -> None:
    close = walk(4, 8_000).close
    whole = ema_cross(close, fast, slow)
    for n in range(4_000, 8_000, 250):
        assert np.array_equal(ema_cross(close[:n], fast, slow), whole[:n])
        window = ema_cross(np.ascontiguousarray(close[n - ema_lookback(slow) - 1 : n]), fast, slow)
        assert window[-1] == whole[n - 1]


def test_up_and_down_alternate_and_nothing_crosses_before_both_averages_are_known() -> None:
    found = ema_cross(walk(5, 3_000).close, 9, 21)
    turns = found[found != 0]
    assert not found[:21].any()
    assert len(turns) > 20
    assert (turns[1:] == -turns[:-1]).all()


def test_touching_is_not_above_and_nan_is_no_crossing() -> None:
    assert crossed(np.array([1.0, 2.0, 3.0, 2.0]), np.array([2.0, 2.0, 2.0, 2.0])).tolist() == [0, 0, 1, -1]
    assert crossed(np.array([1.0, math.nan, 3.0]), np.array([2.0, 2.0, 2.0])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("fast", "slow"), [(21, 9), (9, 9), (1, 9)])
def test_impossible_periods_are_refused(fast: int, slow: int) -> None:
    with pytest.raises(ValueError, match="fast one"):
        ema_cross(np.ones(50), fast, slow)


def test_a_close_that_is_no_number_changes_nothing_and_too_few_do_not_begin() -> None:
    close = walk(6, 300).close
    live = EmaCross(close, 9, 21)
    before = (live.value, live.above)
    with pytest.raises(ValueError, match="nan"):
        live.update(math.nan)
    assert (live.value, live.above) == before
    with pytest.raises(ValueError, match="at least 21"):
        EmaCross(close[:20], 9, 21)
