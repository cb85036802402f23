"""Readers in other processes beside a busy writer, folds and the collector: every read is what the writer said it would be.

The full run is `python -m tests.store_readers` (two minutes).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store_readers.__main__ import run

pytestmark = pytest.mark.slow


def test_three_readers_see_exactly_what_was_committed_while_parts_are_folded_and_swept(tmp_path: Path) -> None:
    outcome = run(tmp_path, 2.0)
    print(outcome.line())
    assert (outcome.wrong, outcome.failed) == (0, 0)
    assert outcome.compared >= 150 and outcome.commits >= 60 and outcome.folded >= 1 and outcome.swept > 5


def test_a_writer_that_changes_a_live_file_is_found_out(tmp_path: Path) -> None:
    outcome = run(tmp_path, 1.0, broken=True)
    assert outcome.compared >= 50
    assert outcome.wrong + outcome.failed > 0
