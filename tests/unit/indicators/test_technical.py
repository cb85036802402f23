"""Indicator columns: warm-up lengths, conventions and the patterns that are our own."""

from __future__ import annotations

import numpy as np
import pytest
from series_kit import cut, walk

from trader.indicators import patterns, technical

COLUMNS = walk(3, 3000)


@pytest.mark.parametrize(
    ("n", "wilder", "bars"), [(14, True, 325), (34, True, 806), (55, False, 689), (89, False, 1114), (144, False, 1803), (233, False, 2916)]
)
def test_lookback_has_the_lengths_of_the_specification(n: int, wilder: bool, bars: int) -> None:
    assert (technical.wilder_lookback(n) if wilder else technical.ema_lookback(n)) == bars


@pytest.mark.parametrize(("period", "alpha"), [(1, 0.5), (14, 0.0), (14, 1.0)])
def test_lookback_refuses_impossible_smoothing(period: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="must be at least 2"):
        technical.lookback(period, alpha)


def test_bands_use_the_population_deviation() -> None:
    upper, middle, lower = technical.bollinger(COLUMNS.close)
    part = COLUMNS.close[100 - 19 : 101]
    assert middle[100] == pytest.approx(part.mean())
    assert upper[100] - middle[100] == pytest.approx(2 * part.std())
    assert lower[100] - middle[100] == pytest.approx(-2 * part.std())


def test_bb_position_is_half_where_the_bands_meet() -> None:
    close, band = np.array([10.0, 10.0, np.nan]), np.array([10.0, 12.0, 1.0])
    assert technical.bb_position(close, band, np.array([10.0, 8.0, 0.0])).tolist()[:2] == [0.5, 0.5]


@pytest.mark.parametrize(("name", "bars"), [("rsi", 21), ("ema", 54), ("atr", 14)])
def test_values_are_nan_until_the_period_is_filled(name: str, bars: int) -> None:
    made = {
        "rsi": technical.rsi(COLUMNS.close, 21),
        "ema": technical.ema(COLUMNS.close, 55),
        "atr": technical.atr(COLUMNS.high, COLUMNS.low, COLUMNS.close),
    }[name]
    assert np.isnan(made[:bars]).all() and np.isfinite(made[bars:]).all()


def _patterns(
    high: list[float] | None = None, low: list[float] | None = None, rsi: list[float] | None = None, volume: list[float] | None = None
) -> tuple[bool, bool, bool, float]:
    n = len(high or low or volume or [])
    base = np.full(n, 100.0)
    highs, lows = (np.array(v, dtype=float) if v else base for v in (high, low))
    rsis = np.array(rsi, dtype=float) if rsi else np.full(n, 50.0)
    volumes = np.array(volume, dtype=float) if volume else np.ones(n)
    return patterns.newest(highs, lows, base.copy(), volumes, rsis, n - 1)


def _dips(n: int, at: dict[int, float]) -> list[float]:
    return [at.get(i, 100.0) for i in range(n)]


@pytest.mark.parametrize(
    ("j1", "j2", "n", "expected"),
    [
        (40, 50, 54, True),
        (40, 50, 53, False),  # j2 is not confirmed before bar j2 + 3
        (40, 50, 64, True),  # i - j2 = 13
        (40, 50, 65, False),
        (45, 49, 56, False),  # 4 bars apart
        (44, 49, 56, True),
        (16, 50, 56, True),  # 34 apart
        (15, 50, 56, False),
    ],
)
def test_bullish_divergence_needs_two_confirmed_near_pivots(j1: int, j2: int, n: int, expected: bool) -> None:
    rsi = [50.0] * n
    rsi[j1], rsi[j2] = 20.0, 30.0
    assert _patterns(low=_dips(n, {j1: 90.0, j2: 89.0}), rsi=rsi)[1] is expected


def test_divergence_compares_only_the_two_latest_pivots() -> None:
    rsi = [50.0] * 60
    rsi[30], rsi[40], rsi[50] = 10.0, 30.0, 25.0
    assert not _patterns(low=_dips(60, {30: 91.0, 40: 90.0, 50: 89.0}), rsi=rsi)[1]  # 30 -> 50 would diverge, 40 -> 50 does not


def test_equal_neighbour_is_no_pivot() -> None:
    rsi = [50.0] * 60
    rsi[40], rsi[50] = 20.0, 30.0
    assert not _patterns(low=_dips(60, {40: 90.0, 50: 89.0, 51: 89.0}), rsi=rsi)[1]


def test_bearish_divergence_mirrors_on_pivot_highs() -> None:
    rsi = [50.0] * 60
    rsi[40], rsi[50] = 80.0, 70.0
    assert _patterns(high=_dips(60, {40: 110.0, 50: 111.0}), rsi=rsi)[:3][2]


def test_volume_ratio_compares_with_the_twenty_bars_before() -> None:
    assert _patterns(volume=[2.0] * 59 + [6.0])[3] == 3.0


def test_volume_ratio_is_one_after_twenty_silent_bars_even_after_a_huge_one() -> None:
    assert _patterns(volume=[1e9 / 3] * 30 + [0.0] * 20 + [5.0])[3] == 1.0


def test_fibonacci_zone_is_the_middle_of_the_swing_and_false_without_one() -> None:
    high, low = np.full(60, 110.0), np.full(60, 90.0)
    for close, inside in ((100.0, True), (97.64, True), (97.6, False), (102.36, True), (102.4, False)):
        assert patterns.newest(high, low, np.full(60, close), np.ones(60), np.full(60, 50.0), 59)[0] is inside
    assert not patterns.newest(high, high, high, np.ones(60), np.full(60, 50.0), 59)[0]


def test_patterns_of_columns_equal_those_of_each_newest_bar() -> None:
    c = cut(COLUMNS, 0, 1200)
    rsi = technical.rsi(c.close, 13)
    bulls, bears = patterns.divergences(c.high, c.low, rsi)
    zones = patterns.zones(c.close, technical.highest(c.high, 55), technical.lowest(c.low, 55))
    ratios = patterns.ratios(c.volume)
    for i in range(60, 1200):
        zone, bull, bear, ratio = patterns.newest(c.high, c.low, c.close, c.volume, rsi, i)
        assert (zone, bull, bear, ratio) == (zones[i], bulls[i], bears[i], ratios[i])
    assert bulls.sum() > 20 and bears.sum() > 20 and zones.sum() > 100
