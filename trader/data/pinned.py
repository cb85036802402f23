"""Candles of the history store as of one instant: pinned part files, read pair by pair, and one digest of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.history import HistoryStore
from trader.data.resample import SHORTER, overlay, resample
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import Timeframe
from trader.ports import Columns

NEEDED: Final = ("pair", *Columns.__slots__)


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
        return self.several(pairs, (timeframe,))[timeframe]

    def several(self, pairs: Sequence[str], timeframes: Sequence[Timeframe]) -> dict[Timeframe, dict[str, Columns]]:
        """`columns` of several timeframes, each file read once."""
        sources = dict.fromkeys(source for timeframe in timeframes for source in (timeframe, *SHORTER[timeframe]))
        stored = {source: _read(self.snapshots[source], pairs) for source in sources}
        return {timeframe: _built(stored, timeframe) for timeframe in timeframes}


def _built(stored: Mapping[Timeframe, Mapping[str, Columns]], timeframe: Timeframe) -> dict[str, Columns]:
    out: dict[str, Columns] = {}
    for source in (timeframe, *SHORTER[timeframe]):
        for pair, columns in stored[source].items():
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
    """Candles pair by pair. Parts hold whole pairs in order, so a pair's pieces are in order as a rule, and are sorted where not."""
    chosen = pl.col("pair").is_in(list(pairs))
    pieces: dict[str, list[Columns]] = {}
    for path in snapshot.files:
        rows, at = parts.select(path, chosen, NEEDED), 0
        for pair, count in rows["pair"].rle().struct.unnest().select("value", "len").iter_rows():
            pieces.setdefault(pair, []).append(parts.columns_of(rows.slice(at, count)))
            at += count
    return {pair: _ordered(pieces[pair]) for pair in sorted(pieces)}


def _ordered(pieces: Sequence[Columns]) -> Columns:
    """One run of candles in the order of their times."""
    fields = tuple(Columns.__slots__)
    joined = pieces[0] if len(pieces) == 1 else Columns(**{f: np.concatenate([getattr(one, f) for one in pieces]) for f in fields})
    if (np.diff(joined.time) > 0).all():
        return joined
    order = np.argsort(joined.time, kind="stable")
    return Columns(**{f: getattr(joined, f)[order] for f in fields})
