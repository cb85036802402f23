"""Each rule broken once among many pairs, at a reduced size; the whole table: `python -m tests.gate_table`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gate_table.cases import CASES
from trader.data import rules
from trader.domain.market import Timeframe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SOME = [f"{rules.BETWEEN}(spike)", f"{rules.NOT_NULL}(pair)", f"{rules.UNIQUE}(pair, time)", f"{rules.BETWEEN}(absret)"]


def test_there_is_a_case_for_every_rule() -> None:
    assert list(CASES) == [rule.name for rule in rules.row_rules(Timeframe.M15)]


def test_a_broken_rule_stops_its_pair_alone_and_clean_batches_stop_none() -> None:
    command = [sys.executable, "-m", "tests.gate_table", "--pairs", "24", "--clean", "6", "--rules", *SOME]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 blocked, 23 of 24 pairs decided the next bar") == 3
    assert done.stdout.count("0 blocked, 24 of 24 pairs decided the next bar") == 1
    assert "clean: 6 batches of 24 pairs, 8640 rows, judged by both engines: 0 critical failures" in done.stdout
