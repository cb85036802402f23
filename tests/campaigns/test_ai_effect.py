"""The AI holds entries back and does nothing else, in a small size; `python -m tests.campaigns.ai_effect` is the whole of it."""

from __future__ import annotations

from unittest import mock

import pytest

from tests.ai_kit import live
from tests.campaigns.ai_effect import EDITIONS, entries, exits
from tests.session_kit import Stage
from trader.execution.close import CloseStage

SMALL = EDITIONS["small"]


def test_entries_are_those_without_the_ai_none_larger_dearer_or_new_and_one_enlarged_is_seen() -> None:
    told = entries(SMALL, planted=False)
    assert (told["wrong"], told["lacking"]) == ([], []) and told["shrunk"]
    assert "larger" in entries(SMALL, planted=True)["wrong"][0]


def test_exits_are_those_with_the_ai_off_line_for_line_while_look_ups_raise_or_hang() -> None:
    for row in exits(SMALL, planted=False):
        assert (row["differing"], row["wrongly_entered"], row["lacking"]) == (0, 0, []), row


@pytest.mark.parametrize(("prescan_s", "scans"), [(10.0, 30), (300.0, 1)])
def test_a_session_on_the_stepped_clock_asks_at_the_intervals_of_the_settings(prescan_s: float, scans: int) -> None:
    stage, seen = Stage.of(1), list[int]()

    def count(_stage: CloseStage) -> None:
        seen.append(1)

    ai = stage.settings.ai.model_copy(update={"mode": "veto", "prescan_s": prescan_s})
    with mock.patch.object(CloseStage, "prescan", count):
        live(stage.settings.model_copy(update={"ai": ai}), stage.world, minutes=30)
    assert len(seen) == 2 * scans
