"""The history store against the bare work it cannot do without: DATA.md section 8, as ratios in one run.

    python -m benchmarks.history [--quick] [--pairs N]

144 pairs x 30 days of one-minute candles (6,220,800 rows; --quick: 24 pairs) are generated, ingested day by day, ingested once
more (nothing may change), folded into the month, and read. JSON lines on stdout; exit code 1 where a row is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.candles import APRIL, generated
from benchmarks.history_bare import bare_append, gate_cost
from tests.amounts import whole
from trader.data.catalog import Batch
from trader.data.coverage import covered
from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.domain.market import DAY, MINUTE, Candle, Timeframe

M1 = Timeframe.M1
DAYS, MAY = 30, APRIL + 30 * DAY
FIVE = ["time", "open", "high", "low", "close"]


def figure(name: str, value: float, unit: str, *, against: str | None = None, ratio: float | None = None) -> None:
    """One JSON line; `ratio` is value over what `against` took in the same run."""
    row = {"name": f"history.{name}", "value": round(value, 6), "unit": unit, "ratio_to": against}
    print(json.dumps(row | {"ratio": None if ratio is None else round(ratio, 3)}), flush=True)


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of one call, all threads."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def wall(work: Callable[[], object], times: int) -> float:
    """Least wall milliseconds of several calls: what the work costs when nobody else is at it."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - begin))
    return min(spent)


def batch_of(name: str, rows: pl.DataFrame, span: tuple[int, int], fetched_us: int) -> Batch:
    """Provenance of generated rows."""
    return Batch(
        batch_id=name, source="rest", client="bench", requested=span, received=span, rows=len(rows), sha256="", fetched_us=fetched_us,
        suite_version="", gate_json="{}",
    )  # fmt: skip


def ingest(store: HistoryStore, rows: pl.DataFrame, day: int, *, name: str) -> int:
    """One day of all pairs; returns rows new to the store."""
    start = APRIL + day * DAY
    batch = batch_of(f"{name}{day}", rows, (start, start + DAY), MAY)
    return store.upsert(rows, M1, batch=batch, now_us=MAY, cover=covered(rows, M1, "rest", batch.batch_id)).added


def days_of(pairs: list[str]) -> Callable[[int], pl.DataFrame]:
    """A function that makes one day at a time, so that the source of the benchmark is not what fills the memory."""
    return lambda day: generated(pairs, 1440, M1, start=APRIL + day * DAY, seed=day)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=whole())
    asked = parser.parse_args()
    pairs = [f"P{i:03d}/EUR" for i in range(asked.pairs or (24 if asked.quick else 144))]
    with tempfile.TemporaryDirectory() as folder:
        store = HistoryStore(Path(folder) / "history", commit_every_us=0)
        wanted = len(pairs) * DAYS * 1440
        problems = fill(store, pairs, Path(folder), wanted)
        read(store, pairs, Path(folder))
        append(store, pairs, Path(folder))
        gate_cost(pairs, figure)
        store.close()
    figure("peak_rss", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    for problem in problems:
        print(f"history: {problem}", file=sys.stderr)
    return 1 if problems else 0


def fill(store: HistoryStore, pairs: list[str], folder: Path, wanted: int) -> list[str]:
    """Ingest, ingest again, fold; what was lost or doubled."""
    make, spent, bare, added = days_of(pairs), 0.0, 0.0, 0
    for day in range(DAYS):
        rows = make(day)
        bare += cpu(lambda rows=rows: rows.write_parquet(folder / "bare.parquet", compression="zstd"))  # type: ignore[misc]
        begin = time.process_time()
        added += ingest(store, rows, day, name="first")
        spent += time.process_time() - begin
    figure("ingest", spent, "CPU-s", against="bare write_parquet of the same rows", ratio=spent / bare)
    second = cpu(lambda: [ingest(store, make(day), day, name="again") for day in range(DAYS)]) - cpu(lambda: [make(d) for d in range(DAYS)])
    figure("ingest_again", second, "CPU-s", against="first ingestion", ratio=second / spent)
    again = int(store.sql("SELECT count(*) AS n FROM candles")["n"][0])
    folding = cpu(lambda: store.compact(MAY + DAY))
    figure("fold_month", folding, "CPU-s")
    after = int(store.sql("SELECT count(*) AS n FROM (SELECT DISTINCT pair, time FROM candles)")["n"][0])
    (part,) = store.catalog.parts("spot", M1)
    figure("rows", after, "rows")
    figure("bytes_a_row", (store.folder / part.path).stat().st_size / part.rows, "bytes")
    found = {"added": added, "after the second ingestion": again, "after folding": part.rows, "distinct": after}
    return [f"{rows} rows {name}, {wanted} expected" for name, rows in found.items() if rows != wanted]


def read(store: HistoryStore, pairs: list[str], folder: Path) -> None:
    """One pair of a month, a scan of five columns, and the newest 500 rows of all pairs."""
    snapshot = store.snapshot(tf=M1)
    (path,) = snapshot.files
    one = pl.col("pair") == pairs[len(pairs) // 2]
    store.get_history(pairs[len(pairs) // 2], M1, DAYS * 1440)  # the file's bytes are verified once a process
    pair = wall(lambda: store.get_history(pairs[len(pairs) // 2], M1, DAYS * 1440), 15)
    bare = wall(lambda: pl.scan_parquet(path).filter(one).collect(), 15)
    figure("pair_month", pair, "ms", against="bare scan_parquet(part).filter", ratio=pair / bare)
    scan = min(cpu(lambda: snapshot.scan().select(FIVE).collect()) for _ in range(3))
    bare = min(cpu(lambda: pl.read_parquet(path, columns=FIVE)) for _ in range(3))
    figure("scan", scan, "CPU-s", against="bare read_parquet of the same columns", ratio=scan / bare)
    tail(store, pairs, folder)


def tail(store: HistoryStore, pairs: list[str], folder: Path) -> None:
    """The morning after the month: one day part and an hour part hold the newest 500 rows of every pair."""
    rows = generated(pairs, 1440 + 30, M1, start=MAY, seed=99)
    times = rows["time"].to_physical()
    for start, end in ((MAY, MAY + DAY), (MAY + DAY, MAY + DAY + 30 * MINUTE)):
        some = rows.filter(times.is_between(start, end, closed="left"))
        batch = batch_of(f"tail{start}", some, (start, end), end)
        store.upsert(some, M1, batch=batch, now_us=end, cover=covered(some, M1, "rest", batch.batch_id))
    file = folder / "tail.parquet"
    rows.group_by("pair", maintain_order=True).tail(500).write_parquet(file, compression="zstd")
    newest = wall(lambda: store.snapshot(tf=M1).window(pairs, 500), 25)
    bare = wall(lambda: pl.read_parquet(file), 25)
    figure("tail", newest, "ms", against="read_parquet of one file with just those rows", ratio=newest / bare)


def append(store: HistoryStore, pairs: list[str], folder: Path) -> None:
    """The session's minutes, each on disk when the call returns."""
    start = MAY + DAY + 30 * MINUTE
    spent = []
    for minute in range(30):
        at = start + minute * MINUTE
        candles = [
            Candle(pair=p, timeframe=M1, time_us=at, open=1.0, high=1.1, low=0.9, close=1.0, volume=2.0, vwap=1.0, count=3) for p in pairs
        ]
        begin = time.perf_counter()
        store.append(candles, M1, at + MINUTE)
        spent.append(1000 * (time.perf_counter() - begin))
    bare = bare_append(folder, 30)
    figure(
        "append", statistics.median(spent), "ms", against="150 kB write, two fsyncs, a FULL commit", ratio=statistics.median(spent) / bare
    )
    stored = store.snapshot(tf=M1, since=start, provisional=True).scan().filter(pl.col("source") == int(Source.STREAM)).collect().height
    if stored != 30 * len(pairs):
        raise SystemExit(f"history: {stored} appended rows stored, {30 * len(pairs)} expected")


if __name__ == "__main__":
    sys.exit(main())
