"""The NaN policy: a value that is no number is refused by name where it comes in live, and can never make a bar READY."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from series_kit import cut, four_hours, walk

from trader.domain.costs import Costs
from trader.indicators.series import features
from trader.indicators.streams import PairStreams
from trader.strategy.brain import candidates
from trader.strategy.modes import parameters

STRATEGY = parameters("viable", "mitraillette", "AGGRESSIVE")
BARS, WARM = 12_000, 11_100
COLUMNS = walk(7, BARS)
HOURS = four_hours(COLUMNS)
CLEAN = features(COLUMNS, HOURS, STRATEGY)
NOT_FINITE = st.sampled_from((math.nan, math.inf, -math.inf))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(("high", "low", "close", "volume")), at=st.integers(WARM, BARS - 1), value=NOT_FINITE)
def test_no_bar_is_ready_on_a_value_that_is_no_number(name: str, at: int, value: float) -> None:
    assume(name != "volume" or not COLUMNS.filled[at])  # the volume of a bar without trades is 0, whatever its column says
    spoilt = cut(COLUMNS, 0, BARS)
    getattr(spoilt, name)[at] = value
    made = features(spoilt, HOURS, STRATEGY)
    ends = at + 20 if name == "volume" else BARS  # the mean of 20 volumes forgets it, what is recursive never does
    assert not made.ready[at:ends].any() and not candidates(made, STRATEGY, Costs()).enter[at:ends].any()
    for field in made._fields:
        seen, clean = getattr(made, field)[:at], getattr(CLEAN, field)[:at]
        assert np.array_equal(seen, clean, equal_nan=seen.dtype == np.float64), field


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(("open", "high", "low", "close", "volume")), at=st.integers(0, BARS - 1), value=NOT_FINITE)
def test_a_live_pair_does_not_begin_on_it_and_names_the_column(name: str, at: int, value: float) -> None:
    spoilt = cut(COLUMNS, 0, BARS)
    getattr(spoilt, name)[at] = value
    with pytest.raises(ValueError, match=f"column {name} holds"):
        PairStreams(spoilt, HOURS, STRATEGY)


def test_the_clean_series_is_ready_where_these_tests_look() -> None:
    assert CLEAN.ready[WARM:].sum() > 800
