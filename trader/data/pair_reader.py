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


class Rows(NamedTuple):
    """Rows of a part from row `first` on, as columns, and the runs of the part."""

    runs: Mapping[str, Run]
    first: int
    columns: Mapping[str, Values]


class Decoded:
    """Rows of several parts, in memory."""

    def __init__(self, parts_: Sequence[Rows]) -> None:
        self._parts = parts_

    def of(self, pair: str) -> Columns | None:
        """A pair's candles, ascending, copied out of the parts; None where they have none."""
        found = [(rows, rows.runs[pair]) for rows in self._parts if pair in rows.runs]
        return _ordered(Columns(**{name: _joined(name, found) for name in FIELDS})) if found else None


class PartReader:
    """The rows of `pairs` in part files. `rows`: how many each pair has; `spans`: open times of its first and newest, in microseconds.

    Raises CorruptError naming a file that is damaged, or that has a pair in two places.
    """

    def __init__(self, files: Sequence[Path], pairs: Collection[str]) -> None:
        self._chosen = pl.col("pair").is_in(list(pairs)) if len(pairs) < MANY else None
        self._runs = {path: _runs(path, self._chosen, set(pairs)) for path in files}
        self._whole: dict[Path, Rows] = {}  # parts too small to be decoded more than once
        self.rows: dict[str, int] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        for runs in self._runs.values():
            for pair, run in runs.items():
                opens, newest = self.spans.get(pair, (run.opens_us, run.newest_us))
                self.spans[pair] = min(opens, run.opens_us), max(newest, run.newest_us)
                self.rows[pair] = self.rows.get(pair, 0) + run.rows

    def decoded(self, pairs: Collection[str]) -> Decoded:
        """The rows of these pairs."""
        found = []
        for path, runs in self._runs.items():
            if wanted := [runs[pair] for pair in pairs if pair in runs]:
                found.append(self._rows(path, min(run.first for run in wanted), max(run.first + run.rows for run in wanted)))
        return Decoded(found)

    def _rows(self, path: Path, first: int, end: int) -> Rows:
        """The rows [first, end) of a part, and maybe more."""
        if self._chosen is None and parts.large(path):
            return Rows(self._runs[path], first, _values(parts.section(path, first, end - first, FIELDS)))
        if path not in self._whole:
            self._whole[path] = Rows(self._runs[path], 0, _values(parts.select(path, self._chosen, FIELDS)))
        return self._whole[path]


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


def _values(rows: pl.DataFrame) -> dict[str, Values]:
    return {name: rows[name].to_physical().to_numpy() for name in FIELDS}


def _joined(name: str, found: Sequence[tuple[Rows, Run]]) -> Values:
    return np.concatenate([rows.columns[name][run.first - rows.first :][: run.rows] for rows, run in found])


def _ordered(columns: Columns) -> Columns:
    """Candles in the order of their times: parts hold them so as a rule, and follow each other."""
    if (columns.time[1:] > columns.time[:-1]).all():
        return columns
    order = np.argsort(columns.time, kind="stable")
    return Columns(**{name: getattr(columns, name)[order] for name in FIELDS})
