"""The history store: immutable Parquet parts, a catalog that says which count; reading, writing, the gate's hold, upkeep.

Layout: DATA.md section 2. Reading is in `history_reading`, commits are in `history_writing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from trader.data import gate_book, part_files, parts
from trader.data.catalog import Batch, Block
from trader.data.compaction import CompactReport, compact, fold, sweep
from trader.data.coverage import Coverage, uncovered
from trader.data.gate_book import PairResult, Repair
from trader.data.history_writing import CLIENT, HistoryWriter, Upserted, fingerprint, span
from trader.data.judged import GateResult, Verdict
from trader.data.parts import COLUMNS
from trader.data.snapshot import Snapshot
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.errors import RejectedError
from trader.ports import KillPoints

HOUR: Final = 60 * MINUTE
FOLD_DELAY_US: Final = 5 * MINUTE  # a finished day is folded from 00:05 on
__all__ = ("CLIENT", "HistoryStore", "Upserted", "fingerprint")


class HistoryStore(HistoryWriter):
    """Candles of all pairs and timeframes under one folder; many reader processes, one writer at a time.

    `commit_every_us`: how long appended minutes may stay in memory (0 = every call is on disk when it returns).
    Raises CorruptError for a damaged file, RetryableError where another writer holds the catalog.
    """

    def __init__(self, directory: Path, *, commit_every_us: int = 15 * MINUTE, kill_points: KillPoints | None = None) -> None:
        super().__init__(directory, commit_every_us=commit_every_us, kill_points=kill_points)
        self._folded_to: int | None = None
        self._swept_at: int | None = None

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
                start, end = span(rows, tf)
                ranges.append(
                    Coverage(
                        pair=verdict.pair, start_us=start, end_us=end, state="quarantined", source=batch.source, batch_id=batch.batch_id
                    )
                )
        if not blocks:
            return
        tf = verdicts[0].timeframe
        with self.catalog.write():
            self._set_down(frame, {b.pair: (b.expectation, b.detail) for b in blocks}, batch, tf, market)
            self.catalog.cover(market, tf, uncovered(ranges, self.catalog.coverage(market, tf, [r.pair for r in ranges])))
            self.catalog.block(market, blocks)

    def set_aside(self, verdict: Verdict, *, batch: Batch, start_us: int, end_us: int, market: str = "spot") -> int:
        """Take stored rows of one pair in [start, end) out of every reader's sight; returns how many.

        For what an audit finds later: the rows move to the quarantine, new parts without them count, the range is no longer
        fetched, and the pair's block opens, all in one transaction. Raises ValueError for a verdict without a critical failure.
        """
        if (worst := verdict.critical) is None:
            raise ValueError(f"{verdict.pair}: nothing critical to set aside")
        tf, time, now_us = verdict.timeframe, pl.col("time").to_physical(), batch.fetched_us
        bad = (pl.col("pair") == verdict.pair) & time.is_between(start_us, end_us, closed="left")
        gone = Coverage(
            pair=verdict.pair, start_us=start_us, end_us=end_us, state="quarantined", source=batch.source,
            batch_id=f"{batch.batch_id}-quarantine",
        )  # fmt: skip
        taken = []
        with self.catalog.write():
            for part in self.catalog.parts(market, tf, start_us, end_us):
                rows = self._read(part)
                removed = rows.filter(bad)
                if removed.is_empty():
                    continue
                taken.append(removed)
                kept = rows.filter(~bad)
                if kept.is_empty():
                    self.catalog.replace([part], None, schema_version=parts.SCHEMA_VERSION, at_us=now_us)
                    continue
                self.put(kept, tf, market=market, rung=part.rung, start_us=part.start_us, end_us=part.end_us, old=[part], now_us=now_us)
            frame = pl.concat([parts.empty(), *taken])
            self._set_down(frame, {verdict.pair: (worst.expectation, f"{tf} {worst.detail}")}, batch, tf, market)
            self.catalog.cover(market, tf, [gone])
            block = Block(tf=tf, pair=verdict.pair, since_us=now_us, expectation=worst.expectation, detail=f"{tf} {worst.detail}")
            self.catalog.block(market, [block])
        return len(frame)

    def _set_down(self, frame: pl.DataFrame, failures: Mapping[str, tuple[str, str]], batch: Batch, tf: Timeframe, market: str) -> None:
        """Inside a `catalog.write()`: refused rows into a quarantine file that the batch's record names."""
        note: dict[str, Any] = {"failures": {pair: list(words) for pair, words in failures.items()}}
        if len(frame):
            note["quarantine"] = part_files.write(
                self.directory / "quarantine", frame.select(COLUMNS), market=market, timeframe=tf, start_us=batch.fetched_us,
                sequence=self.catalog.next_sequence(), reach=self.reach,
            ).name  # fmt: skip
        self.catalog.record_batch(_with_gate(batch, json.dumps(note, sort_keys=True)))

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

    def put_repairs(
        self, tf: Timeframe, fetched: Mapping[str, tuple[int, int]], found: Sequence[Repair], now_us: int, market: str = "spot"
    ) -> None:
        """After a commit: end the repairs its ranges answer, queue those its warnings ask for.

        What a crash between the two transactions forgets, the nightly audit finds again.
        """
        with self.catalog.write():
            gate_book.settle(self.catalog, tf, fetched, found, at_us=now_us, market=market)
            gate_book.queue(self.catalog, found, market=market)

    def repairs(self, market: str = "spot") -> list[Repair]:
        """Ranges that warnings ask to fetch again, oldest first; a commit that brings a range ends its repair."""
        return gate_book.open_repairs(self.catalog, market)

    def gate_results(self, pair: str, since_us: int, until_us: int) -> list[PairResult]:
        """The gate's recorded results on rows of a pair that open in [since, until), oldest judgement first."""
        return gate_book.gate_results(self.catalog, pair, since_us, until_us)

    def clear(self, pair: str, *, by: str, reason: str, now_us: int, market: str = "spot") -> list[Block]:
        """End every open block of a pair in a person's name; returns them. Failures that are unlikely, not impossible, count as
        accepted from then on: the same rows pass when they are fetched again.

        Raises RejectedError for a pair without a block, or without a name and a reason.
        """
        if not by.strip() or not reason.strip():
            raise RejectedError("clearing a block needs a name and a reason")
        with self.catalog.write():
            open_now = [block for block in self.catalog.blocks(market) if block.pair == pair]
            if not open_now:
                names = sorted({block.pair for block in self.catalog.blocks(market)})
                raise RejectedError(f"pair {pair!r}: the gate does not block it; blocked: {', '.join(names) or 'none'}")
            gate_book.clear_by(self.catalog, market, pair, by=by, reason=reason, now_us=now_us)
        return open_now

    # --- upkeep --------------------------------------------------------------------------------------------------------
    def maintain(self, now_us: int) -> None:
        """Fold the minutes of finished days, and sweep replaced files once an hour: what the session's own store needs."""
        today = (now_us - FOLD_DELAY_US) // DAY * DAY
        if self._folded_to is None or today > self._folded_to:
            compact(self, Timeframe.M1, today, now_us, months=False)
            self._folded_to = today
        if self._swept_at is None or now_us - self._swept_at >= HOUR:
            sweep(self, now_us)
            self._swept_at = now_us

    def compact(self, now_us: int, machine_us: int | None = None) -> CompactReport:
        """Fold all that is finished, months included, and sweep; `machine_us`: also orphans of killed writers, by their age."""
        report = fold(self, tuple(Timeframe), (now_us - FOLD_DELAY_US) // DAY * DAY, now_us)
        sweep(self, now_us, machine_us)
        return report

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


def _with_gate(batch: Batch, gate_json: str) -> Batch:
    return Batch(
        batch_id=f"{batch.batch_id}-quarantine", source=batch.source, client=batch.client, requested=batch.requested,
        received=batch.received, rows=0, sha256=batch.sha256, fetched_us=batch.fetched_us, suite_version=batch.suite_version,
        gate_json=gate_json,
    )  # fmt: skip
