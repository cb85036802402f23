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
from trader.errors import ConfigError
from trader.indicators.resample import aggregate, cut
from trader.ports import Columns
from trader.simulation.listings import Listing, replay_listing
from trader.simulation.market import Row
from trader.simulation.price_path import field_at

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


class ReplayMarket:
    """Market of a file. `seed` only names the run; `start_us` (default: the first row) is where the replay begins, and candles
    before it are history. BTC comes first where the file has it.

    Raises ConfigError naming file and column for a file that is missing, unreadable, of another schema, with several
    timeframes or quotes, or with rows that are no candles.
    """

    def __init__(self, file: Path | str, start_us: int | None = None, *, seed: int = 0) -> None:
        path = Path(file)
        self.seed = seed
        frame = _read(path)
        self.base = _timeframe(path, frame)
        self.quote = _quote(path, frame)
        _check_rows(path, frame, self.base)
        self._columns: dict[str, Columns] = {}
        self._listings: dict[str, Listing] = {}
        names = sorted(frame["pair"].unique().to_list(), key=lambda name: (not name.startswith("BTC/"), name))
        by_pair = frame.partition_by("pair", as_dict=True)
        for name in names:
            part = by_pair[(name,)].sort("time")
            decimals = decimals_seen(np.concatenate([part[name].to_numpy() for name in _PRICES]))
            self._columns[name] = _fill(part, self.base, decimals)
            self._listings[name] = replay_listing(name, pair_decimals=decimals, first_price=float(part["open"][0]))
        self.pairs = tuple(names)
        self.first_us = min(int(columns.time[0]) for columns in self._columns.values())
        self.end_us = max(int(columns.time[-1]) for columns in self._columns.values()) + self.base.us
        self.start_us = self.first_us if start_us is None else start_us
        if not self.first_us <= self.start_us < self.end_us or self.start_us % self.base.us:
            raise ConfigError(f"replay start {self.start_us} must be a candle open between {self.first_us} and {self.end_us} of {path}")
        self._grid: Any = None

    def listing(self, pair: str) -> Listing:
        return self._listings[self._known(pair)]

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """See `market.Market`; a longer candle exists where the file covers all of it."""
        if timeframe.us < self.base.us:
            raise ValueError(f"timeframe {timeframe} is shorter than the file's {self.base}")
        # 1h, 4h and 1d are always made of 15m ones, so that sums of volume have one order and agree to the last digit
        low, high = timeframe.floor(start_us), end_us
        columns = cut(self._columns[self._known(pair)], low, high)
        source = self.base
        if timeframe.us > Timeframe.M15.us > source.us:
            columns, source = aggregate(columns, source, Timeframe.M15), Timeframe.M15
        return cut(aggregate(columns, source, timeframe), start_us, end_us - timeframe.us + 1)

    def minute(self, index_us: int) -> Row:
        """See `market.Market`: the base candle (5m in a 5m file) that opens at `index_us`."""
        if index_us % self.base.us:
            raise ValueError(f"time {index_us} must be a multiple of {self.base} in microseconds")
        if self._grid is None:
            self._grid = self._make_grid()
        place = (index_us - self.first_us) // self.base.us
        if not 0 <= place < self._grid.shape[1]:
            nothing = np.full(len(self.pairs), np.nan)
            return Row(open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing)
        columns = self._grid[:, place]
        return Row(open=columns[0], high=columns[1], low=columns[2], close=columns[3], volume=columns[4])

    def last_price(self, pair: str, time_us: int) -> float:
        """See `market.Market`; NaN before the pair's first row, its last close after the last one."""
        columns = self._columns[self._known(pair)]
        row = int(np.searchsorted(columns.time, time_us, side="right")) - 1
        if row < 0:
            return float("nan")
        field = "close" if time_us >= columns.time[row] + self.base.us else field_at(self.base, time_us)
        return float(getattr(columns, field)[row])

    def _make_grid(self) -> Any:
        """Open, high, low, close, volume: float64, shape (5, n_times, n_pairs), NaN where a pair has no candle."""
        length = (self.end_us - self.first_us) // self.base.us
        grid = np.full((5, length, len(self.pairs)), np.nan)
        for place, columns in enumerate(self._columns.values()):
            first = (int(columns.time[0]) - self.first_us) // self.base.us
            for index, name in enumerate((*_PRICES, "volume")):
                grid[index, first : first + len(columns), place] = getattr(columns, name)
        grid.flags.writeable = False
        return grid

    def _known(self, pair: str) -> str:
        if pair not in self._listings:
            raise ValueError(f"pair {pair!r} is not in the file; {len(self.pairs)} pairs are, the first is {self.pairs[0]}")
        return pair


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ConfigError(f"replay file {path} does not exist")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigError(f"replay file {path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    for column, wanted in _SCHEMA.items():
        if column not in frame.columns:
            raise ConfigError(f"replay file {path} lacks column {column!r}; it needs {', '.join(_SCHEMA)}")
        if frame.schema[column] != wanted:
            raise ConfigError(f"replay file {path}: column {column!r} is {frame.schema[column]}, it must be {wanted}")
    if frame.is_empty():
        raise ConfigError(f"replay file {path} has no rows")
    return frame.select(list(_SCHEMA))


def _timeframe(path: Path, frame: pl.DataFrame) -> Timeframe:
    found = sorted(str(value) for value in frame["timeframe"].unique().to_list())
    if len(found) != 1 or found[0] not in list(Timeframe):
        raise ConfigError(f"replay file {path}: column 'timeframe' holds {', '.join(found)}; it must hold one of {', '.join(Timeframe)}")
    return Timeframe(found[0])


def _quote(path: Path, frame: pl.DataFrame) -> str:
    pairs = [str(value) for value in frame["pair"].unique().to_list()]
    wrong = sorted(pair for pair in pairs if pair.count("/") != 1 or pair.startswith("/") or pair.endswith("/"))
    if wrong:
        raise ConfigError(f"replay file {path}: column 'pair' holds {wrong[0]!r}; names must read BASE/QUOTE")
    quotes = sorted({pair.split("/")[1] for pair in pairs})
    if len(quotes) != 1:
        raise ConfigError(f"replay file {path}: column 'pair' has the quotes {', '.join(quotes)}; all pairs must share one")
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
                f"replay file {path}: column {name.strip()!r} has {count} values that no {base} candle can have; "
                f"the first is {first[name.strip()]} of {first['pair']} at {first['time']}"
            )
    if frame.select("pair", "time").is_duplicated().any():
        raise ConfigError(f"replay file {path}: column 'time' repeats within a pair")


def _fill(part: pl.DataFrame, base: Timeframe, decimals: int) -> Columns:
    """Columns of one pair on the full grid from its first to its last row, prices exactly on the tick."""
    time = part["time"].cast(pl.Int64).to_numpy()
    grid = np.arange(time[0], time[-1] + base.us, base.us, dtype=np.int64)
    row = np.searchsorted(time, grid, side="right") - 1
    there = time[row] == grid
    prices = {name: np.round(part[name].to_numpy(), decimals) for name in _PRICES}
    close = prices["close"][row]
    volume = np.where(there, part["volume"].to_numpy()[row], 0.0)
    columns = {name: np.where(there, values[row], close) for name, values in prices.items()}
    return Columns(time=grid, volume=volume, filled=~there | (volume == 0.0), **columns)


def decimals_seen(prices: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """Most decimal places among these prices, 1 to 12; what lies below 1e-12 of a price is noise of float arithmetic."""
    values = np.unique(prices)
    for places in range(1, 12):
        if np.allclose(np.round(values, places), values, rtol=1e-12, atol=0.0):
            return places
    return 12
