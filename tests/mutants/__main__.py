"""Is anybody looking? Each of ten one-line mistakes, alone in a copy of the tree, must turn a table test or the parity campaign red.

    python -m tests.mutants [--table backtest|ai] [--only WORD ...] [--json]

`--table ai`: each safety rule of the AI broken in one line, which its tests must see. First the clean copy must be green. Prints a row a
mutant: what was changed, file and line, and what caught it. Exit code 1 where one survives.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.ai import BREACHES
from tests.mutants.table import MUTANTS, Mutant
from tests.tree_copy import ROOT, environment, patched, tree_copy

COPIED = ("trader", "tests", "benchmarks", "flows", "tasks", "pyproject.toml")
CAMPAIGN = "tests.campaigns.parity replay --edition small"
TABLES: dict[str, tuple[Mutant, ...]] = {"backtest": MUTANTS, "ai": BREACHES}
TESTS_FAILED = 1  # pytest's word for it; any other failure is ours, not the mutant's
LIMIT_S = 600


def caught_by(tree: Path, tables: Sequence[str], *, campaign: bool = True) -> str:
    """The first test of the tree that fails, or the campaign; "" where all are green. Raises RuntimeError where none could run."""
    if tables:
        done = _run(tree, "pytest", "-q", "-x", "-p", "no:cacheprovider", *tables)
        if done.returncode == TESTS_FAILED:
            failed = re.search(r"^FAILED (.+?)(?: - |$)", done.stdout, re.MULTILINE)
            return failed[1].rsplit("/", 1)[-1] if failed else "a table test"
        if done.returncode:
            raise RuntimeError(f"the tables could not run: {(done.stdout + done.stderr)[-400:]}")
    if not campaign:
        return ""
    done = _run(tree, *CAMPAIGN.split(" "))
    if done.returncode == 0:
        return ""
    said = re.search(r"\d+ differing fields.*", done.stdout)
    if said is None:
        raise RuntimeError(f"the campaign could not run: {(done.stdout + done.stderr)[-400:]}")
    return f"parity: {said[0]}"


def _run(tree: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=tree, env=environment(tree) | {"NUMBA_CACHE_DIR": str(tree / "numba")},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip


def judge(mutant: Mutant, *, campaign: bool = True) -> str:
    """What catches the mutant in a copy of the tree; "" where it survives."""
    with tree_copy(COPIED) as tree, patched(tree, mutant.file, mutant.old, mutant.new):
        return caught_by(tree, mutant.tables, campaign=campaign)


def main(arguments: list[str] | None = None) -> int:
    """Judge them all; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", choices=tuple(TABLES), default="backtest")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="mutants whose name holds one of these")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    table = TABLES[asked.table]
    chosen = [one for one in table if not asked.only or any(word in one.name for word in asked.only)]
    if not chosen:
        parser.error(f"no mutant is called so; there are: {', '.join(one.name for one in table)}")
    with tree_copy(COPIED) as tree:
        tables = sorted({table for one in chosen for table in one.tables})
        if clean := caught_by(tree, tables, campaign=any(not one.tables for one in chosen)):
            print(f"the clean tree is red: {clean}")
            return 1
    survived = 0
    for one in chosen:
        found = judge(one, campaign=asked.table == "backtest")
        survived += not found
        row = {"mutant": one.name, "at": f"{one.file}:{one.line(ROOT)}", "caught_by": found}
        print(json.dumps(row) if asked.json else f"{one.name:36} {row['at']:36} {found or 'SURVIVED'}", flush=True)
    print(
        json.dumps({"caught": len(chosen) - survived, "of": len(chosen)})
        if asked.json
        else f"{len(chosen) - survived} of {len(chosen)} caught"
    )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
