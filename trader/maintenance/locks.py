"""Locks of a state directory: one supervisor each, and who holds the trader's lock, asked without touching it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trader.errors import LeaseLostError

SUPERVISOR = "supervisor.lock"


@contextmanager
def sole_supervisor(state: Path) -> Iterator[None]:
    """Hold the state directory's supervisor lock; the kernel frees it however the process ends.

    Raises LeaseLostError naming the process that holds it.
    """
    path = state / SUPERVISOR
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = path.read_text().strip() or "unknown"
            raise LeaseLostError(
                f"`trader up` already runs on {state} (pid {pid}); stop it with Ctrl-C there, or name another --state"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether some process holds the `flock` on this file. Where /proc/locks exists the lock itself is not touched."""
    try:
        file = path.stat()
    except FileNotFoundError:
        return False
    table = Path("/proc/locks")
    if not table.exists():
        return _probe(path)
    wanted = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    return any(" FLOCK " in row and wanted in row.split() and "->" not in row for row in table.read_text().splitlines())


def _probe(path: Path) -> bool:
    """By taking the lock for a moment: a session that starts in that moment fails and is started again."""
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)
