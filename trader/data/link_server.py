"""The history server of one session: reads calls from standard input, answers on standard output, ends with its input.

`python -m trader.data.link_server DIR [--commit-every-us N]`. A process of its own, so it may block; logs go to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trader.data import wire
from trader.data.history import HistoryStore
from trader.data.intake import Intake, gates
from trader.domain.market import Timeframe
from trader.errors import TraderError

Answer = tuple[dict[str, Any], Sequence[bytes]]


def serve(store: HistoryStore, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer calls until the input ends, then flush. An error of the store is an answer, too."""
    intake = Intake(store)
    now_us = 0
    while len(prefix := source.read(wire.PREFIX.size)) == wire.PREFIX.size:
        header, blobs = wire.decode(prefix, source.read(wire.body_size(prefix)))
        now_us = header["now_us"]
        try:
            answer, data = _answer(store, intake, header, blobs)
        except TraderError as error:
            answer, data = {"error": type(error).__name__, "message": str(error)}, ()
        sink.write(wire.encode(answer, data))
        sink.flush()
    if store.waiting:
        store.flush(now_us)


def _answer(store: HistoryStore, intake: Intake, header: dict[str, Any], blobs: list[bytes]) -> Answer:
    match header["call"]:
        case "gates":
            needs = {Timeframe(t): n for t, n in header.get("needs", {}).items()}
            words = gates(store, [Timeframe(t) for t in header["timeframes"]], header["now_us"], needs)
            return {"gates": [(g.pair, g.reason, g.detail) for g in words.values()]}, ()
        case "warm":
            rows, data = wire.pack_columns(store.series(header["pairs"], Timeframe(header["timeframe"]), header["periods"]))
            return {"rows": rows}, data
        case "append":
            blocked = intake.take(wire.unpack_candles(header, blobs), header["now_us"])
            return {"gates": [(g.pair, g.reason, g.detail) for g in blocked], "waiting": store.waiting}, ()
        case unknown:
            return {"error": "RejectedError", "message": f"unknown call {unknown!r}"}, ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: serve one session over stdin and stdout until it closes them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trader.data.link_server", description="history store of one session, over pipes")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--commit-every-us", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        store = HistoryStore(options.directory, commit_every_us=options.commit_every_us)
    except TraderError as error:
        print(f"history server: {error}", file=sys.stderr)
        return 1
    try:
        serve(store, sys.stdin.buffer, sys.stdout.buffer)
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
