"""Upkeep of the parts: folding finished days, and removing files that nobody can be reading any more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from trader.data import parts
from trader.data.catalog import Part
from trader.domain.market import DAY, Timeframe
from trader.errors import CorruptError

if TYPE_CHECKING:
    from trader.data.history import HistoryStore

KEEP_REPLACED_US: Final = 3_600 * 1_000_000


def compact(store: HistoryStore, timeframe: Timeframe, until_us: int, now_us: int, market: str = "spot") -> int:
    """Fold the hour parts of every day that ends by `until_us` into one day part each; returns the days folded.

    Each fold is committed only after the new file was read back and proved equal to every old part, row by row.
    Raises CorruptError (and changes nothing) when the proof fails.
    """
    days: dict[int, list[Part]] = {}
    for part in store.catalog.parts(market, timeframe, None, until_us):
        if part.rung == "hour" and part.end_us <= until_us:
            days.setdefault(part.start_us // DAY * DAY, []).append(part)
    for day in days:
        with store.catalog.write():
            hours = [p for p in store.catalog.parts(market, timeframe, day, day + DAY) if p.rung == "hour"]
            if not hours:
                continue  # another writer was here
            frames = [parts.read(store.folder / part.path) for part in hours]
            new = store.put(
                pl.concat(frames).sort(*parts.KEY),
                timeframe,
                market=market,
                rung="day",
                start_us=day,
                end_us=day + DAY,
                old=hours,
                now_us=now_us,
            )
            _prove(parts.read(store.folder / new.path), hours, frames)
    return len(days)


def _prove(folded: pl.DataFrame, hours: list[Part], frames: list[pl.DataFrame]) -> None:
    """Raise CorruptError unless the folded rows are exactly those of the old parts."""
    time = pl.col("time").to_physical()
    if len(folded) != sum(map(len, frames)):
        raise CorruptError(f"folding {hours[0].tf}: {len(folded)} rows instead of {sum(map(len, frames))}")
    for part, frame in zip(hours, frames, strict=True):
        if not folded.filter(time.is_between(part.start_us, part.end_us, closed="left")).equals(frame):
            raise CorruptError(f"folding {part.tf}: rows of {part.path} changed")


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
    return gone
