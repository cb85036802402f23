"""What can happen to a trader's files while it runs: rows D1 to D6 of the catalogue."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.persons import close_oldest, held_pair
from tests.chaos.plan import ACTS_TURN
from tests.chaos.world import World
from tests.ledger_kit import unsynced
from trader.domain.market import MINUTE

Spoilt = Callable[[Any], AbstractContextManager[None]]


async def _no_writes(world: World, row: str, spoilt: Spoilt, seconds: float) -> None:
    """Something wrong with a session's own connection to its ledger, until a write of it has failed, which is when the fault has
    happened, and so long after."""
    while True:
        session = world.session
        if session is None or world.dying:
            await world.clock.sleep(5)
            continue
        ledger: Any = session.w.ledger
        with spoilt(ledger._connection):
            while world.session is session and ledger._refuge is None:
                await world.clock.sleep(1)
            if world.session is session:
                world.happened(row, "")
                world.trouble(seconds + 60)
                await world.clock.sleep(seconds)
                return


def _set(wrong: str, right: str) -> Spoilt:
    """A setting of SQLite's that lets no write pass."""

    @contextmanager
    def spoilt(connection: Any) -> Iterator[None]:
        connection.exec_driver_sql(f"PRAGMA {wrong}")
        try:
            yield
        finally:
            if not connection.closed:
                connection.exec_driver_sql(f"PRAGMA {right}")

    return spoilt


async def disk_full(world: World, row: str) -> None:
    """No page more than the ledger has: the first write that needs one fails."""
    await _no_writes(world, row, _set("max_page_count=1", "max_page_count=1073741823"), 60)


async def read_only(world: World, row: str) -> None:
    """The ledger takes no write; in every other turn of a seed it takes them, and no COMMIT succeeds."""
    syncs = world.plan.seed // ACTS_TURN % 2 == 0
    world.seen.behaviour[row] = "read-only" if syncs else "COMMIT fails: disk I/O error"
    await _no_writes(world, row, _set("query_only=ON", "query_only=OFF") if syncs else unsynced, 60)


async def ledger_locked(world: World, row: str) -> None:
    """Another program holds the write lock; our patience, 5 s of the machine's time, is cut to nothing so that time can pass."""
    other = sqlite3.connect(world.paths.ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        await _no_writes(world, row, _set("busy_timeout=0", "busy_timeout=5000"), 20)
    finally:
        other.execute("ROLLBACK")
        other.close()


async def history_locked(world: World, _row: str) -> None:
    world.history_locked_until_us = world.clock.now_us() + 20 * MINUTE
    await world.clock.sleep(20 * 60)


async def corrupt(world: World, row: str) -> None:
    """Killed, and a page of the ledger is noise at the restart: refused until the copy is put back."""
    if world.session is None:
        return
    world.die("corrupt")
    assert world.resume_files is not None
    good = world.paths.root / "good"
    shutil.copytree(world.resume_files, good, dirs_exist_ok=True)
    file = world.resume_files / "ledger.sqlite"
    _fold(file)  # else the pages may all be in the log, and a file without it is an empty ledger, not a damaged one
    whole = bytearray(file.read_bytes())
    assert len(whole) > 4096 * 6, f"{len(whole)} bytes are too few to damage"
    whole[4096 * 2 : 4096 * 6] = bytes(4096 * 4)
    file.write_bytes(bytes(whole))
    before = len(world.seen.ends)
    while world.dying:
        await world.clock.sleep(1)
    while len(world.seen.ends) == before and world.session is None:
        await world.clock.sleep(1)
    refused = world.seen.ends[before:]
    world.seen.behaviour[row] = refused[0][:120] if refused else "started"
    if not any("CorruptError" in text for text in refused):
        world.seen.breach("INV-11", f"a session started on a corrupt ledger: {refused}")
    world.resume_files = good
    world.trouble(60)


def _fold(file: Path) -> None:
    """Write what is in the log into the file itself."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def old_backup(world: World, row: str) -> None:
    """An older copy of the ledger comes back at a restart: it has forgotten an exit with its fills, or a purchase."""
    copy = world.paths.root / "backup"
    while True:
        await held_pair(world)
        if (session := world.session) is not None and world.alive:
            _back_up(world, copy)
            before = _orders(world)
            close_oldest(world, session)
            while _orders(world) == before:
                await world.clock.sleep(2)
            await world.clock.sleep(20)
            if world.alive:
                world.happened(row, "")
                world.die("old backup")
                world.resume_files = copy
                return
        await world.clock.sleep(5)


def _orders(world: World) -> tuple[int, ...]:
    """How many entries and exits were sent."""
    return tuple(world.reaper.hits[name] for name in ("after_intent", "after_exit_ack"))


def _back_up(world: World, copy: Path) -> None:
    """What `trader db backup` would keep of the ledger now."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    source, target = sqlite3.connect(world.paths.ledger), sqlite3.connect(copy / "ledger.sqlite")
    source.backup(target)
    source.close()
    target.close()
