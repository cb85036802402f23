"""One decision at a time: triggers, points, refusals in their order, laziness."""

from __future__ import annotations

import math

import numpy as np
import pytest
from series_kit import cut, four_hours, walk

from trader.domain.costs import Costs
from trader.domain.messages import Action, Decision, Refusal
from trader.domain.orders import Side
from trader.indicators.series import Row, features
from trader.strategy.brain import candidates, decide, near_zone
from trader.strategy.context import VALUES, BrainContext
from trader.strategy.modes import Parameters, parameters
from trader.strategy.scoring import mirrored

COSTS = Costs()
MD, SD = parameters("viable", "mitraillette", "DEFAULT"), parameters("viable", "sniper", "DEFAULT")
SEED_M, SEED_S = parameters("seed", "mitraillette", "DEFAULT"), parameters("seed", "sniper", "DEFAULT")
QUIET = Row(
    time_us=0, close=100.0, rsi=50.0, rsi_previous=49.0, macd_hist=-1.0, macd_hist_previous=-2.0, bb_lower=98.0, bb_upper=102.0,
    bb_position=0.5, atr=1.0, atr_fraction=0.01, ema_trend=101.0, fib_zone=False, volume_ratio=1.0, bullish_divergence=False,
    bearish_divergence=False, h4_close=100.0, h4_ema=100.0, h4_hist=1.0, filled_share=0.0,
)  # fmt: skip


def judge(strategy: Parameters, side: Side = Side.BUY, **changes: object) -> Decision:
    return decide(BrainContext.of_row("A/EUR", QUIET._replace(**changes), strategy, side=side), COSTS)  # type: ignore[arg-type]


def points(strategy: Parameters, **changes: object) -> dict[str, float]:
    return {point.name: point.value for point in judge(strategy, **changes).points}


OVERSOLD = {"rsi": 30.0, "rsi_previous": 29.0}
DEEP = {"rsi": 12.0, "rsi_previous": 11.0}
DEPTH = 4 * 1.618033988749895
COMPOSITE = {"rsi": 40.0, "rsi_previous": 39.0, "bb_position": 0.05}


@pytest.mark.parametrize(
    ("strategy", "changes", "expected"),
    [
        (MD, OVERSOLD, {"base": 50.0, "rsi_depth": (34 - 30) * 1.618033988749895}),
        (MD, COMPOSITE, {"base": 50.0}),
        (MD, COMPOSITE | {"close": 97.0, "h4_close": 101.0, "fib_zone": True},
         {"base": 50.0, "below_lower_band": 8.0, "uptrend": 5.0, "fibonacci_zone": 5.0}),
        (SD, OVERSOLD | {"fib_zone": True, "close": 97.0}, {"base": 50.0, "rsi_depth": DEPTH, "below_lower_band": 8.0}),
        (SD, OVERSOLD | {"macd_hist": 0.5, "macd_hist_previous": 0.0},
         {"base": 50.0, "rsi_depth": DEPTH, "macd_strong": 5.0, "macd_crossover": 8.0}),
        (SD, OVERSOLD | {"macd_hist": 0.5, "macd_hist_previous": 0.4}, {"base": 50.0, "rsi_depth": DEPTH, "macd_strong": 5.0}),
        (MD, OVERSOLD | {"macd_hist": 0.5, "macd_hist_previous": 0.0}, {"base": 50.0, "rsi_depth": DEPTH}),
        (MD, OVERSOLD | {"volume_ratio": 2.7, "bearish_divergence": True, "bullish_divergence": True},
         {"base": 50.0, "rsi_depth": DEPTH, "volume_spike": 8.0, "bearish_divergence": -10.0, "bullish_divergence": 5.0}),
        (MD, OVERSOLD | {"volume_ratio": 2.618}, {"base": 50.0, "rsi_depth": DEPTH}),
        (MD, OVERSOLD | {"close": 98.0}, {"base": 50.0, "rsi_depth": DEPTH}),
        (SEED_M, OVERSOLD | {"close": 97.0, "ema_trend": 96.0, "fib_zone": True},
         {"base": 61.8, "rsi_depth": DEPTH, "below_lower_band": 8.0, "uptrend": 5.0, "fibonacci_zone": 5.0}),
        (SEED_M, COMPOSITE | {"close": 97.0, "ema_trend": 96.0, "fib_zone": True}, {"base": 61.8}),
        (SEED_M, OVERSOLD | {"h4_close": 99.0, "h4_hist": 0.0}, {"base": 61.8, "rsi_depth": DEPTH, "h4_bearish": -15.0}),
        (SEED_S, DEEP | {"close": 97.0, "ema_trend": 96.0, "macd_hist": 1.0, "macd_hist_previous": -1.0},
         {"base": 85.4, "macd_strong": 5.0, "macd_crossover": 8.0}),
    ],
)  # fmt: skip
def test_points_are_those_of_the_rule_in_its_order(strategy: Parameters, changes: dict[str, object], expected: dict[str, float]) -> None:
    assert list(points(strategy, **changes).items()) == list(expected.items())


def test_the_score_is_the_sum_rounded_to_six_decimals() -> None:
    assert judge(MD, **OVERSOLD).score == 56.472136
    assert judge(SD, rsi=1.0, rsi_previous=0.5, macd_hist=1.0, macd_hist_previous=-1.0, volume_ratio=9.0, close=1.0).score == 100.0


@pytest.mark.parametrize(
    ("strategy", "changes", "code"),
    [
        (MD, {"reason": "too few"}, Refusal.NOT_READY),
        (MD, {}, Refusal.NO_SIGNAL),
        (MD, {"rsi": 34.0}, Refusal.NO_SIGNAL),
        (MD, COMPOSITE | {"rsi_previous": 41.0}, Refusal.NO_SIGNAL),  # the composite must rise
        (MD, COMPOSITE | {"bb_position": 0.1}, Refusal.NO_SIGNAL),
        (SD, COMPOSITE | {"rsi": 34.5}, Refusal.NO_SIGNAL),  # a sniper knows no composite
        (MD, OVERSOLD | {"h4_close": 99.0, "h4_hist": 0.0}, Refusal.H4_BEARISH),
        (SEED_S, DEEP | {"h4_close": 99.0, "h4_hist": -1.0}, Refusal.H4_BEARISH),
        (MD, OVERSOLD | {"rsi_previous": 31.0}, Refusal.SCORE_LOW),
        (MD, OVERSOLD | {"close": 97.0, "rsi_previous": 30.0}, Refusal.FALLING_KNIFE),
        (MD, OVERSOLD | {"close": 97.0, "atr_fraction": 0.0027 - 1e-9}, Refusal.QUIET_MARKET),
        (MD, OVERSOLD | {"close": 97.0, "atr_fraction": 0.0027}, None),
        (MD, OVERSOLD | {"close": 97.0}, None),
        (SEED_M, OVERSOLD | {"atr_fraction": 0.0001}, None),  # only viable asks for a target in reach
        (SEED_M, OVERSOLD | {"h4_close": 99.0, "h4_hist": 0.0}, Refusal.SCORE_LOW),
    ],
)
def test_the_first_refusal_in_order_is_reported(strategy: Parameters, changes: dict[str, object], code: Refusal | None) -> None:
    decision = judge(strategy, **changes)
    assert decision.refusal is code and decision.action is (Action.HOLD if code else Action.ENTER)


def test_every_refusal_of_step_a_comes_before_the_next_one() -> None:
    """Failing everything at once gives the first; healing one failure at a time gives the next."""
    seen = []
    row: dict[str, object] = {"reason": "x", "h4_close": 99.0, "h4_hist": -1.0, "rsi": 60.0, "rsi_previous": 61.0, "atr_fraction": 0.001}
    for heal in (
        {"reason": ""},
        {"rsi": 33.0, "rsi_previous": 34.0},
        {"h4_hist": 1.0},
        {"close": 97.0, "volume_ratio": 3.0},
        {"rsi_previous": 32.0},
        {"atr_fraction": 0.01},
        {},
    ):
        seen.append(judge(MD, **row).refusal)
        row |= heal
    assert seen == [
        Refusal.NOT_READY,
        Refusal.NO_SIGNAL,
        Refusal.H4_BEARISH,
        Refusal.SCORE_LOW,
        Refusal.FALLING_KNIFE,
        Refusal.QUIET_MARKET,
        None,
    ]


@pytest.mark.parametrize("name", ["rsi", "volume_ratio", "bb_lower", "h4_ema", "h4_hist"])
def test_nan_makes_a_rule_false_and_never_raises(name: str) -> None:
    wins = OVERSOLD | {"close": 97.0, "h4_close": 101.0, "volume_ratio": 3.0}
    full, holed = points(MD, **wins), points(MD, **(wins | {name: math.nan}))
    assert set(holed) <= set(full) and (len(holed) < len(full) or name == "h4_hist")


def test_viable_levels_come_from_the_unit() -> None:
    d = judge(MD, **OVERSOLD, close=97.0)
    assert (d.unit, d.tp1) == (0.01, 0.05)
    assert d.stop == pytest.approx(0.0309017) and d.tp2 == pytest.approx(0.0809017)
    quiet = judge(MD, **OVERSOLD, close=97.0, atr_fraction=0.003)
    assert quiet.unit == pytest.approx(0.0054) and quiet.tp1 == pytest.approx(3 * COSTS.round_trip)


def test_seed_levels_are_moved_by_the_fee_buffer() -> None:
    d = judge(SEED_M, **OVERSOLD)
    assert (d.stop, d.tp1, d.tp2) == pytest.approx((0.01098, 0.0152, 0.02138))
    tight = judge(parameters("seed", "mitraillette", "CONSERVATIVE"), rsi=20.0, rsi_previous=19.0)
    assert tight.stop == pytest.approx(0.0048)


def test_a_short_is_the_long_of_the_mirrored_market() -> None:
    falling = {
        "rsi": 70.0,
        "rsi_previous": 71.0,
        "close": 103.0,
        "h4_close": 99.0,
        "h4_hist": -1.0,
        "bullish_divergence": True,
        "volume_ratio": 3.0,
    }
    d = judge(MD, Side.SELL, **falling)
    assert d.action is Action.ENTER and d.side is Side.SELL and d.close == 103.0
    assert [p.name for p in d.points] == ["base", "rsi_depth", "below_lower_band", "uptrend", "volume_spike", "bearish_divergence"]
    assert judge(MD, Side.SELL, **(falling | {"h4_close": 101.0, "h4_hist": 1.0})).refusal is Refusal.H4_BEARISH
    assert mirrored(mirrored(QUIET)) == QUIET


# --- context -----------------------------------------------------------------------------------------------------------
def test_a_refused_pair_reads_only_what_its_refusal_needed() -> None:
    blocked = BrainContext.of_row("A/EUR", QUIET, MD, gate="finite")
    assert decide(blocked, COSTS).detail == "finite" and blocked.reads == 0
    idle = BrainContext.of_row("A/EUR", QUIET, SD)
    decide(idle, COSTS)
    assert sorted(idle.computed) == ["rsi"]


def test_values_are_computed_at_most_once() -> None:
    columns = walk(7, 11_264)
    context = BrainContext.of_columns("A/EUR", columns, four_hours(columns), 11_263, MD)
    first = context.full()
    counted = dict(context._source.counted)  # type: ignore[attr-defined]
    assert context.full() == first and context.reads == len(VALUES)
    assert counted == context._source.counted and counted["rsi"] == 1  # type: ignore[attr-defined]


def test_an_unknown_value_is_named() -> None:
    with pytest.raises(AttributeError, match="no value 'sentiment'"):
        _ = BrainContext.of_row("A/EUR", QUIET, MD).sentiment


def test_evidence_holds_all_values_of_a_signal() -> None:
    assert set(judge(MD, **OVERSOLD, close=97.0).evidence) == set(VALUES)


def test_contexts_over_rows_and_columns_decide_alike_and_the_future_is_cut_off() -> None:
    columns = walk(9, 14_400, sd=0.006)
    hours = four_hours(columns)
    made = features(columns, hours, MD)
    found = candidates(made, MD, COSTS)
    signals = np.flatnonzero(found.enter)
    assert len(signals) >= 3
    for i in [*signals[:8].tolist(), 14_000, 14_001]:
        seen = decide(BrainContext.of_row("A/EUR", made.row(i), MD), COSTS)
        assert decide(BrainContext.of_columns("A/EUR", columns, hours, i, MD), COSTS) == seen
        early = cut(columns, 0, i + 1)
        assert decide(BrainContext.of_columns("A/EUR", early, four_hours(early), i, MD), COSTS) == seen


# --- near zone ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("strategy", "changes", "near"),
    [
        (SD, {"rsi": 39.9}, True),
        (SD, {"rsi": 40.0}, False),
        (SD, {"rsi": 20.0}, True),
        (SD, {"rsi": 39.0, "reason": "too few"}, False),
        (SD, {"rsi": 39.0, "h4_close": 99.0, "h4_hist": -1.0}, False),
        (SD, {"rsi": math.nan}, False),
        (MD, {"rsi": 45.0}, False),
        (MD, {"rsi": 45.0, "bb_position": 0.1}, True),
    ],
)
def test_near_zone(strategy: Parameters, changes: dict[str, object], near: bool) -> None:
    assert near_zone(QUIET._replace(**changes), strategy, 6.0) is near  # type: ignore[arg-type]


def test_a_bearish_4h_candle_that_ends_with_the_bar_may_turn_and_is_asked_about() -> None:
    bearish = QUIET._replace(rsi=39.0, h4_close=99.0, h4_hist=-1.0)
    assert (near_zone(bearish, SD, 6.0), near_zone(bearish, SD, 6.0, h4_ends=True)) == (False, True)
    assert not near_zone(bearish._replace(rsi=40.0), SD, 6.0, h4_ends=True)
