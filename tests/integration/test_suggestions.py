"""Suggestions from the night to the next session: nothing applies one but a person's act, and one command takes that back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.ledger_kit import open_ledger
from trader.bootstrap import nights, suggesting
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active
from trader.bootstrap.tuning import parameters_of
from trader.config import Settings, load
from trader.data.outbox import Outbox
from trader.domain.suggestions import LIFE_US, Act, Proposal, SuggestionKind, SuggestionReason, Tunable
from trader.domain.verdicts import AskOutcome
from trader.errors import RejectedError
from trader.gemini.suggest import Heard

DAY = "2026-01-06"
CHANGE = Proposal(
    name="S1", kind=SuggestionKind.PARAM_CHANGE, strategy="viable/mitraillette/AGGRESSIVE", reason=SuggestionReason.WEAK_ENTRIES_LOSE,
    parameter=Tunable.MIN_SCORE, current=58.0, proposed=62.5,
)  # fmt: skip
NOTE = Proposal(
    name="S2", kind=SuggestionKind.REFACTOR, strategy=CHANGE.strategy, reason=SuggestionReason.CODE_UNCLEAR, note="<b>split</b> it"
)  # fmt: skip
TRADER = Path(suggesting.__file__).parents[1]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose night was answered with a change and a note."""
    open_ledger(tmp_path).close()
    made = load({"state_dir": str(tmp_path / "state"), "ai.night_model": "a-text-model"}, environ={})
    nights.save(Paths(made.state).nights, nights.Night(day=DAY))
    answers = [Heard(outcome=AskOutcome.OK, proposals=(CHANGE, NOTE), is_twin=True)]
    monkeypatch.setattr(suggesting, "_ask", lambda *_: answers.pop())  # a second question would find no answer
    found = suggesting.suggest(made, DAY)
    assert found == suggesting.suggest(made, DAY) and len(found["suggestions"]) == 2
    return made


def _score(settings: Settings) -> float:
    """What a session that starts now would ask of an entry."""
    return parameters_of(active(settings)).min_score


def test_a_suggestion_changes_nothing_before_a_person_approves_it_and_is_taken_back_by_one_command(settings: Settings) -> None:
    assert _score(settings) == 58.0
    change, note = (one["id"] for one in reversed(suggesting.listed(settings)))
    told = suggesting.answer_suggestion(settings, change, Act.APPROVE, who="ann", reason="the trial holds")
    assert (told["state"], told["label"]) == ("APPROVED", "scripted stand-in, not AI") and _score(settings) == 62.5
    suggesting.answer_suggestion(settings, note, Act.APPROVE, who="ann", reason="later")
    assert _score(settings) == 62.5 and parameters_of(active(settings)).cooldown_bars == parameters_of(settings).cooldown_bars
    assert suggesting.answer_suggestion(settings, change, Act.REVERT, who="bob", reason="too few trades")["state"] == "REVERTED"
    assert _score(settings) == 58.0
    assert [(one["act"], one["who"]) for one in suggesting.listed(settings)[-1]["acts"]] == [("approve", "ann"), ("revert", "bob")]


def test_each_change_carries_its_trial_and_people_hear_of_it(settings: Settings) -> None:
    note, change = suggesting.listed(settings)
    assert change["trial"]["sentence"].startswith("not tried:")  # no history here; the trial itself: tests of the optimizer
    assert note["trial"]["sentence"] == suggesting.NOTE
    box = Outbox(Paths(settings.state).ops)
    assert [one.kind for one in box.latest()] == ["suggestion.made"] * 2
    box.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("20260106-S1", Act.REVERT, "ann", "x"), "must be approved"),
        (("20260106-S1", Act.APPROVE, " ", "x"), "name and a reason"),
        (("20260106-S1", Act.REJECT, "ann", ""), "name and a reason"),
        (("20260106-S9", Act.APPROVE, "ann", "x"), "no suggestion"),
    ],
)
def test_an_act_needs_a_name_a_reason_and_the_right_state(settings: Settings, given: tuple[str, Act, str, str], words: str) -> None:
    which, act, who, reason = given
    with pytest.raises(RejectedError, match=words):
        suggesting.answer_suggestion(settings, which, act, who=who, reason=reason)


def test_what_was_rejected_or_has_expired_cannot_be_approved(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    suggesting.answer_suggestion(settings, "20260106-S1", Act.REJECT, who="ann", reason="no")
    with pytest.raises(RejectedError, match="is rejected"):
        suggesting.answer_suggestion(settings, "20260106-S1", Act.APPROVE, who="ann", reason="yes")
    later = suggesting.now_of(Paths(settings.state)) + LIFE_US
    monkeypatch.setattr(suggesting, "now_of", lambda _: later)
    assert suggesting.listed(settings)[0]["state"] == "EXPIRED"
    with pytest.raises(RejectedError, match="is expired"):
        suggesting.answer_suggestion(settings, "20260106-S2", Act.APPROVE, who="ann", reason="yes")
    assert _score(settings) == 58.0


def test_a_change_of_another_strategy_does_not_count(settings: Settings) -> None:
    suggesting.answer_suggestion(settings, "20260106-S1", Act.APPROVE, who="ann", reason="yes")
    other = settings.model_copy(update={"variation": "DEFAULT"})
    assert active(other).entry.min_score == 0.0


def test_no_code_path_approves_a_suggestion_but_the_verbs_of_the_command_line() -> None:
    """`Act` is named where it is declared, stored and typed in; `answer_suggestion` is called by the desk alone, and that by the verbs."""
    naming = {file.relative_to(TRADER).as_posix() for file in TRADER.rglob("*.py") if "Act.APPROVE" in file.read_text()}
    assert naming == {"domain/suggestions.py", "data/suggestions.py", "cli/night.py"}
    callers = {file.relative_to(TRADER).as_posix() for file in TRADER.rglob("*.py") if _answers(file)}
    assert callers == {"bootstrap/suggesting.py", "cli/night.py"}
    flows = [file for folder in ("flows", "tasks") for file in (TRADER.parent / folder).glob("*.py")]
    assert flows and not any("answer_suggestion" in file.read_text() or "Act" in _names(file) for file in flows)


def _answers(file: Path) -> bool:
    if "answer_suggestion" not in (text := file.read_text()):
        return False
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return any(
        (isinstance(f, ast.Attribute) and f.attr == "answer_suggestion") or (isinstance(f, ast.Name) and f.id == "answer_suggestion")
        for f in calls
    )


def _names(file: Path) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
