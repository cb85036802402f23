"""The feed campaign at a size for every day; in full: `python -m tests.campaigns.feed`."""

from __future__ import annotations

import pytest

from tests.campaigns.feed import run
from trader.simulation.faults import Fault

SWAPPED = tuple(range(7, 240, 9))  # far enough from each other that no frame comes after its candle has closed
SHUFFLED = [Fault(where="ohlc", action="ws_reorder", nth=SWAPPED), Fault(where="ohlc", action="ws_duplicate", p=0.2)]


def test_candles_equal_the_market_under_gaps_repeats_stalls_and_a_reconnect_storm() -> None:
    outcome = run(1, minutes=24)
    assert outcome.equal, outcome
    assert outcome.compared >= 24 * 150
    assert outcome.late > 0  # what REST owed at one call a second came late, not never
    for action in ("gap", "ws_duplicate", "ws_reorder", "ws_drop", "ws_stall"):
        assert outcome.faults[f"ohlc:{action}"] > 0, outcome


@pytest.mark.parametrize("breach", ["accumulate", "arrival"])
def test_a_build_without_deduplication_or_order_differs(breach: str) -> None:
    """Four frames a minute of one pair, so that a repeat or a swap meets the same candle."""
    assert run(1, plan=SHUFFLED, minutes=60, pairs=1, per_minute=4).equal
    broken = run(1, plan=SHUFFLED, minutes=60, pairs=1, per_minute=4, breach=breach)
    assert broken.compared == 60
    assert broken.different > 0


def test_a_symbol_that_falls_silent_while_others_flow_is_repaired_and_subscribed_anew() -> None:
    silent = Fault(where="ohlc", action="gap", match={"pair": "ETH/EUR", "type": "update"})
    outcome = run(1, minutes=20, pairs=6, plan=[silent])
    assert outcome.equal, outcome
    assert outcome.counts["candle without a frame"] >= 10
    assert 1 <= outcome.counts["resubscribed"] <= 5
    assert "public reconnects" not in outcome.counts


def test_the_heap_does_not_grow_while_the_stream_is_unkind() -> None:
    outcome = run(1, minutes=40, pairs=12, measure=True)
    assert outcome.equal, outcome
    assert outcome.growth_mb is not None
    assert outcome.growth_mb < 1.0
