"""From stored signals, verdicts and outcomes to what the AI may do: demoted by its figures, told once, given back by a person only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks.scorecard import planted
from tests.ledger_kit import T0, open_ledger
from tests.unit.data.test_verdict_store import asked, call
from trader.bootstrap import ai_night
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active, earned
from trader.bootstrap.scoring import judge
from trader.config import Settings, load
from trader.data.ledger_ai import read_ai_changes, submit_ai_change
from trader.data.outbox import Outbox
from trader.data.outcomes import Outcomes
from trader.data.projector import Projector
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.market import DAY, MINUTE
from trader.domain.messages import Action, Decision
from trader.domain.orders import Side, entry_key
from trader.domain.verdicts import FILL_MODEL, AiMode, AskedQuestion, AskOutcome, Lookup, Outcome, Ruling, RulingResult, SignalKind
from trader.errors import RejectedError
from trader.ports import DecisionRow
from trader.research.scorecard.scored import Scored
from trader.research.scorecard.standing import Cause, Status
from trader.slack.phrases import phrase

STRATEGY = "viable/mitraillette/AGGRESSIVE"
KINDS = {Ruling.ALLOW: SignalKind.ALLOWED, Ruling.SHRINK: SignalKind.SHRUNK, Ruling.VETO: SignalKind.VETOED}


def installation(folder: Path, rows: Sequence[Scored], *, mode: str = "veto", prompt: str = "1") -> Settings:
    """A state directory whose sessions met these signals; each has a verdict of the stand-in and an outcome."""
    settings = load({"state_dir": str(folder / "state"), "ai.mode": mode}, environ={})
    paths = Paths(settings.state)
    ledger, store, outcomes = open_ledger(folder), SqliteVerdictStore(paths.ai), Outcomes(paths.ops)
    first, end = min((row.day for row in rows), default=0), T0
    days: dict[int, list[DecisionRow]] = {}
    answers: dict[int, list[AskedQuestion]] = {}
    found = []
    for i, row in enumerate(rows):
        close_us = T0 + (row.day - first) * DAY + i % 90 * 15 * MINUTE
        pair, key, end = f"P{i}/EUR", entry_key(f"P{i}/EUR", STRATEGY, close_us, Side.BUY), max(end, close_us + DAY)
        decision = Decision(
            pair=pair, close_us=close_us, side=Side.BUY, action=Action.ENTER, score=row.score, close=1.0, stop=0.02, tp1=0.03, tp2=0.05,
            strategy=STRATEGY, evidence={"atr_fraction": 0.01},
        )  # fmt: skip
        ruling = RulingResult(
            ruling=row.ruling, lookup=Lookup.HIT, p_loss=row.p_loss, age_ms=row.age_ms, verdict_id=f"v{i}-C01", is_twin=True
        )  # fmt: skip
        days.setdefault(row.day, []).append(DecisionRow(decision=decision, final="ENTER", ruling=ruling, ai_mode=mode))
        answers.setdefault(row.day, []).append(asked(f"v{i}", row.p_loss))
        found.append(Outcome(
            decision_id=key, kind=KINDS[row.ruling], strategy=STRATEGY, close_us=close_us, net_return=row.r * 0.02, r=row.r,
            net=Decimal(str(round(row.quote, 8))), exit_reason="TP1", bars_held=3, fill_model=FILL_MODEL, scored_us=close_us,
        ))  # fmt: skip
    for day, made in days.items():
        ledger.record_decisions(made, T0 + (day - first) * DAY)
        record = call(f"day{day}", asked_us=T0 + (day - first) * DAY)
        store.record(record, answers[day])
    ledger.note("beat", {"number": 1, "lag_s": 0.0, "pairs": 1}, end)
    if prompt != "1":
        store.record(replace(call("later", asked_us=end), prompt_version=prompt), [])
    outcomes.add(found)
    for one in (ledger, store, outcomes):
        one.close()
    return settings


def alarms(settings: Settings) -> list[str]:
    """What the outbox says of the AI, after the projector has caught up."""
    paths = Paths(settings.state)
    projector = Projector(paths.ledger_at, paths.ops)
    projector.run()
    projector.close()
    box = Outbox(paths.ops)
    found = [phrase(one.kind, one.payload).text for one in box.latest() if one.kind.startswith("ai.") and one.priority]
    box.close()
    return found


def test_an_ai_that_does_harm_loses_its_veto_at_the_next_session_and_people_hear_of_it_once(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(1, 300, -0.6))
    assert active(settings).ai.mode == "veto"
    first, again = (ai_night.score(settings, "2026-02-03") for _ in range(2))
    assert (first["demoted"], again["demoted"], again["mode"], again["status"]) == (True, False, "shadow", "demoted")
    assert active(settings).ai.mode == "shadow"
    (made,) = read_ai_changes(Paths(settings.state).ledger_at)
    assert made.who == "the scorecard" and Cause.MISLEADING.value in made.causes and "Brier skill -" in made.reason
    (told,) = alarms(settings)
    assert "lost its veto" in told and "scripted stand-in, not AI" in told
    assert active(settings.model_copy(update={"ai": settings.ai.model_copy(update={"mode": "off"})})).ai.mode == "off"
    with pytest.raises(RejectedError, match="not promoted"):
        ai_night.promote(settings, who="ann", reason="I like it")


def test_a_demoted_ai_that_proves_itself_waits_for_a_person(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(1, 330, 0.6))
    place = Paths(settings.state).ledger_at
    submit_ai_change(place, T0, after=AiMode.SHADOW, who="the scorecard", reason="planted", group="g", causes=["HARMFUL"])
    report = judge(settings)
    assert (report.mode, report.standing.missing, report.standing.status) == (AiMode.SHADOW, (), Status.PROVEN)
    ai_night.score(settings, "2026-06-03")
    assert active(settings).ai.mode == "shadow" and len(read_ai_changes(place)) == 1  # the night gives nothing back
    with pytest.raises(RejectedError, match="name and a reason"):
        ai_night.promote(settings, who="ann", reason=" ")
    assert ai_night.promote(settings, who="ann", reason="proven in shadow")["mode"] == "veto"
    assert active(settings).ai.mode == "veto"
    with pytest.raises(RejectedError, match="not demoted"):
        ai_night.promote(settings, who="ann", reason="twice")


def test_rows_of_shadow_are_scored_by_what_the_book_said(tmp_path: Path) -> None:
    """An entry that ignored a veto is stored as allowed; its probability and threshold tell what the gate would have done."""
    rows = planted(2, 300, 0.3)
    loose = installation(tmp_path, rows, mode="shadow")
    shadow = [row.ruling for row in judge(loose).rows]
    assert len(shadow) == 300 and Counter(shadow)[Ruling.VETO] >= 30


def test_another_prompt_than_the_one_that_was_scored_demotes(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(3, 100, 0.3), prompt="2")
    told = ai_night.score(settings, "2026-01-15")
    assert told["demoted"] and told["mode"] == "shadow" and told["labels"] == 0
    assert "prompt 2" in read_ai_changes(Paths(settings.state).ledger_at)[0].reason


def test_unusable_answers_demote_and_alarm(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(4, 100, 0.3))
    store = SqliteVerdictStore(Paths(settings.state).ai)
    store.record(call("bad", outcome=AskOutcome.INVALID, asked_us=T0 + 10 * DAY), [asked(f"x{i}", None) for i in range(7)])
    store.record(call("good", asked_us=T0 + 10 * DAY), [asked(f"y{i}") for i in range(93)])
    store.close()
    report = judge(settings)
    assert report.health.answers >= 100 and report.standing.causes == (Cause.INVALID,)
    ai_night.score(settings, "2026-01-15")
    assert any("were unusable" in text for text in alarms(settings)) and active(settings).ai.mode == "shadow"


def test_the_threshold_is_earned_by_a_hundred_outcomes(tmp_path: Path) -> None:
    settings = installation(tmp_path, planted(5, 120, 0.0))
    assert earned(Paths(settings.state), STRATEGY) == pytest.approx(0.6, abs=0.01)  # gains of 1.5 R, losses of 1
    assert earned(Paths(settings.state), "viable/sniper/DEFAULT") is None
    few = installation(tmp_path / "few", planted(5, 90, 0.0))
    assert earned(Paths(few.state), STRATEGY) is None


def test_nothing_stored_is_nothing_claimed(tmp_path: Path) -> None:
    settings = installation(tmp_path, [])
    told = ai_night.score(settings, "2026-01-04")
    assert (told["labels"], told["demoted"], told["status"]) == (0, False, "on probation")
    box = Outbox(Paths(settings.state).ops)
    assert [one.kind for one in box.latest()] == ["report.ai"]  # a Sunday: the week's report
    box.close()
