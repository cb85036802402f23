"""Does anything look ahead? Every check on the code as it is, then on six copies with a planted leak each.

    python -m tests.lookahead [--points 25]

Prints a table study x check with what was found; exit code 1 where clean code is reported or a leak is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.amounts import whole
from tests.lookahead.checks import CHECKS, World
from tests.lookahead.studies import CLEAN, LEAKS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lookahead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=whole(), default=25, help="moments of the series each check is tried at")
    asked = parser.parse_args(arguments)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World.of(Path(folder), asked.points)
        for name, study in {CLEAN.name: CLEAN, **LEAKS}.items():
            found = {check: problems for check, run in CHECKS.items() if (problems := run(study, world))}
            wrong += bool(found) if study is CLEAN else not found
            print(f"{name}: {', '.join(found) or 'nothing found'}")
            for check, problems in found.items():
                print(f"    {check}: {len(problems)} findings, first: {problems[0]}")
    print("as it should be" if not wrong else f"{wrong} of {1 + len(LEAKS)} verdicts are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
