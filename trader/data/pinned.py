"""Candles of the history store as of one instant: pinned part files, read pair by pair, and one digest of them all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Final

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.history import HistoryStore
from trader.data.resample import SHORTER, overlay, resample
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import Timeframe
from trader.ports import Columns

MANY: Final = 32
"""From so many pairs on parts are read whole: most rows of a part are wanted as a rule, and choosing them costs more than it saves."""
KINDS: Final = {name: np.dtype(np.float64) for name in Columns.__slots__} | {"time": np.dtype(np.int64), "filled": np.dtype(np.bool_)}
Values = np.ndarray[Any, np.dtype[Any]]
Run = tuple[str, int, int]
"""A pair, its first row in a part, and how many there are."""


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

    def holds_only(self, timeframe: Timeframe) -> bool:
        """Whether candles of no other timeframe are pinned."""
        return not any(snapshot.files for tf, snapshot in self.snapshots.items() if tf is not timeframe)

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
    """Candles pair by pair. Those of all pairs lie end to end in one array a field: each part is copied there once and dropped, so
    that memory holds the candles, one part, and no more; and who wants them end to end (`research/board`) need not copy them again.
    Parts hold whole pairs in order, so a pair's pieces are in order as a rule, and are sorted where not."""
    chosen = pl.col("pair").is_in(list(pairs)) if len(pairs) < MANY else None
    runs = [_runs(parts.select(path, chosen, ("pair",))["pair"], set(pairs)) for path in snapshot.files]
    sizes: dict[str, int] = {}
    for pair, _, size in chain.from_iterable(runs):
        sizes[pair] = sizes.get(pair, 0) + size
    names = sorted(sizes)
    ends = dict(zip(names, accumulate(sizes[pair] for pair in names), strict=True))
    begins = {pair: ends[pair] - sizes[pair] for pair in names}
    whole = {name: np.empty(sum(sizes.values()), kind) for name, kind in KINDS.items()}
    at = dict(begins)
    for path, inside in zip(snapshot.files, runs, strict=True):
        _copy(parts.select(path, chosen, Columns.__slots__), inside, whole, at)
    return {pair: _ordered(Columns(**{name: one[begins[pair] : ends[pair]] for name, one in whole.items()})) for pair in names}


def _runs(pairs: pl.Series, wanted: Collection[str]) -> list[Run]:
    """The rows of each wanted pair that follow each other in a part."""
    found, at = [], 0
    for pair, size in pairs.rle().struct.unnest().select("value", "len").iter_rows():
        if pair in wanted:
            found.append((pair, at, size))
        at += size
    return found


def _copy(rows: pl.DataFrame, runs: Sequence[Run], whole: Mapping[str, Values], at: dict[str, int]) -> None:
    """The rows of a part to where their pairs go on, which `at` says and is moved by."""
    for name, into in whole.items():
        values = rows[name].to_physical().to_numpy()
        for pair, first, size in runs:
            into[at[pair] : at[pair] + size] = values[first : first + size]
            at[pair] += size
        for pair, _, size in runs:
            at[pair] -= size
    for pair, _, size in runs:
        at[pair] += size


def _ordered(columns: Columns) -> Columns:
    """Candles in the order of their times."""
    if (columns.time[1:] > columns.time[:-1]).all():
        return columns
    order = np.argsort(columns.time, kind="stable")
    return Columns(**{name: getattr(columns, name)[order] for name in Columns.__slots__})
