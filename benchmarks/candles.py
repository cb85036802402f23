"""Generated candles by the million, for benchmarks of the history store and for tests that need much of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from trader.data import parts
from trader.domain.market import Timeframe

APRIL = 1_775_001_600_000_000  # 2026-04-01T00:00Z, a month of 30 days


def generated(names: Sequence[str], count: int, tf: Timeframe, *, start: int = APRIL, seed: int = 1) -> pl.DataFrame:
    """`count` good candles of each pair around 100 on a tick of 0.01, sorted by (pair, time); columns at once, for millions of rows."""
    rng, n = np.random.default_rng([seed, tf.minutes]), len(names)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, (n, count)), axis=1)), 2)
    opens = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    high, low = np.round(np.maximum(opens, close) * 1.0003, 2), np.round(np.minimum(opens, close) * 0.9997, 2)
    volume = np.round(rng.uniform(0.1, 10, (n, count)), 2)
    time = np.tile(start + np.arange(count, dtype=np.int64) * tf.us, n)
    values = {"open": opens, "high": high, "low": low, "close": close, "volume": volume, "vwap": close}
    return pl.DataFrame(
        {"pair": pl.Series(names).repeat_by(count).explode(), "time": pl.Series(time).cast(parts.TIME)}
        | {name: column.ravel() for name, column in values.items()}
        | {"count": np.full(n * count, 3, np.int32), "filled": np.zeros(n * count, bool), "source": np.full(n * count, 2, np.uint8)},
        schema=parts.SCHEMA,
    )
