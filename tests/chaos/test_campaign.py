"""Fixed seeds of six simulated hours with every fault, and what the campaign itself must be able to do.

`make chaos` plays 200 seeds of a day; a seed that ever failed there joins `SEEDS`: those above 500 did.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.campaign import Result, Task, report, run, shrink
from tests.chaos.catalogue import BUY, ROWS, chosen
from tests.chaos.ordeal import Ground, play
from tests.chaos.plan import ChaosPlan, Injection, Tagged, draw
from trader.domain.market import MINUTE

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SEEDS = (1, 2, 9, 501, 503, 505, 508, 513, 516, 517)  # together they plan every fault
BUYS_NOTHING = {505: "its key loses its rights first", 513: "its AI answers nearly nothing, so nothing is admitted"}
HOURS = 6
IDS = tuple(ROWS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_survives_its_faults(seed: int) -> None:
    result = run(Task(seed=seed, fault_us=HOURS * 60 * MINUTE, ids=IDS))
    assert result.problems == {}, "\n".join(result.plan)
    assert result.compared["fills"] >= (0 if seed in BUYS_NOTHING else 2)
    assert result.beats >= 100


def test_a_fault_that_was_never_delivered_fails_the_campaign() -> None:
    clean = Result(seed=1, problems={}, plan=())
    outcome = report([clean], chosen(["H2", "R1"]), fault_us=MINUTE)
    assert not outcome["ok"]
    assert outcome["never_delivered"] == ["H2"]
    assert list(outcome["not_injectable"]) == ["R1"]


def test_the_report_names_every_fault_of_the_catalogue() -> None:
    outcome = report([Result(seed=1, problems={}, plan=())], chosen(["all"]), fault_us=MINUTE)
    assert len(outcome["faults"]) + len(outcome["not_injectable"]) == len(ROWS) == 79
    assert all(len(why) > 20 for why in outcome["not_injectable"].values())


def test_a_plan_is_the_seeds_own_and_few_seeds_reach_every_fault() -> None:
    rows, fault_us = chosen(["all"]), HOURS * 60 * MINUTE
    assert draw(7, rows, fault_us) == draw(7, rows, fault_us) != draw(8, rows, fault_us)
    planned = Counter(one.row for seed in SEEDS for one in draw(seed, rows, fault_us).injections)
    assert {row.id for row in rows if row.injectable} <= set(planned)


def test_shrinking_leaves_only_what_fails() -> None:
    parts = tuple(Injection(row=f"H{number}") for number in range(1, 12))
    plan = ChaosPlan(seed=1, fault_us=MINUTE, injections=parts)
    smallest = shrink(plan, lambda smaller: {"H3", "H9"} <= {one.row for one in smaller.injections})
    assert [one.row for one in smallest.injections] == ["H3", "H9"]
    assert shrink(plan, lambda _: False) == plan


@pytest.mark.parametrize("names", [["X1"], ["H2", "all"]])
def test_an_unknown_fault_is_one_clear_error(names: list[str]) -> None:
    with pytest.raises(ValueError, match="is not in the catalogue; allowed: all, or of K1"):
        chosen(names)


def test_a_run_leaves_the_same_journal_and_books_over_either_transport(tmp_path: Path) -> None:
    ground = Ground.of(1, tmp_path, pairs=4)
    drawn = draw(1, chosen(["H2", "H3", "H26", "W1", "K4"]), 40 * MINUTE)
    reset = Tagged(where="AddOrder", action="reset", match=BUY, nth=(3,), after=True, row="H2")
    plan = replace(drawn, injections=(*drawn.injections, Injection(row="H2", faults=(reset,))))
    direct, wire = (play(plan, ground, transport=transport) for transport in ("direct", "wire"))
    assert len(direct.evidence.fills) >= 1
    assert "Connection reset by peer" in str([line.payload for line in direct.evidence.journal])
    assert (direct.journal, direct.books) == (wire.journal, wire.books)
