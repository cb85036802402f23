"""Local time that goes forward: nothing of a run may notice it, and what reads it is found."""

from __future__ import annotations

import os
import time
from calendar import timegm
from pathlib import Path

import pytest

from tests.chaos import clocks, ordeal
from tests.chaos.clocks import summer_time
from tests.chaos.ordeal import Ground, play
from tests.chaos.plan import ChaosPlan, Injection
from trader.domain.market import MINUTE, SECOND
from trader.execution.close import CloseStage

SWITCH_S = 1_790_000_000


def test_the_clocks_go_forward_at_the_moment_itself_and_are_put_back() -> None:
    before = (os.environ.get("TZ"), time.localtime(SWITCH_S))
    with summer_time(SWITCH_S * SECOND):
        ahead = [timegm(time.localtime(at)) - at for at in (SWITCH_S - 1, SWITCH_S, SWITCH_S + 86_400)]
    assert ahead == [0, 3600, 3600]
    assert (os.environ.get("TZ"), time.localtime(SWITCH_S)) == before


async def beat_by_local_time(closing: CloseStage, number: int, _late_us: int) -> None:
    now_us = closing.w.clock.now_us()
    closing.w.ledger.note("beat", {"number": number}, timegm(time.localtime(now_us // SECOND)) * SECOND)


@pytest.mark.chaos
@pytest.mark.slow
def test_what_goes_by_local_time_is_found_and_nothing_of_ours_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordeal, "ACTS", {"summer_time": clocks._summer_time})
    monkeypatch.setattr(clocks, "SUMMER_S", 240.0)
    ground = Ground.of(1, tmp_path, pairs=4)
    plan = ChaosPlan(seed=1, fault_us=27 * MINUTE, injections=(Injection(row="T1", act="summer_time", at=0.7),))
    ours = play(plan, ground, transport="direct")
    calm = play(plan.without(plan.injections), ground, transport="direct")
    assert ours.problems == {} and ours.delivered["T1"] >= 1
    assert (ours.journal, ours.books) == (calm.journal, calm.books), "as if nothing had happened"
    monkeypatch.setattr(CloseStage, "report", beat_by_local_time)
    assert any("beat, is of +3" in what for what in play(plan, ground, transport="direct").problems["INV-10"])
