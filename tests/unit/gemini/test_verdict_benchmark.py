"""The gate of `python -m benchmarks.verdict` closes when it should."""

from __future__ import annotations

import json

import pytest

from benchmarks.verdict import Measured, tell

QUICK_ENOUGH = [2_000] * 989 + [900_000] * 11


def told(times: list[int], ends: dict[str, int], name: str = "hanging") -> list[str]:
    return tell({name: Measured(times=times, ends=ends)})


@pytest.mark.parametrize(
    ("times", "ends", "name", "problem"),
    [
        (QUICK_ENOUGH, {"DEFER/STALE": 1_000}, "hanging", None),
        (QUICK_ENOUGH, {"ALLOW/HIT": 600, "VETO/HIT": 400}, "healthy", None),
        ([2_000] * 989 + [1_000_000] * 11, {"DEFER/STALE": 1_000}, "hanging", "p99 1.000 ms"),
        (QUICK_ENOUGH, {"DEFER/STALE": 999, "SHRINK/HIT": 1}, "killed", "1 entries admitted"),
        (QUICK_ENOUGH, {"DEFER/STALE": 1_000}, "healthy", "0 entries admitted"),
    ],
)
def test_slow_look_ups_and_entries_that_should_not_be_are_named(
    times: list[int], ends: dict[str, int], name: str, problem: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = told(times, ends, name)
    assert (problems == []) if problem is None else (len(problems) == 1 and problem in problems[0])
    figures = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert f"verdict.{name}.p99" in figures
