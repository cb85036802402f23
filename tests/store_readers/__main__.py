"""Readers beside a busy writer: `python -m tests.store_readers [--seconds 120] [--break]`.

Exit code 1 where a read was wrong, failed or went backwards, or where fewer than 80 reads a second were compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.amounts import above

ROOT = Path(__file__).resolve().parents[2]
READERS, READS_PER_S = 3, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run saw; `failed` are reads that ended in an error."""

    commits: int
    folded: int
    swept: int
    compared: int
    wrong: int
    failed: int

    def line(self) -> str:
        return (
            f"{self.compared} reads compared beside {self.commits} commits, {self.folded} parts folded, {self.swept} files swept: "
            f"{self.wrong} wrong, {self.failed} failed"
        )


def run(directory: Path, seconds: float, *, broken: bool = False) -> Outcome:
    """Start all processes, let them work, add up what they say. Raises RuntimeError where one of them dies."""
    stop, done = directory / "stop", directory / "done"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "POLARS_MAX_THREADS": "1"}

    def start(role: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.store_readers.child", role, str(directory), str(stop if role == "writer" else done), *more]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"{role} did not start")
        return child

    children = [start("writer", *(["--break"] if broken else [])), *(start("reader") for _ in range(READERS))]
    time.sleep(seconds)
    stop.touch()
    said = []
    for child in children:  # the writer first: the others read until it is through
        out, _ = child.communicate(timeout=300)
        done.touch()
        if child.returncode != 0:
            raise RuntimeError(f"a process ended with {child.returncode}")
        said.append([int(word) for word in out.split()])
    commits, folded, swept = said[0]
    compared, wrong, failed = (sum(numbers[i] for numbers in said[1:]) for i in range(3))
    return Outcome(commits=commits, folded=folded, swept=swept, compared=compared, wrong=wrong, failed=failed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.store_readers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=above(), default=120.0)
    parser.add_argument("--break", dest="broken", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), asked.seconds, broken=asked.broken)
    print(outcome.line())
    enough = outcome.compared >= READS_PER_S * asked.seconds
    return 0 if enough and not outcome.wrong and not outcome.failed else 1


if __name__ == "__main__":
    sys.exit(main())
