"""What the store says about the candles of a batch: the columns `cross`, `rival` and `zone_h` that the gate's rules speak of.

`cross`: how far a candle is from the one built from shorter stored candles; `rival`: how far from the stored one of another
source (trades, REST and archive should agree; the stream is provisional and simply replaced); `zone_h`: the whole hours by
which a pair's rows repeat the stored ones, which is what a file in local time does. Missing where nothing can be compared.
Source: DATA.md sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from trader.data.history_reading import HistoryReader
from trader.data.parts import Source
from trader.data.resample import SHORTER, resample_frame
from trader.data.rules import COMPARED
from trader.domain.market import MINUTE, Timeframe

PRICES: Final = ("open", "high", "low", "close")
NEWEST: Final = 2_000
"""Shorter candles per pair a batch is compared with; the nightly audit compares all."""
DUST: Final = 1e-6
"""Volumes that differ by less are equal: sums of rounded trades."""
HOUR_US: Final = 60 * MINUTE
ZONES: Final = tuple(hour for hour in range(-14, 15) if hour)
OVERLAP: Final = 8
"""Rows that must meet stored ones before anything is said about a time zone."""


def compare(store: HistoryReader, rows: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """The rows, as served and in their order, with what the store says about them."""
    time = rows["time"].drop_nulls().to_physical()
    if time.is_empty():
        return rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in COMPARED)
    first, last = int(time.min()), int(time.max()) + timeframe.us  # type: ignore[arg-type]
    around = ZONES[-1] * HOUR_US
    stored = _stored(store, rows, timeframe, first - around, last + around)
    shorter = {s: _stored(store, rows, s, max(first, last - NEWEST * s.us), last) for s in SHORTER[timeframe]}
    return rows.with_columns(cross=cross(rows, timeframe, shorter), rival=_rival(rows, stored), zone_h=_zones(rows, stored))


def cross(rows: pl.DataFrame, timeframe: Timeframe, shorter: Mapping[Timeframe, pl.DataFrame]) -> pl.Series:
    """Per row the greatest difference from the candles built from each shorter timeframe; missing where none is whole."""
    found = []
    for source, frame in shorter.items():
        built = resample_frame(frame.sort("pair", "time"), source, timeframe).unique(("pair", "time"), keep="last")
        found.append(_difference(rows, built).alias(str(source)))
    return pl.DataFrame(found).select(pl.max_horizontal(pl.all())).to_series() if found else pl.Series([None] * len(rows), dtype=pl.Float64)


def _stored(store: HistoryReader, rows: pl.DataFrame, timeframe: Timeframe, since: int, until: int) -> pl.DataFrame:
    """Stored rows of the batch's pairs, provisional ones too."""
    time = pl.col("time").to_physical()
    chosen = pl.col("pair").is_in(rows["pair"].unique().drop_nulls().to_list()) & time.is_between(since, until, closed="left")
    return store.snapshot(tf=timeframe, since=since, until=until, provisional=True).scan().filter(chosen).collect()


def _difference(rows: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Per row the greatest relative difference of a price or the volume from the row of the same key; missing without one."""
    both = rows.join(
        others.select("pair", "time", *PRICES, "volume"), on=["pair", "time"], how="left", suffix="_other", maintain_order="left"
    )
    apart = [(pl.col(c) - pl.col(f"{c}_other")).abs() / pl.col(f"{c}_other").abs() for c in PRICES]
    volume = (pl.col("volume") - pl.col("volume_other")).abs()
    share = pl.when(volume <= DUST).then(0.0).otherwise(volume / pl.max_horizontal("volume", "volume_other"))
    far = both.select(pl.when(pl.col("close_other").is_not_null()).then(pl.max_horizontal(*apart, share)).fill_nan(None).alias("far"))
    return far.to_series()


def _rival(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.Series:
    if rows.is_empty() or stored.is_empty():
        return pl.Series([None] * len(rows), dtype=pl.Float64)
    own = int(rows["source"].drop_nulls().max() or 0)  # type: ignore[arg-type]
    return _difference(rows, stored.filter((pl.col("source") > int(Source.STREAM)) & (pl.col("source") != own)))


def _zones(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.Series:
    """Per row the shift of its pair in whole hours: 0 where the rows meet the stored ones as they are, or fit nowhere better."""
    closes = stored.select("pair", time=pl.col("time").to_physical(), close_stored="close")
    mine = rows.select("pair", "close", time=pl.col("time").to_physical())
    suspects = _meeting(mine, closes, 0).filter((pl.col("met") >= OVERLAP) & (pl.col("same") < 0.1 * pl.col("met")))["pair"].to_list()
    shifts: dict[str, float] = {}
    some = mine.filter(pl.col("pair").is_in(suspects))
    for hour in ZONES if suspects else ():
        fits = _meeting(some, closes, hour).filter((pl.col("met") >= OVERLAP) & (pl.col("same") > 0.9 * pl.col("met")))
        shifts |= {pair: float(hour) for pair in fits["pair"].to_list() if pair not in shifts}
    return rows["pair"].replace_strict(shifts, default=0.0, return_dtype=pl.Float64)


def _meeting(mine: pl.DataFrame, closes: pl.DataFrame, hour: int) -> pl.DataFrame:
    """Per pair how many rows meet a stored one when moved back by `hour`, and how many of those have its close."""
    moved = mine.with_columns(pl.col("time") - hour * HOUR_US).join(closes, on=["pair", "time"])
    same = (pl.col("close") - pl.col("close_stored")).abs() <= 1e-9 * pl.col("close_stored").abs()
    return moved.group_by("pair").agg(met=pl.len(), same=same.sum())
