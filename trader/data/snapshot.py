"""A pinned list of part files, and the ways to read it: newest rows, arrays of a pair, lazy scan, SQL.

After it was made a snapshot needs no catalog: its files are never modified, and the collector waits an hour.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from trader.data import parts
from trader.data.parts import SCHEMA, Source
from trader.data.resample import segments
from trader.domain.market import Timeframe
from trader.errors import CorruptError
from trader.ports import Columns

if TYPE_CHECKING:
    import duckdb

EMPTY_VIEW = "SELECT " + ", ".join(
    f"NULL::{kind} AS {name}"
    for name, kind in zip(
        SCHEMA, ("VARCHAR", "TIMESTAMPTZ", *["DOUBLE"] * 6, "INTEGER", "BOOLEAN", "UTINYINT"), strict=True
    )
) + " WHERE false"  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Candles of one market and timeframe as of one instant.

    `files`: ascending in time; `digest`: SHA-256 over (name, SHA-256) of each, equal for equal content and commits.
    Only accepted rows unless `provisional`. Reading raises CorruptError naming the file that is damaged.
    """

    market: str
    timeframe: Timeframe
    files: tuple[Path, ...]
    hashes: tuple[str, ...]  # SHA-256 of each file
    digest: str
    since_us: int | None
    until_us: int | None
    provisional: bool
    mixed: bool  # some file holds provisional rows

    def scan(self) -> pl.LazyFrame:
        """All rows, lazily, in stored order (files by time; pair, time inside each)."""
        if not self.files:
            return parts.empty().lazy()
        frame = pl.scan_parquet(list(self.files), schema=pl.Schema(SCHEMA), glob=False)
        return frame.filter(condition) if (condition := self._condition()) is not None else frame

    def window(self, pairs: Sequence[str] | None, n: int) -> pl.DataFrame:
        """The newest `n` rows of each pair (all pairs for None), ascending within a pair; reads no more files than needed."""
        pieces: list[pl.DataFrame] = []
        have: dict[str, int] = {}
        chosen = self._condition()
        if pairs is not None:
            named = pl.col("pair").is_in(list(pairs))
            chosen = named if chosen is None else chosen & named
        for path in reversed(self.files):
            piece, counted = _newest(parts.select(path, chosen), n)
            pieces.insert(0, piece)
            for pair, rows in counted:
                have[pair] = have.get(pair, 0) + rows
            if pairs is not None and all(have.get(pair, 0) >= n for pair in pairs):
                break
        if not pieces:
            return parts.empty()
        return pl.concat(pieces).group_by("pair", maintain_order=True).tail(n).select(list(SCHEMA))

    def segments(self, pair: str) -> list[Columns]:
        """Every unbroken run of a pair, oldest first; an unfetched hole is never bridged."""
        try:
            frame = self.scan().filter(pl.col("pair") == pair).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self._named(error) from error
        return segments(parts.columns_of(frame), self.timeframe)

    def arrays(self, pair: str) -> Columns:
        """The newest unbroken run of a pair; empty where there is none."""
        found = self.segments(pair)
        return found[-1] if found else parts.columns_of(parts.empty())

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Run a query on the view `candles` (DuckDB, zone UTC). Raises ValueError on a bad query."""
        import duckdb

        cursor = _duckdb().cursor()
        try:
            cursor.execute(f"CREATE OR REPLACE TEMP VIEW candles AS {self._view()}")
            answer: pl.DataFrame = cursor.sql(query, params=list(parameters)).pl()
            return answer
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise self._named(error) from error
        except duckdb.Error as error:
            raise ValueError(f"query failed: {error}") from error
        finally:
            cursor.close()

    def verify(self) -> int:
        """Compare every file's bytes with what was written; returns the files checked. Raises CorruptError naming the first
        that differs: Parquet itself notices damage in a column only when it can no longer be decoded."""
        for path, sha256 in zip(self.files, self.hashes, strict=True):
            parts.verify(path, sha256)
        return len(self.files)

    # --- internals -----------------------------------------------------------------------------------------------------
    def _condition(self) -> pl.Expr | None:
        tests = []
        time = pl.col("time").to_physical()
        if self.since_us is not None:
            tests.append(time >= self.since_us)
        if self.until_us is not None:
            tests.append(time < self.until_us)
        if self.mixed and not self.provisional:
            tests.append(pl.col("source") > int(Source.STREAM))
        return functools.reduce(lambda a, b: a & b, tests) if tests else None

    def _view(self) -> str:
        """A view cannot be prepared: the pinned names are inlined as quoted literals."""
        if not self.files:
            return EMPTY_VIEW
        names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in self.files)
        tests = ["true"]
        if self.since_us is not None:
            tests.append(f"time >= make_timestamptz({self.since_us})")
        if self.until_us is not None:
            tests.append(f"time < make_timestamptz({self.until_us})")
        if self.mixed and not self.provisional:
            tests.append(f"source > {int(Source.STREAM)}")
        return f"SELECT * FROM read_parquet([{names}]) WHERE {' AND '.join(tests)}"

    def _named(self, error: BaseException) -> Exception:
        """The reader's error as one that names the damaged file, where there is one."""
        for path in self.files:
            parts.read(path)  # raises CorruptError for the culprit
        if isinstance(error, (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)):
            return CorruptError(f"{self.market} {self.timeframe}: parts cannot be read together ({error})")
        return ValueError(f"query failed: {error}")


def _newest(piece: pl.DataFrame, n: int) -> tuple[pl.DataFrame, list[tuple[str, int]]]:
    """The newest `n` rows of each pair of a part, which lies in (pair, time) order, and how many that are of each."""
    kept, counted, end = [piece.clear()], [], 0
    for run in piece["pair"].rle():
        end += run["len"]
        rows = min(run["len"], n)
        kept.append(piece.slice(end - rows, rows))
        counted.append((run["value"], rows))
    return pl.concat(kept), counted


def digest(names: Sequence[tuple[str, str]]) -> str:
    """SHA-256 over (file name, SHA-256 of the file), in order."""
    return hashlib.sha256("\n".join(f"{name} {sha256}" for name, sha256 in names).encode()).hexdigest()


@functools.cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """One warm in-memory connection per process (a new one costs ~40 ms); GLOBAL, so that cursors are in UTC too."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone='UTC'").fetchall()
    connection.execute("SET threads=2").fetchall()
    return connection
