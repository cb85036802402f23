"""Every numbered kill point once: dead at its first hit, alive again, nothing lost, nothing doubled, protected.

The second hit and the death during a recovery: `python -m tests.chaos --kills`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.deaths import Killed
from tests.chaos.kills import FIRST, IN_RECOVERY, POINTS, RECOVERING, kill, kills_report
from tests.chaos.ordeal import Ended, Ground
from trader.data.ledger import SqlLedger
from trader.data.migrations import run as migrations
from trader.domain.market import SECOND

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SEED = 1
LEAVING = ("before_cancel_stop", "after_cancel_send", "after_cancel_ack", "after_exit_intent", "after_exit_send")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground.of(SEED, tmp_path_factory.mktemp("ground"), pairs=5)


@pytest.mark.parametrize("name", [name for name, point in POINTS.items() if not point.unreached])
def test_killed_at_a_point_nothing_is_lost_and_nothing_doubled(name: str, ground: Ground) -> None:
    ended = kill(POINTS[name], FIRST, ground, SEED)
    assert ended.problems == {}
    assert len(ended.evidence.seen.deaths) == (2 if name in IN_RECOVERY else 1)
    assert len(ended.evidence.fills) >= 1
    if name in LEAVING:
        assert _sold_after_us(ended) < 60 * SECOND, "a person's exit is carried out by the next life"


def _sold_after_us(ended: Ended) -> int:
    """From the death to the fill of the exit that was under way."""
    died_us = ended.evidence.seen.deaths[-1][1]
    exits = {row["txid"] for row in ended.evidence.intents if row["leg"] == "exit"}
    return min(row["time_us"] for row in ended.evidence.fills if row["txid"] in exits) - died_us


def test_the_table_has_forty_points_and_names_why_some_are_not_reached() -> None:
    assert [point.number for point in POINTS.values()] == list(range(1, 41))
    assert all(len(point.unreached) > 20 for point in POINTS.values() if point.unreached)


def test_a_stop_without_an_answer_is_looked_up_before_entries_are(ground: Ground) -> None:
    ended = kill(POINTS["after_stop_intent"], RECOVERING, ground, SEED)
    assert ended.problems == {}
    ends = {
        row["leg"]: row["resolved_us"] - ended.evidence.seen.deaths[-1][1] for row in ended.evidence.intents if row["outcome"] == "ABSENT"
    }
    assert ends["stop"] < 30 * SECOND < ends["entry"]


def test_one_kill_that_went_wrong_fails_all_of_them() -> None:
    good = {name: {FIRST: [], RECOVERING: []} for name in POINTS}
    assert kills_report(good)["ok"] and kills_report(good)["kills"] == 80
    report = kills_report(good | {"after_ack": {FIRST: [], RECOVERING: ["INV-1: trade T1 is missing"]}})
    assert (report["ok"], report["violations"]) == (False, 1)


def test_killed_in_a_migration_the_next_start_migrates_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = migrations.migrate

    def killed(connection: Any) -> None:
        migrate(connection)
        raise Killed("mid_migration")

    path = tmp_path / "ledger.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrate", killed)
        with pytest.raises(Killed):
            SqlLedger(path, account="kraken")
    ledger = SqlLedger(path, account="kraken")
    assert ledger.positions() == []
    ledger.close()
