"""Changes of strategy in the ledger: audited, once a run, refused where they do not follow on what is in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.ledger_kit import T0, open_ledger
from trader.data.ledger_strategy import CHANGED, read_changes, submit_change
from trader.data.reader import LedgerReader
from trader.errors import RejectedError

A, B = "viable/sniper/DEFAULT", "viable/mitraillette/DEFAULT"
CHANGE = {"before": A, "after": B, "who": "ann", "reason": "it earned it", "run": "one"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    open_ledger(tmp_path).close()
    return tmp_path / "state" / "ledger.sqlite"


def test_a_change_is_an_event_with_who_why_and_the_run_it_stands_on(file: Path) -> None:
    made = submit_change(file, T0, **CHANGE)
    assert read_changes(file) == [made] and not made.revert
    reader = LedgerReader(file)
    event = reader.newest_event(CHANGED)
    reader.close()
    assert event is not None and event.time_us == T0
    assert event.payload == CHANGE


def test_the_same_run_changes_once(file: Path) -> None:
    first = submit_change(file, T0, **CHANGE)
    assert submit_change(file, T0 + 5, **CHANGE) == first
    assert len(read_changes(file)) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"who": " "}, "name"),
        ({"reason": ""}, "reason"),
        ({"after": A}, "in use already"),
        ({"before": "viable/sniper/AGGRESSIVE", "run": "two"}, "judge again"),
    ],
)
def test_what_cannot_be_is_refused(file: Path, changed: dict[str, Any], said: str) -> None:
    if changed.get("run"):
        submit_change(file, T0, **CHANGE)
    with pytest.raises(RejectedError, match=said):
        submit_change(file, T0, **(CHANGE | changed))


def test_without_a_ledger_nothing_was_changed_and_nothing_can_be(tmp_path: Path) -> None:
    assert read_changes(tmp_path / "none.sqlite") == []
    with pytest.raises(RejectedError, match="no ledger"):
        submit_change(tmp_path / "none.sqlite", T0, **CHANGE)


def test_reading_the_changes_leaves_the_ledger_alone(file: Path) -> None:
    made = submit_change(file, T0, **CHANGE)
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert read_changes(file) == [made]
    empty = file.with_name("empty.sqlite")
    empty.touch()
    assert read_changes(empty) == []
    assert empty.stat().st_size == 0
