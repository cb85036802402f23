"""Three real SIGKILLs, each story played twice and compared by `python -m tests.kill`; all points in one process: test_kills.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from session_kit import Stage

ROOT = Path(__file__).resolve().parents[2]
SEED = 1

pytestmark = [pytest.mark.kill, pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(600)]


def kill(point: str, history: Path, *words: str) -> dict[str, Any]:
    """The command as a person would type it, with candles that were fetched before."""
    command = [sys.executable, "-m", "tests.kill", "--point", point, "--seed", str(SEED), "--history", str(history), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, {name: good for name, good in outcome["checks"].items() if not good}
    return outcome


def assert_one_of_each(outcome: dict[str, Any]) -> None:
    assert outcome["killed"]
    assert outcome["equal"]
    assert (outcome["orders"], outcome["positions"], outcome["stops"]) == (1, 1, 1)
    assert outcome["compared"]["fills_match"] >= 1
    assert outcome["compared"]["orders_known"] >= 2
    assert len(outcome["checks"]) >= 10
    assert all(outcome["checks"].values())


def test_killed_between_intent_and_send_no_order_exists_and_none_is_sent_later(stage: Stage, history: Path) -> None:
    assert stage.world.seed == SEED
    outcome = kill("after_intent", history, "--hours", "0.6")
    assert outcome["killed"]
    assert outcome["equal"]
    assert outcome["busy_with"]["outcome"] == "SENT"
    assert (outcome["orders"], outcome["positions"], outcome["stops"]) == (0, 0, 0)
    assert outcome["entries"] >= 1, "trading goes on after the restart"


def test_killed_with_the_answer_under_way_the_order_is_found_once(history: Path) -> None:
    outcome = kill("after_send", history, "--hours", "0.6")
    assert_one_of_each(outcome)
    assert outcome["busy_with"]["outcome"] == "SENT", "the ledger did not know the answer"
    assert outcome["deaths"][0]["released"] == 1, "the exchange held it"


def test_killed_again_while_recovering_the_third_life_ends_at_the_same(history: Path) -> None:
    outcome = kill("after_read_trades", history, "--hours", "0.6")
    assert_one_of_each(outcome)
    assert len(outcome["deaths"]) == 2
