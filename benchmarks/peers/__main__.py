"""S1 on another engine beside ours, on the same data and machine.

    python -m benchmarks.peers --venv DIR [--pairs N] [--bars N]

DIR is an environment with `backtesting` and `ta-lib` installed (python -m venv DIR; DIR/bin/pip install backtesting ta-lib). stdout:
JSON lines `kernel.s1` and `peer.backtesting.s1` (ns/candle, ratio to kernel.s1: how many times ours); stderr: how many trades
equal the definition. Exit code 1 where ours differ; 2 where the environment lacks the engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.kernel import Clocked, differing, figure, generated, plain
from trader.research.backtester import S1, run

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--bars", type=int, default=43_200)
    asked = parser.parse_args()
    interpreter = asked.venv / "bin" / "python"
    script = ROOT / "benchmarks" / "peers" / "backtesting_s1.py"
    data = generated(asked.pairs, asked.bars)
    run(S1, data)
    ours = Clocked(lambda: run(S1, data))
    for _ in range(9):
        ours.go()
    candle = 1e9 / (asked.pairs * asked.bars)
    figure("kernel.s1", ours.least * candle, "ns/candle")
    if (
        not interpreter.exists()
        or subprocess.run([interpreter, "-c", "import backtesting, talib"], capture_output=True, check=False).returncode
    ):
        print(f"backtesting.py: skipped, {asked.venv} does not hold backtesting and ta-lib", file=sys.stderr)
        return 2
    done = subprocess.run(
        [interpreter, script, str(ROOT), str(asked.pairs), str(asked.bars)], stdout=subprocess.PIPE, text=True, check=True
    )  # fmt: skip
    found = json.loads(done.stdout)
    figure("peer.backtesting.s1", found["cpu_s"] * candle, "ns/candle", against="kernel.s1", ratio=found["cpu_s"] / ours.least)
    names = list(data)
    theirs = {(names[seed], *rest) for seed, *rest in found["trades"]}
    wanted = {trade[:5] for trade in plain(data, names)}
    print(f"backtesting.py: {len(theirs & wanted)} of {len(wanted)} trades as the definition", file=sys.stderr)
    return 1 if differing(data) else 0


if __name__ == "__main__":
    sys.exit(main())
