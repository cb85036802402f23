"""Processes that belong to one supervisor: marked in their environment, ended with it, found again after its own death."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from trader.maintenance.sockets import pids

MARK = "SUPERVISED_STATE_DIR"
"""Environment variable of every child and grandchild; its value is the state directory."""
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child runs before its program: ask Linux for SIGTERM at the parent's death. None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arm


def environ_of(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it is gone or another user's."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0") if entry)
    return {name: value for name, _, value in pairs}


def marked(state: Path) -> list[int]:
    """Live processes that a supervisor of this state directory started, itself excepted."""
    wanted, me = f"\0{MARK}={state}\0".encode(), os.getpid()
    found = []
    for pid in pids():
        with contextlib.suppress(OSError):
            if pid != me and wanted in b"\0" + Path(f"/proc/{pid}/environ").read_bytes() and alive(pid):
                found.append(pid)
    return found


def flow_processes(state: Path) -> dict[str, int]:
    """Flow run id -> pid of the process that executes it."""
    runs: dict[str, int] = {}
    for pid in marked(state):
        if run := environ_of(pid).get(FLOW_RUN):
            runs.setdefault(run, pid)
    return runs


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def end(targets: Iterable[int], *, patience_s: float = 3.0) -> list[int]:
    """SIGTERM, then after `patience_s` SIGKILL, to these processes; returns those that had to be killed. Blocks."""
    left = [pid for pid in targets if signal_to(pid, signal.SIGTERM)]
    limit = time.monotonic() + patience_s
    while (left := [pid for pid in left if alive(pid)]) and time.monotonic() < limit:
        time.sleep(0.05)
    for pid in left:
        signal_to(pid, signal.SIGKILL)
    return left


def signal_to(pid: int, number: signal.Signals) -> bool:
    """Send; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
