"""`python -m tests.clients [--json] [--port P]`: strangers' clients against the twin; exit 1 when a cell is not ok."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict

from tests.clients import renamed
from tests.clients.operations import FUTURES, SPOT
from tests.clients.run import NAMES, table_of
from tests.clients.twin_process import running


def main() -> int:
    """Start a twin, run the table or its control, print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a cell instead of the table")
    parser.add_argument("--port", type=int, default=0, help="the twin's port; 0 takes a free one")
    parser.add_argument(
        "--only", action="append", choices=(*SPOT, *FUTURES), metavar="OPERATION", help="only this one (repeatable); crossings are left out"
    )
    parser.add_argument("--client", action="append", choices=NAMES, help="only this client (repeatable)")
    parser.add_argument("--renamed", action="store_true", help="the control instead: fields of the twin's answers renamed, one at a time")
    words = parser.parse_args()
    return _control(words.port, words.only) if words.renamed else _table(words)


def _table(words: argparse.Namespace) -> int:
    begun = time.monotonic()
    names = words.client or NAMES
    with running(names, port=words.port, tls=True) as twin:
        table = asyncio.run(table_of(twin, names, words.only))
    if words.json:
        for cell in table.cells:
            print(json.dumps(asdict(cell)))
    else:
        print(table.text((*SPOT, *FUTURES), names))
        print(f"{len(table.cells)} cells in {time.monotonic() - begun:.0f} s, {len(table.bad())} not ok")
    return 1 if table.bad() else 0


def _control(port: int, only: list[str] | None) -> int:
    wanted = renamed.rows(only)
    with running(renamed.NAMES, port=port) as twin:
        broken = asyncio.run(renamed.control(twin, wanted))
    print(renamed.text(wanted))
    for line in broken:
        print(f"failed before anything was renamed: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
