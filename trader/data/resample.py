"""Longer candles from shorter ones: numpy for one pair, Polars for frames of many; both give equal rows.

A bucket leaves only when every shorter candle of it is there (so it is closed, since only closed candles are stored).
Open = first, high = max, low = min, close = last, volume and count = sums in time order, vwap weighted by volume,
filled = all. Source: DATA.md section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from trader.data.parts import SCHEMA, TIME, Times, columns_of
from trader.domain.market import Timeframe
from trader.ports import Columns

SHORTER: Final = {
    Timeframe.M1: (),
    Timeframe.M5: (Timeframe.M1,),
    Timeframe.M15: (Timeframe.M5, Timeframe.M1),
    Timeframe.H1: (Timeframe.M15, Timeframe.M5, Timeframe.M1),
    Timeframe.H4: (Timeframe.H1, Timeframe.M15, Timeframe.M5, Timeframe.M1),
    Timeframe.D1: (Timeframe.H4, Timeframe.H1, Timeframe.M15, Timeframe.M5, Timeframe.M1),
}  # stored timeframes a longer one may be built from; where two cover the same time, the later in the list is used


def resample(columns: Columns, from_tf: Timeframe, to_tf: Timeframe) -> Columns:
    """Candles of `to_tf` from those of `from_tf` of one pair, ascending; shape (n,) to (m,), only full buckets.

    Volumes are added one candle after the other, as in the session's bar builder.
    Raises ValueError where `to_tf` is not a multiple of `from_tf`.
    """
    parts = _parts(from_tf, to_tf)
    if parts == 1:
        return columns
    first = _whole_buckets(columns.time, from_tf.us, to_tf.us)
    unbroken = len(first) > 0 and int(first[-1] - first[0]) == (len(first) - 1) * parts
    rows: Any = slice(int(first[0]), int(first[-1]) + parts) if unbroken else (first[:, None] + np.arange(parts)).ravel()
    grouped = {name: getattr(columns, name)[rows].reshape(-1, parts) for name in ("high", "low", "volume", "filled")}
    high, low, volume = grouped["high"][:, 0], grouped["low"][:, 0], grouped["volume"][:, 0]
    for step in range(1, parts):
        high, low = np.maximum(high, grouped["high"][:, step]), np.minimum(low, grouped["low"][:, step])
        volume = volume + grouped["volume"][:, step]
    return Columns(
        time=columns.time[first],
        open=columns.open[first],
        high=high,
        low=low,
        close=columns.close[first + (parts - 1)],
        volume=volume,
        filled=grouped["filled"].all(axis=1),
    )


def _whole_buckets(time: Times, from_us: int, to_us: int) -> Times:
    """The rows that begin a bucket of which every candle is there."""
    parts = to_us // from_us
    if len(time) and time[0] % from_us == 0 and (time[1:] - time[:-1] == from_us).all():  # as a rule: nothing to divide
        return np.arange(-(int(time[0]) // from_us) % parts, len(time) - parts + 1, parts)
    label = time // to_us * to_us  # numpy divides by a constant much faster than it takes remainders
    starts = np.flatnonzero(np.diff(label, prepend=label[0] - 1)) if len(label) else np.empty(0, np.int64)
    whole: Times = starts[np.diff(starts, append=len(label)) == parts]
    return whole


def resample_frame(frame: pl.DataFrame, from_tf: Timeframe, to_tf: Timeframe) -> pl.DataFrame:
    """The same on stored rows of many pairs, sorted by (pair, time); `source` is the lowest rank in the bucket."""
    parts = _parts(from_tf, to_tf)
    if parts == 1 or frame.is_empty():
        return frame
    bucket = (pl.col("time").to_physical() // to_tf.us * to_tf.us).cast(TIME)
    out = (
        frame.group_by("pair", bucket.alias("bucket"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            (pl.col("vwap") * pl.col("volume")).sum().alias("turnover"),
            pl.col("volume").sum(),
            pl.col("count").sum(),
            pl.col("filled").all(),
            pl.col("source").min(),
            pl.len().alias("parts"),
        )
        .filter(pl.col("parts") == parts)
        .rename({"bucket": "time"})
    )
    vwap = pl.when(pl.col("volume") > 0).then(pl.col("turnover") / pl.col("volume")).otherwise(0.0)
    return out.with_columns(vwap=vwap).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def overlay(under: Columns, over: Columns) -> Columns:
    """Candles of both series of one pair, ascending; where both have one, that of `over`."""
    if not len(under) or not len(over):
        return over if not len(under) else under
    keep = ~np.isin(under.time, over.time, assume_unique=True)
    order = np.argsort(np.concatenate([under.time[keep], over.time]), kind="stable")
    return Columns(**{name: np.concatenate([getattr(under, name)[keep], getattr(over, name)])[order] for name in NAMES})


def columns_by_pair(frame: pl.DataFrame) -> Iterator[tuple[str, Columns]]:
    """Each pair of rows sorted by key with its columns, which are views of columns of all rows."""
    columns, first = columns_of(frame), 0
    runs = frame["pair"].rle().struct
    for pair, size in zip(runs.field("value").to_list(), runs.field("len").to_list(), strict=True):
        yield pair, cut(columns, first, first + size)
        first += size


def cut(columns: Columns, start: int, stop: int | None = None) -> Columns:
    """Rows [start, stop) by position."""
    return Columns(**{name: getattr(columns, name)[start:stop] for name in NAMES})


def segments(columns: Columns, timeframe: Timeframe) -> list[Columns]:
    """Unbroken runs, oldest first: an unfetched hole (a step other than one candle) is never bridged."""
    if not len(columns):
        return []
    breaks = np.flatnonzero(np.diff(columns.time) != timeframe.us) + 1
    edges = [0, *breaks.tolist(), len(columns)]
    return [cut(columns, first, last) for first, last in pairwise(edges)]


def _parts(from_tf: Timeframe, to_tf: Timeframe) -> int:
    if to_tf.us % from_tf.us:
        raise ValueError(f"timeframe {to_tf} is not a multiple of {from_tf}")
    return to_tf.us // from_tf.us


NAMES: Final = ("time", "open", "high", "low", "close", "volume", "filled")
