"""The small edition of the parity campaign: equal on clean code, red with a planted difference, red with too little to compare."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.campaigns import parity
from tests.campaigns.parity_legs import ALL, CORE, EDITIONS


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


def test_too_little_to_compare_is_red_though_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["replay", "--edition", "full", "--legs", "none of them"]) == 1
    assert "0 differing fields; too little to prove anything: 0 trades of 1000, 0 exits STOP_LOSS of 5" in capsys.readouterr().out


@pytest.mark.slow
def test_kernel_replay_and_demo_agree_on_half_a_day_of_recorded_candles(capsys: pytest.CaptureFixture[str]) -> None:
    if not CORE.exists():
        pytest.skip(f"no recorded candles at {CORE}; set TRADER_SHARED_DATA")
    assert parity.main(["demo", "--edition", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["total"]["different_fields"] == 0
