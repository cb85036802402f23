"""The night in words: unknown is never told as equal, a failed step comes first, every found thing has its sentence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trader.reporting.analytics import Trade
from trader.reporting.night import SHOWN, grouped, headline, lines, markdown, replay_words

EQUAL: dict[str, Any] = {
    "verdict": "EQUAL", "reason": "", "since": "a", "until": "b", "pairs": 3, "digest": "d", "legs_replayed": 5, "legs_traded": 5,
    "legs_same": 5, "candidates_replayed": 9, "candidates_traded": 9, "rulings_checked": 0, "differences": [],
    "first_input": "", "caveats": ["minutes end"],
}  # fmt: skip
ROW = {"leg": "BTC/EUR long t leg 1", "field": "fee", "replay": "1", "ledger": "2", "why": ""}
DIFFERENT = {**EQUAL, "verdict": "DIFFERENT", "legs_same": 4, "differences": [ROW] * (SHOWN + 2), "first_input": "BTC/EUR: score: 1 | 2"}
UNKNOWN = {**EQUAL, "verdict": "UNKNOWN", "reason": "there is no history store here", "legs_same": 0}


def trade(net: str, reason: str = "TP1") -> Trade:
    return Trade(
        position_id=net, pair="A/EUR", entry_us=0, exit_us=1, stake=Decimal(100), turnover=Decimal(200), fees=Decimal(1), net=Decimal(net),
        reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "told", "never"),
    [
        ({}, "not done", "equal"),
        (EQUAL, "equal, 5 of 5 trade legs and 9 judged candidates", "unknown"),
        (DIFFERENT, f"DIFFERENT in {SHOWN + 2} fields; 4 of 5 trade legs are the same", "unknown"),
        (UNKNOWN, "unknown, the day cannot be replayed: there is no history store here", "equal"),
    ],
)
def test_the_replay_in_a_sentence(found: dict[str, Any], told: str, never: str) -> None:
    assert told in replay_words(found)
    assert never not in replay_words(found)


def test_the_page_shows_differences_up_to_a_number_and_says_how_many_more_there_are() -> None:
    page = markdown("2026-01-06", {"replay the day": DIFFERENT}, {})
    assert page.count("BTC/EUR long t leg 1") == SHOWN
    assert "and 2 more differences" in page
    assert "First input that diverged: BTC/EUR: score: 1 | 2." in page


def test_an_unknown_day_is_said_to_be_no_proof() -> None:
    page = markdown("2026-01-06", {"replay the day": UNKNOWN}, {})
    assert "**Unknown.** There is no history store here. Nothing was compared; this is not the same as equal." in page
    assert "**Equal.**" not in page


def test_a_failed_step_comes_first_and_stands_in_the_headline() -> None:
    failures = {"audit the data": "CorruptError: not a database"}
    assert lines({}, failures)[0] == "Step 'audit the data' failed: CorruptError: not a database"
    assert headline("2026-01-06", {"replay the day": EQUAL}, failures) == "Night of 2026-01-06: replay equal, 1 step failed"


def test_groups_have_a_mean_with_its_interval_and_none_from_one_trade() -> None:
    two, one = grouped([("a", trade("2")), ("b", trade("-1")), ("a", trade("4"))])
    assert (two["name"], two["trades"], two["net"]) == ("a", 2, "6")
    assert two["mean"] == pytest.approx(0.03)
    assert two["half_width"] == pytest.approx(1.959964 * 0.01)
    assert (one["name"], one["half_width"]) == ("b", None)
