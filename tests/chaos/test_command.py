"""The campaign's command line: what it refuses, and whom its report is about."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.chaos import __main__ as command
from tests.chaos.campaign import Result, Task


@pytest.mark.parametrize("words", [("--faults", ""), ("--faults", ","), ("--only", ",")], ids=" ".join)
def test_a_list_that_names_no_fault_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(list(words)) == 2
    assert capsys.readouterr().err.startswith(f"{words[0]} {words[1]!r}: no fault is named; allowed: all, or of K1")


def test_a_row_to_replay_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "H2,ZZ9"]) == 2
    assert "--only 'H2,ZZ9': fault 'ZZ9' is not in the catalogue" in capsys.readouterr().err


def test_a_replay_is_judged_by_the_rows_it_plays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def mended(tasks: Sequence[Task], *_: object) -> list[Result]:
        return [
            Result(seed=task.seed, problems={}, plan=(), delivered=dict.fromkeys(task.only, 1), compared={"fills": 1}) for task in tasks
        ]

    monkeypatch.setattr(command, "play_all", mended)
    assert command.main(["--seeds", "1", "--only", "H2,K4", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["faults"]) == ["H2", "K4"]
    assert command.main(["--seeds", "1", "--json"]) == 1  # all were asked for and none came
