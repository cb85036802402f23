"""The session's side of the AI: what is written down of each ruling, by which threshold, and what people hear of the link."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from trader.domain.costs import Costs
from trader.domain.market import SECOND, Timeframe
from trader.domain.messages import Action, Decision
from trader.domain.orders import Side, entry_key
from trader.domain.verdicts import AskOutcome, Lookup, Ruling, Verdict, VerdictKey
from trader.execution.asking import Asking, ends_4h
from trader.execution.confirmation import Desk
from trader.execution.thresholds import EARNED_LEAST, EARNED_NEWEST, TAU_CEILING, TAU_FLOOR, tau_earned, tau_veto
from trader.execution.verdict_book import VerdictBook
from trader.gemini.budget import Limits, Pace

NOW, STRATEGY = 1_000_000_000_000, "viable/mitraillette/AGGRESSIVE"
DECISION = Decision(
    pair="A/EUR", close_us=NOW, side=Side.BUY, action=Action.ENTER, score=70, close=100.0, atr_fraction=0.01, unit=0.01, stop=0.02,
    tp1=0.03, tp2=0.05, strategy=STRATEGY, evidence={"atr_fraction": 0.01},
)  # fmt: skip


@dataclass
class Bench:
    """A session's AI side over a link whose state and answers are set by hand."""

    mode: str = "veto"
    tau: float | None = None
    state: str = "ok"
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = VerdictBook()
        wiring = SimpleNamespace(
            ai_mode=self.mode, tau=self.tau, book=self.book, desk=Desk(self.book), costs=Costs(), clock=SimpleNamespace(now_us=lambda: NOW),
            verdicts=SimpleNamespace(state=lambda: self.state, take=lambda: ()),
            ledger=SimpleNamespace(note=lambda kind, payload, _now: self.notes.append((kind, payload))),
        )  # fmt: skip
        self.asking = Asking(wiring, SimpleNamespace(pairs={}))  # type: ignore[arg-type]

    def heard(self, *states: str) -> list[tuple[str, str]]:
        """The notes that these states of the link lead to."""
        for state in states:
            self.state = state
            self.asking.take()
        return [(kind, payload["cause"]) for kind, payload in self.notes]

    def ruled(self, p_loss: float) -> Ruling:
        self.asking.take()
        self.book.put(
            Verdict(
                key=VerdictKey(pair="A/EUR", side=Side.BUY, strategy=STRATEGY), outcome=AskOutcome.OK, asked_us=NOW, expires_us=NOW + 10**8,
                band_lo=99.0, band_hi=101.0, p_loss=p_loss, verdict_id="v1",
            )
        )  # fmt: skip
        ruling = self.asking.ruling(DECISION, 100.0).used.ruling
        self.asking.write_down()
        return ruling


def test_people_hear_once_of_each_change_of_the_link() -> None:
    assert Bench().heard("NO_WORKER", "ok", "ok", "BREAKER", "BREAKER", "ok") == [("ai.breaker", "BREAKER"), ("ai.recovered", "BREAKER")]
    assert Bench().heard("ok", "PRIORITY", "BUDGET", "NO_WORKER", "ok") == [
        ("ai.budget", "PRIORITY"), ("ai.budget", "BUDGET"), ("ai.worker", "NO_WORKER"), ("ai.recovered", "NO_WORKER"),
    ]  # fmt: skip
    assert Bench().heard("BREAKER") == [("ai.breaker", "BREAKER")]
    assert Bench(mode="off").heard("BREAKER", "ok") == []


def test_a_look_up_that_breaks_is_no_verdict_and_is_told_once() -> None:
    for mode, used in (("veto", Ruling.DEFER), ("shadow", Ruling.ALLOW)):
        bench = Bench(mode=mode)
        with mock.patch.object(bench.book, "look_up", side_effect=ZeroDivisionError):
            rulings = [bench.asking.ruling(DECISION, 100.0) for _ in range(3)]
        assert {(one.used.ruling, one.seen.lookup) for one in rulings} == {(used, Lookup.BROKEN)}
        assert [(kind, payload["cause"]) for kind, payload in bench.notes] == [("ai.worker", "LOOKUP")]


@pytest.mark.parametrize(("into_4h_s", "told"), [(4 * 3600 - 1, True), (4 * 3600 - 300, True), (4 * 3600 - 901, False), (0, False)])
def test_only_the_last_bar_before_a_4h_close_ends_one(into_4h_s: int, told: bool) -> None:
    assert ends_4h(Timeframe.H4.floor(NOW) + into_4h_s * SECOND) is told


def test_a_shadow_ruling_is_written_down_as_the_book_said_it() -> None:
    bench = Bench(mode="shadow")
    assert bench.ruled(0.9) is Ruling.ALLOW
    ((kind, payload),) = bench.notes
    (row,) = payload["rows"]
    assert kind == "verdict.used" and row["decision_id"] == entry_key("A/EUR", STRATEGY, NOW, Side.BUY)
    assert (row["ruling"], row["factor"], row["mode"], row["verdict_id"]) == ("VETO", 1.0, "shadow", "v1")
    assert row["tau"] == tau_veto(0.02, 0.03, Costs().round_trip)
    bench.asking.write_down()
    assert len(bench.notes) == 1  # nothing new, nothing written


@pytest.mark.parametrize(("tau", "ruling"), [(None, Ruling.SHRINK), (0.25, Ruling.VETO), (0.6, Ruling.ALLOW)])
def test_a_threshold_that_was_earned_takes_the_place_of_the_plans_own(tau: float | None, ruling: Ruling) -> None:
    assert 0.35 < tau_veto(0.02, 0.03, Costs().round_trip) < 0.45
    assert Bench(tau=tau).ruled(0.35) is ruling


def test_the_earned_threshold_is_the_break_even_of_the_newest_outcomes() -> None:
    pairs = [0.03, -0.01] * (EARNED_LEAST // 2)
    assert tau_earned(pairs[:-1]) is None
    assert tau_earned(pairs) == pytest.approx(0.75)
    assert tau_earned(pairs * 3 + [-1.0] * 99) == pytest.approx(0.75) and len(pairs * 3) == EARNED_NEWEST
    assert (tau_earned([0.02] * 100), tau_earned([-0.02] * 100), tau_earned([0.0] * 100)) == (TAU_CEILING, TAU_FLOOR, TAU_FLOOR)


def test_questions_bought_ahead_leave_a_quarter_of_a_minutes_limit_to_waiting_entries() -> None:
    pace, minute = Pace(Limits(calls_a_minute=8, tokens_a_minute=1_000)), 60_000_000
    assert [pace.take(NOW, tokens=10, priority=False) for _ in range(7)] == [True] * 6 + [False]
    assert [pace.take(NOW, tokens=10, priority=True) for _ in range(3)] == [True, True, False]
    assert pace.take(NOW + minute // 8, tokens=10, priority=True) and not pace.take(NOW + minute // 8, tokens=10, priority=True)
    assert not pace.take(NOW + 9 * minute, tokens=751, priority=False) and pace.take(NOW + 9 * minute, tokens=751, priority=True)
