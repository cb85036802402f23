"""Generated 15m candles for the parity campaign: months of history, then everything that the rules of a position can meet.

Markets sink at first, so that the smallest order is a sum of money and a small position can sink to it. Then they rise, with
slides that trigger entries, rebounds that reach targets, falls that reach stops, idle days, bars with long wicks on both sides
(stop and target in one candle), opens away from the close before, and bars without a trade. Pure: equal arguments, equal bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trader.domain.market import DAY, Timeframe

START = datetime(2023, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
BARS_A_DAY = DAY // Timeframe.M15.us
Floats = np.ndarray[Any, np.dtype[np.float64]]


def write(path: Path, *, pairs: int, days: int, seed: int, lively_from: int = 0) -> Path:
    """A file of the schema that `--replay` reads. `lively_from`: the day before which markets only drift, for warm-up.

    The first pair is a calm BTC/USDT, so that the regime lets entries through.
    """
    frames = [_frame("BTC/USDT" if number == 0 else f"G{number:02d}/USDT", number, days, seed, lively_from) for number in range(pairs)]
    pl.concat(frames).write_parquet(path)
    return path


def _frame(name: str, number: int, days: int, seed: int, lively_from: int) -> pl.DataFrame:
    rng = np.random.default_rng([seed, number])
    n, calm = days * BARS_A_DAY, number == 0
    moves = _moves(rng, n, lively_from * BARS_A_DAY, calm=calm)
    first = 10.0 ** rng.uniform(-2, 3)
    close = first * np.exp(np.cumsum(moves))
    before = np.concatenate(([first], close[:-1]))
    open_, high, low, volume = _bars(rng, before, close, first, calm=calm)
    idle = (rng.random(n) < 0.01) & (np.arange(n) > 0)
    for column in (open_, high, low, close):
        column[idle] = before[idle]
    close = np.where(idle, before, close)
    volume[idle] = 0.0
    places = int(np.clip(5 - np.floor(np.log10(first)), 1, 8))
    prices = {
        name: np.round(values, places) for name, values in zip(("open", "high", "low", "close"), (open_, high, low, close), strict=True)
    }
    prices["open"][1:] = np.where(idle[1:], prices["close"][:-1], prices["open"][1:])
    prices["high"] = np.maximum.reduce([prices["high"], prices["open"], prices["close"]])
    prices["low"] = np.minimum.reduce([prices["low"], prices["open"], prices["close"]])
    time = pl.datetime_range(START, interval="15m", end=START.replace(year=START.year + 9), eager=True, time_unit="us")[:n]
    return pl.DataFrame({"pair": name, "timeframe": "15m", "time": time, **prices, "volume": np.round(volume, 4)})


def _moves(rng: np.random.Generator, n: int, lively: int, *, calm: bool) -> Floats:
    """Log returns: a rising walk; from bar `lively` on with slides and what follows them."""
    size = np.full(n, 0.0006) if calm else 0.0010 * np.exp(0.5 * np.repeat(rng.standard_normal(n // 96 + 1), 96)[:n])
    moves = rng.standard_normal(n) * size + (0.00001 if calm else 0.00005)
    moves[: lively // 3] -= 0.0 if calm else 2.5 / max(1, lively // 3)
    at = lively + int(rng.integers(0, 200))
    while not calm and at < n:
        length, depth = int(rng.integers(30, 120)), rng.uniform(0.03, 0.14)
        slide = np.full(length, -depth / length) * rng.uniform(0.4, 1.6, length)
        after = int(rng.integers(8, 80))
        turn = rng.choice([1.6, 1.0, 0.5, 0.0, -0.6], p=[0.3, 0.25, 0.15, 0.15, 0.15]) * depth
        rest = rng.standard_normal(after) * 0.002 + turn / after
        part = np.concatenate((slide, [0.002, 0.003], rest))[: n - at]
        moves[at : at + len(part)] = part
        at += len(part) + int(rng.integers(60, 400))
    return moves


def _bars(rng: np.random.Generator, before: Floats, close: Floats, first: float, *, calm: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Open, high, low and volume around a path of closes."""
    n = len(close)
    jump = np.where(rng.random(n) < (0.0 if calm else 0.02), rng.standard_normal(n) * 0.012, 0.0)
    open_ = before * np.exp(jump)
    wild = rng.random(n) < (0.0 if calm else 0.01)
    up, down = (np.abs(rng.standard_normal(n)) * 0.001 + np.where(wild, rng.uniform(0.02, 0.09, n), 0.0) for _ in range(2))
    high, low = np.maximum(open_, close) * np.exp(up), np.minimum(open_, close) * np.exp(-down)
    volume = 40_000 / first * np.exp(0.6 * rng.standard_normal(n)) * np.where(rng.random(n) < 0.05, 5.0, 1.0)
    return open_, high, low, volume
