"""Candles of the history store as of one instant: pinned part files, read pair by pair, and one digest of them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trader.data.history import HistoryStore
from trader.data.pair_reader import PartReader
from trader.data.resample import SHORTER, overlay, resample
from trader.data.snapshot import Snapshot, digest
from trader.domain.market import Timeframe
from trader.ports import Columns

AT_ONCE: Final = 1_200_000
"""Rows that are decoded at once: 60 MB. Fewer cost more in calls, more only take memory."""


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


class PinnedReader:
    """Candles of pinned files: stored ones, and over them those built from shorter ones, as every other reader of the store has them.

    Raises CorruptError naming a damaged file.
    """

    def __init__(self, pinned: Pinned, pairs: Sequence[str], timeframes: Sequence[Timeframe]) -> None:
        self.timeframes = tuple(timeframes)
        sources = dict.fromkeys(source for timeframe in timeframes for source in (timeframe, *SHORTER[timeframe]))
        self._readers = {source: PartReader(pinned.snapshots[source].files, pairs) for source in sources}

    def spans(self, timeframe: Timeframe) -> Mapping[str, tuple[int, int]]:
        """Open times of the first and the newest stored candle of each pair, in microseconds; what could be built is not asked."""
        return self._readers[timeframe].spans

    def read(self, pairs: Sequence[str]) -> Iterator[tuple[str, dict[Timeframe, Columns]]]:
        """Each of these pairs with its candles, holes included; a timeframe without any is left out. One pair's are in memory at a
        time, beside the parts they are copied from."""
        for batch in _batches(pairs, {pair: sum(one.rows.get(pair, 0) for one in self._readers.values()) for pair in pairs}):
            decoded = {source: reader.decoded(batch) for source, reader in self._readers.items()}
            for pair in batch:
                stored = {source: found for source, one in decoded.items() if (found := one.of(pair)) is not None}
                built = {timeframe: _built(stored, timeframe) for timeframe in self.timeframes}
                del stored
                yield pair, {timeframe: columns for timeframe, columns in built.items() if columns is not None}
                del built
            del decoded
        for reader in self._readers.values():
            reader.forget()


def _batches(pairs: Iterable[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    for pair in pairs:
        if batch and sum(rows[one] for one in batch) + rows[pair] > AT_ONCE:
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _built(stored: Mapping[Timeframe, Columns], timeframe: Timeframe) -> Columns | None:
    found: Columns | None = None
    for source in (timeframe, *SHORTER[timeframe]):
        if source in stored and len(built := resample(stored[source], source, timeframe)):
            found = built if found is None else overlay(found, built)
    return found


def pin(store: HistoryStore, timeframes: Sequence[Timeframe], expires_us: int) -> Pinned:
    """Pin what counts now for these timeframes, provisional rows included, until `expires_us` (microseconds)."""
    wanted = {one for timeframe in timeframes for one in (timeframe, *SHORTER[timeframe])}
    snapshots = {tf: store.snapshot(tf=tf, provisional=True) for tf in sorted(wanted, key=lambda tf: tf.us)}
    for snapshot in snapshots.values():
        store.pin(snapshot, expires_us)
    return Pinned(snapshots=snapshots)
