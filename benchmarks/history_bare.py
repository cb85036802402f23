"""What the history store is measured against: the least work a durable append needs, and both engines of the gate."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.candles import APRIL, generated
from trader.data import quality
from trader.domain.market import Timeframe


def bare_append(folder: Path, times: int) -> float:
    """Median milliseconds of one 150 kB write, fsync of file and directory, and a SQLite commit with synchronous=FULL."""
    database = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE part (path TEXT)")
    data, spent = os.urandom(150_000), []
    for number in range(times):
        begin = time.perf_counter()
        with (folder / f"bare-{number}").open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO part VALUES (?)", (str(number),))
        database.execute("COMMIT")
        spent.append(1000 * (time.perf_counter() - begin))
    database.close()
    return statistics.median(spent)


def gate_cost(pairs: list[str], figure: Callable[..., None]) -> None:
    """CPU of the Polars rules over the Great Expectations suite on the same hour of all pairs; both after their first run."""
    from tasks.quality_gate import judge_frame

    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    frame = generated(pairs, 60, Timeframe.M1, start=APRIL)
    now_us = APRIL + 3_600_000_000
    costs = []
    for engine in (quality.check, judge_frame):
        engine(frame, Timeframe.M1, now_us)
        begin = time.process_time()
        for _ in range(5):
            engine(frame, Timeframe.M1, now_us)
        costs.append((time.process_time() - begin) / 5)
    figure("rules", costs[0], "CPU-s", against="the Great Expectations suite on the same frame", ratio=costs[0] / costs[1])
