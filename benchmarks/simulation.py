"""Speed of the deterministic simulation: beats of the whole trader per second of CPU, over both transports.

    python -m benchmarks.simulation [--quick] [--pairs 20] [--hours 12]

One process, signing and parsing on, ledger and twin on a memory disk where there is one; the market's history is fetched before the
clock starts, and its prices, which depend on the seed alone, are shared by what is played. JSON lines on stdout; exit code 1 where
the two transports leave different journals.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.amounts import above, whole
from tests.chaos.ordeal import Ended, Ground, play, scratch
from tests.chaos.plan import draw
from trader.domain.market import MINUTE

SEED = 1
WARM_US = 20 * MINUTE
TRANSPORTS = ("direct", "wire")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one hour")
    parser.add_argument("--pairs", type=whole(), default=20)
    parser.add_argument("--hours", type=above(), default=12.0)
    given = parser.parse_args(words)
    fault_us = int((1.0 if given.quick else given.hours) * 60) * MINUTE
    with scratch("trader-bench-") as folder:
        ground = Ground.of(SEED, Path(folder), pairs=given.pairs)
        play(draw(SEED, (), WARM_US), ground)  # what is compiled once is no simulation
        plan = draw(SEED, (), fault_us)
        ended = {transport: play(plan, ground, transport=transport) for transport in TRANSPORTS}
    direct, wire = ended["direct"], ended["wire"]
    _figure("direct", _speed(direct), "simulation.wire", _speed(direct) / _speed(wire))
    _figure("wire", _speed(wire), None, None)
    if (direct.journal, direct.books) != (wire.journal, wire.books) or direct.problems or wire.problems:
        print(f"the transports disagree or an invariant broke: {direct.problems} {wire.problems}", file=sys.stderr)
        return 1
    return 0


def _speed(ended: Ended) -> float:
    return ended.beats / ended.cpu_s


def _figure(name: str, value: float, against: str | None, ratio: float | None) -> None:
    shown = {"name": f"simulation.{name}", "value": round(value, 2), "unit": "beats/CPU-s", "ratio_to": against}
    print(json.dumps(shown | {"ratio": None if ratio is None else round(ratio, 3)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
