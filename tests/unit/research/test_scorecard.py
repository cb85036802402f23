"""The AI's scorecard: each figure against a case with a known answer, and what follows from the figures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scorecard import GROUP, planted, run, tell
from trader.domain.verdicts import Ruling
from trader.research.scorecard import standing as rules
from trader.research.scorecard.calibration import calibration, isotonic, log_loss, recalibrated, reliability, trailing_rate
from trader.research.scorecard.card import LABEL_TWIN, card, cards
from trader.research.scorecard.estimates import UNKNOWN, DayBlocks, student, wilson
from trader.research.scorecard.scored import Age, Scored, columns
from trader.research.scorecard.standing import Cause, Health, Standing, Status, demotion, newest, promotion, standing
from trader.research.scorecard.veto import baseline, logistic, placebo, veto_value, walk_forward


def row(number: int = 0, **changes: object) -> Scored:
    plain = Scored(
        decision_id=f"d{number}", group=GROUP, day=number // 4, ruling=Ruling.ALLOW, p_loss=0.3, age_ms=30_000.0, r=1.5, quote=15.0,
        score=70.0,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def lost(number: int, **changes: object) -> Scored:
    return row(number, **{"r": -1.0, "quote": -10.0, **changes})


# --- what may be scored ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p_loss": 1.2}, "not a probability"),
        ({"p_loss": math.nan}, "not a probability"),
        ({"p_loss": None}, "ALLOW with p_loss None"),
        ({"ruling": Ruling.DEFER}, "DEFER with p_loss 0.3"),
        ({"r": math.inf}, "must be finite"),
    ],
)
def test_a_signal_that_cannot_be_scored_is_refused_by_name(changes: dict[str, object], words: str):
    with pytest.raises(ValueError, match=f"d7.*{words}"):
        row(7, **changes)


def test_nothing_earned_is_a_loss_and_deferred_signals_have_no_column():
    assert row(quote=0.0).loss and lost(1).loss and not row().loss
    c = columns([row(8), row(1, ruling=Ruling.DEFER, p_loss=None), lost(0, ruling=Ruling.VETO, p_loss=0.9)])
    assert c.day.tolist() == [0, 2] and c.loss.tolist() == [1, 0] and c.vetoed.tolist() == [True, False]


# --- intervals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("p", "degrees", "table"), [(0.95, 4, 2.1318), (0.95, 9, 1.8331), (0.95, 29, 1.6991), (0.995, 9, 3.2498), (0.995, 149, 2.6092)]
)
def test_students_quantile_is_that_of_the_tables(p: float, degrees: int, table: float):
    assert student(p, degrees) == pytest.approx(table, rel=0.01)


def test_wilsons_interval_is_that_of_the_textbook():
    assert wilson(8, 10, share=0.95) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0


def test_days_are_drawn_whole_so_copies_of_a_day_narrow_nothing():
    rng = np.random.default_rng(3)
    day, result = np.arange(40), rng.normal(0, 1, 40)
    once = DayBlocks(day, seed=1).ratio(result, np.ones(40))
    often = DayBlocks(np.repeat(day, 9), seed=1).ratio(np.repeat(result, 9), np.ones(360))
    assert often.low == pytest.approx(once.low) and often.high == pytest.approx(once.high)
    assert once.low < once.value < once.high
    split = DayBlocks(np.arange(360), seed=1).ratio(np.repeat(result, 9), np.ones(360))
    assert split.high - split.low < 0.5 * (once.high - once.low)  # what ignoring the days would have claimed


def test_one_day_or_no_veto_says_nothing():
    assert DayBlocks(np.zeros(9, dtype=np.int64), seed=1).ratio(np.ones(9), np.ones(9)) is UNKNOWN
    assert DayBlocks(np.arange(9), seed=1).ratio(np.ones(9), np.zeros(9)) is UNKNOWN
    assert not UNKNOWN.above_zero and not UNKNOWN.below_zero


# --- calibration -------------------------------------------------------------------------------------------------------
def test_brier_and_log_loss_of_a_case_done_by_hand():
    rows = [row(0, p_loss=0.2), lost(4, p_loss=0.6), row(8, p_loss=0.5)]
    c = columns(rows)
    found = calibration(c, DayBlocks(c.day, seed=1))
    assert found.brier == pytest.approx((0.04 + 0.16 + 0.25) / 3)
    assert found.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3)
    assert trailing_rate(c.day, c.loss).tolist() == pytest.approx([1 / 2, 1 / 3, 2 / 4])  # never its own day's labels
    assert found.skill.value == pytest.approx(1 - 0.45 / (1 / 4 + 4 / 9 + 1 / 4))
    assert math.isfinite(log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])))


def test_bins_hold_equal_counts_and_show_where_the_words_are_wrong():
    p = np.linspace(0.0, 1.0, 100)
    bins = reliability(p, np.ones(100))
    assert [one.count for one in bins] == [10] * 10
    assert bins[0].said < 0.1 and bins[0].seen == 1.0 and bins[0].low > bins[0].said
    assert len(reliability(np.array([0.5]), np.array([1.0]))) == 1


def test_pooling_gives_the_nearest_curve_that_never_falls():
    x, y = isotonic(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.0, 1.0, 0.0, 1.0, 1.0]))
    assert x.tolist() == pytest.approx([0.1, 0.25, 0.45]) and y.tolist() == [0.0, 0.5, 1.0]


def test_recalibration_waits_for_200_labels_and_sees_no_later_day():
    c = columns(planted(1, 600, 0.3))
    out = recalibrated(c)
    assert out[:200].tolist() == c.p[:200].tolist() and (out[200:] != c.p[200:]).any()
    late = replace(c, loss=np.where(c.day > 40, 1.0 - c.loss, c.loss))
    assert np.array_equal(recalibrated(late)[c.day <= 41], out[c.day <= 41])
    assert not np.array_equal(recalibrated(late), out)


# --- vetoes ------------------------------------------------------------------------------------------------------------
def test_the_value_of_vetoes_is_what_they_stopped_per_hundred():
    rows = [
        lost(0, ruling=Ruling.VETO, p_loss=0.9),
        row(4, ruling=Ruling.VETO, p_loss=0.9),
        lost(8, ruling=Ruling.VETO, p_loss=0.9),
        lost(12),
    ]
    c = columns(rows)
    found = veto_value(c, DayBlocks(c.day, seed=1), seed=1)
    assert found.vetoes == 3
    assert found.r.value == pytest.approx(100 * (1.0 - 1.5 + 1.0) / 3) and found.quote.value == pytest.approx(100 * 5.0 / 3)
    assert found.placebo == 50.0  # every cell is vetoed whole or not at all


def test_the_placebo_vetoes_as_often_within_the_same_day_and_knows_chance_from_sight():
    sighted = [make(i, ruling=Ruling.VETO if make is lost else Ruling.ALLOW) for i, make in enumerate([lost, row, row, lost] * 30)]
    blind = [replace(one, ruling=Ruling.VETO if i % 4 in (0, 1) else Ruling.ALLOW) for i, one in enumerate(sighted)]
    wrong = [replace(one, ruling=Ruling.ALLOW if one.loss else Ruling.VETO) for one in sighted]
    assert [placebo(columns(rows), seed=2) for rows in (sighted, wrong)] == [100.0, 0.0]
    assert 35.0 < placebo(columns(blind), seed=2) < 65.0


def test_the_baseline_finds_what_the_score_tells_and_only_from_earlier_days():
    rng = np.random.default_rng(5)
    rows = [(lost if rng.random() < 0.9 - (score := float(rng.uniform(50, 90)) - 50) / 50 else row)(i, score=score) for i in range(800)]
    rows = [replace(one, ruling=Ruling.VETO) if i % 3 == 0 else one for i, one in enumerate(rows)]
    c = columns(rows)
    found = baseline(c, DayBlocks(c.day, seed=1))
    assert found.brier < 0.22 and found.r.above_zero
    late = replace(c, loss=np.where(c.day > 100, 1.0 - c.loss, c.loss))
    assert np.array_equal(walk_forward(late)[c.day <= 101], walk_forward(c)[c.day <= 101])
    assert walk_forward(c)[:50].tolist() == [0.5] * 50


def test_the_logistic_fit_is_the_closed_form_of_a_two_valued_feature():
    x, y = np.repeat([0.0, 1.0], 1_000), np.repeat([1.0, 0.0, 1.0, 0.0], [250, 750, 600, 400])
    a, b = logistic(x, y)
    assert a == pytest.approx(math.log(1 / 3), abs=1e-3) and a + b == pytest.approx(math.log(1.5), abs=1e-3)
    assert all(map(math.isfinite, logistic(np.array([-1.0, 1.0]), np.array([0.0, 1.0]))))  # separated


# --- cards -------------------------------------------------------------------------------------------------------------
def test_twin_models_prompts_and_strategies_each_have_a_card_and_are_never_mixed():
    others = [replace(GROUP, is_twin=False), replace(GROUP, model="m2"), replace(GROUP, prompt_version="2"), replace(GROUP, strategy="s2")]
    rows = [row(i, group=group, age_ms=age) for i, (group, age) in enumerate((g, a) for g in [GROUP, *others] for a in (1e3, 9e4, 2e5))]
    found = cards(rows)
    assert [one.group for one in found if one.age is None] == [GROUP, *others]
    assert [one.age for one in found if one.group == GROUP] == [None, Age.FRESH, Age.MIDDLE, Age.OLD]
    assert {one.as_dict()["label"] for one in found if one.group.is_twin} == {LABEL_TWIN}
    assert {one.as_dict()["label"] for one in found if not one.group.is_twin} == {""}
    with pytest.raises(ValueError, match="never mixed"):
        card(rows)


def test_a_card_counts_the_deferred_and_writes_unknown_figures_as_null():
    found = card([row(0), row(1, ruling=Ruling.DEFER, p_loss=None)])
    assert found is not None
    assert (found.labels, found.deferred, found.rulings["DEFER"], found.as_dict()["veto"]["r"]["value"]) == (1, 1, 1, None)
    assert card([row(1, ruling=Ruling.DEFER, p_loss=None)]) is None and cards([]) == []


def test_cards_say_how_good_the_probabilities_would_be_corrected_by_the_days_before():
    c = columns(rows := planted(1, 600, 0.3))
    whole = cards(rows)[0]
    assert whole.brier_recalibrated == pytest.approx(float(((recalibrated(c) - c.loss) ** 2).mean())) != whole.calibration.brier


def test_the_same_rows_and_seed_give_the_same_card_in_any_order_of_days():
    rows = planted(3, 400, 0.3)
    assert card(rows, seed=5) == card([*rows[200:], *rows[:200]], seed=5) != card(rows, seed=6)


# --- what follows ------------------------------------------------------------------------------------------------------
def judged(rows: list[Scored], **health: object) -> Standing:
    return standing(rows, Health(**health))  # type: ignore[arg-type]


def test_below_300_labels_scores_demote_nobody_and_the_page_says_on_probation():
    harmful = [make(i, ruling=Ruling.VETO if make is row else Ruling.ALLOW) for i, make in enumerate([lost, row] * 200)]
    found = judged(harmful[:299])
    assert (found.status, found.causes, found.labels) == (Status.PROBATION, (), 299)
    assert found.missing == ("300 labels in shadow, there are 299",)
    assert Cause.HARMFUL in judged(harmful).causes and judged(harmful).status is Status.DEMOTED


def test_only_the_newest_300_verdicts_demote():
    old = [make(i, ruling=Ruling.VETO if make is row else Ruling.ALLOW) for i, make in enumerate([lost, row] * 200)]
    new = [
        make(i, ruling=Ruling.VETO if make is lost else Ruling.ALLOW, p_loss=0.8 if make is lost else 0.2)
        for i, make in enumerate([lost, row] * 150, start=400)
    ]
    assert len(newest(old + new)) == 300
    assert judged(old).demoted and not judged(old + new).demoted


def test_probabilities_that_mislead_demote_even_where_nothing_is_vetoed():
    rows = [make(i, p_loss=0.15 if make is lost else 0.6) for i, make in enumerate([lost, row] * 200)]
    assert judged(rows).causes == (Cause.MISLEADING,)


@pytest.mark.parametrize(
    ("health", "causes"),
    [
        ({"answers": 100, "invalid": 5}, ()),
        ({"answers": 100, "invalid": 6}, (Cause.INVALID,)),
        ({"answers": 20, "invalid": 2}, (Cause.INVALID,)),
        ({"answers": 19, "invalid": 19}, ()),
        ({"drifted": True}, (Cause.DRIFT,)),
    ],
)
def test_unusable_answers_and_drift_demote_from_the_first_label(health: dict[str, object], causes: tuple[Cause, ...]):
    assert demotion(None, Health(**health)) == causes  # type: ignore[arg-type]


def test_lack_of_proof_demotes_at_1500_labels_and_not_before():
    assert judged(planted(1, 1_499, 0.0)).causes == () and judged(planted(1, 1_500, 0.0)).causes == (Cause.UNPROVEN,)
    assert judged(planted(1, 1_500, 0.3)).causes == ()


def test_promotion_names_what_is_missing_and_never_happens_by_itself():
    good, none = card(planted(1, 1_500, 0.3)), card(planted(1, 1_500, 0.0))
    assert good is not None and none is not None
    assert promotion(good, Health()) == ()
    assert promotion(good, Health(drifted=True)) == ("drift: cleared",)
    assert [words.split(",")[0] for words in promotion(none, Health())] == [
        "a veto value surely above zero",
        "better than 95 % of random vetoes",
    ]
    assert standing(planted(1, 1_500, 0.3)).status is Status.PROVEN
    assert not [name for name in dir(rules) if "promote" in name]  # there is no function that does it


# --- planted skill, in a small size ------------------------------------------------------------------------------------
def test_planted_skill_is_found_and_none_is_found_where_there_is_none():
    none, good, bad = (run(16, 600, rho) for rho in (0.0, 0.3, -0.3))
    assert none.covers >= 0.75 and none.demoted <= 0.2
    assert good.found >= 0.6 and good.demoted == 0.0
    assert bad.demoted >= 0.6 and bad.found == 0.0


def test_the_benchmark_names_the_goal_it_missed(capsys: pytest.CaptureFixture[str]):
    problems = tell(3, 300, 1)
    assert any(words.startswith("rho 0.3: found at 300 labels") for words in problems)
    assert '"scorecard.good.found"' in capsys.readouterr().out
