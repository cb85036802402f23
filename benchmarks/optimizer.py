"""The optimizer from the history store to its answer, against the nine TA-Lib calls of PERFORMANCE.md section 3.

    python -m benchmarks.optimizer [--quick] [--pairs N] [--bars N]

144 pairs x 43,200 bars of 15m (--quick: 6 x 14,400, the least that can be judged). `read`: pinned files to bars, pair by pair, as `load`
of `bootstrap/optimizing` takes them; `kernel`: six strategies pair by pair, from bars in memory to legs; `total`: both in one pass, with
trade tables and their statistics; `answer`: `decide_on`, from the store to the judgement, and `walk_forward`: what that is more than
`read`, six runs over a shared account, folds and all conditions. `decode`: Polars alone on the same part files, which no reader of them
goes below. The world is made in a process of its own, which also compiles what is not in the cache yet; `rss` is the peak of the first
`decide_on` after that. JSON lines on stdout; CPU time, best of
the rounds, references interleaved. Goals of PERFORMANCE.md at full size: total <= 6.5 x nine, walk_forward <= 2 x total, rss <= 2.5 x
the raw data.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.kernel import Clocked, figure, nine
from benchmarks.worlds import candles_of, gaussian, stored
from tests.amounts import whole
from trader.bootstrap.candles import StoreSource
from trader.bootstrap.optimizing import Question, decide_on, forget
from trader.ports import Columns
from trader.research.backtester import FIELDS, run_through, six
from trader.strategy.columns import Bars

SIX = six()


def read(state: Path) -> Iterator[tuple[str, Columns]]:
    """All 15m candles of the store, as the optimizer reads them."""
    source = StoreSource(state)
    for one in source.read(source.pairs, source.end_us):
        yield one.pair, one.quarters


def arrays_of(columns: Mapping[str, Columns]) -> dict[str, dict[str, Any]]:
    """The same candles as the nine calls take them, nothing copied."""
    return {pair: {name: getattr(one, name) for name in (*FIELDS, "volume", "time")} for pair, one in columns.items()}


def swept(columns: Iterable[tuple[str, Columns]]) -> dict[str, float]:
    """Six trade tables and what they say: mean net returns, so that the work is not for nothing."""
    tables = run_through(SIX, ((pair, Bars(one, warmup="short")) for pair, one in columns))
    return {name: float(frame["net_return"].mean() or 0.0) for name, frame in tables.items()}


def answered(state: Path) -> str:
    """The nightly answer, as `trader optimize` and the flow get it."""
    answer = decide_on(Question(current=SIX[0].name, warmup="short"), state=state)
    forget()
    return answer.judgement.sentence


def drained(columns: Iterable[object]) -> None:
    """Everything read, and nothing kept."""
    for _ in columns:
        pass


def made(pairs: int, bars: int, state: Path) -> None:
    """A world of noise in a history store, and its answer, so that what is compiled is at hand."""
    stored(candles_of(gaussian(np.random.default_rng(1), pairs, bars)), state)
    answered(state)


def decoded(state: Path) -> None:
    """The columns that are needed of every part file, by Polars and no more."""
    for file in sorted(state.rglob("*.parquet")):
        pl.read_parquet(file, columns=["pair", *Columns.__slots__], glob=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=whole())
    parser.add_argument("--bars", type=whole())
    asked = parser.parse_args()
    pairs, bars = asked.pairs or (6 if asked.quick else 144), asked.bars or (14_400 if asked.quick else 43_200)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        maker = get_context("spawn").Process(target=made, args=(pairs, bars, state))
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            print(f"optimizer: no world was made, exit code {maker.exitcode}", file=sys.stderr)
            return 1
        print(answered(state), file=sys.stderr)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        columns = dict(read(state))
        raw = sum(getattr(one, name).nbytes for one in columns.values() for name in (*FIELDS, "volume", "time")) / 2**20
        same = swept(read(state)) == swept(columns.items())
        floor, file_floor = Clocked(lambda: nine(arrays_of(columns))), Clocked(lambda: decoded(state))
        reading, kernel = Clocked(lambda: drained(read(state))), Clocked(lambda: swept(columns.items()))
        total, answer = Clocked(lambda: swept(read(state))), Clocked(lambda: answered(state))
        for _ in range(3):
            for work in (floor, file_floor, reading, kernel, total, answer):
                work.go()

    def beside_nine(name: str, seconds: float) -> None:
        figure(f"optimizer.{name}", seconds, "CPU-s", against="optimizer.nine", ratio=seconds / floor.least)

    figure("optimizer.nine", floor.least, "CPU-s")
    for name, clocked in (("decode", file_floor), ("read", reading), ("kernel", kernel), ("total", total), ("answer", answer)):
        beside_nine(name, clocked.least)
    walk = answer.least - reading.least
    figure("optimizer.walk_forward", walk, "CPU-s", against="optimizer.total", ratio=walk / total.least)
    figure("optimizer.rss", peak, "MB", against="raw data", ratio=peak / raw)
    if not same:
        print("optimizer: candles from the store and from memory gave different results", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
