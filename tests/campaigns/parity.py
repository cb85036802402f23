"""Replay in process against the demo over the twin, trade by trade on the same recorded candles.

    python -m tests.campaigns.parity [--days 3] [--from 2024-08-25] [--strategies MODE/VARIATION ...] [--least 50]

Prints one JSON line a strategy, every difference in words, and the total; exit code 1 on any difference or below `--least` legs.
Only the default state of the twin takes part: no faults, AI off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from trader.bootstrap.replay import verify
from trader.bootstrap.world import world_of
from trader.config import load
from trader.strategy.modes import STRATEGIES

DATA = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).parents[2] / "../shared/data")) / "ohlcv/dev_binance_2024_5m_core24.parquet"
DAY_MINUTES = 1440
ALL = tuple(f"{mode}/{variation}" for mode, variation in STRATEGIES)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.parity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--from", dest="start", default="2024-08-25")
    parser.add_argument("--strategies", nargs="+", default=list(ALL), choices=ALL, metavar="MODE/VARIATION")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--least", type=int, default=50, help="legs compared in all, below which nothing is proved")
    asked = parser.parse_args(arguments)
    compared = differing = 0
    for name in asked.strategies:
        mode, variation = name.split("/")
        settings = load({"ai.mode": "off", "mode": mode, "variation": variation}, environ={})
        replayed, demo, found = verify(
            settings, world_of(settings, replay=asked.data, start=asked.start), minutes=int(asked.days * DAY_MINUTES)
        )
        compared, differing = compared + found.left, differing + len(found.differences)
        row = {"strategy": name, **found.as_dict(), "candidates": len(replayed.heard), "cpu_s": [replayed.cpu_s, demo.cpu_s]}
        print(json.dumps(row), flush=True)
    enough = compared >= asked.least
    print(f"{compared} legs compared, {differing} differing fields{'' if enough else f'; at least {asked.least} legs are needed'}")
    return 0 if enough and not differing else 1


if __name__ == "__main__":
    sys.exit(main())
