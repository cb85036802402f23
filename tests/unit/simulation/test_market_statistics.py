"""The synthetic market looks like recorded ones where it was calibrated, and offers no edge."""

from __future__ import annotations

import numpy as np
import pytest

from trader.domain.market import DAY, Timeframe
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.simulation.market_factors import ANCHOR_DAY, bridge, draw_days
from trader.simulation.market_paths import PathModel, make_traits


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    market = SyntheticMarket(7, count=24)
    closes = [market.candles(pair, Timeframe.M15, EPOCH_US - 180 * DAY, EPOCH_US).close for pair in market.pairs]
    return np.diff(np.log(np.stack(closes, axis=1)), axis=0)


def acf(values: np.ndarray, lag: int) -> float:
    centred = values - values.mean(axis=0)
    return float(np.median((centred[:-lag] * centred[lag:]).mean(axis=0) / values.var(axis=0)))


def test_returns_have_fat_tails_clustered_size_and_no_memory_of_sign(returns: np.ndarray) -> None:
    kurtosis = np.median(((returns - returns.mean(axis=0)) ** 4).mean(axis=0) / returns.var(axis=0) ** 2)
    assert 29.7 / 3 < kurtosis < 29.7 * 3  # core24: 29.7
    assert 0.315 / 3 < acf(np.abs(returns), 1) < 0.9
    assert 0.113 / 3 < acf(np.abs(returns), 96) < 0.34
    assert abs(acf(returns, 1)) < 0.03


def test_bitcoin_drives_the_others(returns: np.ndarray) -> None:
    correlation = np.corrcoef(returns.T)
    pairwise = correlation[~np.eye(24, dtype=bool)].mean()
    assert 0.5 < pairwise < 0.75 and 0.5 < correlation[0, 1:].mean() < 0.8


def test_no_drift_over_many_seeds() -> None:
    means = []
    for seed in range(40):
        market = SyntheticMarket(seed, count=5)
        close = np.stack([market.candles(pair, Timeframe.D1, EPOCH_US - 120 * DAY, EPOCH_US).close for pair in market.pairs])
        means.append(float((close[:, 1:] / close[:, :-1] - 1).mean()))
    error = float(np.std(means, ddof=1) / np.sqrt(len(means)))
    assert 0 < error < 0.002
    assert abs(np.mean(means)) < 4 * error


def test_traits_depend_on_seed_and_asset_only() -> None:
    assert make_traits(7, "SOL", 2, 135.0) == make_traits(7, "SOL", 2, 135.0)
    assert make_traits(7, "SOL", 2, 135.0) != make_traits(8, "SOL", 2, 135.0)
    assert make_traits(7, "BTC", 0, 60_000.0).beta == 1.0


def test_a_longer_horizon_begins_with_the_same_days() -> None:
    short, long = draw_days(7, 11, 100, 0.1), draw_days(7, 11, 2_000, 0.1)
    assert len(long.move) > len(short.move) > 0
    for name in ("slow", "day", "move", "jump", "slot", "gap", "regime"):
        assert np.array_equal(getattr(short, name), getattr(long, name)[: len(short.move)])
    assert set(long.regime.tolist()) == {-0.3, 0.0, 0.5}


def test_bars_of_a_day_sum_to_the_day_return() -> None:
    chance = np.random.default_rng(3)
    day = chance.standard_normal(50)
    bars = bridge(chance.standard_normal((50, 96)), chance.random((50, 96)), day)
    assert np.allclose(bars.sum(axis=1), day, atol=1e-12)


def test_a_far_future_day_is_reached_without_changing_the_past() -> None:
    model, market = PathModel(7), SyntheticMarket(7, count=2)
    traits, listing = make_traits(7, "ETH", 1, 2_600.0), market.listing("ETH/EUR")
    before = model.bars(traits, listing, ANCHOR_DAY + 5, ANCHOR_DAY + 6)
    model.bars(traits, listing, ANCHOR_DAY + 4_000, ANCHOR_DAY + 4_000)
    after = model.bars(traits, listing, ANCHOR_DAY + 5, ANCHOR_DAY + 6)
    assert len(before.close) == 192 and np.array_equal(before.close, after.close) and np.array_equal(before.units, after.units)
