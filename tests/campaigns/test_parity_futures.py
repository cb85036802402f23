"""Shorts and longs on perpetuals, eight hours of five pairs: session and kernel agree to the last field, and a planted difference shows.

In full: `python -m tests.campaigns.parity_futures`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaigns import parity_futures as campaign
from tests.campaigns.parity_legs import CORE
from trader.bootstrap.replay import replay_session
from trader.bootstrap.world import world_of
from trader.config import load
from trader.domain.futures import MarketKind

PAIRS = ("BTC", "DOGE", "ETH", "NEAR", "TIA")


def test_a_session_on_perpetuals_trades_as_the_kernel_does_and_pays_the_same_funding(tmp_path: Path) -> None:
    if not CORE.exists():
        pytest.skip(f"no recorded candles at {CORE}; set TRADER_SHARED_DATA")
    file = campaign.of_bases(CORE, tmp_path / "candles.parquet", PAIRS)
    flags = {"ai.mode": "off", "futures.allow_short": True, "futures.leverage": 3}
    settings = load(flags, environ={})
    world = world_of(settings, replay=file, start="2024-07-04T19:00:00Z")
    replayed = replay_session(settings, world, minutes=495, kind=MarketKind.FUTURES)
    same = campaign.against(campaign.kernel_beside(settings, world, replayed), replayed)
    assert same.differences == 0, same.as_dict()
    assert same.shorts >= 5 and same.payments >= 10

    dearer = load(flags | {"futures.taker_fraction": 0.0006}, environ={})
    planted = campaign.against(campaign.kernel_beside(dearer, world, replayed), replayed)
    assert {one.field for one in planted.found.differences} >= {"fee"}
    other = campaign.against(campaign.kernel_beside(settings, replace(world, seed=world.seed + 1), replayed), replayed)
    assert other.found.equal and len(other.unequal) == same.payments  # the premium, and so all funding, is the seed's


def test_too_few_shorts_prove_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    if not CORE.exists():
        pytest.skip(f"no recorded candles at {CORE}; set TRADER_SHARED_DATA")
    assert campaign.main(["--days", "0.02", "--pairs", "BTC"]) == 1
    assert "0 short legs compared, 0 differences; at least 10 short legs are needed" in capsys.readouterr().out
