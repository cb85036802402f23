"""The processes: `python -m tests.store_readers.child writer|reader DIR STOP [--break]`.

The writer stores, before each commit, the checksum of the newest minutes as they will be after it. A reader takes a snapshot, sees
from its newest candle which commit it is, and compares. `--break`: the writer rewrites a live file in place, as a store with
mutable files would, and puts it back.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections import deque
from pathlib import Path

import polars as pl
from candle_kit import EPOCH, pairs

from benchmarks.candles import generated
from trader.data.catalog import Batch
from trader.data.compaction import KEEP_REPLACED_US, fold, sweep
from trader.data.coverage import covered
from trader.data.history import HistoryStore, fingerprint
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.errors import CorruptError

PAIRS, MINUTES, WINDOW = pairs(8), 20_000, 30
FIRST = 1_400  # the first commit holds this many minutes at once: midnight, and with it a fold, is near
M1 = Timeframe.M1
LEAST_COMMITS, LEAST_SWEPT, LONGEST_S = 70, 6, 240.0  # a slow disk gets the time it needs for all kinds of work to have happened
GRACE_S = 3.0  # the collector keeps replaced files for an hour; here an hour of candles takes a second, so it keeps them this long


def checksum(rows: pl.DataFrame) -> int:
    """A number that every column of every row decides, whatever the order of rows."""
    return int(rows.hash_rows(seed=7).sum())


def newest(snapshot_rows: pl.DataFrame, minute: int) -> pl.DataFrame:
    """The last WINDOW minutes up to `minute`."""
    return snapshot_rows.filter(pl.col("time").to_physical() > EPOCH + (minute - WINDOW) * MINUTE)


def write(store: HistoryStore, checks: sqlite3.Connection, stop: Path, *, broken: bool) -> None:
    everything = generated(PAIRS, MINUTES, M1, start=EPOCH).sort("time", "pair")
    size, minute, folded, swept = len(PAIRS), FIRST, 0, 0
    times: deque[tuple[float, int]] = deque()
    began = time.monotonic()
    while minute < MINUTES and time.monotonic() - began < LONGEST_S:
        if stop.exists() and minute - FIRST >= LEAST_COMMITS and swept >= LEAST_SWEPT:
            break
        end = EPOCH + (minute + 1) * MINUTE
        rows = everything.slice(minute * size, size) if minute > FIRST else everything.head((FIRST + 1) * size)
        seen = newest(
            everything.slice(max(0, minute + 1 - WINDOW) * size, WINDOW * size).filter(pl.col("time").to_physical() < end), minute
        )
        checks.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (minute, str(checksum(seen))))
        checks.commit()
        batch = Batch(
            batch_id=f"m{minute}", source="rest", client="test", requested=(end - MINUTE, end), received=None, rows=len(rows),
            sha256=fingerprint(rows), fetched_us=end, suite_version="", gate_json="{}",
        )  # fmt: skip
        store.upsert(rows, M1, batch=batch, now_us=end, cover=covered(rows, M1, "rest", batch.batch_id))
        minute += 1
        if minute % 20 == 0:
            folded += fold(store, (M1,), end // DAY * DAY, end).replaced
            times.append((time.monotonic(), end))
            while len(times) > 1 and times[1][0] < time.monotonic() - GRACE_S:
                times.popleft()
            if times[0][0] < time.monotonic() - GRACE_S:
                swept += len(sweep(store, times[0][1] + KEEP_REPLACED_US))
        if broken and minute % 50 == 0:
            rewrite(store)
    print(minute - FIRST, folded, swept, flush=True)


def rewrite(store: HistoryStore) -> None:
    """The planted breach: other values in a file that readers may have open, for a moment."""
    path = store.folder / store.catalog.parts("spot", M1)[-1].path
    data, rows = path.read_bytes(), pl.read_parquet(path)
    rows.with_columns(pl.col("close") * 100).write_parquet(path)
    time.sleep(0.05)
    path.write_bytes(data)


def read(store: HistoryStore, checks: sqlite3.Connection, stop: Path) -> None:
    compared = wrong = before = 0
    errors: dict[str, int] = {}
    while not stop.exists():
        try:
            rows = store.snapshot(tf=M1).window(None, WINDOW)
        except CorruptError as error:
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
            continue
        if rows.is_empty():
            continue
        minute = (int(rows["time"].to_physical().max()) - EPOCH) // MINUTE  # type: ignore[arg-type]
        stored = checks.execute("SELECT checksum FROM seen WHERE minute = ?", (minute,)).fetchone()
        wrong += minute < before or stored is None or int(stored[0]) != checksum(newest(rows, minute))
        before, compared = minute, compared + 1
    print(compared, wrong, sum(errors.values()), before, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("writer", "reader"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("stop", type=Path)
    parser.add_argument("--break", dest="broken", action="store_true")
    asked = parser.parse_args()
    store = HistoryStore(asked.directory / "history")
    checks = sqlite3.connect(asked.directory / "checks.sqlite", timeout=10)
    checks.execute("PRAGMA journal_mode=WAL")
    checks.execute("PRAGMA synchronous=OFF")
    checks.execute("CREATE TABLE IF NOT EXISTS seen (minute INTEGER PRIMARY KEY, checksum TEXT NOT NULL)")
    checks.commit()
    print("ready", flush=True)
    if asked.role == "writer":
        write(store, checks, asked.stop, broken=asked.broken)
    else:
        read(store, checks, asked.stop)


if __name__ == "__main__":
    main()
