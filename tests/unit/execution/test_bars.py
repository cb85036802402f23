"""Candle builder: longer candles come from complete, gapless parts only."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from trader.domain.market import MINUTE, Candle, Timeframe
from trader.execution.bars import BarBuilder, merge
from trader.indicators.resample import aggregate
from trader.ports import Columns

T0 = 1_767_571_200_000_000  # 2026-01-05T00:00Z, on every grid
NAMES = [field.name for field in fields(Columns)]


def minute(index: int, price: float = 100.0, **changes: object) -> Candle:
    made = Candle(
        pair="BTC/EUR", timeframe=Timeframe.M1, time_us=T0 + index * MINUTE, open=price, high=price + 1, low=price - 1,
        close=price + 0.5, volume=2.0, vwap=price, count=3,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_fifteen_minutes_make_one_candle_with_their_extremes_and_sums() -> None:
    parts = [minute(i, 100.0 + i) for i in range(15)]
    whole = merge(parts, Timeframe.M15)
    assert (whole.open, whole.high, whole.low, whole.close) == (100.0, 115.0, 99.0, 114.5)
    assert (whole.volume, whole.count, whole.time_us, whole.timeframe) == (30.0, 45, T0, Timeframe.M15)
    assert whole.vwap == pytest.approx(107.0)
    assert not whole.filled


def test_a_candle_is_filled_only_when_all_its_parts_are() -> None:
    parts = [minute(i, filled=True, volume=0.0) for i in range(15)]
    assert merge(parts, Timeframe.M15).filled
    assert merge(parts, Timeframe.M15).vwap == 0.0
    assert not merge([*parts[:14], minute(14)], Timeframe.M15).filled


@pytest.mark.parametrize(
    ("source", "target"), [(Timeframe.M1, Timeframe.M15), (Timeframe.M5, Timeframe.M15), (Timeframe.M15, Timeframe.H4)]
)
def test_candles_that_close_one_by_one_and_whole_columns_make_the_same_longer_ones_to_the_last_digit(
    source: Timeframe, target: Timeframe
) -> None:
    parts, rng = target.us // source.us, np.random.default_rng(5)
    n = 200 * parts
    walk, volume = 100 + np.cumsum(rng.normal(0, 0.1, n)), rng.lognormal(3, 2, n)
    columns = Columns(
        time=T0 + np.arange(n) * source.us, open=walk, high=walk + 1, low=walk - 1, close=walk + 0.5, volume=volume, filled=volume < 5
    )
    builder = BarBuilder(target)
    rows = zip(*(getattr(columns, name).tolist() for name in NAMES), strict=True)
    candles = [
        Candle(pair="BTC/EUR", timeframe=source, vwap=0.0, count=0, **dict(zip(("time_us", *NAMES[1:]), row, strict=True))) for row in rows
    ]
    made = [candle for candle in map(builder.add, candles) if candle is not None]
    whole = aggregate(columns, source, target)
    assert [tuple(getattr(candle, name) for name in ("time_us", *NAMES[1:])) for candle in made] == list(
        zip(*(getattr(whole, name).tolist() for name in NAMES), strict=True)
    )
    assert len(whole) == 200


@pytest.mark.parametrize("missing", [0, 7, 14])
def test_a_missing_part_is_refused(missing: int) -> None:
    parts = [minute(i) for i in range(15) if i != missing]
    with pytest.raises(ValueError, match="14 of 15"):
        merge(parts, Timeframe.M15)


def test_the_builder_returns_a_candle_with_its_last_part_and_begins_anew() -> None:
    builder = BarBuilder(Timeframe.M15)
    made = [builder.add(minute(i)) for i in range(30)]
    assert [i for i, candle in enumerate(made) if candle is not None] == [14, 29]
    assert made[29] is not None
    assert made[29].time_us == T0 + 15 * MINUTE


def test_a_builder_that_begins_in_the_middle_waits_for_the_next_start() -> None:
    builder = BarBuilder(Timeframe.M15)
    made = [builder.add(minute(i)) for i in range(4, 30)]
    assert sum(candle is not None for candle in made) == 1


def test_a_hole_spoils_its_candle_and_no_other() -> None:
    builder = BarBuilder(Timeframe.M15)
    made = [builder.add(minute(i)) for i in range(45) if i != 20]
    assert [candle.time_us for candle in made if candle is not None] == [T0, T0 + 30 * MINUTE]


def test_a_repeated_part_changes_nothing() -> None:
    builder = BarBuilder(Timeframe.M15)
    for i in range(14):
        builder.add(minute(i))
        assert builder.add(minute(i, 999.0)) is None
    whole = builder.add(minute(14))
    assert whole is not None
    assert whole.high == 101.0


def test_the_forming_candle_has_the_running_part_on_top() -> None:
    builder = BarBuilder(Timeframe.M15)
    assert builder.forming() is None
    for i in range(3):
        builder.add(minute(i))
    running = builder.forming(minute(3, 120.0))
    assert running is not None
    assert (running.open, running.high, running.close, running.volume) == (100.0, 121.0, 120.5, 8.0)
    stale = builder.forming(minute(9, 500.0))
    assert stale is not None
    assert stale.high == 101.0, "a running candle that does not follow is left out"
