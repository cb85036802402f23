"""One altered row for each rule of the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import polars as pl

from trader.data.rules import ABOVE, BETWEEN, COMPARED, IN_SET, NOT_NULL, UNIQUE
from trader.domain.market import Timeframe

ROW: Final = 30
Alter = Callable[[pl.DataFrame, Timeframe], pl.DataFrame]
"""Takes one pair's rows, ascending, and gives them back with one row altered."""
PRICES: Final = ("open", "high", "low", "close", "vwap")


def _set(row: int = ROW, **values: pl.Expr) -> Alter:
    def alter(rows: pl.DataFrame, _: Timeframe) -> pl.DataFrame:
        here = pl.int_range(pl.len()) == row % len(rows)
        return rows.with_columns(pl.when(here).then(value).otherwise(name).alias(name) for name, value in values.items())

    return alter


def _drop(rows: pl.DataFrame, _: Timeframe) -> pl.DataFrame:
    return rows.filter(pl.int_range(pl.len()) != ROW)


def _forming(rows: pl.DataFrame, tf: Timeframe) -> pl.DataFrame:
    return _set(-1, time=pl.col("time") + pl.duration(microseconds=tf.us))(rows, tf)


def _scaled(factor: float, *names: str) -> Alter:
    return _set(**{name: pl.col(name) * factor for name in names})


def _nothing(name: str) -> Alter:
    return _set(**{name: pl.lit(None)})


CASES: Final[dict[str, Alter]] = {
    **{f"{NOT_NULL}({name})": _nothing(name) for name in ("pair", "time", "open", "high", "low", "close", "volume")},
    f"{UNIQUE}(pair, time)": _set(time=pl.col("time").shift(1)),
    f"{ABOVE}(high, body_hi)": _set(high=pl.min_horizontal("open", "close") * 0.9999, low=pl.col("low") * 0.999),
    f"{ABOVE}(body_lo, low)": _set(low=pl.max_horizontal("open", "close") * 1.0001, high=pl.col("high") * 1.01),
    f"{BETWEEN}(low)": _set(low=pl.lit(0.0)),
    f"{BETWEEN}(volume)": _set(volume=pl.lit(-1.0)),
    f"{IN_SET}(finite)": _set(volume=pl.lit(math.inf)),
    f"{IN_SET}(grid_s)": _set(time=pl.col("time") + pl.duration(seconds=13)),
    f"{BETWEEN}(step_s)": _set(time=pl.col("time").shift(7)),
    f"{BETWEEN}(closed_s)": _forming,
    f"{IN_SET}(zone_h)": _set(zone_h=pl.lit(2.0)),
    f"{BETWEEN}(spike)": _scaled(100.0, *PRICES),
    f"{BETWEEN}(wick)": _scaled(100.0, "high"),
    f"{IN_SET}(step_s)": _drop,
    f"{BETWEEN}(absret)": _scaled(2.0, *PRICES),
    f"{BETWEEN}(vwap_off)": _scaled(1.5, "vwap"),
    f"{BETWEEN}(cross)": _set(cross=pl.lit(0.5)),
    f"{BETWEEN}(rival)": _set(rival=pl.lit(0.5)),
}
"""Rule name to the alteration that breaks it (and, where the row moves in time, its neighbours' rules too)."""


def unaltered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with nothing to compare with."""
    return rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in COMPARED)
