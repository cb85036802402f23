"""`python -m tests.clients [--json] [--port P]`: strangers' clients against the twin; exit 1 when a cell is not ok."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict

from tests.clients.operations import SPOT
from tests.clients.run import NAMES, spot_table
from tests.clients.twin_process import running


def main() -> int:
    """Start a twin, run the table, print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a cell instead of the table")
    parser.add_argument("--port", type=int, default=0, help="the twin's port; 0 takes a free one")
    parser.add_argument("--only", action="append", help="only this operation (repeatable); crossings are left out")
    parser.add_argument("--client", action="append", choices=NAMES, help="only this client (repeatable)")
    words = parser.parse_args()
    begun = time.monotonic()
    names = words.client or NAMES
    with running(names, port=words.port) as twin:
        table = asyncio.run(spot_table(twin, names, words.only))
    if words.json:
        for cell in table.cells:
            print(json.dumps(asdict(cell)))
    else:
        print(table.text(SPOT, names))
        print(f"{len(table.cells)} cells in {time.monotonic() - begun:.0f} s, {len(table.bad())} not ok")
    return 1 if table.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
