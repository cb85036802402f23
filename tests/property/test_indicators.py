"""Indicators see only the past, windows equal the whole, and streams equal arrays bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from series_kit import candle, cut, four_hours, walk

from trader.domain.market import Timeframe
from trader.indicators.series import Features, features
from trader.indicators.streams import PairStreams
from trader.indicators.technical import lookback_4h, lookback_15m
from trader.strategy.modes import STRATEGIES, Parameters, parameters

ALL = [parameters("viable", mode, variation) for mode, variation in STRATEGIES] + [parameters("seed", "mitraillette", "AGGRESSIVE")]
FLOATS = [n for n in Features._fields if n not in ("time_us", "ready", "fib_zone", "bullish_divergence", "bearish_divergence")]


@pytest.mark.parametrize("strategy", [ALL[1], ALL[5], ALL[6]], ids=lambda p: p.strategy)
def test_streams_equal_arrays_bit_for_bit(strategy: Parameters) -> None:
    """Every row, and every peek at the row to come, over more updates than the buffers hold."""
    columns = walk(11, 13_500)
    hours = four_hours(columns)
    whole, start = features(columns, hours, strategy), 12_000
    streams = PairStreams(cut(columns, 0, start), cut(hours, 0, start // 16), strategy)
    compared = 0
    for i in range(start, 13_500):
        if (i + 1) % 16 == 0:
            streams.update_h4(candle(hours, (i + 1) // 16 - 1, Timeframe.H4))
        ahead = streams.peek(candle(columns, i))
        streams.update(candle(columns, i))
        assert repr(streams.row) == repr(ahead) == repr(whole.row(i))
        compared += streams.ready
    assert compared == 1500


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_window_of_lookback_agrees_with_the_whole_to_1e9(seed: int) -> None:
    columns = walk(seed, 16_000)
    hours = four_hours(columns)
    for strategy in ALL:
        whole = features(columns, hours, strategy)
        n15, n4 = lookback_15m(strategy.rsi_period, strategy.trend_ema), lookback_4h(strategy.h4_ema)
        window = features(cut(columns, 16_000 - n15, 16_000), cut(hours, len(hours) - n4, len(hours)), strategy)
        assert window.ready[-1] and not window.ready[-2]
        for name in FLOATS:
            a, b = getattr(whole, name)[-1], getattr(window, name)[-1]
            scale = whole.close[-1] if "hist" in name or name == "bb_position" else max(abs(a), 1e-12)
            assert (np.isnan(a) and np.isnan(b)) or abs(a - b) <= 1e-9 * scale, (name, a, b)


def test_truncating_the_future_changes_nothing_before() -> None:
    columns = walk(21, 14_000)
    hours = four_hours(columns)
    whole = features(columns, hours, ALL[1])
    rng = np.random.default_rng(0)
    for n in sorted(rng.integers(11_300, 13_999, 50).tolist()):
        early = features(cut(columns, 0, n), cut(hours, 0, n // 16), ALL[1])
        for name in Features._fields:
            assert np.array_equal(getattr(early, name), getattr(whole, name)[:n], equal_nan=name in FLOATS), (n, name)
    assert whole.ready[11_299:].sum() > 2000
