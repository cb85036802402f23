"""Folds, candidates, universe and the judgement: SWITCH only where all conditions hold, else KEEP with what failed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.market_kit import bars_of, market
from trader.domain.costs import Costs
from trader.errors import ConfigError
from trader.reporting import leaderboard
from trader.research.backtester import six
from trader.research.board import board_of
from trader.research.optimizer.candidates import FIXED, LONGEST, RANGES, strategies
from trader.research.optimizer.conditions import judge, longest_hold
from trader.research.optimizer.folds import folds_of, purged_days
from trader.research.optimizer.series import Run, Trades, run_of
from trader.research.optimizer.study import Candles, concluded
from trader.research.optimizer.verdict import Decision, Reason
from trader.research.portfolio import run as portfolio_run
from trader.strategy.columns import Bars
from trader.strategy.modes import Parameters

SIX = six()
CURRENT, BETTER = SIX[0].name, SIX[2].name
DAYS = 170
NAMES = {"trades", "pairs", "concentration", "folds", "profit", "spa", "interval", "gain", "overfitting", "deflated", "costs"}


# --- folds -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("days", "blocks"), [(111, 0), (112, 4), (125, 4), (126, 5), (168, 8), (356, 21), (1_000, 21)])
def test_folds_are_as_many_as_the_days_hold_up_to_300(days: int, blocks: int):
    found = folds_of(1_000, 1_000 + days, 2)
    assert len(found) == blocks
    if found:
        assert found[-1].test_end == 1_000 + days and found[0].train_first >= 1_000
        assert all(a.test_end == b.test_first for a, b in pairwise(found))


@pytest.mark.parametrize(("bars", "days"), [(94, 1), (95, 1), (96, 2), (288, 4)])
def test_a_position_of_a_train_block_is_closed_before_its_test_block(bars: int, days: int):
    assert purged_days(bars) == days
    for fold in folds_of(0, 168, days):
        last_entry = fold.train_end * 96  # the close that ends the newest train day
        assert last_entry + bars + 1 <= fold.test_first * 96
        assert fold.test_first - fold.train_first == 56 and fold.test_end - fold.test_first == 14


def test_the_purge_is_the_longest_position_of_all_that_compete():
    assert longest_hold(SIX) == 288
    assert longest_hold(six("seed")) == 279


# --- candidates --------------------------------------------------------------------------------------------------------
def test_rows_of_a_table_compete_beside_the_six(tmp_path: Path):
    table = tmp_path / "more.toml"
    table.write_text('[[candidate]]\nname = "patient"\nbase = "mitraillette/AGGRESSIVE"\nrsi_oversold = 30\nmax_hold_bars = 192\n')
    found = strategies("viable", Costs(), table)
    assert [one.name for one in found[:6]] == [one.name for one in SIX]
    made = found[6]
    assert made.name == "viable/mitraillette/AGGRESSIVE patient" and made.parameters is not None
    assert (made.parameters.rsi_oversold, made.parameters.max_hold_bars, made.exits.max_hold_bars) == (30.0, 192, 192)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[candidate]]\nname = 'a'\n", "base"),
        ("[[candidate]]\nname = 'a'\nbase = 'S1'\n", "none of the six"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/FAST'\n", "sniper/FAST"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nrsi = 3\n", "'rsi'"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nrsi_period = 2.5\n", "whole number"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\n" * 2, "twice"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nrsi_oversold = nan\n", "from 0 to 100"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nrisk_per_trade = inf\n", "from 0 to 1"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nrsi_period = 1\n", "from 2 to"),
        ("[[candidate]]\nname = 'a'\nbase = 'sniper/DEFAULT'\nmax_hold_bars = 6000\n", "from 0 to 960"),
        ("[candidate]\nname = 'a'\n", "candidate"),
        ("candidate = 3 x", "TOML"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str):
    table = tmp_path / "more.toml"
    table.write_text(text)
    with pytest.raises(ConfigError, match=said):
        strategies("viable", Costs(), table)


def test_a_table_that_is_not_there_and_a_profile_that_is_none(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        strategies("viable", Costs(), tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="'bold'"):
        strategies("bold", Costs())


def test_every_number_of_the_table_has_a_range_that_holds_the_six_and_leaves_days_to_train_in():
    assert set(RANGES) == {one.name for one in fields(Parameters)} - set(FIXED)
    for one in (*SIX, *six("seed")):
        assert all(RANGES[name][0] <= getattr(one.parameters, name) <= RANGES[name][1] for name in RANGES)
    assert len(folds_of(0, 112, purged_days(LONGEST))) == 4


# --- the judgement on made records -------------------------------------------------------------------------------------
def record(name: str, rng: np.random.Generator, mean: float, *, sd: float = 0.005, trades: int = 400, pairs: int = 12) -> Run:
    """A daily record of this mean, with trades spread evenly over its days and pairs."""
    returns = rng.normal(0, sd, DAYS)
    returns += mean - returns.mean()
    day = np.linspace(0, DAYS - 1, trades).astype(np.int64)
    made = Trades(
        day=day, pair=np.array([f"P{k % pairs:02d}/EUR" for k in range(trades)], dtype=np.str_),
        net=np.full(trades, 10 * mean * DAYS / max(trades, 1)), gain=np.full(trades, mean),
    )  # fmt: skip
    return Run(name=name, first_day=0, returns=returns, costs=np.full(DAYS, 0.0005), trades=made, signals=trades)


def records(seed: int = 1, **of_better: float) -> dict[str, Run]:
    """All six lose a little, BETTER gains 0.4 % a day unless told otherwise."""
    rng = np.random.default_rng(seed)
    found = {one.name: record(one.name, rng, -0.001) for one in SIX}
    found[BETTER] = record(BETTER, rng, **({"mean": 0.004} | of_better))  # type: ignore[arg-type]
    return found


def test_a_clear_edge_is_switched_to():
    found = judge(SIX, records(), CURRENT, 0)
    assert found.decision is Decision.SWITCH, found.sentence
    assert (found.candidate, found.reason, found.no_edge) == (BETTER, None, False)
    assert {one.name for one in found.conditions if one.binding} == NAMES
    assert {one.name for one in found.conditions if not one.binding} == {"plain_spa", "plain_interval"}
    assert found.days == 112 and len(found.folds) == 8 and found.standings[0].name == BETTER
    assert "all 11 conditions hold" in found.sentence


def test_the_best_one_is_kept_when_it_is_the_current_one():
    found = judge(SIX, records(), BETTER, 0)
    assert (found.decision, found.reason) == (Decision.KEEP, Reason.CURRENT_IS_BEST)


def test_one_that_is_only_as_good_as_the_current_one_is_no_candidate():
    """Equal records, also at another scale; the current one stands first in the table and last."""
    runs = records()
    for current, other in ((BETTER, SIX[5].name), (SIX[5].name, BETTER)):
        alike = {current: replace(runs[BETTER], name=current), other: replace(runs[BETTER], name=other)}
        found = judge(SIX, runs | alike, current, 0)
        assert (found.decision, found.reason) == (Decision.KEEP, Reason.CURRENT_IS_BEST)
    louder = altered(runs, returns=2 * runs[BETTER].returns) | {CURRENT: replace(runs[BETTER], name=CURRENT)}
    found = judge(SIX, louder, CURRENT, 0)
    assert found.decision is Decision.KEEP and not {one.name for one in found.failed} & {"profit", "deflated"}


DEGENERATE = {"flat": np.zeros(DAYS), "constant gain": np.full(DAYS, 0.001), "constant loss": np.full(DAYS, -0.001)}


@pytest.mark.parametrize("returns", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("who", ["current", "candidate", "all"])
def test_records_that_never_move_give_an_answer_and_no_switch_to_them(returns: np.ndarray, who: str):
    runs = records()
    chosen = {"current": [CURRENT], "candidate": [BETTER], "all": list(runs)}[who]
    found = judge(SIX, runs | {name: replace(runs[name], returns=returns) for name in chosen}, CURRENT, 0)
    assert found.decision is Decision.KEEP or found.candidate not in chosen
    assert all(np.isfinite(one.value) for one in found.conditions)


def altered(runs: dict[str, Run], **changes: object) -> dict[str, Run]:
    return runs | {BETTER: replace(runs[BETTER], **changes)}  # type: ignore[arg-type]


def only(trades: Trades, chosen: np.ndarray) -> Trades:
    return Trades(day=trades.day[chosen], pair=trades.pair[chosen], net=trades.net[chosen], gain=trades.gain[chosen])


def failing_each() -> list[tuple[str, dict[str, Run]]]:
    """Records in which the named condition does not hold."""
    base, rng = records(), np.random.default_rng(8)
    trades, returns = base[BETTER].trades, base[BETTER].returns
    one_pair = replace(trades, net=np.where(trades.pair == "P03/EUR", 90.0, 1.0))
    level = {name: replace(run, returns=returns - 0.0001) for name, run in base.items() if name != BETTER}
    alike = {name: replace(run, returns=0.003 + rng.normal(0, 0.01, DAYS)) for name, run in base.items()}
    return [
        ("trades", altered(base, trades=only(trades, np.arange(len(trades)) % 3 == 0))),
        ("pairs", records(pairs=4)),
        ("concentration", altered(base, trades=one_pair)),
        ("folds", altered(base, trades=only(trades, (trades.day < 100) | (trades.day >= 114)))),
        ("profit", records(mean=0.0005)),
        ("spa", base | {CURRENT: replace(base[CURRENT], returns=returns[::-1] - 0.0003)}),
        ("interval", base | {CURRENT: replace(base[CURRENT], returns=returns[::-1].copy())}),
        ("gain", level | {BETTER: base[BETTER]}),
        ("overfitting", alike),
        ("deflated", records(mean=0.0009)),
        ("costs", altered(base, costs=np.full(DAYS, 0.02))),
    ]


@pytest.mark.parametrize(("name", "runs"), failing_each(), ids=[name for name, _ in failing_each()])
def test_each_condition_alone_can_keep(name: str, runs: dict[str, Run]):
    found = judge(SIX, runs, CURRENT, 0)
    assert (found.decision, found.reason) == (Decision.KEEP, Reason.CONDITIONS)
    failed = {one.name: one for one in found.failed}
    assert name in failed and failed[name].words in found.sentence


def test_without_the_conditions_that_fail_it_would_be_a_switch():
    found = judge(SIX, dict(failing_each())["costs"], CURRENT, 0)
    assert [one.name for one in found.failed] == ["costs"]
    assert found.decided(without={"costs"}) is Decision.SWITCH


def test_the_candidate_is_the_best_at_equal_risk_not_the_one_with_the_largest_stakes():
    runs = records()
    bold = replace(runs[SIX[5].name], returns=10 * (runs[BETTER].returns - 0.003))
    found = judge(SIX, runs | {bold.name: bold}, CURRENT, 0)
    assert bold.returns.mean() > runs[BETTER].returns.mean() and found.candidate == BETTER


def test_a_current_strategy_with_large_swings_is_beaten_at_equal_risk_though_not_in_plain_returns():
    runs = records()
    wild = replace(runs[CURRENT], returns=np.random.default_rng(2).normal(0, 0.08, DAYS))
    found = judge(SIX, runs | {CURRENT: wild}, CURRENT, 0)
    assert found.decision is Decision.SWITCH, found.sentence
    assert not next(one for one in found.conditions if one.name == "plain_interval").holds


def test_nothing_gains_and_the_flag_is_raised():
    found = judge(SIX, records(mean=-0.0005), CURRENT, 0)
    assert found.no_edge and found.decision is Decision.KEEP


def test_more_that_compete_make_the_same_record_harder_to_believe():
    rng = np.random.default_rng(3)
    more = [replace(SIX[3], name=f"more {k}") for k in range(20)]
    few, many = records(mean=0.0012), records(mean=0.0012) | {one.name: record(one.name, rng, -0.001) for one in more}
    p = [next(s for s in judge(all_, runs, CURRENT, 0).standings if s.name == BETTER) for all_, runs in ((SIX, few), ((*SIX, *more), many))]
    assert p[1].p == p[0].p and p[1].p_adjusted > p[0].p_adjusted


@pytest.mark.parametrize(
    ("runs", "first_day", "reason", "said"),
    [
        (records(), 80, Reason.NOT_ENOUGH_DATA, "90 whole days"),
        (altered(records(), returns=np.full(DAYS, np.nan)), 0, Reason.NOT_JUDGED, BETTER),
        (altered(records(), trades=replace(records()[BETTER].trades, gain=np.full(400, np.inf))), 0, Reason.NOT_JUDGED, BETTER),
        ({n: replace(r, trades=only(r.trades, r.trades.day < 9)) for n, r in records().items()}, 0, Reason.NO_CANDIDATE, "30 trades"),
    ],
    ids=["too little", "nan", "a trade without a number", "no trades"],
)  # fmt: skip
def test_what_cannot_be_judged_is_kept_with_its_reason(runs: dict[str, Run], first_day: int, reason: Reason, said: str):
    found = judge(SIX, runs, CURRENT, first_day)
    assert (found.decision, found.reason) == (Decision.KEEP, reason)
    assert said in found.sentence and str(reason) in found.sentence


def test_records_of_other_days_or_of_nobody_are_refused():
    runs = records()
    with pytest.raises(ValueError, match="different days"):
        judge(SIX, runs | {BETTER: replace(runs[BETTER], first_day=1)}, CURRENT, 0)
    with pytest.raises(ValueError, match="no record"):
        judge(SIX, {name: run for name, run in runs.items() if name != BETTER}, CURRENT, 0)


# --- a whole study -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def bars() -> dict[str, Bars]:
    return bars_of(market(4, 7, 152))


def study(candles: Candles, current: str):
    return concluded(candles, SIX, current, map(candles.run, SIX))


def test_noise_is_kept_and_two_threads_change_nothing(bars: dict[str, Bars]):
    candles = Candles.of(bars, SIX, "BTC/EUR")
    assert len(candles.universe.pairs) == 7 and not candles.lacking
    with ThreadPoolExecutor(2) as pool:
        one, two = study(candles, CURRENT), concluded(candles, SIX, CURRENT, pool.map(candles.run, SIX))
    assert one.as_dict() == two.as_dict()
    assert one.decision is Decision.KEEP and one.days >= 56 and len(one.standings) == 6


def test_days_are_whole_and_their_product_is_the_accounts_result(bars: dict[str, Bars]):
    books, board = portfolio_run(SIX[2], bars), board_of(bars)[1]
    run = run_of("x", books, board)
    assert len(run.returns) == 151  # the close at 00:00 that ends the first day is where the first return begins
    assert np.prod(1 + run.returns) * books.equity[95] == pytest.approx(books.equity[-1])
    assert run.trades.net.sum() == pytest.approx(books.money[:, 0].sum())


def test_too_few_pairs_or_days_and_no_reference_are_named(bars: dict[str, Bars]):
    short = {pair: Bars(replace_rows(one.columns, 5_000), warmup="short") for pair, one in bars.items()}
    for chosen, reference, said in (
        (dict(list(bars.items())[:4]), "BTC/EUR", "4 pairs may be judged, 5 are needed"),
        (short, "BTC/EUR", "days of READY bars, 120 are needed"),
        (bars, "XBT/EUR", "regime is not known"),
    ):
        found = study(Candles.of(chosen, SIX, reference), CURRENT)
        assert found.reason is Reason.NOT_ENOUGH_DATA and said in found.sentence


def replace_rows(columns, newest: int):
    return type(columns)(**{name: getattr(columns, name)[-newest:] for name in columns.__slots__})


def test_a_pair_with_a_hole_is_left_out_by_name(bars: dict[str, Bars]):
    whole = bars["P02/EUR"].columns
    kept = np.r_[0:6_000, 6_600 : len(whole)]
    holed = type(whole)(**{name: getattr(whole, name)[kept] for name in whole.__slots__})
    candles = Candles.of(bars | {"P02/EUR": Bars(holed, warmup="short")}, SIX, "BTC/EUR")
    assert "P02/EUR" in candles.universe.excluded and len(candles.universe.pairs) == 6


def test_a_current_strategy_that_does_not_compete_is_refused(bars: dict[str, Bars]):
    with pytest.raises(ConfigError, match="seed/sniper/DEFAULT"):
        study(Candles.of(bars, SIX, "BTC/EUR"), "seed/sniper/DEFAULT")


def test_a_judgement_is_plain_values_and_readable_as_page_screen_and_rows():
    told = judge(SIX, dict(failing_each())["costs"], CURRENT, 0).as_dict() | {"excluded": {}, "pairs": [], "inputs_digest": "0" * 64}
    assert json.loads(json.dumps(told)) == told
    assert [one["name"] for one in told["conditions"] if not one["binding"]] == ["plain_spa", "plain_interval"]
    assert f"| (6) costs | no | {told['conditions'][-1]['words']} |" in leaderboard.markdown(told)
    form = leaderboard.form(told)  # what a person answers below: leaderboard and conditions, no column wider than the form
    assert f"- (6) {told['conditions'][-1]['words']}" in form and "plain returns" not in form
    assert sum(line.startswith(("| mitraillette/", "| sniper/")) for line in form.splitlines()) == 6 and form.count("(in use)") == 1
    *tables, answer = leaderboard.screen(told).splitlines()
    assert answer == told["sentence"]
    assert f"{BETTER.partition('/')[2]} would fail: costs" in tables and max(map(len, tables)) <= 100
    assert [row["fails"] for row in leaderboard.rows(told) if row["strategy"] == BETTER] == ["costs"]
    assert len(leaderboard.fold_rows(told)) == 8
    assert f"- {BETTER.partition('/')[2]}: costs\n" in leaderboard.markdown(told)
    board, details, folds = leaderboard.narrow(told)  # six columns at most: Prefect's page scrolls sideways where there are more
    assert [len(table) for table in (board, details, folds)] == [6, 6, 8] and max(len(row) for row in (*board, *details, *folds)) <= 6
    assert {row["strategy"]: row["fails"] for row in board}[BETTER.partition("/")[2]] == "1"
    assert [row["fails"] for row in board if row["strategy"].endswith(" (in use)")] == [""]
