"""AI confirmation as tables: what is asked about, and the state machine of the desk."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from hypothesis.stateful import rule as step

from tests.book_kit import KEY, NOW, answer, snapshot
from trader.domain.market import MINUTE, SECOND
from trader.domain.messages import Action, Decision
from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Lookup, Question, Ruling
from trader.execution.confirmation import Desk, DeskState, Snapshot, band_fraction, snapshot_of
from trader.execution.verdict_book import ConfirmationParameters, VerdictBook


def test_band_is_three_sigma_of_a_97_second_move() -> None:
    sigma_15m = 0.01 / 1.5957691216
    assert band_fraction(0.01) == pytest.approx(3 * sigma_15m * math.sqrt(97 / 900), rel=1e-6)


def desk_and_book(parameters: ConfirmationParameters | None = None) -> tuple[Desk, VerdictBook]:
    book = VerdictBook(parameters)
    book.link_state = "ok"
    return Desk(book, parameters), book


def test_a_near_pair_is_asked_once_and_then_held() -> None:
    desk, book = desk_and_book()
    assert desk.state(KEY) is DeskState.FAR
    (question,) = desk.near([snapshot()], NOW)
    assert (question.band_lo, question.band_hi) == pytest.approx((100 * (1 - band_fraction(0.01)), 100 * (1 + band_fraction(0.01))))
    assert desk.state(KEY) is DeskState.INFLIGHT
    assert desk.near([snapshot()], NOW + 1 * SECOND) == []
    assert desk.take([answer(question)], NOW + 2 * SECOND) == 1
    assert desk.state(KEY) is DeskState.FRESH
    assert desk.near([snapshot()], NOW + 30 * SECOND) == []
    assert book.look_up(KEY, 100.0, NOW + 30 * SECOND).ruling is Ruling.ALLOW


@pytest.mark.parametrize("after_s", [241, 300, 500])
def test_a_verdict_about_to_expire_is_refreshed_and_not_blanked(after_s: int) -> None:
    desk, book = desk_and_book()
    (first,) = desk.near([snapshot()], NOW)
    desk.take([answer(first)], NOW)
    assert desk.near([snapshot()], NOW + 240 * SECOND) == []
    (second,) = desk.near([snapshot()], NOW + after_s * SECOND)
    held = book.look_up(KEY, 100.0, NOW + after_s * SECOND)
    assert held.ruling is (Ruling.ALLOW if after_s < 300 else Ruling.DEFER)
    desk.take([answer(second, 0.9)], NOW + after_s * SECOND)
    assert book.look_up(KEY, 100.0, NOW + after_s * SECOND).ruling is Ruling.VETO


def test_a_price_outside_the_band_makes_the_verdict_stale_and_asks_again() -> None:
    desk, _ = desk_and_book()
    (first,) = desk.near([snapshot(100.0)], NOW)
    desk.take([answer(first)], NOW)
    (second,) = desk.near([snapshot(98.0)], NOW + 30 * SECOND)
    assert second.band_lo < 98.0 < second.band_hi


def test_a_regime_change_voids_every_verdict() -> None:
    desk, book = desk_and_book()
    (first,) = desk.near([snapshot()], NOW, "RANGE")
    desk.take([answer(first)], NOW)
    assert len(desk.near([snapshot()], NOW + 30 * SECOND, "BEAR")) == 1
    assert book.look_up(KEY, 100.0, NOW + 31 * SECOND).lookup is Lookup.STALE


def test_failures_back_off_from_5_to_120_seconds() -> None:
    desk, _ = desk_and_book()
    now, pauses = NOW, []
    (question,) = desk.near([snapshot()], now)
    for _ in range(7):
        desk.take([answer(question, None, AskOutcome.TIMEOUT)], now)
        assert desk.state(KEY) is DeskState.FAILED
        asked: list[Question] = []
        failed_at = now
        while not asked:
            now += SECOND
            asked = desk.near([snapshot()], now)
        (question,) = asked
        pauses.append((now - failed_at) // SECOND)
    assert pauses == [5, 10, 20, 40, 80, 120, 120]


def test_an_answer_that_never_comes_counts_as_a_failure() -> None:
    desk, _ = desk_and_book()
    desk.near([snapshot()], NOW)
    desk.near([snapshot()], NOW + 30 * SECOND)
    assert desk.state(KEY) is DeskState.INFLIGHT
    desk.near([snapshot()], NOW + 31 * SECOND)
    assert desk.state(KEY) is DeskState.FAILED
    assert len(desk.near([snapshot()], NOW + 36 * SECOND)) == 1


def test_a_pair_that_left_the_zone_for_two_scans_is_forgotten() -> None:
    desk, _ = desk_and_book()
    desk.near([snapshot()], NOW)
    desk.near([], NOW + 30 * SECOND)
    assert desk.state(KEY) is DeskState.INFLIGHT
    desk.near([], NOW + 60 * SECOND)
    assert desk.state(KEY) is DeskState.FAR


def test_a_deferred_entry_is_asked_ahead_and_through_a_backoff_but_not_twice() -> None:
    desk, _ = desk_and_book()
    asked = desk.priority(snapshot(), NOW)
    assert asked is not None
    assert asked.priority
    assert desk.priority(snapshot(), NOW + SECOND) is None
    desk.take([answer(asked, None, AskOutcome.UNAVAILABLE)], NOW + SECOND)
    assert desk.near([snapshot()], NOW + 2 * SECOND) == []
    assert desk.priority(snapshot(), NOW + 2 * SECOND) is not None


def test_more_near_pairs_than_a_scan_may_ask_wait_their_turn() -> None:
    desk, _ = desk_and_book(ConfirmationParameters(questions_per_scan=2))
    shots = [snapshot(key=dataclasses.replace(KEY, pair=f"P{i}/EUR")) for i in range(5)]
    assert [len(desk.near(shots, NOW + i)) for i in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("bad", [snapshot(atr=0.0), snapshot(atr=math.nan), snapshot(atr=5.0), snapshot(math.nan), snapshot(-1.0)])
def test_a_snapshot_without_usable_numbers_is_not_asked(bad: Snapshot) -> None:
    desk, _ = desk_and_book()
    assert desk.near([bad], NOW) == []
    assert desk.priority(bad, NOW) is None


def test_a_decision_becomes_a_snapshot_of_relative_numbers_only() -> None:
    evidence: dict[str, float | bool | str] = {
        "close": 250.0, "atr": 2.0, "atr_fraction": 0.008, "ema_trend": 254.0, "rsi": 31.0, "rsi_previous": 29.0, "bb_position": 0.05,
        "volume_ratio": 1.4, "macd_hist": -0.5, "h4_close": 260.0, "h4_ema": 250.0, "h4_bearish": False, "fib_zone": True,
        "bullish_divergence": True, "bearish_divergence": False,
    }  # fmt: skip
    decision = Decision(
        pair="ABC/EUR", close_us=NOW, side=Side.BUY, action=Action.ENTER, score=64.0, close=250.0, atr_fraction=0.008, stop=0.04,
        tp1=0.064, strategy=KEY.strategy, evidence=evidence,
    )  # fmt: skip
    shot = snapshot_of(decision, 0.009, 96)
    assert (shot.key, shot.price, shot.atr_fraction, shot.stop, shot.target) == (KEY, 250.0, 0.008, 0.04, 0.064)
    assert shot.features == pytest.approx(
        {
            "rsi": 31.0, "rsi_previous": 29.0, "bb_position": 0.05, "volume_ratio": 1.4, "ema_distance_atr": -2.0, "macd_atr": -0.25,
            "h4_distance_atr": 5.0, "atr_bp": 80.0, "stop_bp": 400.0, "target_bp": 640.0, "cost_bp": 90.0, "score": 64.0,
            "horizon_bars": 96.0, "h4": "neutral", "fib_zone": "in", "divergence": "bullish",
        }
    )  # fmt: skip
    assert 250.0 not in shot.features.values()


class Machine(RuleBasedStateMachine):
    """No ruling may rest on a verdict past TTL, band, side, version or breaker, whatever order things happen in."""

    def __init__(self) -> None:
        super().__init__()
        self.desk, self.book = desk_and_book()
        self.now, self.price, self.asked = NOW, 100.0, []
        self.regime_us = -1

    @step(seconds=st.integers(0, 200))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @step(price=st.floats(95, 105))
    def price_moves(self, price: float) -> None:
        self.price = price

    @step(regime=st.sampled_from(["RANGE", "BEAR"]), near=st.booleans())
    def prescan(self, regime: str, near: bool) -> None:
        self.asked += self.desk.near([snapshot(self.price)] if near else [], self.now, regime)

    @step()
    def deferred(self) -> None:
        question = self.desk.priority(snapshot(self.price), self.now)
        self.asked += [question] if question else []

    @step(p=st.floats(0, 1), good=st.booleans(), newest=st.booleans())
    def provider_answers(self, p: float, good: bool, newest: bool) -> None:
        if self.asked:
            question = self.asked.pop(-1 if newest else 0)
            self.desk.take([answer(question, p if good else None, AskOutcome.OK if good else AskOutcome.INVALID)], self.now)

    @step(state=st.sampled_from(["ok", "ok", "NO_WORKER", "BREAKER", "BUDGET"]))
    def link_changes(self, state: str) -> None:
        self.book.link_state = state

    @invariant()
    def only_usable_verdicts_rule(self) -> None:
        result = self.book.look_up(KEY, self.price, self.now)
        if result.ruling is not Ruling.DEFER:
            held = self.book.held(KEY)
            assert held is not None
            assert held.outcome is AskOutcome.OK
            assert self.book.link_state in ("ok", "BUDGET")
            assert 0 <= self.now - held.asked_us < 5 * MINUTE
            assert held.band_lo <= self.price <= held.band_hi
        for other in (dataclasses.replace(KEY, side=Side.SELL), dataclasses.replace(KEY, strategy="viable/sniper/DEFAULT")):
            assert self.book.look_up(other, self.price, self.now).ruling is Ruling.DEFER


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
