"""Seeded candles of several pairs for tests of the history store, and a clock that is set by hand."""

from __future__ import annotations

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.catalog import Batch
from trader.data.coverage import covered
from trader.data.history import HistoryStore, Upserted, fingerprint
from trader.data.parts import Source
from trader.domain.market import MINUTE, SECOND, Candle, Timeframe

EPOCH = 1_767_571_200 * SECOND  # 2026-01-05T00:00:00Z


class HandClock:
    """Exchange time as a test says."""

    def __init__(self, now_us: int) -> None:
        self.time_us = now_us

    def now_us(self) -> int:
        return self.time_us

    async def sleep(self, seconds: float) -> None:
        self.time_us += round(seconds * SECOND)

    async def sleep_until(self, time_us: int) -> None:
        self.time_us = max(self.time_us, time_us)


def pairs(count: int) -> list[str]:
    return [f"P{i:03d}/EUR" for i in range(count)]


def series(pair: str, count: int, *, tf: Timeframe = Timeframe.M1, start: int = EPOCH, seed: int = 1) -> list[Candle]:
    """`count` good candles of one pair, a random walk; equal for equal arguments."""
    rng = np.random.default_rng([seed, *pair.encode()])
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, count)))
    opens = np.r_[close[0], close[:-1]]
    volume = rng.uniform(0.1, 10, count)
    return [
        Candle(
            pair=pair, timeframe=tf, time_us=start + i * tf.us, open=float(opens[i]), high=float(max(opens[i], close[i]) * 1.0003),
            low=float(min(opens[i], close[i]) * 0.9997), close=float(close[i]), volume=float(volume[i]), vwap=float(close[i]), count=3,
        )
        for i in range(count)
    ]  # fmt: skip


def frame(
    names: list[str], count: int, *, source: Source = Source.REST, tf: Timeframe = Timeframe.M1, start: int = EPOCH, seed: int = 1
) -> pl.DataFrame:
    return parts.frame_of([c for name in names for c in series(name, count, tf=tf, start=start, seed=seed)], source)


def minutes(names: list[str], count: int, *, start: int = EPOCH) -> list[list[Candle]]:
    """Closed minutes as the session hands them over: one list a minute, one candle a pair."""
    return [list(row) for row in zip(*(series(name, count, start=start) for name in names), strict=True)]


def put(store: HistoryStore, rows: pl.DataFrame, tf: Timeframe, *, name: str, now_us: int | None = None) -> Upserted:
    """Upsert rows of one source with coverage, as a batch called `name`."""
    source = Source(int(rows["source"][0])).label
    time = rows["time"].to_physical()
    span = (int(time.min()), int(time.max()) + tf.us)  # type: ignore[arg-type]
    batch = Batch(
        batch_id=name, source=source, client="test", requested=span, received=span, rows=len(rows), sha256=fingerprint(rows),
        fetched_us=span[1], suite_version="", gate_json="{}",
    )  # fmt: skip
    return store.upsert(rows, tf, batch=batch, now_us=now_us or span[1] + MINUTE, cover=covered(rows, tf, source, name))
