"""Messages between the session and the history server: lengths, a JSON header, raw column bytes.

Frame: two big-endian uint32 (bytes of the header, bytes of the blobs), the header, the blobs one after the other; the header
field `blobs` lists their sizes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from trader.domain.market import Candle, Timeframe
from trader.errors import CorruptError
from trader.ports import Columns

PREFIX: Final = struct.Struct(">II")
LIMIT: Final = 1 << 30  # a longer frame is a broken one
KINDS: Final = {"time": "<i8", "open": "<f8", "high": "<f8", "low": "<f8", "close": "<f8", "volume": "<f8", "filled": "?"}


def encode(header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    head = json.dumps({**header, "blobs": [len(b) for b in blobs]}).encode()
    return b"".join([PREFIX.pack(len(head), sum(map(len, blobs))), head, *blobs])


def body_size(prefix: bytes) -> int:
    """Bytes that follow the prefix. Raises CorruptError for an impossible length."""
    size: int = sum(PREFIX.unpack(prefix))
    if size > LIMIT:
        raise CorruptError(f"history link: a frame of {size} bytes")
    return size


def decode(prefix: bytes, body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    size = PREFIX.unpack(prefix)[0]
    header: dict[str, Any] = json.loads(body[:size])
    blobs, at = [], size
    for length in header.pop("blobs"):
        blobs.append(body[at : at + length])
        at += length
    return header, blobs


def pack_columns(series: Mapping[str, Columns]) -> tuple[list[tuple[str, int]], list[bytes]]:
    """(pair, rows) of each, and the bytes of all its columns."""
    blobs = [
        b"".join(np.ascontiguousarray(getattr(c, name), dtype=kind).tobytes() for name, kind in KINDS.items()) for c in series.values()
    ]
    return [(pair, len(columns)) for pair, columns in series.items()], blobs


def unpack_columns(rows: Sequence[Sequence[Any]], blobs: Sequence[bytes]) -> dict[str, Columns]:
    """Columns per pair as `pack_columns` wrote them; `rows`: (pair, count)."""
    out: dict[str, Columns] = {}
    for (pair, count), blob in zip(rows, blobs, strict=True):
        at, columns = 0, {}
        for name, kind in KINDS.items():
            columns[name] = np.frombuffer(blob, dtype=kind, count=count, offset=at)
            at += columns[name].nbytes
        out[pair] = Columns(**columns)
    return out


def pack_candles(candles: Sequence[Candle]) -> tuple[dict[str, Any], list[bytes]]:
    """Names in the header, numbers as (time, count) int64 and six float64 columns."""
    whole = np.array([(c.time_us, c.count, int(c.filled)) for c in candles], dtype="<i8").reshape(-1, 3)
    numbers = np.array([(c.open, c.high, c.low, c.close, c.volume, c.vwap) for c in candles], dtype="<f8").reshape(-1, 6)
    names = {"pairs": [c.pair for c in candles], "timeframes": [str(c.timeframe) for c in candles]}
    return names, [whole.tobytes(), numbers.tobytes()]


def unpack_candles(header: Mapping[str, Any], blobs: Sequence[bytes]) -> list[Candle]:
    """Candles as `pack_candles` wrote them."""
    whole = np.frombuffer(blobs[0], dtype="<i8").reshape(-1, 3).tolist()
    numbers = np.frombuffer(blobs[1], dtype="<f8").reshape(-1, 6).tolist()
    return [
        Candle(
            pair=pair, timeframe=Timeframe(tf), time_us=w[0], count=w[1], filled=bool(w[2]),
            open=n[0], high=n[1], low=n[2], close=n[3], volume=n[4], vwap=n[5],
        )
        for pair, tf, w, n in zip(header["pairs"], header["timeframes"], whole, numbers, strict=True)
    ]  # fmt: skip
