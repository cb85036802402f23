"""Indicators see only the past, windows equal the whole, and streams equal arrays bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from series_kit import candle, cut, four_hours, pick, walk

from trader.domain.market import Timeframe
from trader.domain.orders import Side
from trader.indicators import hours as four_hour
from trader.indicators.resample import aggregate
from trader.indicators.series import Features, base_of, features
from trader.indicators.streams import PairStreams
from trader.indicators.technical import lookback_4h, lookback_15m
from trader.strategy.brain import candidates
from trader.strategy.columns import Bars
from trader.strategy.modes import STRATEGIES, TABLE, Parameters, parameters
from trader.strategy.scoring import mirrored
from trader.strategy.strategies import of_table

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


def test_a_window_agrees_with_the_whole_where_the_average_is_233_candles_long() -> None:
    strategy = parameters("seed", "sniper", "CONSERVATIVE")
    assert (strategy.trend_ema, strategy.h4_ema) == (233, 233)
    columns = walk(4, 52_000)
    hours = four_hours(columns)
    whole = features(columns, hours, strategy)
    n15, n4 = lookback_15m(strategy.rsi_period, strategy.trend_ema), lookback_4h(strategy.h4_ema)
    window = features(cut(columns, 52_000 - n15, 52_000), cut(hours, len(hours) - n4, len(hours)), strategy)
    assert window.ready[-1] and not window.ready[-2]
    for name in ("ema_trend", "h4_ema"):
        a, b = getattr(whole, name)[-1], getattr(window, name)[-1]
        assert a != b, "from another start, so not to the last bit"
        assert abs(a - b) <= 1e-9 * a, (name, a, b)


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


def test_shared_columns_give_the_same_features() -> None:
    columns = walk(31, 12_000)
    hours = four_hours(columns)
    made = base_of(columns, hours, ALL[0])
    for strategy in ALL[1:6]:
        for a, b in zip(features(columns, hours, strategy, base=made), features(columns, hours, strategy), strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype == np.float64)


def test_the_4h_closes_of_a_pass_are_those_of_whole_aggregated_candles() -> None:
    """From an odd start, with holes in the middle and at the edges of 4h candles, and for too few rows to make one."""
    columns = walk(51, 1_000)
    for first, last, missing in ((0, 1_000, ()), (5, 990, (100, 207, 208, 500, 511)), (3, 17, ()), (0, 16, ()), (2, 2, ())):
        kept = np.setdiff1d(np.arange(first, last), missing)
        part = pick(columns, kept)
        made, wanted = four_hour.made_of(part.time, part.close), aggregate(part, Timeframe.M15, Timeframe.H4)
        assert made.time.tolist() == wanted.time.tolist() and made.close.tolist() == wanted.close.tolist()


def test_gaps_and_missing_4h_candles_make_the_same_bars_ready_in_both_worlds() -> None:
    """After a gap in either series a pair waits for LOOKBACK candles, whether it is read as arrays or as a stream."""
    columns = walk(41, 26_000)
    hours = four_hours(columns)
    keep, keep_4h = np.r_[0:12_000, 12_001:26_000], np.r_[0:800, 801 : len(hours)]
    gapped, gapped_4h = pick(columns, keep), pick(hours, keep_4h)
    made = features(gapped, gapped_4h, ALL[1])
    assert made.ready[11_500] and not made.ready[12_000:12_548].any()
    assert not made.ready[12_900:23_800].any() and made.ready[-1]
    for n in (11_900, 12_300, 12_700, 13_000, 20_000, 25_999):
        known = int(np.searchsorted(gapped_4h.time + 14_400_000_000, gapped.time[n - 1] + 900_000_000, side="right"))
        assert PairStreams(cut(gapped, 0, n), cut(gapped_4h, 0, known), ALL[1]).ready == made.ready[n - 1]


@pytest.mark.parametrize("side", Side)
def test_the_few_bars_worth_a_score_give_the_entries_of_all_columns(side: Side) -> None:
    """With holes, filled bars and both profiles; what a bar is scored by is what the whole column holds there."""
    columns = walk(61, 9_000)
    rng = np.random.default_rng(62)
    columns = replace(pick(columns, np.setdiff1d(np.arange(9_000), (5_000, 5_001))), filled=rng.random(8_998) < 0.1)
    entered = 0
    for chosen in TABLE.values():
        bars, strategy = Bars(columns, warmup="short"), of_table(chosen, side=side)
        whole, rule = bars.features(chosen), chosen
        if side is Side.SELL:
            whole, rule = mirrored(whole), chosen.mirrored
        found, made = candidates(whole, rule, strategy.costs), strategy.entries(bars)
        assert made.rows.tolist() == np.flatnonzero(found.enter).tolist()
        assert np.array_equal(made.score, found.score[made.rows])
        assert chosen.seed or np.array_equal(made.unit, found.unit[made.rows])
        rows, there = bars.ready_at(chosen, lambda rsi: np.arange(len(rsi)))
        assert rows.tolist() == np.flatnonzero(whole.ready).tolist() == bars.ready(chosen, np.arange(len(bars))).tolist()
        for name, column in zip(there._fields, there, strict=True):
            assert np.array_equal(column, getattr(bars.features(chosen), name)[rows], equal_nan=column.dtype == np.float64), name
        entered += len(made.rows)
    assert entered > 150
