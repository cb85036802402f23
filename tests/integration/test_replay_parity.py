"""The replay in process and the demo over the twin make the same trades; a planted difference is found and named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from session_kit import Stage

from trader.bootstrap.replay import replay_session, verify
from trader.config import load
from trader.errors import ConfigError
from trader.research.parity import compare, first_diverging

MINUTES = 360


def test_replay_and_demo_of_a_synthetic_market_trade_alike() -> None:
    """The wire between session and venue changes no line; a poorer account buys less, and that is seen."""
    stage = Stage.of(3)
    replayed, demo, found = verify(stage.settings, stage.world, minutes=MINUTES)
    assert found.equal, [str(one) for one in found.differences]
    assert found.left >= 2 and replayed.heard == demo.heard
    assert replayed.summary.decisions == demo.summary.decisions > 100

    poorer = replay_session(stage.settings, replace(stage.world, cash="9000.00"), minutes=MINUTES)
    planted = compare(replayed.lines, poorer.lines)
    assert {one.field for one in planted.differences} == {"quantity", "fee"}
    assert "between the decision and its fill" in first_diverging(replayed.heard, poorer.heard)


def test_replay_refuses_to_run_with_the_ai() -> None:
    settings = load({"ai.mode": "veto"}, environ={})
    with pytest.raises(ConfigError, match="AI off"):
        replay_session(settings, Stage.of(3).world, minutes=1)
