"""Upkeep of the parts: folding what is finished up the ladder, and removing files that nobody can be reading any more.

Folding writes the new file beside the old ones without holding the writer's lock, proves it equal to them, and only then
takes the lock to swap the catalog rows: a month of a million rows never keeps the session's minutes waiting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from trader.data import part_files, parts
from trader.data.catalog import Part
from trader.data.ladder import FOLDS, interval_of
from trader.domain.market import Timeframe
from trader.errors import CorruptError

if TYPE_CHECKING:
    from trader.data.history import HistoryStore

KEEP_REPLACED_US: Final = 3_600 * 1_000_000
CHUNK_ROWS: Final = 1_000_000  # rows in memory at a time while a month is folded


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What was folded: new parts by rung, old parts they replaced, rows proved equal; `skipped`: a writer changed them meanwhile."""

    days: int = 0
    months: int = 0
    replaced: int = 0
    rows: int = 0
    skipped: int = 0


def compact(store: HistoryStore, timeframe: Timeframe, until_us: int, now_us: int, *, market: str = "spot", months: bool = True) -> int:
    """Fold every day (and, with `months`, every month) that ends by `until_us`; returns the folds made."""
    report = fold(store, (timeframe,), until_us, now_us, market=market, months=months)
    return report.days + report.months


def fold(
    store: HistoryStore, timeframes: Sequence[Timeframe], until_us: int, now_us: int, *, market: str = "spot", months: bool = True
) -> CompactReport:
    """Fold finished hours into days and finished days into months, each proved equal row by row before it counts.

    Raises CorruptError (and changes nothing) when a proof fails or an old part is damaged.
    """
    made = {"day": 0, "month": 0}
    replaced = rows = skipped = 0
    for timeframe in timeframes:
        for low, high in FOLDS[timeframe]:
            if high == "month" and not months:
                continue
            for step in _finished(store, Step(timeframe=timeframe, low=low, high=high, market=market), until_us):
                new, gone = _fold(store, step, now_us)
                if new is None:
                    skipped += 1
                    continue
                made[high] += 1
                replaced, rows = replaced + gone, rows + new.rows
    return CompactReport(days=made["day"], months=made["month"], replaced=replaced, rows=rows, skipped=skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fold: the parts of rung `low` in `interval` become one part of rung `high`."""

    timeframe: Timeframe
    low: str
    high: str
    market: str
    interval: tuple[int, int] = (0, 0)

    def parts(self, store: HistoryStore) -> list[Part]:
        """What there is to fold now."""
        return [part for part in store.catalog.parts(self.market, self.timeframe, *self.interval) if part.rung == self.low]


def _finished(store: HistoryStore, step: Step, until_us: int) -> list[Step]:
    """The intervals of the higher rung that are over and inhabited by parts of the lower rung alone, ascending."""
    rungs: dict[tuple[int, int], dict[str, None]] = {}
    for part in store.catalog.parts(step.market, step.timeframe, None, until_us):
        rungs.setdefault(interval_of(step.high, part.start_us), {})[part.rung] = None
    over = (interval for interval, found in rungs.items() if interval[1] <= until_us and list(found) == [step.low])
    return [replace(step, interval=interval) for interval in over]


def _fold(store: HistoryStore, step: Step, now_us: int) -> tuple[Part | None, int]:
    """(the new part, parts it replaced); None where another writer changed the old ones in the meantime."""
    old = step.parts(store)
    for part in old:
        parts.verify(store.folder / part.path, part.sha256)
    with store.catalog.write():
        sequence = store.catalog.next_sequence()
    store.reach("fold_begun")
    written = part_files.write_sorted(
        store.folder, _chunks(store, old), market=step.market, timeframe=step.timeframe, start_us=step.interval[0], sequence=sequence,
        reach=store.reach, group_by_pair=step.high == "month",
    )  # fmt: skip
    _prove(store, written, old)
    store.reach("fold_proved")
    with store.catalog.write():
        if step.parts(store) != old:
            return None, 0  # the file just written becomes an orphan and is swept
        new = store.catalogue(
            written, step.timeframe, market=step.market, rung=step.high, interval=step.interval, old=old, status=_status(old), now_us=now_us
        )
    store.reach("fold_committed")
    return new, len(old)


def _status(old: Sequence[Part]) -> str:
    return "provisional" if any(part.status == "provisional" for part in old) else "accepted"


def _chunks(store: HistoryStore, old: Sequence[Part]) -> Iterator[pl.DataFrame]:
    """The rows of old parts sorted by (pair, time), some pairs at a time, so that memory stays bounded."""
    files = [store.folder / part.path for part in old]
    scan = pl.scan_parquet(files, schema=pl.Schema(parts.SCHEMA), glob=False)
    pairs = sorted(scan.select(pl.col("pair").unique()).collect()["pair"].to_list())
    size = max(1, CHUNK_ROWS * len(pairs) // max(1, sum(part.rows for part in old)))
    for first in range(0, len(pairs), size):
        yield scan.filter(pl.col("pair").is_in(pairs[first : first + size])).sort(*parts.KEY).collect()


def _prove(store: HistoryStore, written: part_files.Written, old: Sequence[Part]) -> None:
    """Raise CorruptError unless the new file, read back, holds exactly the rows of the old parts."""
    path = store.folder / written.name
    parts.verify(path, written.sha256)
    expected = sum(part.rows for part in old)
    if written.rows != expected:
        raise CorruptError(f"folding {old[0].tf}: {written.rows} rows in {written.name} instead of {expected}")
    scan, start = pl.scan_parquet(path, schema=pl.Schema(parts.SCHEMA), glob=False), 0
    for chunk in _chunks(store, old):
        if not scan.slice(start, len(chunk)).collect().equals(chunk):
            raise CorruptError(f"folding {old[0].tf}: rows {start} to {start + len(chunk)} of {written.name} differ from the old parts")
        start += len(chunk)


def sweep(store: HistoryStore, now_us: int, machine_us: int | None = None) -> list[str]:
    """Delete files replaced over an hour ago that no part and no live pin names; returns their names.

    With `machine_us` (the machine's clock) also orphans of killed writers, whose age only the file system knows. Runs inside
    the writer's transaction, so nobody is between writing a file and naming it.
    """
    gone: list[str] = []
    with store.catalog.write():
        store.catalog.expire_pins(now_us)
        named = {row[0] for row in store.catalog.rows("SELECT path FROM part")}
        pinned = {name for row in store.catalog.rows("SELECT paths FROM pin") for name in json.loads(row[0])}
        trash = dict(store.catalog.rows("SELECT path, at_us FROM trash ORDER BY path"))
        for name, at_us in trash.items():
            if now_us - at_us > KEEP_REPLACED_US and name not in named and name not in pinned:
                (store.folder / name).unlink(missing_ok=True)
                gone.append(name)
        store.catalog.forget(gone)
        if machine_us is not None:
            for path in sorted(store.folder.glob("*.parquet")):
                unknown = path.name not in named and path.name not in trash and path.name not in pinned
                if unknown and machine_us - path.stat().st_mtime_ns // 1000 > KEEP_REPLACED_US:
                    path.unlink()
                    gone.append(path.name)
    store.reach("swept")
    return gone
