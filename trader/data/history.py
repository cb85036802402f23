"""The history store: immutable Parquet parts, a catalog that says which count, and a small buffer for the session's minutes.

Commit order: BEGIN IMMEDIATE, read the owning part, merge, write and sync the new file, catalog rows, COMMIT. A process killed
anywhere leaves every acknowledged commit and at most an orphan file. Part names come from content and a commit number, not
from chance, so that equal runs have equal stores. Layout: DATA.md section 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.catalog import Batch, Block, Catalog, Part
from trader.data.compaction import compact, sweep
from trader.data.coverage import Coverage, covered, uncovered
from trader.data.ladder import home_of
from trader.data.parts import COLUMNS, Source
from trader.data.quality import GateResult, Tail, Verdict, suite_version
from trader.data.resample import SHORTER, cut, overlay, resample, resample_frame, segments, whole
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import DAY, MINUTE, Candle, Timeframe
from trader.errors import RejectedError
from trader.ports import Columns, KillPoints

HOUR: Final = 60 * MINUTE
FOLD_DELAY_US: Final = 5 * MINUTE  # a finished day is folded from 00:05 on
CACHED_ROWS: Final = 600_000
CLIENT: Final = "trader 0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserted:
    """What an upsert did: rows given, rows new to the store, candles whose values changed or lost, parts written."""

    rows: int
    added: int
    revisions: int
    parts: int


class HistoryStore:
    """Candles of all pairs and timeframes under one folder; many reader processes, one writer at a time.

    `commit_every_us`: how long appended minutes may stay in memory (0 = every call is on disk when it returns).
    Raises CorruptError for a damaged file, RetryableError where another writer holds the catalog.
    """

    def __init__(self, directory: Path, *, commit_every_us: int = 15 * MINUTE, kill_points: KillPoints | None = None) -> None:
        self.directory = directory
        self.folder = directory / "parts"
        for path in (directory, self.folder, directory / "quarantine"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.catalog = Catalog(directory / "catalog.sqlite")
        self._kill = kill_points
        self._every = commit_every_us
        self._due: int | None = None
        self._buffer: dict[Timeframe, list[Candle]] = {}
        self._cache: dict[str, pl.DataFrame] = {}
        self._folded_to: int | None = None
        self._swept_at: int | None = None

    # --- reading -------------------------------------------------------------------------------------------------------
    def snapshot(
        self,
        market: str = "spot",
        *,
        tf: Timeframe | str,
        since: int | None = None,
        until: int | None = None,
        provisional: bool = False,
    ) -> Snapshot:
        """The files that count now, for candles opening in [since, until) (microseconds); one SELECT."""
        timeframe = Timeframe(tf)
        found = self.catalog.parts(market, timeframe, since, until)
        return Snapshot(
            market=market,
            timeframe=timeframe,
            files=tuple(self.folder / part.path for part in found),
            hashes=tuple(part.sha256 for part in found),
            digest=digest([(part.path, part.sha256) for part in found]),
            since_us=since,
            until_us=until,
            provisional=provisional,
            mixed=any(part.status == "provisional" for part in found),
        )

    def get_history(self, pair: str, timeframe: Timeframe | str, periods: int = 500) -> pl.DataFrame:
        """The newest closed rows of a pair, ascending, provisional ones included; fewer than asked is no error.

        Where a shorter stored timeframe covers a candle, the one built from it is returned. Raises RejectedError for a pair
        the store has never seen.
        """
        wanted = Timeframe(timeframe)
        rows = self._rows([pair], wanted, None)
        for shorter in SHORTER[wanted]:
            built = resample_frame(self._rows([pair], shorter, None), shorter, wanted)
            rows = pl.concat([rows.join(built, on="time", how="anti"), built]).sort("time")
        if rows.is_empty() and pair not in self.pairs():
            raise RejectedError(f"pair {pair!r}: unknown to the history store; known: {', '.join(self.pairs()[:5])}, ...")
        return rows.tail(periods)

    def series(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> dict[str, Columns]:
        """The newest unbroken candles of each pair that has any, at most `periods`; provisional and buffered ones included."""
        out: dict[str, Columns] = {}
        for pair, columns in self._all(pairs, timeframe, periods).items():
            newest = segments(columns, timeframe)[-1]
            out[pair] = cut(newest, max(0, len(newest) - periods))
        return out

    def tails(self, pairs: Sequence[str], timeframe: Timeframe, lookback: int) -> list[Tail]:
        """What is stored of each pair's last `lookback` candles, for the tail rules.

        Where a pair's own candles of this timeframe are whole and as new as anybody's, the shorter ones need not be read.
        """
        found = self._overlaid(pairs, timeframe, lookback, (timeframe,))
        newest_us = max((int(columns.time[-1]) for columns in found.values()), default=0)
        lacking = [p for p in pairs if p not in found or not whole(found[p], timeframe, lookback, newest_us)]
        if lacking:
            found |= self._all(lacking, timeframe, lookback)
        out = []
        for pair in pairs:
            columns = found.get(pair)
            last = None if columns is None else cut(columns, max(0, len(columns) - lookback))
            gaps = 0 if last is None else len(segments(last, timeframe)) - 1
            newest = None if last is None else int(last.time[-1])
            out.append(Tail(timeframe=timeframe, pair=pair, rows=0 if last is None else len(last), gaps=gaps, newest_us=newest))
        return out

    def pairs(self, market: str = "spot") -> list[str]:
        """Every pair the store knows of, by name."""
        stored = [row[0] for row in self.catalog.rows("SELECT DISTINCT pair FROM coverage WHERE market = ?", (market,))]
        held = [candle.pair for candles in self._buffer.values() for candle in candles]
        return sorted({*stored, *held})

    def _all(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> dict[str, Columns]:
        """Native candles with those built from shorter ones on top, holes included."""
        return self._overlaid(pairs, timeframe, periods, (timeframe, *SHORTER[timeframe]))

    def _overlaid(self, pairs: Sequence[str], timeframe: Timeframe, periods: int, sources: Sequence[Timeframe]) -> dict[str, Columns]:
        out: dict[str, Columns] = {}
        stored = "SELECT max(end_us) FROM coverage WHERE market = 'spot' AND state = 'fetched'"  # a part's end may lie in the future
        newest = self.catalog.rows(stored)[0][0] or 0
        since = newest - 2 * periods * timeframe.us - DAY  # twice the need: some pairs lag, none of it is lost when they do not
        for source in sources:
            for (pair,), rows in self._rows(pairs, source, since).group_by("pair", maintain_order=True):
                built = resample(parts.columns_of(rows), source, timeframe)
                if len(built):
                    out[str(pair)] = overlay(out[str(pair)], built) if pair in out else built
        return out

    def _rows(self, pairs: Sequence[str], timeframe: Timeframe, since_us: int | None) -> pl.DataFrame:
        """Stored and buffered rows of some pairs, sorted by (pair, time)."""
        chosen = pl.col("pair").is_in(list(pairs))
        found = [self._read(part).filter(chosen) for part in self.catalog.parts("spot", timeframe, since_us)]
        rows = pl.concat([parts.empty(), *found])
        if held := self._buffer.get(timeframe):
            return parts.merge(rows, _stream_rows(held).filter(chosen)).frame
        return rows.sort(*parts.KEY) if len(found) > 1 else rows

    def _read(self, part: Part) -> pl.DataFrame:
        """A part's rows, its bytes verified; parts never change, so the last ones read stay in memory."""
        frame = self._cache.pop(part.path, None)
        if frame is None:
            parts.verify(self.folder / part.path, part.sha256)
            frame = parts.read(self.folder / part.path)
        self._remember(part.path, frame)
        return frame

    def _remember(self, name: str, frame: pl.DataFrame) -> None:
        self._cache[name] = frame
        while len(self._cache) > 1 and sum(map(len, self._cache.values())) > CACHED_ROWS:
            del self._cache[next(iter(self._cache))]

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
        """Put everything appended on disk; also folds finished days and sweeps replaced files when their time has come."""
        totals = [0, 0, 0, 0]
        for timeframe in Timeframe:
            held = self._buffer.get(timeframe)
            if not held:
                continue
            for day, rows in _by_day(_stream_rows(held)):
                done = self._append_day(rows, timeframe, day, now_us)
                totals = [a + b for a, b in zip(totals, (done.rows, done.added, done.revisions, done.parts), strict=True)]
            del self._buffer[timeframe]
        self._due = now_us - now_us % self._every + self._every if self._every else None
        self.maintain(now_us)
        return Upserted(rows=totals[0], added=totals[1], revisions=totals[2], parts=totals[3])

    def _append_day(self, rows: pl.DataFrame, timeframe: Timeframe, day: int, now_us: int) -> Upserted:
        batch = Batch(
            batch_id=f"stream-{timeframe}-{day}", source=Source.STREAM.label, client=CLIENT, requested=_span(rows, timeframe),
            received=_span(rows, timeframe), rows=len(rows), sha256=fingerprint(rows), fetched_us=now_us,
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
    ) -> Upserted:
        """Store judged rows in the parts that own their times, with coverage, provenance and cursors, in one transaction.

        Idempotent: unique (pair, time), the higher-ranked source wins, at equal rank the newer batch; values that differ go
        to the revision log. `clear`: pairs whose open block of this timeframe ends here.
        """
        added = revisions = written = 0
        with self.catalog.write():
            times = np.unique(frame["time"].to_physical().to_numpy())
            low, high = (int(times[0]), int(times[-1]) + 1) if len(times) else (0, 0)
            owners = self.catalog.parts(market, timeframe, low - 31 * DAY, high + 31 * DAY) if len(times) else []
            while len(times):
                home = home_of(int(times[0]), timeframe, owners, now_us)
                inside = pl.col("time").to_physical().is_between(home.start_us, home.end_us, closed="left")
                old = parts.empty() if home.part is None else self._read(home.part)
                merged = parts.merge(old, frame.filter(inside))
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
            self.catalog.cover(market, timeframe, cover)
            self.catalog.set_cursors(market, timeframe, batch.source, cursors, now_us)
            self.catalog.clear(market, timeframe, clear, now_us)
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
        new = parts.write(
            self.folder, frame, market=market, timeframe=timeframe, start_us=start_us, sequence=self.catalog.next_sequence()
        )  # fmt: skip
        if self._kill is not None:
            self._kill.reach("part_written_not_catalogued")
        status = "provisional" if (frame["source"] == int(Source.STREAM)).any() else "accepted"
        part = Part(
            part_id=new.name.removesuffix(".parquet"), market=market, tf=timeframe, rung=rung, start_us=start_us, end_us=end_us,
            path=new.name, rows=new.rows, sha256=new.sha256, status=status,
        )  # fmt: skip
        self.catalog.replace(old, part, schema_version=parts.SCHEMA_VERSION, at_us=now_us)
        for gone in old:
            self._cache.pop(gone.path, None)
        self._remember(new.name, frame)
        return part

    # --- the gate ------------------------------------------------------------------------------------------------------
    def quarantine(self, frame: pl.DataFrame, verdicts: Sequence[Verdict], *, batch: Batch, now_us: int, market: str = "spot") -> None:
        """Set refused rows of one timeframe aside, in no file list, and block their pairs, naming expectation and detail."""
        blocks, ranges = [], []
        for verdict in verdicts:
            if (worst := verdict.critical) is None:
                continue
            tf = verdict.timeframe
            blocks.append(Block(tf=tf, pair=verdict.pair, since_us=now_us, expectation=worst.expectation, detail=f"{tf} {worst.detail}"))
            rows = frame.filter((pl.col("pair") == verdict.pair) & pl.col("time").is_not_null())
            if len(rows):
                start, end = _span(rows, tf)
                ranges.append(
                    Coverage(
                        pair=verdict.pair, start_us=start, end_us=end, state="quarantined", source=batch.source, batch_id=batch.batch_id
                    )
                )
        if not blocks:
            return
        tf = verdicts[0].timeframe
        with self.catalog.write():
            if len(frame):
                name = parts.write(
                    self.directory / "quarantine", frame.select(COLUMNS), market=market, timeframe=tf, start_us=now_us,
                    sequence=self.catalog.next_sequence(),
                ).name  # fmt: skip
                batch_json = json.dumps(
                    {"quarantine": name, "failures": {b.pair: [b.expectation, b.detail] for b in blocks}}, sort_keys=True
                )
            else:
                batch_json = "{}"
            self.catalog.record_batch(_with_gate(batch, batch_json))
            self.catalog.cover(market, tf, uncovered(ranges, self.catalog.coverage(market, tf, [r.pair for r in ranges])))
            self.catalog.block(market, blocks)

    def put_tails(self, result: GateResult, now_us: int, market: str = "spot") -> None:
        """Write tail verdicts; the session reads them through `gates`."""
        rows = []
        for verdict in result.verdicts:
            worst = verdict.critical
            text = json.dumps(
                {"reason": worst.expectation, "detail": f"{verdict.timeframe} {worst.detail}"} if worst else {"reason": ""}, sort_keys=True
            )
            rows.append((str(verdict.timeframe), verdict.pair, text))
        with self.catalog.write():
            self.catalog.put_tails(market, rows, now_us)

    def clear_block(self, pair: str, timeframe: Timeframe, now_us: int, market: str = "spot") -> None:
        """End a block by a person's decision (the caller keeps the name in its audit log)."""
        with self.catalog.write():
            self.catalog.clear(market, timeframe, [pair], now_us)

    # --- upkeep --------------------------------------------------------------------------------------------------------
    def maintain(self, now_us: int) -> None:
        """Fold the minutes of finished days, and sweep replaced files once an hour."""
        today = (now_us - FOLD_DELAY_US) // DAY * DAY
        if self._folded_to is None or today > self._folded_to:
            compact(self, Timeframe.M1, today, now_us)
            self._folded_to = today
        if self._swept_at is None or now_us - self._swept_at >= HOUR:
            sweep(self, now_us)
            self._swept_at = now_us

    def pin(self, snapshot: Snapshot, expires_us: int) -> str:
        """Keep a snapshot's files from the collector until `expires_us`; for reads over half an hour. Returns the pin's id."""
        with self.catalog.write():
            self.catalog.pin(snapshot.digest, json.dumps([path.name for path in snapshot.files]), expires_us)
        return snapshot.digest

    def close(self, now_us: int | None = None) -> None:
        """Close the catalog; with a time, flush first."""
        if now_us is not None and self.waiting:
            self.flush(now_us)
        self.catalog.close()


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of the rows as they came."""
    hasher = hashlib.sha256("\n".join(frame["pair"].fill_null("").to_list()).encode())
    for column in ("time", "open", "high", "low", "close", "volume"):
        hasher.update(frame[column].to_physical().fill_null(0).to_numpy().tobytes())
    return hasher.hexdigest()


def _span(frame: pl.DataFrame, timeframe: Timeframe) -> tuple[int, int]:
    time = frame["time"].to_physical()
    return int(time.min()), int(time.max()) + timeframe.us  # type: ignore[arg-type]


def _stream_rows(candles: Sequence[Candle]) -> pl.DataFrame:
    return parts.mark_filled(parts.frame_of(candles, Source.STREAM))


def _by_day(frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Rows per UTC day, oldest first; the day's first microsecond names it."""
    days = frame["time"].to_physical() // DAY * DAY
    return [(int(day), frame.filter(days == day)) for day in days.unique().sort().to_list()]


def _with_gate(batch: Batch, gate_json: str) -> Batch:
    return Batch(
        batch_id=f"{batch.batch_id}-quarantine", source=batch.source, client=batch.client, requested=batch.requested,
        received=batch.received, rows=0, sha256=batch.sha256, fetched_us=batch.fetched_us, suite_version=batch.suite_version,
        gate_json=gate_json,
    )  # fmt: skip
