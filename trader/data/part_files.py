"""Part files: written under a name that is used once, synced (file, then directory) and never touched again.

Which files count is said by the catalog alone, so a write that ends early leaves nothing but a file nobody reads.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from trader.data.parts import digest_of, empty
from trader.errors import FatalError, RetryableError

OLDEST = pl.CompatLevel.oldest()  # Arrow types every Parquet reader knows
REPEATED = ["pair", "open", "high", "low", "close", "count", "source"]
"""Columns with few values, kept as a dictionary; volumes differ from row to row, and times are kept as differences. With LZ4 recorded
candles take less space than zstd over a dictionary of every column, half the time to read, and a third less to write."""
GROUP = 30_000
"""Rows, at least, of a row group of whole pairs: a month of 1m candles of one pair, of 15m ones of ten. Smaller groups cost a reader of
all pairs more than larger ones cost a reader of one."""
Reach = Callable[[str], None]


def nowhere(_: str) -> None:
    """The kill points of a store that is not being killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A part on disk: file name inside the parts folder, rows, SHA-256 of the bytes."""

    name: str
    rows: int
    sha256: str


def part_id(*, market: str, timeframe: str, start_us: int, sequence: int, sha256: str, salt: int) -> str:
    """32 hex digits, the same for the same history of commits; `sequence` grows with each commit, so no name returns."""
    text = f"{market}|{timeframe}|{start_us}|{sequence}|{sha256}|{salt}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write(
    folder: Path, frame: pl.DataFrame, *, market: str, timeframe: str, start_us: int, sequence: int, reach: Reach = nowhere
) -> Written:
    """Write the frame to a new file in `folder` and sync both. Raises RetryableError for a full disk, FatalError for any other fault."""
    data = encode(frame)
    digest = hashlib.sha256(data).hexdigest()
    names = _names(market=market, timeframe=timeframe, start_us=start_us, sequence=sequence, sha256=digest)
    with _new_file(folder, names, reach) as (name, handle):
        handle.write(data)
    return Written(name=name, rows=len(frame), sha256=digest)


def write_sorted(
    folder: Path, chunks: Iterable[pl.DataFrame], *, market: str, timeframe: str, start_us: int, sequence: int, group_by_pair: bool,
    reach: Reach = nowhere,
) -> Written:  # fmt: skip
    """Write chunks, together sorted by (pair, time) and no pair in two of them, as one new synced file; raises as `write`.

    `group_by_pair`: row groups of whole pairs (`GROUP`), so that a reader of one pair decodes little else. The name comes from place
    and commit number; its content is only known when it is written.
    """
    rows, names = 0, _names(market=market, timeframe=timeframe, start_us=start_us, sequence=sequence, sha256="sorted")
    with (
        _new_file(folder, names, reach) as (name, handle),
        _writer(handle) as writer,
    ):
        for chunk in chunks:
            rows += len(chunk)
            for group in _groups(chunk) if group_by_pair else (chunk,):
                writer.write_table(group.to_arrow(compat_level=OLDEST))
    return Written(name=name, rows=rows, sha256=digest_of(folder / name))


def _groups(chunk: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows of one pair, or of as many as make a group worth its overhead."""
    begin = end = 0
    for size in chunk["pair"].rle().struct.field("len"):
        end += size
        if end - begin >= GROUP:
            yield chunk.slice(begin, end - begin)
            begin = end
    if end > begin:
        yield chunk.slice(begin, end - begin)


def encode(frame: pl.DataFrame) -> bytes:
    """The bytes of a part with these rows."""
    buffer = io.BytesIO()
    with _writer(buffer) as writer:
        writer.write_table(frame.to_arrow(compat_level=OLDEST))
    return buffer.getvalue()


def _writer(file: BinaryIO) -> Any:
    """A Parquet writer for frames of candles."""
    from pyarrow import parquet

    return parquet.ParquetWriter(
        file, _arrow_columns(), compression="lz4", use_dictionary=REPEATED, column_encoding={"time": "DELTA_BINARY_PACKED"}
    )


@cache
def _arrow_columns() -> Any:
    return empty().to_arrow(compat_level=OLDEST).schema


def _names(*, market: str, timeframe: str, start_us: int, sequence: int, sha256: str) -> Iterator[str]:
    """File names to try; one that a killed writer left behind is passed over."""
    salt = 0
    while True:
        identity = part_id(market=market, timeframe=timeframe, start_us=start_us, sequence=sequence, sha256=sha256, salt=salt)
        yield f"{identity}.parquet"
        salt += 1


@contextmanager
def _new_file(folder: Path, names: Iterator[str], reach: Reach) -> Iterator[tuple[str, BinaryIO]]:
    """A file that did not exist; durable, with its name, when the block ends. After an error it is gone again."""
    path = folder
    try:
        path, file = _reserve(folder, names)
        with os.fdopen(file, "wb") as handle:
            reach("part_created")
            yield path.name, handle
            handle.flush()
            reach("part_written")
            os.fsync(handle.fileno())
        reach("part_synced")
        sync_directory(folder)
        reach("directory_synced")
    except OSError as error:
        if path != folder:
            path.unlink(missing_ok=True)
        words = f"{path}: {os.strerror(error.errno or 0)}; nothing was stored"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (RetryableError(f"{words}; free space and ingest again") if full else FatalError(words)) from error


def _reserve(folder: Path, names: Iterator[str]) -> tuple[Path, int]:
    for name in names:
        try:
            return folder / name, os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
    raise AssertionError("unreachable: names never end")


def sync_directory(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
