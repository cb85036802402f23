"""A recorded market: replays candles of a Parquet file as the twin's prices (SIMULATION.md section 5, replay instruments).

Nothing is invented: a pair has no price before its first row, and a bar that the file lacks is repeated from the close before
(volume 0, filled). Candles before the replay's start are history like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trader.domain.market import Timeframe
from trader.domain.messages import stamp
from trader.errors import ConfigError
from trader.ports import Columns
from trader.simulation.listings import Listing, replay_listing
from trader.simulation.table import TableMarket, on_grid

_SCHEMA: dict[str, Any] = {
    "pair": pl.String,
    "timeframe": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
}
_PRICES = ("open", "high", "low", "close")


class ReplayMarket(TableMarket):
    """Market of a file. `seed` only names the run; `start_us` (default: the first row) is where the replay begins, and candles
    before it are history. BTC comes first where the file has it.

    Raises ConfigError naming file and column for a file that is missing, unreadable, of another schema, with several
    timeframes or quotes, or with rows that are no candles.
    """

    def __init__(self, file: Path | str, start_us: int | None = None, *, seed: int = 0) -> None:
        path = Path(file)
        frame = _read(path)
        base, quote = _timeframe(path, frame), _quote(path, frame)
        _check_rows(path, frame, base)
        columns: dict[str, Columns] = {}
        listings: dict[str, Listing] = {}
        names = sorted(frame["pair"].unique().to_list(), key=lambda name: (not name.startswith("BTC/"), name))
        by_pair = frame.partition_by("pair", as_dict=True)
        for name in names:
            part = by_pair[(name,)].sort("time")
            decimals = decimals_seen(np.concatenate([part[name].to_numpy() for name in _PRICES]))
            columns[name] = _fill(part, base, decimals)
            listings[name] = replay_listing(name, pair_decimals=decimals, first_price=float(part["open"][0]))
        super().__init__(columns, listings, base=base, quote=quote, seed=seed)
        self.start_us = self.first_us if start_us is None else start_us
        if not self.first_us <= self.start_us < self.end_us or self.start_us % self.base.us:
            raise ConfigError(
                f"--from {stamp(self.start_us)}: must be the open of a {base} candle of {path}, "
                f"from {stamp(self.first_us)} to before {stamp(self.end_us)}"
            )


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ConfigError(f"candle file {path} {'is no file' if path.exists() else 'does not exist'}")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigError(f"candle file {path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    for column, wanted in _SCHEMA.items():
        if column not in frame.columns:
            raise ConfigError(f"candle file {path} lacks column {column!r}; it needs {', '.join(_SCHEMA)}")
        if frame.schema[column] != wanted:
            raise ConfigError(f"candle file {path}: column {column!r} is {frame.schema[column]}, it must be {wanted}")
    if frame.is_empty():
        raise ConfigError(f"candle file {path} has no rows")
    return frame.select(list(_SCHEMA))


def _timeframe(path: Path, frame: pl.DataFrame) -> Timeframe:
    found = sorted(str(value) for value in frame["timeframe"].unique().to_list())
    if len(found) != 1 or found[0] not in list(Timeframe):
        raise ConfigError(f"candle file {path}: column 'timeframe' holds {', '.join(found)}; it must hold one of {', '.join(Timeframe)}")
    return Timeframe(found[0])


def _quote(path: Path, frame: pl.DataFrame) -> str:
    pairs = [str(value) for value in frame["pair"].unique().to_list()]
    wrong = sorted(pair for pair in pairs if pair.count("/") != 1 or pair.startswith("/") or pair.endswith("/"))
    if wrong:
        raise ConfigError(f"candle file {path}: column 'pair' holds {wrong[0]!r}; names must read BASE/QUOTE")
    quotes = sorted({pair.split("/")[1] for pair in pairs})
    if len(quotes) != 1:
        raise ConfigError(f"candle file {path}: column 'pair' has the quotes {', '.join(quotes)}; all pairs must share one")
    return quotes[0]


def _check_rows(path: Path, frame: pl.DataFrame, base: Timeframe) -> None:
    """Raises ConfigError naming the first column with a value that no candle has."""
    price = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    rules = {
        "time": pl.col("time").is_null() | (pl.col("time").cast(pl.Int64) % base.us != 0),
        **{name: pl.col(name).is_null() | ~pl.col(name).is_finite() | (pl.col(name) <= 0) for name in _PRICES},
        "volume": pl.col("volume").is_null() | ~pl.col("volume").is_finite() | (pl.col("volume") < 0),
        "low ": pl.col("low") > price[0],
        "high ": pl.col("high") < price[1],
    }
    bad = frame.select([rule.sum().alias(name) for name, rule in rules.items()]).row(0, named=True)
    for name, count in bad.items():
        if count:
            first = frame.filter(rules[name]).row(0, named=True)
            raise ConfigError(
                f"candle file {path}: column {name.strip()!r} has {count} values that no {base} candle can have; "
                f"the first is {first[name.strip()]} of {first['pair']} at {first['time']}"
            )
    if frame.select("pair", "time").is_duplicated().any():
        raise ConfigError(f"candle file {path}: column 'time' repeats within a pair")


def _fill(part: pl.DataFrame, base: Timeframe, decimals: int) -> Columns:
    """Columns of one pair on the full grid from its first to its last row, prices exactly on the tick."""
    volume = part["volume"].to_numpy()
    rows = Columns(
        time=part["time"].cast(pl.Int64).to_numpy(), volume=volume, filled=volume == 0.0,
        **{name: np.round(part[name].to_numpy(), decimals) for name in _PRICES},
    )  # fmt: skip
    return on_grid(rows, base)


def decimals_seen(prices: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Most decimal places among these prices, 1 to 12; what lies below 1e-12 of a price is noise of float arithmetic."""
    values = np.unique(prices)
    for places in range(1, 12):
        if np.allclose(np.round(values, places), values, rtol=1e-12, atol=0.0):
            return places
    return 12
