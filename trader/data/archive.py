"""Import of OHLCVT archives: files are read one after the other into a staging folder, then judged and stored month by month.

The detour makes a part of each month once, whatever the number of pairs, in bounded memory: files hold one pair for years, parts
hold all pairs for a month. A file that is wholly stored is remembered by its SHA-256, in the transaction of its last rows; a run
that was killed begins again with the files that are not, and what they hold already is not stored twice.
"""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from trader.data import gate_book, parts
from trader.data.archive_files import ArchiveFile, Contents
from trader.data.archive_rows import RowReader, Tally
from trader.data.catalog import Batch
from trader.data.coverage import covered, cut
from trader.data.history import CLIENT, HistoryStore, fingerprint
from trader.data.ingest import compared
from trader.data.judged import GateResult
from trader.data.ladder import month_of
from trader.data.parts import Source
from trader.domain.market import MINUTE, Timeframe
from trader.errors import RejectedError

Progress = Callable[[int, int, str], None]
Judge = Callable[[Callable[[Path], object]], GateResult]
"""The gate: told how to write the staged rows, returns its verdicts."""
STAGING: Final = "archive.new"
PIECE_ROWS: Final = 1_000_000  # rows judged and stored at a time: well under a GB at the peak
WAVE_BYTES: Final = 4 << 30  # of text read before anything is stored
ZONE_BARS: Final = 24  # candles needed to tell a shifted file
DAMAGE: Final = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Bars for which a file has no row: no trades, so they were filled; `open`: left open beside refused rows."""

    pair: str
    timeframe: Timeframe
    start_us: int
    end_us: int
    open: bool

    @property
    def bars(self) -> int:
        return (self.end_us - self.start_us) // self.timeframe.us


@dataclass(slots=True, kw_only=True)
class ArchiveReport:
    """What an import did. `problems`: file (and row) with the reason, the first thousand a file; `skipped`: imported before."""

    files: int = 0
    skipped: int = 0
    rows: int = 0
    filled: int = 0
    added: int = 0
    revisions: int = 0
    refused: int = 0
    repeated: int = 0
    unread: int = 0  # files left for the next run
    problems: list[str] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def take(self, other: ArchiveReport) -> None:
        """Add what another import did."""
        for name in ("files", "skipped", "rows", "filled", "added", "revisions", "refused", "repeated", "unread"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.problems += other.problems
        self.quarantined |= other.quarantined
        self.missing += other.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A file that was read: its rows in `path`, counted by month."""

    file: ArchiveFile
    sha256: str
    path: Path
    months: Mapping[int, int]


Piece = tuple[Timeframe, int, int, tuple[str, ...]]
"""Timeframe, [start, end) and pairs that are judged and stored together."""


class ArchiveImport:
    """One import into a store. `judge` is the gate; `stopping` is asked between files and pieces."""

    def __init__(
        self,
        store: HistoryStore,
        *,
        now_us: int,
        judge: Judge,
        progress: Progress | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self.store, self.now_us, self.report = store, now_us, ArchiveReport()
        self._judge, self._progress, self._stopping = judge, progress or (lambda *_: None), stopping or (lambda: False)
        self._staging = store.directory / STAGING
        self._done = self._total = 0

    def run(self, found: Contents) -> ArchiveReport:
        """Read, judge and store every file that is not imported yet. Raises RejectedError where the gate refuses a piece."""
        self.report.problems += [f"{name}: {reason}" for name, reason in found.unusable.items()]
        self._total = sum(file.size for file in found.files)
        try:
            for wave in _waves(found.files):
                if self._stopping():
                    self.report.unread += len(wave)
                    continue
                shutil.rmtree(self._staging, ignore_errors=True)
                self._staging.mkdir(mode=0o700)
                self._store(self._stage(wave))
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
        return self.report

    # --- reading -------------------------------------------------------------------------------------------------------
    def _stage(self, wave: Sequence[ArchiveFile]) -> list[Staged]:
        staged = []
        recent: dict[Timeframe, pl.DataFrame] = {}
        for number, file in enumerate(wave):
            if self._stopping():
                self.report.unread += len(wave) - number
                break
            self._progress(self._done, self._total, f"reading {file.name}")
            if file.timeframe not in recent:
                snapshot = self.store.snapshot(tf=file.timeframe, provisional=True)
                recent[file.timeframe] = snapshot.window(None, 720).filter(~pl.col("filled"), pl.col("source") < int(Source.ARCHIVE))
            one = self._read(file, number, recent[file.timeframe])
            self._done += file.size
            if one is not None:
                staged.append(one)
        return staged

    def _read(self, file: ArchiveFile, number: int, recent: pl.DataFrame) -> Staged | None:
        """A file's good rows in the staging folder; None for one imported before, empty, damaged or of another time zone."""
        path = self._staging / f"{number}.parquet"
        try:
            sha256 = file.sha256()
            if sha256[:16] in self._imported(file):
                self.report.skipped += 1
                return None
            months, tally = self._write(file, path)
        except DAMAGE as error:
            self.report.problems.append(f"{file.name}: damaged ({type(error).__name__}: {error}); nothing of it was taken")
            return None
        if hours := shifted(pl.scan_parquet(path), recent.filter(pair=file.pair), file.timeframe):
            words = f"its times are {abs(hours)} h {'ahead of' if hours > 0 else 'behind'} the stored candles: not UTC"
            self.report.problems.append(f"{file.name}: {words}; nothing of it was taken")
            return None
        self._count(file, tally)
        return Staged(file=file, sha256=sha256, path=path, months=months)

    def _write(self, file: ArchiveFile, path: Path) -> tuple[dict[int, int], Tally]:
        from pyarrow import parquet

        months: dict[int, int] = {}
        reader = RowReader(file.pair, file.timeframe, self.now_us)
        schema = parts.empty().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        with file.open() as stream, parquet.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
            for rows in reader.read(stream):
                if rows.is_empty():
                    continue
                writer.write_table(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
                for first, count in rows.group_by(pl.col("time").dt.truncate("1mo").to_physical(), maintain_order=True).len().iter_rows():
                    months[first] = months.get(first, 0) + count
        return months, reader.tally

    def _count(self, file: ArchiveFile, tally: Tally) -> None:
        report = self.report
        report.files += 1
        for name in ("rows", "filled", "refused", "repeated"):
            setattr(report, name, getattr(report, name) + getattr(tally, name))
        if not tally.rows:
            report.problems.append(f"{file.name}: no usable row")
        report.problems += [f"{file.name} row {bad.line}: {bad.reason}" for bad in tally.named]
        for holes, left_open in ((tally.holes, False), (tally.open_holes, True)):
            report.missing += [
                Missing(pair=file.pair, timeframe=file.timeframe, start_us=start, end_us=end, open=left_open) for start, end in holes
            ]

    def _imported(self, file: ArchiveFile) -> list[str]:
        found = self.store.catalog.cursor("spot", file.timeframe, file.pair, Source.ARCHIVE.label)
        return found.split() if found else []

    # --- storing -------------------------------------------------------------------------------------------------------
    def _store(self, staged: Sequence[Staged]) -> None:
        pieces = list(_pieces(staged))
        for number, group in enumerate(_grouped(pieces, staged)):
            if self._stopping():
                self.report.unread += len(staged)
                return
            frames = [(piece, self._rows(piece, staged)) for piece in group]
            self._progress(self._done, self._total, f"judging and storing {sum(len(rows) for _, rows in frames)} rows ({number + 1})")
            verdicts = self._judge(partial(write_staged, [(piece[0], rows) for piece, rows in frames], self.now_us, self.store))
            if verdicts.refused:
                raise RejectedError(f"the gate refused the batch: {verdicts.refused}")
            for piece, rows in frames:
                self._commit(piece, rows, verdicts, staged)
        self._finish(staged)

    def _rows(self, piece: Piece, staged: Sequence[Staged]) -> pl.DataFrame:
        """Rows of a piece, one per pair and time: of two files the later name, but a real row before a filled one."""
        timeframe, start, end, pairs = piece
        files = [one.path for one in staged if one.file.timeframe is timeframe and one.file.pair in pairs and one.months]
        time = pl.col("time").to_physical()
        rows = (
            pl.scan_parquet(files, schema=pl.Schema(parts.SCHEMA), glob=False).filter(time.is_between(start, end, closed="left")).collect()
        )
        rows = rows.sort("pair", "time", ~pl.col("filled"), maintain_order=True)
        return rows.unique(parts.KEY, keep="last", maintain_order=True)

    def _commit(self, piece: Piece, rows: pl.DataFrame, verdicts: GateResult, staged: Sequence[Staged]) -> None:
        """A transaction a month, so that the session's minutes never wait long: what passed, its coverage and provenance.

        Refused pairs are quarantined as everywhere.
        """
        timeframe = piece[0]
        words = verdicts.of(timeframe)
        refused = [verdict for verdict in words.values() if verdict.critical is not None]
        batch = self._provenance(piece, rows, verdicts, staged)
        bad = pl.col("pair").is_in([verdict.pair for verdict in refused])
        if refused:
            self.store.quarantine(rows.filter(bad), refused, batch=batch, now_us=self.now_us)
            self.report.quarantined |= {
                f"{v.pair} {timeframe}": f"{v.critical.expectation}: {v.critical.detail}" for v in refused if v.critical
            }
        good = rows.filter(~bad)
        cover = covered(good, timeframe, batch.source, batch.batch_id)
        for month, part in good.group_by(pl.col("time").dt.truncate("1mo").to_physical(), maintain_order=True):
            span = month_of(int(month[0]))
            inside = [
                cut(c, max(c.start_us, span[0]), min(c.end_us, span[1])) for c in cover if c.start_us < span[1] and span[0] < c.end_us
            ]
            done = self.store.upsert(part, timeframe, batch=replace(batch, rows=len(part)), now_us=self.now_us, cover=inside, bulk=True)
            self.report.added += done.added
            self.report.revisions += done.revisions

    def _provenance(self, piece: Piece, rows: pl.DataFrame, verdicts: GateResult, staged: Sequence[Staged]) -> Batch:
        timeframe, start, end, pairs = piece
        digest = fingerprint(rows)
        files = {one.file.name: one.sha256 for one in staged if one.file.timeframe is timeframe and one.file.pair in pairs}
        note = json.loads(gate_book.results_json(rows, timeframe, verdicts)) | {"files": files}
        return Batch(
            batch_id=f"archive-{timeframe}-{digest[:24]}", source=Source.ARCHIVE.label, client=CLIENT, requested=(start, end),
            received=(start, end), rows=len(rows), sha256=digest, fetched_us=self.now_us, suite_version=verdicts.suite_version,
            gate_json=json.dumps(note, sort_keys=True),
        )  # fmt: skip

    def _finish(self, staged: Sequence[Staged]) -> None:
        """Everything of these files is stored: remember them."""
        with self.store.catalog.write():
            for one in staged:
                known = [*self._imported(one.file), one.sha256[:16]]
                position = [(one.file.pair, " ".join(dict.fromkeys(known)))]
                self.store.catalog.set_cursors("spot", one.file.timeframe, Source.ARCHIVE.label, position, self.now_us)


def write_staged(frames: Sequence[tuple[Timeframe, pl.DataFrame]], judged_us: int, store: HistoryStore, path: Path) -> Path:
    """Rows for the gate: with what the store says about them, their timeframe, and the time they are judged at."""
    pieces = [
        compared(rows, timeframe, store).with_columns(tf=pl.lit(str(timeframe)), judged_us=pl.lit(judged_us))
        for timeframe, rows in frames
        if len(rows)
    ]
    pl.concat(pieces).write_parquet(path)
    path.chmod(0o600)
    return path


def shifted(rows: pl.LazyFrame, stored: pl.DataFrame, timeframe: Timeframe) -> int:
    """Hours by which a file's times are off the stored candles of its pair; 0 where they fit or too few overlap to tell."""
    step = timeframe.us
    if len(stored) < ZONE_BARS:
        return 0
    known = stored.select(pl.col("time").to_physical(), "close")
    low, high = int(known["time"].min()) - 15 * 60 * MINUTE, int(known["time"].max()) + 15 * 60 * MINUTE  # type: ignore[arg-type]
    time = pl.col("time").to_physical()
    mine = rows.filter(time.is_between(low, high)).select(time, "close").collect()

    def agreement(hours: int) -> float:
        both = mine.with_columns(pl.col("time") - hours * 60 * MINUTE).join(known, on="time", suffix="_known")
        return float((both["close"] == both["close_known"]).mean() or 0.0) if len(both) >= ZONE_BARS else -1.0  # type: ignore[arg-type]

    if not 0 <= agreement(0) < 0.5:
        return 0
    hours = [h for h in range(-14, 15) if h and (h * 60 * MINUTE) % step == 0 and agreement(h) > 0.9]
    return hours[0] if hours else 0


def _waves(files: Sequence[ArchiveFile]) -> Iterator[list[ArchiveFile]]:
    """Files in the order given, at most WAVE_BYTES at a time."""
    wave: list[ArchiveFile] = []
    size = 0
    for file in files:
        if wave and size + file.size > WAVE_BYTES:
            yield wave
            wave, size = [], 0
        wave.append(file)
        size += file.size
    if wave:
        yield wave


def _pieces(staged: Sequence[Staged]) -> Iterator[Piece]:
    """Stretches of months of at most PIECE_ROWS rows; a month with more is cut by pairs."""
    for timeframe in Timeframe:
        files = [one for one in staged if one.file.timeframe is timeframe]
        counts: dict[int, dict[str, int]] = {}
        for one in files:
            for month, rows in one.months.items():
                by_pair = counts.setdefault(month, {})
                by_pair[one.file.pair] = by_pair.get(one.file.pair, 0) + rows
        every = tuple(dict.fromkeys(one.file.pair for one in files))
        begin, total = None, 0
        for month in sorted(counts):
            size = sum(counts[month].values())
            if begin is not None and total + size > PIECE_ROWS:
                yield timeframe, begin, month, every
                begin, total = None, 0
            if size > PIECE_ROWS:
                yield from ((timeframe, *month_of(month), pairs) for pairs in _by_pairs(counts[month]))
                continue
            begin, total = month if begin is None else begin, total + size
        if begin is not None:
            yield timeframe, begin, month_of(max(counts))[1], every


def _by_pairs(counts: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    chosen: list[str] = []
    total = 0
    for pair, rows in counts.items():
        if chosen and total + rows > PIECE_ROWS:
            yield tuple(chosen)
            chosen, total = [], 0
        chosen.append(pair)
        total += rows
    if chosen:
        yield tuple(chosen)


def _grouped(pieces: Sequence[Piece], staged: Sequence[Staged]) -> Iterator[list[Piece]]:
    """Pieces that one call of the gate judges: small ones of several timeframes go together, never two of the same."""
    group: list[Piece] = []
    total = 0
    for piece in pieces:
        timeframe, start, end, pairs = piece
        size = sum(
            rows for one in staged if one.file.timeframe is timeframe and one.file.pair in pairs
            for month, rows in one.months.items() if start <= month < end
        )  # fmt: skip
        if group and (total + size > PIECE_ROWS or any(timeframe is other[0] for other in group)):
            yield group
            group, total = [], 0
        group.append(piece)
        total += size
    if group:
        yield group
