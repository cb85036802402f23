"""Longer candles: numpy, Polars and DuckDB agree, and only full buckets leave."""

from __future__ import annotations

import candle_kit as kit
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.data import parts
from trader.data.resample import NAMES, overlay, resample, resample_frame, segments
from trader.domain.market import Timeframe
from trader.execution.bars import merge

M1, M15, H4 = Timeframe.M1, Timeframe.M15, Timeframe.H4
STEPS = [(M1, Timeframe.M5), (M1, M15), (Timeframe.M5, M15), (M15, H4), (M15, Timeframe.H1), (M1, Timeframe.D1)]


def holed(count: int, tf: Timeframe, offset: int, holes: list[int], seed: int) -> pl.DataFrame:
    """Two pairs' candles from an odd start, some missing."""
    pieces = [kit.frame([name], count, tf=tf, start=kit.EPOCH + offset * tf.us, seed=seed) for name in kit.pairs(2)]
    keep = ~pl.int_range(pl.len()).is_in([h % count for h in holes])
    return pl.concat([pieces[0].filter(keep), pieces[1]])


@pytest.mark.parametrize(("short", "long"), STEPS)
def test_polars_and_numpy_give_equal_candles(short: Timeframe, long: Timeframe) -> None:
    rows = holed(3000, short, 7, [5, 6, 700, 1999], seed=3)
    polars = resample_frame(rows, short, long)
    assert polars.height > 0
    for (pair,), one in rows.group_by("pair", maintain_order=True):
        numpy, same = resample(parts.columns_of(one), short, long), polars.filter(pl.col("pair") == pair)
        for name in ("time", "open", "high", "low", "close", "filled"):
            assert getattr(numpy, name).tolist() == same[name].to_physical().to_list()
        np.testing.assert_allclose(numpy.volume, same["volume"].to_numpy(), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 200), offset=st.integers(0, 40), holes=st.lists(st.integers(0, 199), max_size=5), seed=st.integers(0, 99))
def test_every_bucket_is_the_sessions_own_candle_and_complete(count: int, offset: int, holes: list[int], seed: int) -> None:
    rows = holed(count, M1, offset, holes, seed).filter(pl.col("pair") == "P000/EUR")
    got = resample(parts.columns_of(rows), M1, M15)
    candles = {c.time_us: c for c in kit.series("P000/EUR", count, start=kit.EPOCH + offset * M1.us, seed=seed)}
    present = rows["time"].to_physical().to_list()
    full = [t for t in range(kit.EPOCH, kit.EPOCH + (count + offset) * M1.us, M15.us) if all(t + k * M1.us in present for k in range(15))]
    assert got.time.tolist() == full
    for i, t in enumerate(full):
        bar = merge([candles[t + k * M1.us] for k in range(15)], M15)
        assert (got.open[i], got.high[i], got.low[i], got.close[i], bool(got.filled[i])) == (
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.filled,
        )
        assert got.volume[i] == pytest.approx(bar.volume, rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 99), max_size=6), seed=st.integers(0, 9))
def test_segments_partition_the_rows_at_holes_and_overlay_prefers_the_upper(cuts: list[int], seed: int) -> None:
    rows = kit.frame(["A/EUR"], 100, tf=M15, seed=seed).filter(~pl.int_range(pl.len()).is_in(cuts))
    columns = parts.columns_of(rows)
    runs = segments(columns, M15)
    assert np.array_equal(np.concatenate([r.time for r in runs]) if runs else np.empty(0), columns.time)
    assert all(np.all(np.diff(r.time) == M15.us) for r in runs)
    upper = parts.columns_of(kit.frame(["A/EUR"], 40, tf=M15, seed=seed + 100, start=kit.EPOCH + 30 * M15.us))
    both = overlay(columns, upper)
    assert np.all(np.diff(both.time) > 0) and set(both.time.tolist()) == set(columns.time.tolist()) | set(upper.time.tolist())
    inside = np.isin(both.time, upper.time)
    assert all(np.array_equal(getattr(both, name)[inside], getattr(upper, name)) for name in NAMES)


def test_no_rows_give_no_candles_and_a_wrong_multiple_is_an_error() -> None:
    none = parts.columns_of(parts.empty())
    assert len(resample(none, M1, M15)) == 0 and segments(none, M15) == []
    assert resample_frame(parts.empty(), M1, M15).height == 0
    with pytest.raises(ValueError, match=r"1m is not a multiple of 4h"):
        resample(none, H4, M1)
