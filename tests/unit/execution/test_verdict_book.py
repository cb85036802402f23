"""The verdict book as tables: thresholds, rulings, doubts and modes."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.book_kit import KEY, NOW, book_with, verdict
from trader.domain.market import SECOND
from trader.domain.orders import Side
from trader.domain.verdicts import AiMode, AskOutcome, Lookup, Ruling, RulingResult, Verdict, VerdictKey
from trader.execution.thresholds import tau_veto
from trader.execution.verdict_book import VerdictBook, rule


@pytest.mark.parametrize(
    ("stop", "target", "costs", "tau"),
    [
        (0.0247, 0.04, 0.009, 0.031 / (0.031 + 0.0337)),
        (0.01, 0.0618, 0.009, 0.0528 / (0.0528 + 0.019)),
        (0.10, 0.02, 0.009, 0.2),  # 0.09 is below the floor
        (0.001, 0.5, 0.009, 0.8),
        (0.02, 0.009, 0.009, 0.2),  # the target pays no more than the costs
        (math.nan, 0.04, 0.009, 0.2),
    ],
)
def test_tau_is_gain_over_gain_and_loss_after_costs_within_its_clamp(stop: float, target: float, costs: float, tau: float) -> None:
    assert tau_veto(stop, target, costs) == pytest.approx(tau)


@pytest.mark.parametrize(
    ("p", "ruling", "factor"),
    [
        (0.0, Ruling.ALLOW, 1.0),
        (0.29, Ruling.ALLOW, 1.0),
        (0.3001, Ruling.SHRINK, 0.5),
        (0.3999, Ruling.SHRINK, 0.5),
        (0.4, Ruling.VETO, 1.0),
        (1.0, Ruling.VETO, 1.0),
    ],
)
def test_fresh_verdict_allows_shrinks_or_vetoes_by_threshold(p: float, ruling: Ruling, factor: float) -> None:
    result = book_with(verdict(p)).look_up(KEY, 100.0, NOW + 1500)
    assert (result.ruling, result.factor, result.lookup, result.p_loss, result.age_ms) == (ruling, factor, Lookup.HIT, p, 1.5)


def test_without_a_plan_the_strictest_threshold_applies() -> None:
    book = VerdictBook()
    book.link_state = "ok"
    book.put(verdict(0.2))
    assert book.look_up(KEY, 100.0, NOW).ruling is Ruling.VETO


@pytest.mark.parametrize(
    ("link", "key", "price", "now", "lookup"),
    [
        ("ok", dataclasses.replace(KEY, pair="ZZZ/EUR"), 100.0, NOW, Lookup.MISS),
        ("ok", dataclasses.replace(KEY, side=Side.SELL), 100.0, NOW, Lookup.MISS),
        ("ok", dataclasses.replace(KEY, strategy="viable/sniper/DEFAULT"), 100.0, NOW, Lookup.VERSION),
        ("ok", KEY, 100.0, NOW + 300 * SECOND, Lookup.STALE),
        ("ok", KEY, 100.0, NOW - 1, Lookup.STALE),  # from the future: the clock went backwards
        ("ok", KEY, 101.01, NOW, Lookup.OUT_OF_BAND),
        ("ok", KEY, 98.99, NOW, Lookup.OUT_OF_BAND),
        ("ok", KEY, math.nan, NOW, Lookup.OUT_OF_BAND),
        ("NO_WORKER", KEY, 100.0, NOW, Lookup.NO_WORKER),
        ("BREAKER", KEY, 100.0, NOW, Lookup.BREAKER),
        ("nonsense", KEY, 100.0, NOW, Lookup.NO_WORKER),
        ("BUDGET", KEY, 100.0, NOW + 300 * SECOND, Lookup.BUDGET),
    ],
)
def test_every_doubt_defers_and_names_its_reason(link: str, key: VerdictKey, price: float, now: int, lookup: Lookup) -> None:
    book = book_with(verdict(0.0))
    assert book.look_up(KEY, 100.0, NOW).ruling is Ruling.ALLOW
    book.link_state = link
    result = book.look_up(key, price, now)
    assert (result.ruling, result.lookup) == (Ruling.DEFER, lookup)


def test_a_new_book_defers_until_the_link_reports() -> None:
    book = VerdictBook()
    book.put(verdict(0.0))
    assert book.look_up(KEY, 100.0, NOW).lookup is Lookup.NO_WORKER


def test_a_good_verdict_outlives_the_budget_but_not_the_breaker() -> None:
    book = book_with(verdict(0.0))
    book.link_state = "BUDGET"
    assert book.look_up(KEY, 100.0, NOW).ruling is Ruling.ALLOW


def test_the_newest_verdict_wins_and_failures_never_blank_it() -> None:
    book = book_with(verdict(0.9, asked=NOW + 10))
    assert not book.put(verdict(0.1, asked=NOW))
    assert not book.put(verdict(None, asked=NOW + 20, outcome=AskOutcome.TIMEOUT))
    assert book.look_up(KEY, 100.0, NOW + 30).ruling is Ruling.VETO
    assert book.put(verdict(0.1, asked=NOW + 20))
    assert book.look_up(KEY, 100.0, NOW + 30).ruling is Ruling.ALLOW


@pytest.mark.parametrize(
    "bad",
    [
        verdict(None),
        verdict(math.nan),
        verdict(1.0001),
        verdict(0.1, outcome=AskOutcome.INVALID),
        dataclasses.replace(verdict(), band_lo=101.0, band_hi=99.0),
        dataclasses.replace(verdict(), band_lo=0.0),
        dataclasses.replace(verdict(), band_hi=math.inf),
        dataclasses.replace(verdict(), band_hi=math.nan),
        dataclasses.replace(verdict(), expires_us=NOW),
    ],
)
def test_the_book_takes_no_malformed_verdict(bad: Verdict) -> None:
    book = book_with()
    assert not book.put(bad)
    assert book.look_up(KEY, 100.0, NOW).lookup is Lookup.MISS


def test_a_sender_cannot_prolong_the_ttl() -> None:
    book = book_with(dataclasses.replace(verdict(0.0), expires_us=NOW + 10**12))
    assert book.look_up(KEY, 100.0, NOW + 300 * SECOND - 1).ruling is Ruling.ALLOW
    assert book.look_up(KEY, 100.0, NOW + 300 * SECOND).lookup is Lookup.STALE


def test_modes_off_ignores_the_book_shadow_records_it_veto_obeys_it() -> None:
    book = book_with(verdict(0.9))
    off, shadow, veto = (rule(mode, book, KEY, 100.0, NOW) for mode in (AiMode.OFF, AiMode.SHADOW, AiMode.VETO))
    assert (off.used.ruling, off.seen.p_loss, off.mode) == (Ruling.ALLOW, None, AiMode.OFF)
    assert (shadow.seen.ruling, shadow.used.ruling, shadow.used.p_loss) == (Ruling.VETO, Ruling.ALLOW, 0.9)
    assert veto.used == veto.seen
    assert veto.used.ruling is Ruling.VETO


def test_shadow_never_shrinks_and_off_never_looks() -> None:
    class Raising(VerdictBook):
        def look_up(self, key: VerdictKey, price: float, now_us: int) -> RulingResult:
            raise AssertionError("looked up")

    assert rule(AiMode.SHADOW, book_with(verdict(0.35)), KEY, 100.0, NOW).used.factor == 1.0
    assert rule(AiMode.OFF, Raising(), KEY, 100.0, NOW).used.ruling is Ruling.ALLOW


@given(p=st.floats(0, 1), tau=st.floats(0.2, 0.8), price=st.floats(90, 110), age=st.integers(-SECOND, 400 * SECOND))
def test_ai_only_ever_keeps_or_halves_a_stake(p: float, tau: float, price: float, age: int) -> None:
    book = book_with(verdict(p), tau=tau)
    result = book.look_up(KEY, price, NOW + age)
    assert result.factor in (0.5, 1.0)
    assert (result.factor == 0.5) == (result.ruling is Ruling.SHRINK)
    if result.ruling in (Ruling.ALLOW, Ruling.SHRINK):
        assert p < tau
        assert 99.0 <= price <= 101.0
        assert 0 <= age < 300 * SECOND


# --- desk --------------------------------------------------------------------------------------------------------------
