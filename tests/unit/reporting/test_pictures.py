"""Axes and paths of the drawn charts: round ticks, no lost extreme, and edges such as one day, one bin, one price."""

from __future__ import annotations

import re

import numpy as np
import pytest

from trader.domain.market import DAY
from trader.ports import Columns
from trader.reporting.axes import inside, moments, nice
from trader.reporting.pictures import (
    WIDTH,
    Mark,
    candle_picture,
    close_scale,
    daily_picture,
    equity_picture,
    histogram_picture,
    thinned,
)
from trader.reporting.study import Bin

JAN_2024 = 1_704_067_200_000_000


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (0.25, ["1 Jan 2024", "01:00"]), (1, ["1 Jan 2024", "06:00"]), (5, ["1 Jan 2024", "2 Jan"]), (30, ["4 Jan", "11 Jan"]),
        (200, ["1 Jan 2024", "1 Feb"]), (800, ["1 Jan 2024", "1 Jul", "1 Jan 2025"]),
    ],
)  # fmt: skip
def test_moments_are_round_few_and_in_order(days: float, words: list[str]) -> None:
    found = moments(JAN_2024, JAN_2024 + round(days * DAY))
    assert 2 <= len(found) <= 8
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert all(0 <= at <= 1 for at, _ in found)
    assert [word for _, word in found][: len(words)] == words


def test_no_time_has_no_moments() -> None:
    assert moments(JAN_2024, JAN_2024) == []


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.031, 0.017), (5_685.9, 13_500.0), (1e-6, 1.7e-5), (7.0, 7.0)])
def test_ticks_are_round_and_lie_where_they_should(low: float, high: float) -> None:
    bottom, top, step = nice(low, high)
    assert bottom <= low <= high <= top
    assert (top - bottom) / step == pytest.approx(round((top - bottom) / step))
    assert (top - bottom) / step <= 6
    ticks, _ = inside(low, high)
    assert len(ticks) >= 1
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_a_thinned_curve_keeps_its_ends_its_peak_and_its_trough() -> None:
    values = np.random.default_rng(1).normal(0, 1, 20_000).cumsum().tolist()
    curve = list(enumerate(values))
    kept = thinned(curve)
    assert len(kept) <= 802
    assert {curve[0], curve[-1], curve[int(np.argmax(values))], curve[int(np.argmin(values))]} <= set(kept)
    assert kept == sorted(kept)
    assert thinned(curve[:5]) == curve[:5]


def test_an_equity_picture_spans_its_box_and_falls_from_its_peak() -> None:
    curve = [(JAN_2024 + hour * DAY // 24, value) for hour, value in enumerate([100.0, 120.0, 90.0, 110.0])]
    found = equity_picture(curve, [curve[0], (curve[-1][0], 100.0)])
    xs = [float(x) for x in re.findall(r"[ML]([\d.]+) ", found.line)]
    assert (xs[0], xs[-1]) == (0.0, WIDTH)
    assert found.drawdown.y(-0.25) == pytest.approx(90 * 0.25 / -found.drawdown.low)
    assert f"{found.drawdown.y(-0.25):.1f}" in found.fall


def test_gains_and_losses_are_two_paths_and_a_quiet_day_is_neither() -> None:
    found = daily_picture([(JAN_2024, 0.02), (JAN_2024 + DAY, -0.01), (JAN_2024 + 2 * DAY, 0.0)])
    assert (found.gains.count("Z"), found.losses.count("Z")) == (1, 1)
    assert daily_picture([(JAN_2024, 0.0)]).gains == ""


def test_a_histogram_marks_a_value_outside_its_bins() -> None:
    bins = [Bin(low=-0.2, high=-0.1, count=3), Bin(low=-0.1, high=0.0, count=5), Bin(low=0.0, high=0.1, count=2)]
    found = histogram_picture(bins, percent=True, mark=0.3, band=(-0.15, 0.05))
    assert (found.losses.count("Z"), found.gains.count("Z")) == (2, 1)
    assert found.mark == WIDTH
    assert 0 < found.band[0] < found.band[1] < WIDTH
    assert histogram_picture(bins, percent=False).mark == -1.0


def test_candles_and_trades_lie_where_their_time_and_price_are() -> None:
    close = np.array([10.0, 12.0, 11.0, 11.0])
    open_ = np.array([10.0, 10.0, 12.0, 11.0])
    columns = Columns(
        time=JAN_2024 + np.arange(4, dtype=np.int64) * DAY, open=open_, high=np.maximum(open_, close) + 1, low=np.minimum(open_, close) - 1,
        close=close, volume=np.ones(4), filled=np.zeros(4, np.bool_),
    )  # fmt: skip
    mark = Mark(entry_us=JAN_2024 + DAY, entry=10.0, exits=((JAN_2024 + 2 * DAY, 12.0),), gained=True, words="one", stop=8.5)
    found = candle_picture(columns, DAY, [mark], bar_us=DAY)
    assert (found.rose.count("Z"), found.fell.count("Z"), found.wicks.count("M")) == (3, 1, 4)
    (trade,) = found.trades
    assert trade.entry == f"M375.0 {found.prices.y(10.0):.1f}h0"
    assert trade.exits == f"M625.0 {found.prices.y(12.0):.1f}h0"
    assert f"{found.prices.y(8.5):.1f}" in trade.stop
    flat = close_scale([7.0, 7.0], 100.0, lambda value, _step: str(value))
    assert flat.low < 7.0 < flat.high
