"""Writing the history store: upserts into the parts that own their times, and a small buffer for the session's minutes.

Commit order: BEGIN IMMEDIATE, read the owning part, merge, write and sync the new file, catalog rows, COMMIT. A process killed
anywhere leaves every acknowledged commit and at most an orphan file. Part names come from content and a commit number, not
from chance, so that equal runs have equal stores. Layout: DATA.md section 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from trader.data import part_files, parts
from trader.data.catalog import Batch, Part
from trader.data.coverage import Coverage, covered
from trader.data.history_reading import HistoryReader, stream_rows
from trader.data.ladder import BY_MONTH, home_of
from trader.data.part_files import Reach, Written
from trader.data.parts import Source
from trader.data.rules import suite_version
from trader.domain.market import DAY, MINUTE, Candle, Timeframe
from trader.ports import KillPoints

HOUR: Final = 60 * MINUTE
FOLD_DELAY_US: Final = 5 * MINUTE  # a finished day is folded from 00:05 on
CLIENT: Final = "trader 0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserted:
    """What an upsert did: rows given, rows new to the store, candles whose values changed or lost, parts written."""

    rows: int
    added: int
    revisions: int
    parts: int


class HistoryWriter(HistoryReader):
    """Candles of all pairs and timeframes under one folder; many reader processes, one writer at a time.

    `commit_every_us`: how long appended minutes may stay in memory (0 = every call is on disk when it returns).
    Raises CorruptError for a damaged file, RetryableError where another writer holds the catalog.
    """

    def __init__(self, directory: Path, *, commit_every_us: int = 15 * MINUTE, kill_points: KillPoints | None = None) -> None:
        super().__init__(directory)
        self.reach: Reach = kill_points.reach if kill_points is not None else part_files.nowhere
        self._every = commit_every_us
        self._due: int | None = None
        self._growing: dict[Timeframe, str] = {}  # the part written last

    # --- writing -------------------------------------------------------------------------------------------------------
    def append(self, candles: Sequence[Candle], timeframe: Timeframe, now_us: int) -> int:
        """Take the session's closed candles (judged, source STREAM); returns how many rows still wait in memory."""
        if candles:
            self._buffer.setdefault(timeframe, []).extend(candles)
        if self._every == 0 or (self._due is not None and now_us >= self._due):
            self.flush(now_us)
        elif self._due is None:
            self._due = now_us - now_us % self._every + self._every
        return self.waiting

    @property
    def waiting(self) -> int:
        """Appended rows that are not on disk yet."""
        return sum(map(len, self._buffer.values()))

    def flush(self, now_us: int) -> Upserted:
        """Put everything appended on disk; the upkeep that is due follows."""
        totals = [0, 0, 0, 0]
        for timeframe in Timeframe:
            held = self._buffer.get(timeframe)
            if not held:
                continue
            for day, rows in _by_day(stream_rows(held)):
                done = self._append_day(rows, timeframe, day, now_us)
                totals = [a + b for a, b in zip(totals, (done.rows, done.added, done.revisions, done.parts), strict=True)]
            del self._buffer[timeframe]
        self._due = now_us - now_us % self._every + self._every if self._every else None
        self.maintain(now_us)
        return Upserted(rows=totals[0], added=totals[1], revisions=totals[2], parts=totals[3])

    def maintain(self, now_us: int) -> None:
        """What follows a flush; the store adds its upkeep."""

    def _append_day(self, rows: pl.DataFrame, timeframe: Timeframe, day: int, now_us: int) -> Upserted:
        batch = Batch(
            batch_id=f"stream-{timeframe}-{day}", source=Source.STREAM.label, client=CLIENT, requested=span(rows, timeframe),
            received=span(rows, timeframe), rows=len(rows), sha256=fingerprint(rows), fetched_us=now_us,
            suite_version=suite_version(), gate_json="{}",
        )  # fmt: skip
        return self.upsert(rows, timeframe, batch=batch, now_us=now_us, cover=covered(rows, timeframe, batch.source, batch.batch_id))

    def upsert(
        self,
        frame: pl.DataFrame,
        timeframe: Timeframe,
        *,
        batch: Batch,
        now_us: int,
        cover: Sequence[Coverage] = (),
        clear: Iterable[str] = (),
        cursors: Iterable[tuple[str, str]] = (),
        market: str = "spot",
        bulk: bool = False,
    ) -> Upserted:
        """Store judged rows in the parts that own their times, with coverage, provenance and cursors, in one transaction.

        Idempotent: unique (pair, time), the higher-ranked source wins, at equal rank the newer batch; values that differ go
        to the revision log. `clear`: pairs whose open block of this timeframe ends here. `bulk`: months at a time (`home_of`).
        """
        added = revisions = written = 0
        with self.catalog.write():
            self.reach("commit_begun")
            times = np.unique(parts.times(frame))
            low, high = (int(times[0]), int(times[-1]) + 1) if len(times) else (0, 0)
            owners = self.catalog.parts(market, timeframe, low - 31 * DAY, high + 31 * DAY) if len(times) else []
            while len(times):
                home = home_of(int(times[0]), timeframe, owners, now_us, bulk=bulk)
                old = parts.empty() if home.part is None else self._read(home.part)
                merged = parts.merge(old, _between(frame, home.start_us, home.end_us))
                if not merged.frame.equals(old):
                    self.put(
                        merged.frame, timeframe, market=market, rung=home.rung, start_us=home.start_us, end_us=home.end_us,
                        old=[home.part] if home.part else [], now_us=now_us,
                    )  # fmt: skip
                    written += 1
                if len(merged.lost):
                    self.catalog.revise(market, timeframe, merged.lost, batch.batch_id, now_us)
                added, revisions = added + len(merged.frame) - len(old), revisions + len(merged.lost)
                times = times[times >= home.end_us]
            self.catalog.record_batch(batch)
            self.reach("batch_recorded")
            self.catalog.cover(market, timeframe, cover)
            self.reach("covered")
            self.catalog.set_cursors(market, timeframe, batch.source, cursors, now_us)
            self.reach("cursors_set")
            self.catalog.clear(market, timeframe, clear, now_us)
        self.reach("committed")
        return Upserted(rows=len(frame), added=added, revisions=revisions, parts=written)

    def put(
        self,
        frame: pl.DataFrame,
        timeframe: Timeframe,
        *,
        market: str,
        rung: str,
        start_us: int,
        end_us: int,
        old: Sequence[Part],
        now_us: int,
    ) -> Part:
        """Inside a `catalog.write()`: a new, synced file in place of old parts."""
        place: dict[str, Any] = {"market": market, "timeframe": timeframe, "start_us": start_us}
        sequence = self.catalog.next_sequence()
        if rung == "month" and timeframe not in BY_MONTH:
            written = part_files.write_sorted(self.folder, [frame], **place, sequence=sequence, group_by_pair=True, reach=self.reach)
        else:
            written = part_files.write(self.folder, frame, **place, sequence=sequence, reach=self.reach)
        status = "provisional" if (frame["source"] == int(Source.STREAM)).any() else "accepted"
        part = self.catalogue(
            written, timeframe, market=market, rung=rung, interval=(start_us, end_us), old=old, status=status, now_us=now_us
        )
        self._remember(part.path, frame)
        if (before := self._growing.get(timeframe, part.path)) != part.path:
            self._cache.pop(before, None)  # no candle is added to it any more; who reads it keeps it again
        self._growing[timeframe] = part.path
        return part

    def catalogue(
        self,
        written: Written,
        timeframe: Timeframe,
        *,
        market: str,
        rung: str,
        interval: tuple[int, int],
        old: Sequence[Part],
        status: str,
        now_us: int,
    ) -> Part:
        """Inside a `catalog.write()`: let a synced file count in place of old parts."""
        part = Part(
            part_id=written.name.removesuffix(".parquet"), market=market, tf=timeframe, rung=rung, start_us=interval[0], end_us=interval[1],
            path=written.name, rows=written.rows, sha256=written.sha256, status=status,
        )  # fmt: skip
        self.catalog.replace(old, part, schema_version=parts.SCHEMA_VERSION, at_us=now_us)
        self.reach("part_catalogued")
        for gone in old:
            self._cache.pop(gone.path, None)
        return part


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of the rows as they came."""
    hasher = hashlib.sha256("\n".join(name or "" for name in frame["pair"].to_list()).encode())
    for column in ("time", "open", "high", "low", "close", "volume"):
        values = frame[column]
        hasher.update((values.to_physical().fill_null(0) if values.null_count() else values).to_numpy().tobytes())
    return hasher.hexdigest()


def span(frame: pl.DataFrame, timeframe: Timeframe) -> tuple[int, int]:
    """First open and last close among the rows."""
    time = parts.times(frame)
    return int(time.min()), int(time.max()) + timeframe.us


def _between(frame: pl.DataFrame, start_us: int, end_us: int) -> pl.DataFrame:
    """Rows of the times from start to before the end."""
    time = parts.times(frame)
    if start_us <= int(time.min()) and int(time.max()) < end_us:
        return frame
    return frame.filter((time >= start_us) & (time < end_us))


def _by_day(frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Rows per UTC day, oldest first; the day's first microsecond names it."""
    days = parts.times(frame) // DAY * DAY
    if len(days) and days.min() == days.max():  # nearly always
        return [(int(days[0]), frame)]
    return [(int(day), frame.filter(days == day)) for day in np.unique(days)]
