"""The small edition of the parity campaign: equal on clean code, red with a planted difference, red with too little to compare."""

from __future__ import annotations

import json

import pytest

from tests.campaigns import parity
from tests.campaigns.parity_legs import CORE


def _total(printed: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(printed.splitlines()[-1])["total"]
    return found


def test_kernel_and_session_make_the_same_trades_of_generated_candles(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["replay", "--edition", "small", "--json"]) == 0
    said = _total(capsys.readouterr().out)
    assert said["different_fields"] == 0 and said["lacking"] == [] and said["silent"] == []


def test_a_planted_slip_turns_the_campaign_red(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["replay", "--edition", "small", "--planted", "--json"]) == 1
    said = _total(capsys.readouterr().out)
    assert said["different_fields"] > 10 and said["lacking"] == []


def test_too_little_to_compare_is_red_though_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["replay", "--edition", "full", "--legs", "none of them"]) == 1
    assert "0 differing fields; too little to prove anything: 0 trades of 1000, 0 exits STOP_LOSS of 5" in capsys.readouterr().out


@pytest.mark.slow
def test_kernel_replay_and_demo_agree_on_half_a_day_of_recorded_candles(capsys: pytest.CaptureFixture[str]) -> None:
    if not CORE.exists():
        pytest.skip(f"no recorded candles at {CORE}; set TRADER_SHARED_DATA")
    assert parity.main(["demo", "--edition", "small", "--json"]) == 0
    assert _total(capsys.readouterr().out)["different_fields"] == 0
