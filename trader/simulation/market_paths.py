"""15m bars of the synthetic market: BTC as common factor, an alt-coin factor, own parts, jumps, volume, ticks; no drift.

The expected price ratio over any bar is 1 by construction: each source's log return carries minus half its variance, each jump
its compensator, and volatility never depends on past returns. Nothing here was tuned for profit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from trader.simulation.listings import Listing
from trader.simulation.market_factors import (
    ANCHOR_DAY,
    BLOCK,
    EPOCH_DAY,
    SEASON,
    SLOTS,
    BarDraws,
    Days,
    Floats,
    bar_variance,
    bridge,
    day_log_vol,
    day_variance,
    draw_bars,
    draw_days,
    generator,
    source_key,
)

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

VOLUME_UNIT = 2.0**-8  # base; a power of two with eight decimals, so that sums of volumes are exact and print exactly
_BTC_SD, _ALT_SD = 0.0029, 1.0  # 15m standard deviations; the alt factor's is a pair's `gamma`
_MARKET_JUMPS, _OWN_JUMPS, _JUMP_SIZE = 0.05, 0.08, 8.0  # a day; size in 15m standard deviations
_GAP_SHARE = 0.002  # share of a bar's variance that falls between a close and the next open
TRADE_QUOTE = 120.0  # mean trade in quote currency: how often nothing trades
_COMMON_ALT, _COMMON_OWN = 0.8, 0.6  # share of volatility's variance taken over from the market
_STREAM_TRAITS = 3
_FACTOR_KEYS = source_key("factor:market"), source_key("factor:alt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Fixed character of a pair: loadings on market and alt factor, own 15m standard deviation, price level, mean volume a day."""

    key: int
    beta: float
    gamma: float
    own_sd: float
    level: float
    quote_per_day: float


def make_traits(seed: int, base: str, rank: int, level: float) -> Traits:
    """Traits of the asset of volume rank 0, 1, ...; loadings follow core24: 0.43 market, 0.21 alt factor, rest own."""
    key = source_key(base)
    volume = max(60_000.0, 120e6 / (rank + 1) ** 1.35)
    if base == "BTC":
        return Traits(key=key, beta=1.0, gamma=0.0, own_sd=0.0, level=level, quote_per_day=volume)
    noise = generator(seed, key, 0, _STREAM_TRAITS).standard_normal(4)
    total = float(np.clip(0.0054 * np.exp(0.22 * noise[0]), 0.0030, 0.0095)) if rank > 1 else 0.0037
    market = float(np.clip(0.45 - 0.0010 * rank + 0.05 * noise[1], 0.20, 0.60))
    alt = float(np.clip(0.21 - 0.0004 * rank + 0.03 * noise[2], 0.08, 0.30))
    return Traits(
        key=key,
        beta=float(np.sqrt(market)) * total / _BTC_SD,
        gamma=float(np.sqrt(alt)) * total,
        own_sd=float(np.sqrt(1 - market - alt)) * total,
        level=level * float(np.exp(0.1 * noise[3])),
        quote_per_day=volume,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """15m bars of one pair, flat over whole days: prices in ticks, volume in units; all shape (n,).

    `time`: opens in us. `units` 0: nothing traded, prices repeat the close before. `starts`: a trade falls into the first minute;
    otherwise the bar opens at the close before.
    """

    time: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    units: Ints
    starts: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """What all pairs share over a range of blocks: diffusive returns, variances and the market's octaves, shape (n_days, 96)."""

    market: Floats
    market_variance: Floats
    alt: Floats
    alt_variance: Floats
    octaves: Floats


class PathModel:
    """All pairs of one seed. Pure: two objects of equal seed give equal bars for any range asked, in any order."""

    def __init__(self, seed: int, horizon_days: int = 1_500) -> None:
        self.seed = seed
        self._horizon = 0
        self._extend(horizon_days)
        self._factors = lru_cache(maxsize=8)(self._make_factors)
        self._levels = lru_cache(maxsize=None)(self._make_levels)

    def _extend(self, days: int) -> None:
        market, alt = _FACTOR_KEYS
        self._market = draw_days(self.seed, market, days, _MARKET_JUMPS)
        self._alt = draw_days(self.seed, alt, days, 0.0)
        self._horizon = len(self._market.move)
        self._market_variance = day_variance(day_log_vol(self._market, None, 1.0), _BTC_SD)
        self._alt_variance = day_variance(day_log_vol(self._market, self._alt, _COMMON_ALT), _ALT_SD)

    def reach(self, day: int) -> None:
        """Make days up to `day` (since 1970) available."""
        if day - ANCHOR_DAY >= self._horizon:
            self._extend(day - ANCHOR_DAY + 200)
            self._levels.cache_clear()
            self._factors.cache_clear()

    def bars(self, traits: Traits, listing: Listing, first_day: int, last_day: int) -> Bars:
        """Bars of the days first..last (inclusive, since 1970), which must lie at or after the anchor."""
        first, last = (first_day - ANCHOR_DAY) // BLOCK, (last_day - ANCHOR_DAY) // BLOCK
        self.reach(ANCHOR_DAY + (last + 1) * BLOCK)
        days = np.arange(first * BLOCK, (last + 1) * BLOCK)
        own, level = self._levels(traits)
        draws = draw_bars(self.seed, traits.key, first, last)
        latent = _Latent(self, traits, own=own, level=level, days=days, factors=self._factors(first, last), draws=draws)
        keep = slice(first_day - ANCHOR_DAY - first * BLOCK, last_day - ANCHOR_DAY - first * BLOCK + 1)
        return _print(latent, traits, 10.0**listing.pair_decimals, keep, first_day)

    def _make_factors(self, first: int, last: int) -> _Factors:
        days = slice(first * BLOCK, (last + 1) * BLOCK)
        market, alt = (draw_bars(self.seed, key, first, last) for key in _FACTOR_KEYS)
        market_variance = bar_variance(self._market_variance[days], market.octaves)
        alt_variance = bar_variance(self._alt_variance[days], _mixed(market, alt, _COMMON_ALT))
        return _Factors(
            market=bridge(market.move, market_variance, np.sqrt(self._market_variance[days]) * self._market.move[days]),
            market_variance=market_variance,
            alt=bridge(alt.move, alt_variance, np.sqrt(self._alt_variance[days]) * self._alt.move[days]),
            alt_variance=alt_variance,
            octaves=market.octaves,
        )

    def _make_levels(self, traits: Traits) -> tuple[Days, Floats]:
        """The pair's own days, and its log price at the end of each day with a leading row for the anchor: shape (n_days + 1,)."""
        own = draw_days(self.seed, traits.key, self._horizon, _OWN_JUMPS)
        own_variance = self.own_variance(traits, own)
        moves = traits.beta * np.sqrt(self._market_variance) * self._market.move
        moves += traits.gamma * np.sqrt(self._alt_variance) * self._alt.move + np.sqrt(own_variance) * own.move
        moves += self.jumps(traits, own) - SLOTS * jump_compensator(traits)
        moves -= 0.5 * (traits.beta**2 * self._market_variance + traits.gamma**2 * self._alt_variance + own_variance)
        level = np.concatenate(([0.0], np.cumsum(moves)))
        return own, level - level[EPOCH_DAY - ANCHOR_DAY] + np.log(traits.level)

    def own_variance(self, traits: Traits, own: Days) -> Floats:
        return day_variance(day_log_vol(self._market, own, _COMMON_OWN), traits.own_sd)

    def own_log_vol(self, own: Days) -> Floats:
        return day_log_vol(self._market, own, _COMMON_OWN)

    def jumps(self, traits: Traits, own: Days) -> Floats:
        """Sum of the day's jumps, market and own."""
        return _market_jump(traits) * self._market.jump + _own_jump(traits) * own.jump

    def place_jumps(self, traits: Traits, own: Days, days: Ints) -> tuple[Floats, Floats]:
        """Jumps at the open and jumps inside the bar, each (n_days, 96)."""
        gaps, moves = np.zeros((len(days), SLOTS)), np.zeros((len(days), SLOTS))
        rows = np.arange(len(days))
        for source, size in ((self._market, _market_jump(traits)), (own, _own_jump(traits))):
            jump, slot, gap = size * source.jump[days], source.slot[days], source.gap[days]
            gaps[rows, slot] += np.where(gap, jump, 0.0)
            moves[rows, slot] += np.where(gap, 0.0, jump)
        return gaps, moves


def _market_jump(traits: Traits) -> float:
    return traits.beta * _JUMP_SIZE * _BTC_SD


def _own_jump(traits: Traits) -> float:
    return _JUMP_SIZE * traits.own_sd


def jump_compensator(traits: Traits) -> float:
    """Log drift a bar that makes the expected effect of the jumps on the price 1."""
    sources = ((_MARKET_JUMPS, _market_jump(traits)), (_OWN_JUMPS, _own_jump(traits)))
    return float(sum(np.log1p(rate / SLOTS * (np.exp(size**2 / 2) - 1)) for rate, size in sources))


def _mixed(market: BarDraws, own: BarDraws, common: float) -> Floats:
    return np.asarray(np.sqrt(common) * market.octaves + np.sqrt(1 - common) * own.octaves)


class _Latent:
    """Unrounded log prices of one pair at the open and the close of each bar, with the variance between; shape (n_days, 96)."""

    __slots__ = ("before", "close", "draws", "jumped", "log_vol", "open", "variance", "z")

    def __init__(
        self, model: PathModel, traits: Traits, *, own: Days, level: Floats, days: Ints, factors: _Factors, draws: BarDraws
    ) -> None:
        octaves = np.sqrt(_COMMON_OWN) * factors.octaves + np.sqrt(1 - _COMMON_OWN) * draws.octaves
        day_variances = model.own_variance(traits, own)[days]
        own_variance = bar_variance(day_variances, octaves) if traits.own_sd else np.zeros((len(days), SLOTS))
        diffusive = traits.beta * factors.market + traits.gamma * factors.alt
        if traits.own_sd:
            diffusive = diffusive + bridge(draws.move, own_variance, np.sqrt(day_variances) * own.move[days])
        self.variance = traits.beta**2 * factors.market_variance + traits.gamma**2 * factors.alt_variance + own_variance
        gaps, moves = model.place_jumps(traits, own, days)
        returns = diffusive - 0.5 * self.variance - jump_compensator(traits) + gaps + moves
        self.close = level[days][:, None] + np.cumsum(returns, axis=1)
        self.close[:, -1] = level[days + 1]  # the same float that the next day begins with
        self.before = np.concatenate((level[days][:, None], self.close[:, :-1]), axis=1)
        # the part of a Gaussian move that falls into its first 0.2 % of variance, given the whole move
        small = _GAP_SHARE * diffusive + np.sqrt(_GAP_SHARE * (1 - _GAP_SHARE) * self.variance) * draws.gap
        self.open = self.before + small + gaps
        self.jumped = gaps != 0.0
        self.z = diffusive / np.sqrt(self.variance)
        self.log_vol = octaves + model.own_log_vol(own)[days][:, None]
        self.draws = draws


def _print(latent: _Latent, traits: Traits, scale: float, keep: slice, first_day: int) -> Bars:
    """Round latent prices to ticks, drop what nobody traded, and flatten the wanted days."""
    quote = _quote_volume(latent, traits)
    uniform = latent.draws.uniform
    trades = quote / TRADE_QUOTE
    active = (uniform[:, 2] >= np.exp(-trades)) | latent.jumped
    active[:, -1] = True  # a day ends with a trade, so that a day needs nothing of the day before but its level
    starts = (uniform[:, 3] >= np.exp(-trades / 15)) | latent.jumped
    starts[:, 1:] |= ~active[:, :-1]
    begin = np.where(starts, latent.open, latent.before)
    high = np.maximum(_extreme(begin, latent.close, latent.variance, uniform[:, 0], 1.0), np.maximum(begin, latent.close))
    low = np.minimum(_extreme(begin, latent.close, latent.variance, uniform[:, 1], -1.0), np.minimum(begin, latent.close))
    ticks = [_to_ticks(price, scale) for price in (begin, high, low, latent.close)]
    last = np.maximum.accumulate(np.where(active, np.arange(SLOTS), -1), axis=1)
    start_of_day = _to_ticks(latent.before[:, :1], scale)
    flat = np.where(last >= 0, np.take_along_axis(ticks[3], np.maximum(last, 0), axis=1), start_of_day)
    prices = [np.where(active, column, flat)[keep].ravel() for column in ticks]
    units = np.where(active, np.maximum(np.rint(quote / np.exp(latent.close) / VOLUME_UNIT), 1.0), 0.0)
    kept = units[keep].ravel().astype(np.int64)
    time = first_day * 86_400_000_000 + np.arange(len(kept), dtype=np.int64) * 900_000_000
    return Bars(
        time=time,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        units=kept,
        starts=(starts & active)[keep].ravel(),
    )


def _quote_volume(latent: _Latent, traits: Traits) -> Floats:
    """Quote volume of each bar: grows with volatility, hour and the size of the bar's own move."""
    noise = 0.45 * latent.draws.volume + 0.9 * latent.log_vol + 0.35 * (np.abs(latent.z) - 0.8)
    return np.asarray(traits.quote_per_day / SLOTS * SEASON * np.exp(noise - 0.30))


def _extreme(begin: Floats, end: Floats, variance: Floats, uniform: Floats, sign: float) -> Floats:
    """Highest (sign 1) or lowest (-1) point of a Brownian bridge, by inversion: (a + b + sign sqrt((b - a)^2 - 2 v ln U)) / 2."""
    return np.asarray(0.5 * (begin + end + sign * np.sqrt((end - begin) ** 2 - 2 * variance * np.log1p(-uniform))))


def _to_ticks(log_price: Floats, scale: float) -> Ints:
    return np.maximum(np.rint(np.exp(log_price) * scale), 1.0).astype(np.int64)
