"""Candles of part files pair by pair: where each pair's rows lie is looked up once, then a few pairs at a time are decoded.

In memory is what those few take, and what the reader keeps of what it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from trader.data import parts
from trader.errors import CorruptError
from trader.ports import Columns

MANY: Final = 32
"""From so many pairs on a part's rows are decoded by place: below it only a few rows of a part are wanted, and a filter finds them."""
FIELDS: Final = Columns.__slots__
Values = np.ndarray[Any, np.dtype[Any]]


class Run(NamedTuple):
    """The rows of a pair in a part, which follow each other: the first, how many, and the open times of the first and last."""

    first: int
    rows: int
    opens_us: int
    newest_us: int


class Piece(NamedTuple):
    """Rows [begin, end) of columns that lie in memory."""

    columns: Mapping[str, Values]
    begin: int
    end: int


class Decoded:
    """Candles of some pairs, in pieces as the parts have them."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Piece]] = {}

    def add(self, chunks: Sequence[Piece], runs: Mapping[str, Run], pairs: Collection[str]) -> None:
        """What these chunks of a part have of the pairs; a piece's `begin` and `end` are rows of the part here."""
        for pair in pairs:
            run = runs[pair]
            for columns, begin, end in chunks:
                first, last = max(run.first, begin), min(run.first + run.rows, end)
                if first < last:
                    self._pieces.setdefault(pair, []).append(Piece(columns, first - begin, last - begin))

    def of(self, pair: str) -> Columns | None:
        """A pair's candles, ascending, copied out of the parts; None where they have none."""
        if pair not in self._pieces:
            return None
        pieces = self._pieces[pair]
        return _ordered(Columns(**{name: np.concatenate([one[name][begin:end] for one, begin, end in pieces]) for name in FIELDS}))


class PartReader:
    """The rows of `pairs` in part files. `rows`: how many each pair has; `spans`: open times of its first and newest, in microseconds.

    Raises CorruptError naming a file that is damaged, or that has a pair in two places.
    """

    def __init__(self, files: Sequence[Path], pairs: Collection[str]) -> None:
        self._chosen = pl.col("pair").is_in(list(pairs)) if len(pairs) < MANY else None
        self._runs = {path: _runs(path, self._chosen, set(pairs)) for path in files}
        self._small: dict[Path, Sequence[Piece]] = {}  # parts too small to be decoded once for every few pairs
        self.rows: dict[str, int] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        for runs in self._runs.values():
            for pair, run in runs.items():
                opens, newest = self.spans.get(pair, (run.opens_us, run.newest_us))
                self.spans[pair] = min(opens, run.opens_us), max(newest, run.newest_us)
                self.rows[pair] = self.rows.get(pair, 0) + run.rows

    def decoded(self, pairs: Collection[str]) -> Decoded:
        """The rows of these pairs."""
        found = Decoded()
        for path, runs in self._runs.items():
            if inside := [pair for pair in pairs if pair in runs]:
                first, end = min(runs[pair].first for pair in inside), max(runs[pair].first + runs[pair].rows for pair in inside)
                found.add(self._chunks(path, first, end), runs, inside)
        return found

    def forget(self) -> None:
        """Drop the parts that are held."""
        self._small.clear()

    def _chunks(self, path: Path, first: int, end: int) -> Sequence[Piece]:
        """The rows [first, end) of a part, and maybe more."""
        if self._chosen is None and parts.large(path):
            return _chunks(parts.section(path, first, end - first, FIELDS), first)
        if path not in self._small:
            self._small[path] = _chunks(parts.select(path, self._chosen, FIELDS), 0)
        return self._small[path]


def _runs(path: Path, chosen: pl.Expr | None, pairs: Collection[str]) -> dict[str, Run]:
    """Where the wanted pairs are among the rows that are chosen."""
    rows = parts.select(path, chosen, ("pair", "time"))
    found: dict[str, Run] = {}
    time, at = rows["time"].to_physical(), 0
    for pair, size in rows["pair"].rle().struct.unnest().select("value", "len").iter_rows():
        if pair in found:
            raise CorruptError(f"{path}: rows of {pair} lie in two places")
        if pair in pairs:
            found[pair] = Run(at, size, time[at], time[at + size - 1])
        at += size
    return found


def _chunks(rows: pl.DataFrame, first: int) -> list[Piece]:
    """Rows as Polars decoded them, chunk by chunk, which copies little; `first`: of which row of the part the first one is."""
    chunks = {name: rows[name].to_physical().get_chunks() for name in FIELDS}
    if len({tuple(map(len, one)) for one in chunks.values()}) != 1:  # Polars does not promise to cut all columns at the same rows
        chunks = {name: [rows[name].to_physical().rechunk()] for name in FIELDS}
    found, begin = [], first
    for columns in zip(*chunks.values(), strict=True):
        found.append(Piece(dict(zip(FIELDS, [one.to_numpy() for one in columns], strict=True)), begin, begin + len(columns[0])))
        begin += len(columns[0])
    return found


def _ordered(columns: Columns) -> Columns:
    """Candles in the order of their times: parts hold them so as a rule, and follow each other."""
    if (columns.time[1:] > columns.time[:-1]).all():
        return columns
    order = np.argsort(columns.time, kind="stable")
    return Columns(**{name: getattr(columns, name)[order] for name in FIELDS})
