"""Breaker and budget as tables of what happened and what may happen next."""

from __future__ import annotations

import pytest

from trader.domain.market import DAY, SECOND
from trader.domain.verdicts import AskOutcome
from trader.errors import CorruptError
from trader.gemini.budget import Breaker, BreakerState, Budget, Limits, dump, load

NOW = 1_767_571_200_000_000
FAILURES = [AskOutcome.INVALID, AskOutcome.TIMEOUT, AskOutcome.UNAVAILABLE, AskOutcome.BLOCKED]


def failed(times: int, breaker: Breaker | None = None, outcome: AskOutcome = AskOutcome.TIMEOUT) -> Breaker:
    breaker = breaker or Breaker()
    for _ in range(times):
        breaker.note(outcome, 100.0, NOW)
    return breaker


@pytest.mark.parametrize("outcome", FAILURES)
def test_three_failures_in_a_row_open_it(outcome: AskOutcome) -> None:
    breaker = failed(2, outcome=outcome)
    assert breaker.admit(NOW) == 32
    breaker.note(AskOutcome.OK, 1.0, NOW)
    failed(2, breaker, outcome)
    assert breaker.admit(NOW) == 32
    failed(1, breaker, outcome)
    assert (breaker.state, breaker.admit(NOW)) == (BreakerState.OPEN, 0)


def test_more_than_half_of_the_last_twenty_open_it() -> None:
    breaker = Breaker()
    for good in [True, False, False] * 6 + [True]:
        breaker.note(AskOutcome.OK if good else AskOutcome.INVALID, 1.0, NOW)
    assert breaker.state is BreakerState.CLOSED
    breaker.note(AskOutcome.INVALID, 1.0, NOW)
    assert breaker.state is BreakerState.OPEN


def test_slow_answers_open_it() -> None:
    breaker = Breaker()
    for i in range(20):
        assert breaker.state is BreakerState.CLOSED
        breaker.note(AskOutcome.OK, 5_001.0 if i % 10 == 0 else 1.0, NOW)
    assert breaker.state is BreakerState.OPEN


def test_it_probes_with_one_question_and_doubles_up_to_15_minutes() -> None:
    breaker, now, pauses = failed(3), NOW, []
    for _ in range(6):
        opened = now
        while breaker.admit(now) == 0:
            now += SECOND
        pauses.append((now - opened) // SECOND)
        assert breaker.state is BreakerState.HALF_OPEN
        assert breaker.admit(now) == 0  # one probe at a time
        breaker.note(AskOutcome.TIMEOUT, 1.0, now)
    assert pauses == [60, 120, 240, 480, 900, 900]
    assert breaker.admit(now + 900 * SECOND) == 1
    breaker.note(AskOutcome.OK, 1.0, now + 900 * SECOND)
    assert breaker.state is BreakerState.CLOSED
    failed(3, breaker)
    assert breaker.admit(NOW + 60 * SECOND) == 1  # the doubling starts over


def test_an_abandoned_probe_may_be_sent_again() -> None:
    breaker = failed(3)
    assert breaker.admit(NOW + 60 * SECOND) == 1
    breaker.abandon()
    assert breaker.admit(NOW + 60 * SECOND) == 1


@pytest.mark.parametrize(("told", "waits"), [(0.001, 1), (30.0, 30), (1e9, 900), (None, 60)])
def test_a_rate_limit_opens_it_for_as_long_as_told(told: float | None, waits: int) -> None:
    breaker = Breaker()
    breaker.note(AskOutcome.RATE_LIMITED, 1.0, NOW, told)
    assert breaker.admit(NOW + waits * SECOND - 1) == 0
    assert breaker.admit(NOW + waits * SECOND) == 1


def test_a_refusal_waits_for_a_human() -> None:
    breaker = Breaker()
    breaker.note(AskOutcome.REFUSED, 1.0, NOW)
    breaker.note(AskOutcome.RATE_LIMITED, 1.0, NOW, 1.0)  # a late answer of another call changes nothing
    assert breaker.needs_human
    assert breaker.admit(NOW + 365 * DAY) == 0
    breaker.reset()
    assert breaker.admit(NOW) == 32


def test_late_answers_do_not_close_an_open_breaker() -> None:
    breaker = failed(3)
    breaker.note(AskOutcome.OK, 1.0, NOW)
    assert breaker.admit(NOW) == 0


def test_from_80_percent_only_priority_and_from_100_nothing() -> None:
    budget = Budget(Limits(calls=10, questions=1000, tokens=10**6))
    allowed = []
    for _ in range(12):
        pair = [budget.admits(NOW, questions=1, tokens=10, priority=priority) for priority in (False, True)]
        allowed.append(pair)
        if pair[1]:
            budget.spend(NOW, questions=1, tokens=10)
    assert allowed == [[True, True]] * 8 + [[False, True]] * 2 + [[False, False]] * 2
    assert budget.used(NOW) == 1.0
    assert budget.admits(NOW + DAY, questions=1, tokens=10, priority=False)
    assert budget.used(NOW + DAY) == 0.0


@pytest.mark.parametrize(
    ("limits", "questions", "tokens"),
    [(Limits(questions=31), 32, 1), (Limits(tokens=99), 1, 100), (Limits(usd=0.001, usd_per_million=0.1), 1, 10_001)],
)
def test_no_call_may_exceed_any_limit(limits: Limits, questions: int, tokens: int) -> None:
    budget = Budget(limits)
    assert not budget.admits(NOW, questions=questions, tokens=tokens, priority=True)
    assert budget.admits(NOW, questions=1, tokens=tokens // 2, priority=True)


def test_tokens_are_corrected_by_the_reply_and_cost_without_a_price_is_unknown() -> None:
    budget = Budget(Limits())
    budget.spend(NOW, questions=3, tokens=100)
    budget.correct(NOW, estimated=100, actual=130)
    assert budget.spent.tokens == 130
    assert budget.cost_usd(130) is None
    assert Budget(Limits(usd_per_million=0.1)).cost_usd(130) == pytest.approx(1.3e-5)


def test_state_survives_a_restart_and_a_refusal_becomes_one_probe() -> None:
    breaker, budget = failed(3), Budget()
    budget.spend(NOW, questions=5, tokens=50)
    text = dump(breaker, budget)
    again, spent = Breaker(), Budget()
    load(text, again, spent)
    assert (again.admit(NOW + 59 * SECOND), again.admit(NOW + 60 * SECOND)) == (0, 1)
    assert spent.spent == budget.spent
    refused, probing = Breaker(), Breaker()
    refused.note(AskOutcome.REFUSED, 1.0, NOW)
    load(dump(refused, budget), probing, Budget())
    assert probing.admit(NOW) == 1
    probing.note(AskOutcome.REFUSED, 1.0, NOW)
    assert probing.needs_human


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"breaker": {}, "spent": {"day": "x"}}', '{"breaker": 1, "spent": {}}'])
def test_a_damaged_state_is_refused(text: str) -> None:
    with pytest.raises(CorruptError, match="stored state of the AI budget"):
        load(text, Breaker(), Budget())
