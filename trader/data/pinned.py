"""Candles of the history store as of one instant: pinned part files, read pair by pair, and one digest of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.history import HistoryStore
from trader.data.resample import SHORTER, overlay, resample
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import Timeframe
from trader.ports import Columns

NEEDED: Final = ("pair", *Columns.__slots__)
MANY: Final = 32
"""From so many pairs on parts are read whole: most rows of a part are wanted as a rule, and choosing them costs more than it saves."""
Values = np.ndarray[Any, np.dtype[Any]]


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
    wanted, chosen = set(pairs), pl.col("pair").is_in(list(pairs)) if len(pairs) < MANY else None
    whole: dict[str, list[Values]] = {name: [] for name in Columns.__slots__}
    runs: dict[str, list[tuple[int, slice]]] = {}  # of each pair: number of the part, rows there
    for number, path in enumerate(snapshot.files):
        rows, at = parts.select(path, chosen, NEEDED), 0
        for pair, count in rows["pair"].rle().struct.unnest().select("value", "len").iter_rows():
            if pair in wanted:
                runs.setdefault(pair, []).append((number, slice(at, at + count)))
            at += count
        columns = parts.columns_of(rows)
        for name, pieces in whole.items():
            pieces.append(getattr(columns, name))
    found: dict[str, dict[str, Values]] = {pair: {} for pair in sorted(runs)}
    for name in Columns.__slots__:
        pieces = whole.pop(name)  # and gone: two copies of one field are in memory, never of all
        for pair, fields in found.items():
            fields[name] = np.concatenate([pieces[number][rows] for number, rows in runs[pair]])
    return {pair: _ordered(Columns(**fields)) for pair, fields in found.items()}


def _ordered(columns: Columns) -> Columns:
    """Candles in the order of their times."""
    if (columns.time[1:] > columns.time[:-1]).all():
        return columns
    order = np.argsort(columns.time, kind="stable")
    return Columns(**{name: getattr(columns, name)[order] for name in Columns.__slots__})
