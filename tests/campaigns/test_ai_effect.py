"""The AI holds entries back and does nothing else, in a small size; `python -m tests.campaigns.ai_effect` is the whole of it."""

from __future__ import annotations

from tests.campaigns.ai_effect import EDITIONS, entries, exits

SMALL = EDITIONS["small"]


def test_entries_are_those_without_the_ai_none_larger_dearer_or_new_and_one_enlarged_is_seen() -> None:
    told = entries(SMALL, planted=False)
    assert (told["wrong"], told["lacking"]) == ([], []) and told["shrunk"]
    assert "larger" in entries(SMALL, planted=True)["wrong"][0]


def test_exits_are_those_with_the_ai_off_line_for_line_while_look_ups_raise_or_hang_and_a_session_that_breaks_of_it_is_seen() -> None:
    for row in exits(SMALL, planted=False):
        assert (row["differing"], row["wrongly_entered"], row["lacking"]) == (0, 0, []), row
    assert exits(SMALL, planted=True)[0]["differing"]
