"""Deleting the state directory, naming what goes; refuses anything that does not look like one of ours, or is in use."""

from __future__ import annotations

import shutil
from pathlib import Path

from trader.errors import FatalError, LeaseLostError
from trader.maintenance.locks import SUPERVISOR, is_locked

KNOWN = (
    "ledger.", "emergency.", "kraken-key-", "live.armed", "installation.json", "lease.holder", "backups", "history", "world.json",
    "ai.sqlite", "ops.sqlite", "twin", "clock.json", "logs", "night", "optimizer", "settings.json", "prefect", "trader.lock",
    "ai.sock", "supervisor.", "past.new", "past.json",
)  # fmt: skip
"""How the names of our files and folders begin."""
PROOF = ("ledger.sqlite", "world.json", "trader.lock", "supervisor.lock", "past.new", "twin")
"""One of these must be there: a folder with nothing but `logs` may be anybody's."""


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def contents(state: Path) -> list[str]:
    """`path (size)` of each entry in the state directory; empty when there is none.

    Raises FatalError when the directory is not a state directory: none of our files, or one that is not ours.
    """
    if not state.exists():
        return []
    if not state.is_dir():
        raise FatalError(f"{state} is not a directory; nothing was deleted")
    entries = sorted(state.iterdir())
    foreign = [entry.name for entry in entries if not entry.name.startswith(KNOWN)]
    if entries and (foreign or not any((state / name).exists() for name in PROOF)):
        why = f"it holds {foreign[0]}" if foreign else f"it holds none of {', '.join(PROOF)}"
        raise FatalError(f"{state} does not look like a state directory of trader ({why}); nothing was deleted")
    return [f"{entry} ({_size(entry) / 1e6:.1f} MB)" for entry in entries]


def delete(state: Path) -> None:
    """Remove the state directory. Raises LeaseLostError while a supervisor or a session lives in it."""
    contents(state)
    for name, who in ((SUPERVISOR, "`trader up`"), ("trader.lock", "a trading session")):
        if is_locked(state / name):
            raise LeaseLostError(f"{who} runs on {state}; stop it first; nothing was deleted")
    shutil.rmtree(state)
