"""The small edition of the parity campaign: equal on clean code, red with a planted difference, red with too little to compare."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.campaigns import parity
from tests.campaigns.parity_legs import ALL, CORE, EDITIONS
from trader.bootstrap.kernel_run import session_bars
from trader.bootstrap.tuning import parameters_of
from trader.domain.costs import Costs
from trader.domain.market import Timeframe
from trader.indicators.resample import cut
from trader.research.parity import Heard
from trader.simulation.fills import FillRules
from trader.strategy.brain import decide
from trader.strategy.columns import Bars
from trader.strategy.context import BrainContext


def test_kernel_and_session_make_the_same_trades_and_a_planted_slip_shows(tmp_path: Path) -> None:
    legs, least = EDITIONS["replay", "small"]
    case = next(parity.cases(legs, ALL, {}, tmp_path))
    replayed = case.replay()
    clean, planted = parity.Totals(), parity.Totals()
    parity.run(case, "replay", clean, replayed)
    assert clean.proves(least), clean.as_dict(least, legs[0].strategies)
    said = parity.run(dataclasses.replace(case, planted=parity.PLANTED), "replay", planted, replayed)
    assert planted.differing > 10 and planted.lacks(least) == [] and not planted.proves(least)
    assert {text.split(": ")[1] for text in said["kernel=replay"]["differences"]} >= {"entry_price", "exit_price", "fee"}


def test_what_the_kernel_reads_at_each_candidate_is_what_the_session_heard_to_the_last_digit_whatever_the_warm_up(tmp_path: Path) -> None:
    """Trades hide a difference in the last digits of an indicator: quantities are cut to the lot, prices to the tick."""
    legs, _ = EDITIONS["replay", "small"]
    leg = dataclasses.replace(legs[0], short=True, days=1)
    case = next(parity.cases([leg], leg.strategies, {}, tmp_path))
    heard = case.replay().heard
    same = {
        pair: session_bars(case.market, pair, case.settings, case.world.epoch_us, case.end_us, short=True) for pair in case.market.pairs
    }
    later = {pair: Bars(cut(bars.columns, int(bars.time[200]), case.end_us), bars.four, warmup="short") for pair, bars in same.items()}
    assert len(heard) >= 20 and len({one.pair for one in heard}) >= 3
    assert [_words(case, same[one.pair], one) for one in heard] == [one.values for one in heard]
    assert [_words(case, later[one.pair], one) for one in heard] != [one.values for one in heard]  # planted: begun 200 bars later


def _words(case: parity.Case, bars: Bars, one: Heard) -> dict[str, Any]:
    """What the kernel's columns say of this candidate, with the session's final word on it."""
    parameters, costs = parameters_of(case.settings), case.settings.costs
    place = int(np.searchsorted(bars.time, one.time_us - Timeframe.M15.us))
    context = BrainContext.of_row(one.pair, bars.features(parameters).row(place), parameters)
    said = decide(context, Costs(taker=float(FillRules().taker), maker=costs.maker_fraction, slippage=costs.slippage_fraction))
    return {"final": one.values["final"], "score": said.score, **said.evidence}


def test_too_little_to_compare_is_red_though_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["replay", "--edition", "full", "--legs", "none of them"]) == 1
    assert "0 differing fields; too little to prove anything: 0 trades of 1000, 0 exits STOP_LOSS of 5" in capsys.readouterr().out


@pytest.mark.slow
def test_kernel_replay_and_demo_agree_on_half_a_day_of_recorded_candles(capsys: pytest.CaptureFixture[str]) -> None:
    if not CORE.exists():
        pytest.skip(f"no recorded candles at {CORE}; set TRADER_SHARED_DATA")
    assert parity.main(["demo", "--edition", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["total"]["different_fields"] == 0
