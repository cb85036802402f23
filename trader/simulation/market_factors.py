"""Day by day and bar by bar volatility and returns of one source of chance (the market, the alt-coin factor, one pair's own part).

Counter-based: every draw is keyed by (seed, source, block of days), so any day is produced without walking all days before it;
only a few numbers a day are accumulated from the anchor. Model: log-volatility is a sum of a three-state regime, an AR(1) over
days and independent octaves of one day, 4 h, 1 h and 15 min (a log-normal cascade); returns are Gaussian given volatility.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

ANCHOR_DAY = 19_359  # 2023-01-02, first day of the market, days since 1970
EPOCH_DAY = 20_458  # 2026-01-05, where every pair stands at its listed price level
SLOTS = 96  # 15m bars a day
BLOCK = 8  # days drawn by one generator
_SPAN = 512  # days drawn by one day-level generator
_STREAM_DAYS, _STREAM_BARS = 1, 2

# Variances of the components of log-volatility (sum with the regime about 0.49; measured mean |r| / sd = 0.66, as in core24).
_SLOW, _DAY, _H4, _H1, _M15 = 0.10, 0.06, 0.10, 0.10, 0.06
_PERSISTENCE = 0.9  # AR(1) over days
_REGIME_OFFSET = (-0.3, 0.0, 0.5)  # calm, normal, storm
_REGIME_STAY = (1 - 1 / 12, 1 - 1 / 20, 1 - 1 / 5)  # mean stays of 12, 20 and 5 days
_REGIME_UP = (1.0, 0.5, 0.0)  # which neighbour follows: storm only through normal
SEASON = np.exp(0.30 * np.cos(2 * np.pi * (np.arange(SLOTS) / 4 - 15.0) / 24))  # variance by hour: busiest at 15:00 UTC


def source_key(name: str) -> int:
    """64 bits of a source's name: the same pair draws the same numbers whatever else is listed."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def generator(seed: int, key: int, index: int, stream: int) -> np.random.Generator:
    """A fresh counter-based generator; equal arguments, equal draws."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, key], dtype=np.uint64), counter=np.array([0, 0, index, stream], dtype=np.uint64))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Day-level draws of one source from the anchor on, shape (n_days,).

    `slow`, `day`: standardised AR(1) and daily octave; `move`: standard normal of the day's diffusive return; `jump`: standard
    normal where a jump happens, else 0, in bar `slot`, `gap` telling a jump at the open from one inside the bar.
    `regime`: log-volatility offset.
    """

    slow: Floats
    day: Floats
    move: Floats
    jump: Floats
    slot: np.ndarray[Any, np.dtype[np.int64]]
    gap: np.ndarray[Any, np.dtype[np.bool_]]
    regime: Floats


def draw_days(seed: int, key: int, count: int, jumps_per_day: float) -> Days:
    """Days 0..n-1 after the anchor, n >= count; a longer horizon begins with exactly the same days."""
    spans = -(-count // _SPAN)
    sources = [generator(seed, key, span, _STREAM_DAYS) for span in range(spans)]
    normal = np.concatenate([source.standard_normal((_SPAN, 4)) for source in sources])
    uniform = np.concatenate([source.random((_SPAN, 4)) for source in sources])
    return Days(
        slow=_autoregression(normal[:, 0]),
        day=normal[:, 1].copy(),
        move=normal[:, 2].copy(),
        jump=np.where(uniform[:, 0] < jumps_per_day, normal[:, 3], 0.0),
        slot=(uniform[:, 1] * SLOTS).astype(np.int64),
        gap=uniform[:, 2] < 1 / 3,
        regime=_regimes(uniform[:, 3]),
    )


def _autoregression(noise: Floats) -> Floats:
    """Stationary AR(1) of unit variance."""
    scale, value = float(np.sqrt(1 - _PERSISTENCE**2)), float(noise[0])
    out = [value]
    for shock in noise[1:].tolist():
        value = _PERSISTENCE * value + scale * shock
        out.append(value)
    return np.array(out)


def _regimes(uniform: Floats) -> Floats:
    """Log-volatility offset of a Markov chain over calm, normal and storm."""
    state, out = 1, []
    for chance in uniform.tolist():
        stay = _REGIME_STAY[state]
        if chance >= stay:
            state += 1 if (chance - stay) / (1 - stay) < _REGIME_UP[state] else -1
        out.append(_REGIME_OFFSET[state])
    return np.array(out)


def _mean_regime_variance() -> float:
    """Mean of exp(2 offset) in the long run; stays are weighted by how often each state is entered (calm and storm half of normal)."""
    weights = [0.5 * 12, 1.0 * 20, 0.5 * 5]
    return float(sum(w * np.exp(2 * o) for w, o in zip(weights, _REGIME_OFFSET, strict=True)) / sum(weights))


_DAY_NORM = 2 * (_SLOW + _DAY) + float(np.log(_mean_regime_variance()))


def day_log_vol(market: Days, own: Days | None, common: float) -> Floats:
    """Log-volatility deviation of each day: `common` is the share of variance taken over from the market, the rest is `own`."""
    slow, day = market.slow, market.day
    if own is not None:
        slow = np.sqrt(common) * slow + np.sqrt(1 - common) * own.slow
        day = np.sqrt(common) * day + np.sqrt(1 - common) * own.day
    return np.asarray(np.sqrt(_SLOW) * slow + np.sqrt(_DAY) * day + market.regime)


def day_variance(log_vol: Floats, bar_sd: float) -> Floats:
    """Variance of the day's diffusive log return; its long-run mean is 96 x bar_sd^2."""
    return np.asarray(SLOTS * bar_sd**2 * np.exp(2 * log_vol - _DAY_NORM))


@dataclass(frozen=True, slots=True, kw_only=True)
class BarDraws:
    """Bar-level draws of one source, shape (n_days, 96): returns, octaves of log-volatility, and spare normals and uniforms."""

    move: Floats
    octaves: Floats
    gap: Floats
    volume: Floats
    uniform: Floats  # shape (n_days, 4, 96)


def draw_bars(seed: int, key: int, first_block: int, last_block: int) -> BarDraws:
    """Draws of the blocks first..last (inclusive, counted from the anchor)."""
    sources = [generator(seed, key, block, _STREAM_BARS) for block in range(first_block, last_block + 1)]
    normal = np.concatenate([source.standard_normal((BLOCK, 4 * SLOTS + 30)) for source in sources])
    uniform = np.concatenate([source.random((BLOCK, 4, SLOTS)) for source in sources])
    hours = np.repeat(normal[:, 4 * SLOTS : 4 * SLOTS + 24], 4, axis=1)
    watches = np.repeat(normal[:, 4 * SLOTS + 24 :], 16, axis=1)
    return BarDraws(
        move=normal[:, :SLOTS].copy(),
        octaves=np.sqrt(_H4) * watches + np.sqrt(_H1) * hours + np.sqrt(_M15) * normal[:, SLOTS : 2 * SLOTS],
        gap=normal[:, 2 * SLOTS : 3 * SLOTS].copy(),
        volume=normal[:, 3 * SLOTS : 4 * SLOTS].copy(),
        uniform=uniform,
    )


def bar_variance(variance: Floats, octaves: Floats) -> Floats:
    """The day's variance (n,) spread over its bars (n, 96) by season and octaves; rows sum to the day."""
    weights = SEASON * np.exp(2 * octaves)
    return np.asarray(weights * (variance / weights.sum(axis=1))[:, None])


def bridge(moves: Floats, variance: Floats, day_return: Floats) -> Floats:
    """Bar returns (n, 96) that sum to `day_return` (n,): free Gaussian draws, tied at both ends.

    Where day_return is itself Gaussian with the summed variance, the result has exactly the law of independent draws.
    """
    free = np.sqrt(variance) * moves
    missing = (day_return - free.sum(axis=1)) / variance.sum(axis=1)
    return np.asarray(free + variance * missing[:, None])
