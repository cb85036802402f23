"""Candles of the history store as of one instant: pinned part files, read pair by pair, and one digest of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from trader.data import parts
from trader.data.history import HistoryStore
from trader.data.resample import SHORTER, overlay, resample
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import Timeframe
from trader.ports import Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What `pin` kept: the snapshots of the timeframes asked for and of every shorter one that they can be built from."""

    snapshots: dict[Timeframe, Snapshot]

    @property
    def digest(self) -> str:
        """SHA-256 over the snapshots' digests, shortest timeframe first: equal for equal files."""
        return digest([(str(tf), self.snapshots[tf].digest) for tf in sorted(self.snapshots, key=lambda tf: tf.us)])

    @property
    def files(self) -> int:
        """How many part files are pinned."""
        return sum(len(snapshot.files) for snapshot in self.snapshots.values())

    def columns(self, pairs: Sequence[str], timeframe: Timeframe) -> dict[str, Columns]:
        """Candles of `timeframe` of each pair that has any, holes included: stored ones, and over them those built from shorter
        ones, as every other reader of the store has them. Raises CorruptError naming a damaged file."""
        out: dict[str, Columns] = {}
        for source in (timeframe, *SHORTER[timeframe]):
            for pair, columns in _read(self.snapshots[source], pairs).items():
                built = resample(columns, source, timeframe)
                if len(built):
                    out[pair] = overlay(out[pair], built) if pair in out else built
        return out


def pin(store: HistoryStore, timeframes: Sequence[Timeframe], expires_us: int) -> Pinned:
    """Pin what counts now for these timeframes, provisional rows included, until `expires_us` (microseconds)."""
    wanted = {one for timeframe in timeframes for one in (timeframe, *SHORTER[timeframe])}
    snapshots = {tf: store.snapshot(tf=tf, provisional=True) for tf in sorted(wanted, key=lambda tf: tf.us)}
    for snapshot in snapshots.values():
        store.pin(snapshot, expires_us)
    return Pinned(snapshots=snapshots)


def _read(snapshot: Snapshot, pairs: Sequence[str]) -> dict[str, Columns]:
    chosen = pl.col("pair").is_in(list(pairs))
    rows = pl.concat([parts.empty(), *(parts.select(path, chosen) for path in snapshot.files)]).sort(*parts.KEY)
    return {str(pair): parts.columns_of(frame) for (pair,), frame in rows.group_by("pair", maintain_order=True)}
