"""Labels of signals: one for each and for ever; a file of an older program gains their table."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from trader.data.outbox import Outbox
from trader.data.outcomes import Outcomes
from trader.domain.verdicts import Outcome, SignalKind

ONE = Outcome(
    decision_id="a", kind=SignalKind.VETOED, strategy="s", close_us=1, net_return=-0.03, r=-1.2, net=Decimal("-15.8828"),
    exit_reason="STOP_LOSS", bars_held=20, fill_model="m", scored_us=9,
)  # fmt: skip


@pytest.fixture
def outcomes(tmp_path: Path) -> Outcomes:
    return Outcomes(tmp_path / "ops.sqlite")


def test_a_label_is_kept_once_and_as_it_was(outcomes: Outcomes) -> None:
    two = replace(ONE, decision_id="b", close_us=2, net=Decimal(0))
    assert (outcomes.add([ONE]), outcomes.add([replace(ONE, net=Decimal(5)), two]), outcomes.add([])) == (1, 1, 0)
    assert outcomes.all("m") == [ONE, two] and outcomes.known("m") == {"a", "b"}
    assert (ONE.loss, two.loss, replace(ONE, net=Decimal("0.01")).loss) == (True, True, False)
    assert outcomes.newest("s", "m", 1) == [two] and outcomes.newest("other", "m") == []
    outcomes.close()


def test_another_version_of_the_simulator_labels_anew(outcomes: Outcomes) -> None:
    outcomes.add([ONE])
    assert outcomes.known("n") == frozenset() and outcomes.add([replace(ONE, fill_model="n")]) == 1
    assert outcomes.all("m") == [ONE]
    outcomes.close()


@pytest.mark.parametrize("statement", ["UPDATE ai_outcome SET label_loss = 0", "DELETE FROM ai_outcome"])
def test_nothing_changes_a_label(outcomes: Outcomes, tmp_path: Path, statement: str) -> None:
    outcomes.add([ONE])
    with sqlite3.connect(tmp_path / "ops.sqlite") as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)
    outcomes.close()


def test_a_file_of_the_first_version_gains_the_tables_and_keeps_its_messages(tmp_path: Path) -> None:
    file = tmp_path / "ops.sqlite"
    box = Outbox(file)
    box.post("halt.set", {}, dedupe_key="h", now_us=1)
    box.close()
    with sqlite3.connect(file) as db:
        db.executescript("DROP TABLE ai_outcome; DROP TABLE suggestion_act; DROP TABLE suggestion; PRAGMA user_version = 1")
    outcomes, box = Outcomes(file), Outbox(file)
    assert outcomes.add([ONE]) == 1 and [one.kind for one in box.latest()] == ["halt.set"]
    outcomes.close()
    box.close()
