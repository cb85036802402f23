"""Planted bugs: `python -m tests.planted` applies each to a copy of the tree and lets the chaos campaign find it.

A bug is killed when one of its invariants breaks; a crash of the run is no kill. Exit code 1 where one survives, 2 where the same
campaign breaks something on the unchanged tree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.planted.bugs import BUGS, Bug
from tests.tree_copy import environment, patched, tree_copy

PATIENCE_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a bug: the invariants that broke, those of them that were to break, the first words of one."""

    bug: Bug
    broken: tuple[str, ...]
    said: str

    @property
    def killed(self) -> tuple[str, ...]:
        return tuple(name for name in self.broken if name in self.bug.breaks)


def hunt(bug: Bug, root: Path) -> Verdict:
    """Play the campaign on a copy with the bug in it. Raises RuntimeError where the campaign itself does not run."""
    with patched(root, bug.file, bug.old, bug.new):
        return _campaign(bug, root)


def _campaign(bug: Bug, root: Path) -> Verdict:
    words = [
        "--seeds",
        str(bug.seeds),
        "--days",
        str(bug.days),
        "--faults",
        bug.faults,
        "--jobs",
        "1",
        "--pairs",
        "5",
        "--no-shrink",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *words, *bug.words], cwd=root, env=environment(root), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"{bug.name}: the campaign did not run: {done.stderr[-2000:]}")
    failing: list[dict[str, Any]] = json.loads(done.stdout)["failing"]
    problems: dict[str, list[str]] = {}
    for one in failing:
        for name, found in one["problems"].items():
            problems.setdefault(name, found)
    wanted = next((name for name in problems if name in bug.breaks), next(iter(problems), ""))
    return Verdict(bug=bug, broken=tuple(problems), said=problems[wanted][0] if wanted else "")


def controls(bugs: Sequence[Bug]) -> tuple[Bug, ...]:
    """The campaigns that these bugs are hunted with, each once, without a bug."""
    plans = {(bug.faults, bug.seeds, bug.days, bug.words): bug for bug in bugs}
    return tuple(replace(bug, name=f"control of {bug.name!r}", file="", old="", new="", breaks=()) for bug in plans.values())


def control(bugs: Sequence[Bug], root: Path) -> list[str]:
    """What breaks on the unchanged copy in the campaigns that the bugs are hunted with (nothing must)."""
    played = [_campaign(clean, root) for clean in controls(bugs)]
    return [f"{one.bug.name}: breaks {', '.join(one.broken)}: {one.said}" for one in played if one.broken]


def main(words: Sequence[str] | None = None) -> int:
    """Hunt all bugs, or those whose names hold a word, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="bugs whose name holds this text")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    chosen = [bug for bug in BUGS if given.only in bug.name]
    if not chosen:
        print(f"--only {given.only!r}: no bug's name holds that; allowed: a part of {'; '.join(bug.name for bug in BUGS)}", file=sys.stderr)
        return 2
    with tree_copy() as root:
        if broken := control(chosen, root):
            print("\n".join(["the unchanged tree breaks, so nothing can be said about bugs:", *broken]), file=sys.stderr)
            return 2
        verdicts = []
        for bug in chosen:
            verdicts.append(hunt(bug, root))
            print(_line(verdicts[-1]), file=sys.stderr if given.json else sys.stdout, flush=True)
    killed = sum(bool(verdict.killed) for verdict in verdicts)
    if given.json:
        rows = [{"bug": v.bug.name, "killed_by": v.killed, "broken": v.broken, "said": v.said} for v in verdicts]
        print(json.dumps({"bugs": len(verdicts), "killed": killed, "rows": rows}, indent=1))
    else:
        print(f"{killed}/{len(verdicts)} killed by an invariant that was to notice")
    return 0 if killed == len(verdicts) else 1


def _line(verdict: Verdict) -> str:
    state = f"killed by {', '.join(verdict.killed)}" if verdict.killed else f"SURVIVES (broke {', '.join(verdict.broken) or 'nothing'})"
    return f"{verdict.bug.name}: {state}{f' - {verdict.said[:100]}' if verdict.said else ''}"


if __name__ == "__main__":
    sys.exit(main())
