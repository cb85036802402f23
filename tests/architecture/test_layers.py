"""The layers hold, and the contracts that say so bite: planted imports in a copy of the tree are reported by name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.trees import PACKAGES, ROOT

LINT = Path(sys.executable).with_name("lint-imports")

PLANTED = {
    "the core reaches an adapter": (
        "trader/execution/exits.py",
        "import trader.data.ledger",
        "only bootstrap wires adapters and the session",
    ),
    "siblings meet": ("trader/kraken/words.py", "import trader.simulation.fills", "knowledge points downwards"),
    "the core reads settings": ("trader/strategy/brain.py", "import trader.config", "settings are read at the edge"),
    "a decision waits": ("trader/execution/risk.py", "import asyncio", "decisions take time, chance and environment as arguments"),
    "a flow skips its tasks": ("flows/report_status.py", "import trader.domain.money", "flows reach trader only through tasks"),
    "protection asks the AI": (
        "trader/execution/keeper.py",
        "import trader.domain.verdicts",
        "what protects a position knows nothing of the AI",
    ),
    "ccxt outside its home": ("trader/execution/session.py", "import ccxt", "home of ccxt"),
    "Great Expectations in the session": ("tasks/trading.py", "import great_expectations", "home of great-expectations"),
    "the domain computes with numpy": ("trader/domain/money.py", "import numpy", "domain needs the standard library only"),
}


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` over the packages in this directory, whatever is installed."""
    code = "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=directory, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the contracts say about a copy of the tree with every violation in it."""
    copy = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line, _contract in PLANTED.values():
        with (copy / file).open("a") as out:
            out.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode != 0, done.stdout[-2000:]
    return done.stdout


def test_every_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "0 broken" in done.stdout
    assert done.stdout.count(" KEPT") >= 15


def test_the_command_of_make_check_is_installed() -> None:
    assert LINT.exists()


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_violation_is_reported_by_the_contract_it_breaks(name: str, planted: str) -> None:
    _file, _line, contract = PLANTED[name]
    broken = [line for line in planted.splitlines() if line.rstrip().endswith("BROKEN")]
    assert any(contract in line for line in broken), broken


def test_the_report_names_the_module_that_was_planted(planted: str) -> None:
    assert "trader.execution.exits" in planted
    assert "trader.kraken.words" in planted
