"""The optimizer from the history store to its answer, against the nine TA-Lib calls of PERFORMANCE.md section 3.

    python -m benchmarks.optimizer [--quick] [--pairs N] [--bars N]

144 pairs x 43,200 bars of 15m (--quick: 6 x 14,400, the least that can be judged). `read`: pinned files to bars; `kernel`: six
strategies pair by pair, from bars to legs; `total`: both, with trade tables and their statistics; `walk_forward`: six runs over a
shared account, folds and all conditions, from bars. `decode`: Polars alone on the same part files, which no reader of them goes below.
The world is made in a process of its own, so that `rss` is the optimizer's. JSON lines on stdout; CPU time, best of the rounds, references
interleaved. Goals of PERFORMANCE.md at full size: total <= 6.5 x nine, walk_forward <= 2 x total, rss <= 2.5 x the raw data.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.kernel import Clocked, figure, nine
from benchmarks.worlds import candles_of, gaussian, stored
from trader.bootstrap.candles import StoreSource
from trader.ports import Columns
from trader.research.backtester import FIELDS, run_all, six
from trader.research.optimizer.study import Candles, study
from trader.strategy.columns import Bars

SIX = six()


def read(state: Path) -> dict[str, Columns]:
    """All 15m candles of the store, as the optimizer reads them."""
    source = StoreSource(state)
    return {one.pair: one.quarters for one in source.read(source.pairs, source.end_us)}


def arrays_of(columns: dict[str, Columns]) -> dict[str, dict[str, Any]]:
    """The same candles as the backtester takes them, nothing copied."""
    return {pair: {name: getattr(one, name) for name in (*FIELDS, "volume", "time")} for pair, one in columns.items()}


def swept(columns: dict[str, Columns]) -> float:
    """Six trade tables and what they say: a mean net return, so that the work is not for nothing."""
    data = arrays_of(columns)
    tables = run_all(SIX, data, warmup="short")
    return sum(float(frame["net_return"].mean() or 0.0) for frame in tables.values())


def judged(columns: dict[str, Columns]) -> str:
    """The whole walk-forward from bars."""
    candles = Candles.of({pair: Bars(one, warmup="short") for pair, one in columns.items()}, SIX, "BTC/EUR")
    return study(candles, SIX, SIX[0].name).sentence


def made(pairs: int, bars: int, state: Path) -> None:
    """A world of noise in a history store."""
    stored(candles_of(gaussian(np.random.default_rng(1), pairs, bars)), state)


def decoded(state: Path) -> None:
    """The columns that are needed of every part file, by Polars and no more."""
    for file in sorted(state.rglob("*.parquet")):
        pl.read_parquet(file, columns=["pair", *Columns.__slots__], glob=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--bars", type=int)
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
        columns = read(state)
        raw = sum(getattr(one, name).nbytes for one in columns.values() for name in (*FIELDS, "volume", "time")) / 2**20
        print(judged(columns), file=sys.stderr)  # compile or load from the cache: start-up, not speed
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        swept({pair: columns[pair] for pair in list(columns)[:2]})
        floor, file_floor, reading = (
            Clocked(lambda: nine(arrays_of(columns))),
            Clocked(lambda: decoded(state)),
            Clocked(lambda: read(state)),
        )
        kernel, walk = Clocked(lambda: swept(columns)), Clocked(lambda: judged(columns))
        for _ in range(3):
            for work in (floor, file_floor, reading, kernel, walk):
                work.go()
    total = reading.least + kernel.least

    def beside_nine(name: str, seconds: float) -> None:
        figure(f"optimizer.{name}", seconds, "CPU-s", against="optimizer.nine", ratio=seconds / floor.least)

    figure("optimizer.nine", floor.least, "CPU-s")
    for name, seconds in (("decode", file_floor.least), ("read", reading.least), ("kernel", kernel.least), ("total", total)):
        beside_nine(name, seconds)
    figure("optimizer.walk_forward", walk.least, "CPU-s", against="optimizer.total", ratio=walk.least / total)
    figure("optimizer.rss", peak, "MB", against="raw data", ratio=peak / raw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
