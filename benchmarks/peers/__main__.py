"""S1 on other engines beside ours, on the same data and machine, in one run.

    python -m benchmarks.peers --venv DIR [DIR ...] [--pairs 144] [--bars 43200] [--slow-pairs N]

Each DIR is an environment of its own that holds one or more of the engines, with TA-Lib:

    python -m venv DIR; DIR/bin/pip install vectorbt==1.2.0 ta-lib
    python -m venv DIR; DIR/bin/pip install backtesting ta-lib

backtesting.py takes one pair after the other and hundreds of times as long a candle: half a minute for all of them. `--slow-pairs`
runs it on the first few alone, and stderr says on how many.
stdout: JSON lines `kernel.s1` and `peer.ENGINE.s1` (ns/candle, ratio to kernel.s1: how many times ours), `peer.ENGINE.wrong` and
`kernel.s1.differences` (trades that are not the definition's); stderr: what was compared. `kernel.sweep` and `peer.vectorbt.sweep`: six
variations of S1 that share its indicators, which is the optimizer's work as far as vectorbt can do it. Exit code 1 where ours differ or
a goal is missed at 144 x 43,200 (vectorbt >= 10, backtesting.py >= 300); 2 where no environment holds any engine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.kernel import Clocked, Data, differing, figure, generated, plain
from benchmarks.s1 import VARIATIONS
from tests.amounts import whole
from trader.domain.costs import Costs
from trader.research.backtester import S1, Bars, Exits, Signals, Strategy, run, run_all

ROOT = Path(__file__).resolve().parents[2]
FULL = (144, 43_200)
ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A peer: its module, the adapter beside this file, whether it runs pair by pair, and how many times ours it must take."""

    module: str
    script: str
    slow: bool
    least: float


ENGINES = (
    Engine(module="vectorbt", script="vectorbt_s1.py", slow=False, least=10),
    Engine(module="backtesting", script="backtesting_s1.py", slow=True, least=300),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--pairs", type=whole(), default=FULL[0])
    parser.add_argument("--bars", type=whole(), default=FULL[1])
    parser.add_argument("--slow-pairs", type=whole(), default=FULL[0])
    asked = parser.parse_args()
    found = {engine.module: python for engine in ENGINES if (python := interpreter(engine, asked.venv)) is not None}
    if not found:
        print(f"skipped: no environment holds {' or '.join(engine.module for engine in ENGINES)} with talib", file=sys.stderr)
        return 2
    data = generated(asked.pairs, asked.bars)
    run(S1, data)
    ours = Clocked(lambda: run(S1, data))
    missed = []
    for engine in ENGINES:
        if engine.module not in found:
            print(f"{engine.module}: skipped, no environment holds it", file=sys.stderr)
            continue
        for _ in range(ROUNDS):  # around each peer, so that both meet the same machine
            ours.go()
        for name, times in compare(engine, found[engine.module], data, asked.slow_pairs if engine.slow else asked.pairs, ours).items():
            if (asked.pairs, asked.bars) == FULL and times < engine.least:
                missed.append(f"{engine.module} {name}: {times:.1f} times ours, goal {engine.least:g}")
    candle = 1e9 / (asked.pairs * asked.bars)
    figure("kernel.s1", ours.least * candle, "ns/candle")
    wrong = differing(data)
    figure("kernel.s1.differences", wrong, "trades")
    for line in missed:
        print(f"MISS {line}", file=sys.stderr)
    return 1 if wrong or missed else 0


def interpreter(engine: Engine, venvs: Sequence[Path]) -> Path | None:
    """The Python of the first environment that holds the engine."""
    pythons = [venv / "bin" / "python" for venv in venvs]
    probe = f"import importlib.util as u; assert u.find_spec({engine.module!r}) and u.find_spec('talib')"
    return next(
        (p for p in pythons if p.exists() and not subprocess.run([p, "-c", probe], capture_output=True, check=False).returncode), None
    )


def varied(enter: float, leave: float, bars: Bars, _costs: Costs) -> Signals:
    """S1 with other thresholds."""
    rsi = bars.rsi(14)
    return Signals(enter=(rsi < enter) & (bars.close > bars.ema(200)), leave=rsi > leave)


def variations() -> list[Strategy]:
    """S1 and the five beside it."""
    return [
        replace(S1, name=f"S1.{k}", columns=partial(varied, enter, leave), exits=Exits(stop=stop, target=target, gap_at_open=True))
        for k, (enter, leave, stop, target) in enumerate(VARIATIONS)
    ]


def sweep(engine: Engine, answer: dict[str, Any], data: Data) -> float:
    """The six variations beside ours; how many times our time it took."""
    six = variations()
    run_all(six, dict(list(data.items())[:1]))
    ours = Clocked(lambda: run_all(six, data))
    for _ in range(ROUNDS):
        ours.go()
    count = [len(frame) for frame in run_all(six, data).values()]
    candle, theirs = 1e9 / sum(len(arrays["close"]) for arrays in data.values()), answer["cpu_s"]
    figure("kernel.sweep", ours.least * candle, "ns/candle")
    figure(f"peer.{engine.module}.sweep", theirs * candle, "ns/candle", against="kernel.sweep", ratio=theirs / ours.least)
    print(f"{engine.module}: trades of the six variations {answer['trades']}, ours {count}", file=sys.stderr)
    return theirs / ours.least


def compare(engine: Engine, python: Path, data: Data, most: int, ours: Clocked) -> dict[str, float]:
    """Run a peer on the first `most` pairs and print its lines; how many times our time a candle each piece of work took."""
    pairs = min(most, len(data))
    names = list(data)[:pairs]
    bars = len(data[names[0]]["close"])
    script = ROOT / "benchmarks" / "peers" / engine.script
    done = subprocess.run([python, script, str(ROOT), str(pairs), str(bars)], stdout=subprocess.PIPE, text=True, check=True)
    for _ in range(ROUNDS):
        ours.go()
    answer: dict[str, Any] = json.loads(done.stdout)
    theirs, own = answer["cpu_s"] * 1e9 / (pairs * bars), ours.least * 1e9 / (len(data) * bars)
    figure(f"peer.{engine.module}.s1", theirs, "ns/candle", against="kernel.s1", ratio=theirs / own)
    trades = {(names[seed], *rest) for seed, *rest in answer["trades"]}
    wanted = {trade[:5] for trade in plain(data, names)}
    print(f"{engine.module}: {len(trades & wanted)} of {len(wanted)} trades as the definition, {pairs} pairs of {bars}", file=sys.stderr)
    figure(f"peer.{engine.module}.wrong", len(wanted - trades), "trades")
    return {"S1": theirs / own} | ({"six variations": sweep(engine, answer["six"], data)} if "six" in answer else {})


if __name__ == "__main__":
    sys.exit(main())
