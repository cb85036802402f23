"""Candles of a synthetic market as `trader backtest` reads them: a Parquet file, and a history store."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.candle_kit import put
from trader.bootstrap.paths import Paths
from trader.data import parts
from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.domain.market import DAY, Candle, Timeframe
from trader.simulation.market import EPOCH_US, SyntheticMarket

MODE = "mitraillette/AGGRESSIVE"
DAYS, YOUNG = 60, 1
FIELDS = ("open", "high", "low", "close", "volume")
HOLE = range(3_000, 3_007)


def candle_frame(count: int = 5, *, young: int = 1) -> pl.DataFrame:
    """15m candles of `count` pairs up to the epoch, DAYS of them; the last `young` pairs have one day only."""
    market, frames = SyntheticMarket(5, count=count), []
    for number, pair in enumerate(market.pairs):
        days = YOUNG if number >= count - young else DAYS
        columns = market.candles(pair, Timeframe.M15, EPOCH_US - days * DAY, EPOCH_US)
        time = pl.Series(columns.time).cast(pl.Datetime("us", "UTC"))
        values = {name: getattr(columns, name) for name in FIELDS}
        frames.append(pl.DataFrame({"pair": [pair] * len(columns), "timeframe": ["15m"] * len(columns), "time": time} | values))
    return pl.concat(frames)


def history_state(root: Path, count: int = 5) -> Path:
    """A state directory whose history has 15m and, further back, 4h candles. Of `count` pairs the last lacks the 15m ones of HOLE;
    one more pair has 4h ones only."""
    market, store = SyntheticMarket(5, count=count + 1), HistoryStore(Paths(root).make().history)
    for timeframe, days in ((Timeframe.M15, DAYS), (Timeframe.H4, 200)):
        candles = []
        for number, pair in enumerate(market.pairs[: count if timeframe is Timeframe.M15 else None]):
            c = market.candles(pair, timeframe, EPOCH_US - days * DAY, EPOCH_US)
            broken = number == count - 1 and timeframe is Timeframe.M15
            candles += [
                Candle(pair=pair, timeframe=timeframe, time_us=int(c.time[i]), filled=bool(c.filled[i]),
                       **{name: float(getattr(c, name)[i]) for name in FIELDS})
                for i in range(len(c)) if not (broken and i in HOLE)
            ]  # fmt: skip
        put(store, parts.frame_of(candles, Source.REST), timeframe, name=str(timeframe))
    store.close()
    return root
