"""`python -m tests.gate_table.peer`: Great Expectations kept warm; reads paths of staged batches, answers with verdicts as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tasks.quality_gate import judge


def main() -> None:
    """One line in, one line out, until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(json.loads(judge(Path(line.strip())).to_json())) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
