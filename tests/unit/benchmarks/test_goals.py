"""The comparison of figures with goals: a miss and a missing figure are both found."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.run_all import FOLDER, MODULES, misses


def figure(name: str, value: float, ratio: float | None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "ms", "ratio_to": "reference" if ratio else None, "ratio": ratio}


def test_figures_above_below_or_without_what_a_goal_asks_are_named() -> None:
    goals = {"a": {"ratio": 1.5}, "b": {"value": 10}, "c": {"at_least": 100}, "d": {"ratio": 1}, "e": {"ratio": 1}, "f": {"rato": 1}}
    figures = {"a": figure("a", 3, 1.5), "b": figure("b", 11, None), "c": figure("c", 99, None), "d": figure("d", 1, None)}
    assert misses(goals, figures) == [
        "b: value 11, goal <= 10",
        "c: value 99, goal >= 100",
        "d: ratio None, goal <= 1",
        "e: missing (module ?)",
        "f: goals.toml: unknown key 'rato'; allowed: at_least, module, quick, ratio, value",
    ]


def test_a_small_size_has_its_own_bound_where_the_goal_names_one() -> None:
    goals, figures = {"a": {"ratio": 2.5, "quick": 10}, "b": {"ratio": 2.5}}, {"a": figure("a", 3, 9), "b": figure("b", 3, 9)}
    assert misses(goals, figures, quick=True) == ["b: ratio 9, goal <= 2.5"]
    assert misses(goals, figures) == ["a: ratio 9, goal <= 2.5", "b: ratio 9, goal <= 2.5"]
    assert misses(goals, {"a": figure("a", 3, 11), "b": figure("b", 3, 1)}, quick=True) == ["a: ratio 11, goal <= 10"]
    lower = {"a": {"at_least": 100, "quick": 20}}
    assert misses(lower, {"a": figure("a", 19, None)}, quick=True) == ["a: value 19, goal >= 20"]
    assert misses(lower, {"a": figure("a", 99, None)}) == ["a: value 99, goal >= 100"]


def test_every_goal_belongs_to_a_benchmark_that_exists() -> None:
    goals = tomllib.loads((FOLDER / "goals.toml").read_text())
    assert goals
    for name, goal in goals.items():
        assert goal["module"] in MODULES, name
        assert (FOLDER / f"{goal['module']}.py").exists(), name
    assert {"prefect_beat.client", "prefect_beat.server", "prefect_beat.database"} <= set(goals)


def test_importing_a_benchmark_needs_no_prefect() -> None:
    code = "import sys, benchmarks.prefect_beat, benchmarks.run_all; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(FOLDER).parent, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.strip().lower()) is False
