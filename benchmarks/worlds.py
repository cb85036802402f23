"""Worlds of candles without an edge, and worlds with one planted, for the optimizer to judge (`benchmarks.noise`).

Four generators of 15m log returns of many pairs: a Gaussian walk; GARCH(1,1) with one common factor; recorded candles with their
phases shuffled (spectrum and cross-correlation stay, patterns go); recorded candles with their days shuffled (days stay, their order
goes). A planted edge is a drift over the bars after those on which one strategy signals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.catalog import Batch
from trader.data.coverage import covered
from trader.data.history import HistoryStore
from trader.domain.market import DAY, Timeframe
from trader.ports import Columns
from trader.simulation.replay import ReplayMarket
from trader.strategy.columns import Bars
from trader.strategy.strategies import Strategy

Array = np.ndarray[Any, np.dtype[np.float64]]
M15 = Timeframe.M15
BARS = DAY // M15.us
START = 19_675 * DAY  # 2023-11-14
RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ohlcv" / "dev_binance_2024_5m_core24.parquet"
VOLATILITY = 0.0042  # a 15m bar of a middling pair, as recorded
HOLD = 48  # bars that a planted drift lasts
ROUNDS = 3  # of planting: a drift moves later signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Candles as logarithms against the close before: shape (pairs, bars) each; `volume` in base."""

    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def gaussian(rng: np.random.Generator, pairs: int, bars: int) -> Shape:
    """Independent Gaussian returns with one common factor; volatility differs by pair."""
    size = VOLATILITY * rng.uniform(0.7, 1.4, (pairs, 1))
    return _bridged(rng, size * (0.6 * rng.standard_normal(bars) + 0.8 * rng.standard_normal((pairs, bars))), size)


def garch(rng: np.random.Generator, pairs: int, bars: int) -> Shape:
    """GARCH(1,1) factor and residuals, alpha 0.08 and beta 0.90, Student-t shocks with 5 degrees of freedom."""
    shocks = rng.standard_t(5, (pairs + 1, bars)) / np.sqrt(5 / 3)
    variance, scaled = np.ones(pairs + 1), np.empty((pairs + 1, bars))
    for t in range(bars):
        scaled[:, t] = np.sqrt(variance) * shocks[:, t]
        variance = 0.02 + 0.08 * scaled[:, t] ** 2 + 0.90 * variance
    size = VOLATILITY * rng.uniform(0.7, 1.4, (pairs, 1))
    return _bridged(rng, size * (0.6 * scaled[0] + 0.8 * scaled[1:]), size)


def phases(rng: np.random.Generator, pairs: int, bars: int) -> Shape:
    """Recorded returns whose Fourier phases are replaced, the same for all pairs (Theiler et al. 1992, Prichard and Theiler 1994)."""
    recorded = _recorded().close[_chosen(rng, pairs)]
    pieces = []
    while sum(piece.shape[1] for piece in pieces) < bars:
        spectrum = np.fft.rfft(recorded - recorded.mean(axis=1, keepdims=True), axis=1)
        turned = np.exp(2j * np.pi * rng.random(spectrum.shape[1]))
        turned[0] = 1
        pieces.append(np.fft.irfft(spectrum * turned, recorded.shape[1], axis=1))
    returns = np.concatenate(pieces, axis=1)[:, :bars]
    return _bridged(rng, returns, returns.std(axis=1, keepdims=True))


def days(rng: np.random.Generator, pairs: int, bars: int) -> Shape:
    """Recorded days in another order, the same for all pairs, each pair's drift over the whole record taken out."""
    recorded, chosen = _recorded(), _chosen(rng, pairs)
    count = recorded.close.shape[1] // BARS
    order: list[int] = []
    while len(order) * BARS < bars:
        order += rng.permutation(count).tolist()
    places = (np.array(order)[:, None] * BARS + np.arange(BARS)).ravel()[:bars]
    drift = recorded.close[chosen].mean(axis=1, keepdims=True)
    taken = {name: getattr(recorded, name)[chosen][:, places] for name in ("open", "high", "low", "close")}
    return Shape(
        open=taken["open"], high=np.maximum(taken["high"] - drift, np.maximum(taken["open"], taken["close"] - drift)),
        low=np.minimum(taken["low"] - drift, np.minimum(taken["open"], taken["close"] - drift)), close=taken["close"] - drift,
        volume=recorded.volume[chosen][:, places],
    )  # fmt: skip


GENERATORS: dict[str, Callable[[np.random.Generator, int, int], Shape]] = {
    "gaussian": gaussian, "garch": garch, "phases": phases, "days": days,
}  # fmt: skip
NEED_RECORDS = ("phases", "days")


def generators() -> list[str]:
    """Those that can run here: two need the recorded candles."""
    return [name for name in GENERATORS if name not in NEED_RECORDS or RECORDED.exists()]


def _bridged(rng: np.random.Generator, returns: Array, size: Array) -> Shape:
    """Highs and lows of a Brownian bridge between the closes, and volumes that grow with the move."""
    up, down = (-2 * size**2 * np.log(rng.random(returns.shape)) for _ in range(2))
    high, low = 0.5 * (returns + np.sqrt(returns**2 + up)), 0.5 * (returns - np.sqrt(returns**2 + down))
    volume = rng.lognormal(6, 0.7, returns.shape) * (1 + np.abs(returns) / size)
    return Shape(open=np.zeros_like(returns), high=high, low=low, close=returns, volume=volume)


@cache
def _recorded() -> Shape:
    """core24 as 15m candles against the close before."""
    market = ReplayMarket(RECORDED)
    found = [market.candles(pair, M15, market.first_us, market.end_us) for pair in market.pairs]
    count = min(map(len, found)) // BARS * BARS + 1
    prices = {name: np.log(np.stack([getattr(one, name)[:count] for one in found])) for name in ("open", "high", "low", "close")}
    before = prices["close"][:, :-1]
    return Shape(
        open=prices["open"][:, 1:] - before, high=prices["high"][:, 1:] - before, low=prices["low"][:, 1:] - before,
        close=prices["close"][:, 1:] - before, volume=np.stack([one.volume[1:count] for one in found]),
    )  # fmt: skip


def _chosen(rng: np.random.Generator, pairs: int) -> Array:
    available = len(_recorded().close)
    return np.concatenate([rng.permutation(available) for _ in range(-(-pairs // available))])[:pairs]


# --- candles -----------------------------------------------------------------------------------------------------------
def names_of(pairs: int) -> list[str]:
    """BTC first, since the regime is read from it."""
    return ["BTC/EUR", *(f"P{k:02d}/EUR" for k in range(1, pairs))]


def candles_of(shape: Shape) -> dict[str, Columns]:
    """Prices from 10 on, gapless."""
    close = 10 * np.exp(np.cumsum(shape.close, axis=1))
    before = np.concatenate([np.full((len(close), 1), 10.0), close[:, :-1]], axis=1)
    open_, high, low = (np.round(before * np.exp(part), 8) for part in (shape.open, shape.high, shape.low))
    close = np.round(close, 8)
    high, low = np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close))
    time = START + np.arange(close.shape[1], dtype=np.int64) * M15.us
    return {
        pair: Columns(
            time=time, open=open_[k], high=high[k], low=low[k], close=close[k], volume=shape.volume[k], filled=np.zeros(len(time), np.bool_)
        )
        for k, pair in enumerate(names_of(len(close)))
    }


def planted(shape: Shape, strategy: Strategy, drift: float) -> Shape:
    """The world with `drift` added to each log return of the HOLD bars after every bar on which `strategy` signals."""
    moved = shape
    for _ in range(ROUNDS):
        lift = np.zeros_like(shape.close)
        for k, columns in enumerate(candles_of(moved).values()):
            at = strategy.entries(Bars(columns, warmup="short")).rows
            ahead = np.zeros(len(columns) + HOLD + 1)
            np.add.at(ahead, at + 1, 1.0)
            np.add.at(ahead, at + 1 + HOLD, -1.0)
            lift[k] = drift * (np.cumsum(ahead)[: len(columns)] > 0)
        moved = Shape(
            open=shape.open, high=np.maximum(shape.high + lift, shape.open), low=shape.low + np.minimum(lift, 0.0),
            close=shape.close + lift, volume=shape.volume,
        )  # fmt: skip
    return moved


def stored(columns: Mapping[str, Columns], state: Path) -> None:
    """Write the candles to the history store of a new state directory, as an archive would bring them."""
    frames = [_frame(pair, one) for pair, one in columns.items()]
    rows = pl.concat(frames)
    first, end = int(next(iter(columns.values())).time[0]), max(int(one.time[-1]) for one in columns.values()) + M15.us
    batch = Batch(
        batch_id="world", source="archive", client="benchmarks", requested=(first, end), received=(first, end), rows=len(rows), sha256="",
        fetched_us=end, suite_version="", gate_json="{}",
    )  # fmt: skip
    store = HistoryStore(state / "history")
    try:
        store.upsert(rows, M15, batch=batch, now_us=end, cover=covered(rows, M15, "archive", "world"), bulk=True)
    finally:
        store.close()


def _frame(pair: str, one: Columns) -> pl.DataFrame:
    n = len(one)
    values: dict[str, Any] = {name: getattr(one, name) for name in ("open", "high", "low", "close", "volume", "filled")}
    values |= {"pair": pl.repeat(pair, n, eager=True), "time": pl.Series(one.time).cast(parts.TIME), "vwap": one.close}
    values |= {"count": np.full(n, 3, np.int32), "source": np.full(n, int(parts.Source.ARCHIVE), np.uint8)}
    return pl.DataFrame({name: values[name] for name in parts.SCHEMA}, schema=parts.SCHEMA)
