"""The compiled score equals the one added point by point, row by row, whatever surrounds a row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.domain.costs import Costs
from trader.domain.messages import Action
from trader.indicators.series import Features, Row
from trader.strategy.brain import candidates, decide, entering
from trader.strategy.context import BrainContext
from trader.strategy.modes import TABLE, Parameters
from trader.strategy.scoring import NONE, points_of, score_features, score_rows, total, trigger_of

COSTS = Costs()


def random_rows(seed: int, n: int, holes: float = 0.02) -> Features:
    """Rows near every threshold of the rules, some with NaN."""
    rng = np.random.default_rng(seed)
    close = rng.uniform(90, 110, n)
    near = lambda spread: close + rng.normal(0, spread, n)  # noqa: E731
    values = {
        "time_us": np.arange(n) * 900_000_000, "close": close, "rsi": rng.uniform(0, 60, n), "rsi_previous": rng.uniform(0, 60, n),
        "macd_hist": rng.normal(0, 1, n) * (rng.random(n) < 0.9), "macd_hist_previous": rng.normal(0, 1, n) * (rng.random(n) < 0.9),
        "bb_lower": near(2), "bb_upper": near(2) + 5, "bb_position": rng.uniform(-0.2, 0.5, n), "atr": rng.uniform(0.1, 2, n),
        "atr_fraction": rng.uniform(0.0005, 0.02, n), "ema_trend": near(2), "volume_ratio": rng.uniform(0, 4, n), "h4_close": near(2),
        "h4_ema": near(2), "h4_hist": rng.normal(0, 1, n), "filled_share": rng.uniform(0, 0.2, n),
    }  # fmt: skip
    for name, column in values.items():
        if name not in ("time_us", "filled_share"):
            column[rng.random(n) < holes] = math.nan
    flags = {name: rng.random(n) < 0.3 for name in ("fib_zone", "bullish_divergence", "bearish_divergence")}
    return Features(**values, **flags, ready=rng.random(n) < 0.95)


@pytest.mark.parametrize("strategy", TABLE.values(), ids=lambda p: p.strategy)
def test_scores_of_columns_equal_those_point_by_point(strategy: Parameters) -> None:
    rows = random_rows(1, 4000)
    triggers, scores = score_features(rows, strategy)
    for i in range(4000):
        row = rows.row(i)
        trigger = trigger_of(row, strategy, strategy.rsi_oversold)
        assert trigger == triggers[i]
        assert scores[i] == (total(points_of(row, strategy, trigger, strategy.rsi_oversold)) if trigger != NONE else 0.0)
    assert (triggers != NONE).sum() > 200


@pytest.mark.parametrize("strategy", TABLE.values(), ids=lambda p: p.strategy)
def test_candidates_are_exactly_the_rows_that_decide_enters(strategy: Parameters) -> None:
    rows = random_rows(2, 4000)
    found = candidates(rows, strategy, COSTS)
    entered = 0
    for i in range(4000):
        decision = decide(BrainContext.of_row("A/EUR", rows.row(i), strategy), COSTS)
        assert (decision.action is Action.ENTER) == found.enter[i]
        if decision.action is Action.ENTER:
            entered += 1
            assert (decision.score, decision.unit) == (found.score[i], found.unit[i])
    assert entered > 5


@pytest.mark.parametrize("strategy", TABLE.values(), ids=lambda p: p.strategy)
def test_the_rows_that_enter_are_those_of_the_candidates_bit_for_bit(strategy: Parameters) -> None:
    rows = random_rows(5, 20_000)
    found, entered = candidates(rows, strategy, COSTS), entering(rows, strategy, COSTS)
    assert entered.rows.tolist() == np.flatnonzero(found.enter).tolist() and len(entered.rows) > 20
    assert np.array_equal(entered.score, found.score[entered.rows]) and np.array_equal(entered.unit, found.unit[entered.rows])


def test_a_row_scores_the_same_wherever_it_stands() -> None:
    rows = random_rows(3, 3000)
    order = np.random.default_rng(4).permutation(3000)
    shuffled = Features(*(column[order] for column in rows))
    for strategy in TABLE.values():
        for plain, mixed in zip(score_features(rows, strategy), score_features(shuffled, strategy), strict=True):
            assert np.array_equal(plain[order], mixed)


def test_the_compiled_score_compiles_once() -> None:
    rows = random_rows(5, 100)
    for strategy in TABLE.values():
        score_features(rows, strategy)
    assert len(score_rows.signatures) == 1  # type: ignore[attr-defined]


values = st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=64), st.floats(0, 100))


@settings(max_examples=300, deadline=None)
@given(st.lists(values, min_size=19, max_size=19), st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from(list(TABLE.values())))
def test_no_row_raises_and_scores_stay_within_0_and_100(numbers: list[float], flags: list[bool], strategy: Parameters) -> None:
    names = [n for n in Row._fields if n not in ("time_us", "reason", "fib_zone", "bullish_divergence", "bearish_divergence")]
    row = Row(
        time_us=0, fib_zone=flags[0], bullish_divergence=flags[1], bearish_divergence=flags[2], **dict(zip(names, numbers, strict=False))
    )
    decision = decide(BrainContext.of_row("A/EUR", row, strategy), COSTS)
    assert 0 <= decision.score <= 100
