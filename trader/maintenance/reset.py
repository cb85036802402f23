"""Deleting the state directory, naming what goes; refuses anything that does not look like one of ours."""

from __future__ import annotations

import shutil
from pathlib import Path

from trader.errors import FatalError

KNOWN = ("ledger.sqlite", "history", "ai.sqlite", "ops.sqlite", "twin", "clock.json", "logs", "settings.json", "prefect", "trader.lock")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def contents(state: Path) -> list[str]:
    """`path (size)` of each entry in the state directory; empty when there is none.

    Raises FatalError when the directory is not a state directory: none of our files, or a checkout.
    """
    if not state.exists():
        return []
    entries = sorted(state.iterdir())
    if entries and ((state / ".git").exists() or not any(entry.name.startswith(KNOWN) for entry in entries)):
        raise FatalError(f"{state} does not look like a state directory of trader (expected {', '.join(KNOWN[:4])} ...); nothing was deleted")
    return [f"{entry} ({_size(entry) / 1e6:.1f} MB)" for entry in entries]


def delete(state: Path) -> None:
    """Remove the state directory."""
    contents(state)
    shutil.rmtree(state)
