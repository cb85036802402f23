"""Rows of the history store: the candle schema, merging and filling frames, reading a part file back (`part_files` writes them)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from trader.domain.market import Candle, Timeframe
from trader.errors import CorruptError
from trader.ports import Columns

TIME: Final = pl.Datetime("us", "UTC")
SCHEMA: Final[dict[str, pl.DataType]] = {
    "pair": pl.String(),
    "time": TIME,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "vwap": pl.Float64(),
    "count": pl.Int32(),
    "filled": pl.Boolean(),
    "source": pl.UInt8(),
}
COLUMNS: Final = tuple(SCHEMA)
MEASURED: Final = ("open", "high", "low", "close", "volume", "vwap")
VALUES: Final = ("open", "high", "low", "close", "volume", "vwap", "count", "filled")
COMPARED: Final = ("open", "high", "low", "close", "volume", "filled")
"""What makes two candles differ. Not vwap and count: the archive has no vwap and its older files no count, and REST rounds vwap."""
SCHEMA_VERSION: Final = 1
KEY: Final = ("pair", "time")
NO_KEYS: Final = pl.DataFrame(schema={name: SCHEMA[name] for name in KEY})
SCAN_FROM: Final = 8 << 20  # bytes
Times = np.ndarray[Any, np.dtype[np.int64]]


class Source(IntEnum):
    """Where a candle came from; for one key the higher rank wins. STREAM rows are provisional."""

    STREAM = 1
    REST = 2
    TRADES = 3
    ARCHIVE = 4

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def omits_empty(self) -> bool:
        """Whether this source leaves out candles without trades, so that holes in what it served are filled."""
        return self in (Source.TRADES, Source.ARCHIVE)


def empty() -> pl.DataFrame:
    """A frame of no candles with the stored schema."""
    return pl.DataFrame(schema=SCHEMA)


def frame_of(candles: Iterable[Candle], source: Source) -> pl.DataFrame:
    """Candles as rows in the order given, nothing judged and nothing filled."""
    rows = list(candles)
    return pl.DataFrame(
        [
            pl.Series("pair", [c.pair for c in rows], pl.String()),
            pl.Series("time", [c.time_us for c in rows], pl.Int64()).cast(TIME),
            *(pl.Series(name, np.array([getattr(c, name) for c in rows], np.float64)) for name in MEASURED),
            pl.Series("count", [c.count for c in rows], pl.Int32()),
            pl.Series("filled", [c.filled for c in rows], pl.Boolean()),
            pl.Series("source", np.full(len(rows), int(source), np.uint8)),
        ]
    )


def times(frame: pl.DataFrame) -> Times:
    """The opens of rows, none of them missing, in UTC microseconds; as a rule a view. Polars' own `to_physical` takes 0.1 ms."""
    return frame["time"].to_numpy().view(np.int64)


def columns_of(frame: pl.DataFrame) -> Columns:
    """Rows of one pair, ascending, as aligned numpy columns."""
    one = frame.rechunk()
    return Columns(
        time=times(one),
        open=one["open"].to_numpy(),
        high=one["high"].to_numpy(),
        low=one["low"].to_numpy(),
        close=one["close"].to_numpy(),
        volume=one["volume"].to_numpy(),
        filled=one["filled"].to_numpy(),
    )


def mark_filled(frame: pl.DataFrame) -> pl.DataFrame:
    """Zero-volume rows without trades count as filled, however the source words them."""
    if not (idle := frame["volume"] == 0).any():
        return frame
    return frame.with_columns(filled=frame["filled"] | (idle & (frame["count"] == 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The result of an upsert into a part: all rows sorted by key, and the values that lost against the kept ones."""

    frame: pl.DataFrame
    lost: pl.DataFrame  # pair, time, kept_* and other_* of every key whose values differ


def merge(old: pl.DataFrame, new: pl.DataFrame) -> Merge:
    """Rows of both, one per (pair, time): the higher-ranked source, at equal rank the newer batch (`new`)."""
    both = pl.concat([old, new]).sort(*KEY, "source", maintain_order=True)  # so that `new` stands behind `old` of equal rank
    pair, time = both["pair"], times(both)
    same = np.flatnonzero(time[1:] == time[:-1])
    if not len(same) or not (pair[same] == pair[same + 1]).any():
        return Merge(frame=both, lost=NO_KEYS)
    kept = _measured(both).unique(KEY, keep="last", maintain_order=True)
    differ = pl.any_horizontal(pl.col(f"{c}_kept").ne_missing(pl.col(f"{c}_other")) for c in COMPARED)
    losers = both.join(kept, on=[*KEY], how="inner", suffix="_kept", maintain_order="left")
    losers = losers.rename({c: f"{c}_other" for c in (*VALUES, "source")})
    return Merge(frame=refill(kept), lost=losers.filter(differ))


def _measured(both: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by key and rank, where an archive's row takes the vwap, and a missing count, of a lower rank beside it."""
    own = pl.col("source") < int(Source.ARCHIVE)
    vwap = pl.when(own & (pl.col("vwap") > 0)).then("vwap").forward_fill().over(KEY)
    count = pl.when(pl.col("count") > 0).then("count").forward_fill().over(KEY)
    real = ~own & (pl.col("volume") > 0)
    return both.with_columns(
        vwap=pl.when(real).then(pl.coalesce(vwap, "vwap")).otherwise("vwap"),
        count=pl.when(real & (pl.col("count") == 0)).then(pl.coalesce(count, "count")).otherwise("count"),
    )


def refill(frame: pl.DataFrame) -> pl.DataFrame:
    """Filled rows carry the close of the last real row before them (per pair, sorted): a late real row reaches them."""
    if not frame["filled"].any():
        return frame
    real = pl.when(~pl.col("filled")).then("close").forward_fill().over("pair")
    return frame.with_columns(
        pl.when(pl.col("filled") & real.is_not_null()).then(real).otherwise(c).alias(c) for c in ("open", "high", "low", "close")
    )


def fill(frame: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """Rows of covered ranges on a regular grid: times without trades between a pair's first and last row are added.

    Added rows: o = h = l = c = previous close, volume 0, count 0, `filled`. Use only where the source omits them.
    """
    if frame.is_empty():
        return frame
    grid = (
        frame.group_by("pair", maintain_order=True)
        .agg(pl.datetime_ranges(pl.col("time").min(), pl.col("time").max(), f"{timeframe.minutes}m").first().alias("time"))
        .explode("time", empty_as_null=True, keep_nulls=True)
        .with_columns(pl.col("time").cast(TIME))
    )
    close = pl.col("close").forward_fill().over("pair")
    source = pl.col("source").forward_fill().over("pair")
    return (
        grid.join(frame, on=[*KEY], how="left", maintain_order="left")
        .with_columns(close=close, source=source, filled=pl.col("filled").fill_null(True))
        .with_columns(pl.col(c).fill_null(pl.col("close")) for c in ("open", "high", "low"))
        .with_columns(pl.col("volume", "vwap").fill_null(0.0), pl.col("count").fill_null(0))
        .select(COLUMNS)
    )


# --- reading a file -----------------------------------------------------------------------------------------------------
def read(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part. Raises CorruptError naming the file when it is missing, unreadable or not of our schema."""
    try:
        frame = pl.read_parquet(path, columns=list(columns) if columns else None, use_statistics=False, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # Polars' panic is a BaseException
        raise _unreadable(path, error) from error
    wanted = {name: SCHEMA[name] for name in (columns or COLUMNS)}
    if dict(frame.schema) != wanted:
        raise CorruptError(f"{path}: columns {dict(frame.schema)} instead of {wanted}")
    return frame


def select(path: Path, chosen: pl.Expr | None, columns: Sequence[str] = COLUMNS) -> pl.DataFrame:
    """These columns of the rows of a part that an expression chooses (None: all rows). Raises CorruptError.

    A large part is scanned, so that row groups without any of them are not decoded; a small one is read at once, which is faster.
    """
    if chosen is None:
        return read(path, columns)
    if large(path):
        return _scanned(path, lambda rows: rows.filter(chosen), columns)
    return read(path, list(dict.fromkeys((*columns, *chosen.meta.root_names())))).filter(chosen).select(columns)


def section(path: Path, first: int, count: int, columns: Sequence[str] = COLUMNS) -> pl.DataFrame:
    """These columns of the rows [first, first + count) of a part; row groups without any of them are not decoded. Raises CorruptError."""
    return _scanned(path, lambda rows: rows.slice(first, count), columns)


def large(path: Path) -> bool:
    """Whether a part is better scanned than read at once. Raises CorruptError where it is gone."""
    try:
        return path.stat().st_size > SCAN_FROM
    except OSError as error:
        raise _unreadable(path, error) from error


def _scanned(path: Path, chosen: Callable[[pl.LazyFrame], pl.LazyFrame], columns: Sequence[str]) -> pl.DataFrame:
    try:
        return chosen(pl.scan_parquet(path, schema=pl.Schema(SCHEMA), glob=False)).select(columns).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> CorruptError:
    return CorruptError(f"{path}: not a readable part ({type(error).__name__}: {str(error).splitlines()[0]})")


def verify(path: Path, sha256: str) -> None:
    """Raise CorruptError when the bytes of a part are not those that were written."""
    seen = digest_of(path)
    if seen != sha256:
        raise CorruptError(f"{path}: SHA-256 {seen[:12]}..., catalogued {sha256[:12]}...")


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises CorruptError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptError(f"{path}: cannot be read ({error})") from error
