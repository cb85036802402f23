"""The process that dies: `python -m tests.store_kill.child DIR LOG [--point NAME --occurrence N] [--break WHAT]`.

LOG gets one line for each file created, each fsync of a file (with its size) and of a directory: what a power cut would keep.
`--break` leaves out one safeguard on purpose: file_fsync, dir_fsync or transaction. Prints each acknowledged commit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.store_kill.world import SPAN, STEPS, World, commit, position, upkeep
from trader.data.catalog import Catalog
from trader.data.compaction import sweep
from trader.data.history import HistoryStore
from trader.domain.market import Timeframe

FOLD_EVERY = 9
AN_HOUR_ON = 4_000 * 1_000_000


class Points:
    """Kills this very process when the wanted point is reached for the n-th time."""

    def __init__(self, wanted: str | None, occurrence: int) -> None:
        self._wanted, self._left, self._folding = wanted, occurrence, False

    def reach(self, name: str) -> None:
        if name == "fold_begun":
            self._folding = True
        full = f"fold:{name}" if self._folding and not name.startswith("fold_") else name
        if name == "fold_committed":
            self._folding = False
        if full == self._wanted:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def watch(log: Path, broken: str | None) -> None:
    """Put a witness around open and fsync; with `broken`, the named fsync does nothing at all."""
    opened: dict[int, Path] = {}
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    real_open, real_fsync = os.open, os.fsync

    def witness_open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        number = real_open(path, flags, *more, **named)
        opened[number] = Path(os.fspath(path))
        if flags & os.O_CREAT:
            os.write(out, f"C {opened[number]}\n".encode())
        return number

    def witness_fsync(number: int) -> None:
        status = os.fstat(number)
        directory = stat.S_ISDIR(status.st_mode)
        if broken == ("dir_fsync" if directory else "file_fsync"):
            return
        real_fsync(number)
        line = f"D {opened[number]}\n" if directory else f"F {status.st_size} {opened[number]}\n"
        os.write(out, line.encode())

    os.open, os.fsync = witness_open, witness_fsync


@contextlib.contextmanager
def no_transaction(_: Catalog) -> Iterator[None]:
    """The planted breach: every statement commits by itself."""
    yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--point")
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--break", dest="broken", choices=("file_fsync", "dir_fsync", "transaction"))
    asked = parser.parse_args()
    world = World()
    store = HistoryStore(asked.directory, kill_points=Points(asked.point, asked.occurrence))
    done = {tf: position(store, tf) for tf in SPAN}
    watch(asked.log, asked.broken)
    if asked.broken == "transaction":
        Catalog.write = no_transaction  # type: ignore[method-assign]
    print("ready", flush=True)
    for number in range(min(done.values()), STEPS):
        for tf in SPAN:
            if number >= done[tf]:
                commit(store, world, tf, number)
                print(tf.value, number + 1, flush=True)
            if number % FOLD_EVERY == 0 or tf is Timeframe.M15:
                upkeep(store, tf, number)
        sweep(store, store.catalog.rows("SELECT max(at_us) FROM trash")[0][0] or 0)
        sweep(store, (store.catalog.rows("SELECT max(at_us) FROM trash")[0][0] or 0) + AN_HOUR_ON)
    print("finished", flush=True)


if __name__ == "__main__":
    main()
