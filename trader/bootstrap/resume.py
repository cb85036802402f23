"""At which simulated moment a state directory stopped, and the shared clock that goes on from there."""

from __future__ import annotations

import time
from pathlib import Path

from trader.bootstrap.paths import Paths
from trader.data.reader import LedgerReader
from trader.simulation.clock import save_clock
from trader.simulation.exchange_books import Books, State


def last_moment(paths: Paths) -> int | None:
    """UTC microseconds of the newest thing the twin's books or the ledger know; None where nothing has happened yet.

    Only while no twin runs: opening the books cuts off a torn last line. Raises CorruptError for damaged files.
    """
    moments = [moment for moment in (_of_books(paths.twin), _of_ledger(paths.ledger)) if moment is not None]
    return max(moments, default=None)


def _of_books(directory: Path) -> int | None:
    state, books = State(), Books(directory)
    known = books.load(state)
    books.close()
    return max(state.mark_us, state.tick_us) if known else None


def _of_ledger(path: Path) -> int | None:
    """Time of the newest journal row, found by doubling and halving on the row numbers."""
    if not path.exists():
        return None
    reader = LedgerReader(path)
    try:
        newest, low, step = None, 0, 1
        while step:
            rows = reader.events(low + step - 1, 1)
            if rows:
                newest, low, step = rows[0].time_us, rows[0].seq, step * 2
            else:
                step //= 2
        return newest
    finally:
        reader.close()


def start_clock(paths: Paths, origin_us: int, speed: float) -> None:
    """From now on simulated time runs from `origin_us` at `speed` in every process that reads the clock file."""
    save_clock(paths.clock, origin_us=origin_us, wall_s=time.time(), speed=speed)
