"""Fees by tier and slippage by spread: the tables a backtest and the twin charge by."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trader.domain.costs import LEAST_SLIPPAGE, SPOT_TIERS, Costs, slippage_of, tier_at


@pytest.mark.parametrize(
    ("volume", "taker", "maker"),
    [
        ("0", "0.0040", "0.0025"), ("9999.99", "0.0040", "0.0025"), ("10000", "0.0035", "0.0020"), ("49999", "0.0035", "0.0020"),
        ("250000", "0.0020", "0.0010"), ("10000000", "0.0010", "0"), ("1e12", "0.0010", "0"),
    ],
)  # fmt: skip
def test_the_tier_of_a_volume(volume: str, taker: str, maker: str) -> None:
    tier = tier_at(Decimal(volume))
    assert (tier.taker, tier.maker) == (Decimal(taker), Decimal(maker))


def test_a_negative_volume_has_no_tier() -> None:
    with pytest.raises(ValueError, match="volume -1: must be 0 or more"):
        tier_at(Decimal(-1))


def test_fees_never_rise_with_the_volume_and_the_first_tier_is_the_default_cost() -> None:
    assert [tier.volume for tier in SPOT_TIERS] == sorted(tier.volume for tier in SPOT_TIERS)
    assert [tier.taker for tier in SPOT_TIERS] == sorted((tier.taker for tier in SPOT_TIERS), reverse=True)
    assert (float(SPOT_TIERS[0].taker), float(SPOT_TIERS[0].maker)) == (Costs().taker, Costs().maker)


@pytest.mark.parametrize(("spread", "slippage"), [(0.0, LEAST_SLIPPAGE), (0.001, 0.0005), (0.003, 0.0015)])
def test_slippage_is_half_the_spread_and_never_less_than_the_least(spread: float, slippage: float) -> None:
    assert slippage_of(spread) == slippage
