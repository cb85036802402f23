"""The table of faults from a campaign's report: `python -m tests.chaos.table RUN.json > docs/reference/faults.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.catalogue import ROWS

HEAD = """# Faults and what was seen of each
Written by `python -m tests.chaos.table RUN.json` from the report of

```sh
.venv/bin/python -m tests.chaos --seeds {seeds} --days {days:g} --json
```

{verdict} invariants broke in {beats} beats and {deaths} deaths; {looks} times the starred ones were looked at while it went on.
Compared: {fills} fills, {orders} orders, {intents} intents, {exits} exits that a person asked for, and {exits_excused} more that had
an excuse for some of their seconds; {idle} of {seeds} seeds bought nothing. *Pending* counts deliveries while an order, a stop or a
fill was pending; *seen* is what the journal says in the two minutes after the first of them, in the seed
beside it; other faults of that seed may show, too. How it is proved:
[reliability](../explanation/reliability-proofs.md); how to inject one by hand: [inject faults](../how-to/inject-faults.md).

| fault | what | pending | seed | seen |
|---|---|---|---|---|
"""


def table(report: Mapping[str, Any]) -> str:
    """The page. Raises KeyError where the report lacks a row of the catalogue."""
    compared = report["compared"]
    head = HEAD.format(
        seeds=report["seeds"], days=report["days_each"], verdict=report["violations"] or "No", beats=report["beats"],
        deaths=report["deaths"], idle=len(report["without_fills"]),
        **{name: compared[name] for name in ("looks", "fills", "orders", "intents", "exits", "exits_excused")},
    )  # fmt: skip
    return head + "\n".join(_row(row.id, row.what, report) for row in ROWS.values()) + "\n"


def _row(name: str, what: str, report: Mapping[str, Any]) -> str:
    if name in report["not_injectable"]:
        return f"| {name} | {what} | - | - | not injected here: {report['not_injectable'][name]} |"
    fault = report["faults"][name]
    return f"| {name} | {what} | {fault['under_pending']} | {fault['seed']} | {_escaped(fault['seen'])} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(words: Sequence[str] | None = None) -> int:
    """Print the page of a report."""
    given = sys.argv[1:] if words is None else list(words)
    if len(given) != 1:
        print("python -m tests.chaos.table RUN.json", file=sys.stderr)
        return 2
    print(table(json.loads(Path(given[0]).read_text())), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
