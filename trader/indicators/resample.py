"""Longer candles from shorter ones, as columns; exact: prices are copied, volumes summed in time order."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from trader.ports import Columns

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Span(Protocol):
    """A length of candles, in microseconds."""

    @property
    def us(self) -> int: ...


def empty() -> Columns:
    """No candle at all."""
    none = np.empty(0, dtype=np.float64)
    return Columns(
        time=np.empty(0, dtype=np.int64), open=none, high=none, low=none, close=none, volume=none, filled=np.empty(0, dtype=np.bool_)
    )


def cut(columns: Columns, start_us: int, end_us: int) -> Columns:
    """The candles whose open lies in [start_us, end_us)."""
    first, last = np.searchsorted(columns.time, (start_us, end_us))
    part = slice(int(first), int(last))
    return Columns(
        time=columns.time[part],
        open=columns.open[part],
        high=columns.high[part],
        low=columns.low[part],
        close=columns.close[part],
        volume=columns.volume[part],
        filled=columns.filled[part],
    )


def aggregate(columns: Columns, source: Span, target: Span) -> Columns:
    """Candles of `target` from those of `source`, of which every one must be there; incomplete ones are dropped.

    Shape (n,) to (m,): a group of target / source rows becomes a row where all of them exist. Raises ValueError where `target`
    is not a multiple of `source`.
    """
    if target.us % source.us:
        raise ValueError(f"timeframe {target} is not a multiple of {source}")
    if target is source or not len(columns):
        return columns
    label = columns.time // target.us * target.us  # numpy divides by a constant much faster than it takes remainders
    starts = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    counts = np.diff(starts, append=len(label))
    parts = target.us // source.us
    whole = counts == parts
    firsts = starts[whole]
    return Columns(
        time=label[firsts],
        open=columns.open[firsts],
        high=np.maximum.reduceat(columns.high, starts)[whole],
        low=np.minimum.reduceat(columns.low, starts)[whole],
        close=columns.close[firsts + parts - 1],
        volume=_summed(columns.volume, firsts, parts),
        filled=np.logical_and.reduceat(columns.filled, starts)[whole],
    )


def _summed(values: Floats, firsts: np.ndarray[Any, np.dtype[np.int64]], parts: int) -> Floats:
    """Sums of `parts` values from each of `firsts` on, added one after the other as candles that close one by one are: numpy's own
    `reduceat` adds the rest to the first, which is another last digit."""
    total: Floats = values[firsts]
    for part in range(1, parts):
        total += values[firsts + part]
    return total
