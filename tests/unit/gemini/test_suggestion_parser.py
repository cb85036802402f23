"""What the night may suggest: typed, inside its range, about the live value; anything else makes the whole reply invalid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trader.domain.suggestions import RANGES, SuggestionKind, Tunable, allowed
from trader.gemini.suggest import Asked, parse

STRATEGY = "viable/mitraillette/AGGRESSIVE"
ASKED = Asked(
    strategy=STRATEGY, figures={"day.trades": 4.0, "refused.SCORE_LOW": 9.0}, live={Tunable.MIN_SCORE: 58.0, Tunable.COOLDOWN_BARS: 4.0}
)  # fmt: skip
CHANGE: dict[str, Any] = {
    "id": "S1", "kind": "PARAM_CHANGE", "strategy": STRATEGY, "parameter": "min_score", "current": 58, "proposed": 62.5,
    "reason": "WEAK_ENTRIES_LOSE", "evidence_ids": ["day.trades"], "note": "",
}  # fmt: skip
NOTE = CHANGE | {"id": "S2", "kind": "NEW_RULE", "parameter": None, "current": None, "proposed": None, "note": "wait for volume"}


def _reply(*entries: Any) -> bytes:
    return json.dumps({"suggestions": list(entries)}).encode()


def test_a_change_and_a_note_are_read_as_they_are() -> None:
    change, note = parse(_reply(CHANGE, NOTE), ASKED)
    assert (change.parameter, change.current, change.proposed, change.evidence) == (Tunable.MIN_SCORE, 58.0, 62.5, ("day.trades",))
    assert (note.kind, note.parameter, note.note) == (SuggestionKind.NEW_RULE, None, "wait for volume")
    assert parse(_reply(), ASKED) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"proposed": 80}, "more than 25 %"),
        ({"proposed": 58}, "already"),
        ({"proposed": True}, "number"),
        ({"proposed": "62"}, "number"),
        ({"current": 57.9}, "current"),
        ({"parameter": "rsi_oversold", "current": 34, "proposed": 36}, "current"),
        ({"parameter": "cooldown_bars", "current": 4, "proposed": 4.5}, "whole"),
        ({"proposed": 10**400}, "number"),
        ({"current": 10**400}, "number"),
        ({"parameter": "stop"}, "parameter is none"),
        ({"parameter": "ai.mode"}, "parameter is none"),
        ({"parameter": ["min_score"]}, "parameter is none"),
        ({"kind": "RUN_CODE"}, "kind is none"),
        ({"strategy": "viable/sniper/DEFAULT"}, "strategy"),
        ({"reason": "because"}, "reason is none"),
        ({"evidence_ids": ["night.unknown"]}, "evidence"),
        ({"note": "x" * 401}, "note"),
        ({"note": "a\u001bb"}, "note"),
        ({"id": "../x"}, "id"),
        ({"more": 1}, "fields"),
        ({"kind": "REFACTOR"}, "changes no parameter"),
    ],
)
def test_one_bad_entry_makes_the_whole_reply_invalid(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(_reply(NOTE, CHANGE | changed), ASKED)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"suggestions": {}}', b'{"suggestions": [], "suggestions": []}', b"```json\n{}\n```", _reply(*[CHANGE] * 6)],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse(body, ASKED)


def test_ids_are_not_repeated_and_ranges_end_where_they_say() -> None:
    with pytest.raises(ValueError, match="repeated"):
        parse(_reply(CHANGE, NOTE | {"id": "S1"}), ASKED)
    with pytest.raises(ValueError, match="changed twice"):
        parse(_reply(CHANGE, CHANGE | {"id": "S2", "proposed": 60}), ASKED)
    for parameter, (low, high) in RANGES.items():
        assert "outside" in allowed(parameter, low, low - 1) and "outside" in allowed(parameter, high, high + 1)
