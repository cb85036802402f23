"""Records of strategies that a sweep has finished, by the digest of its inputs: a run that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from trader.bootstrap.paths import Paths
from trader.research.optimizer.series import Run, Trades

KEPT: Final = 3
"""Sweeps whose records are kept, the newest ones."""


def _file(state: Path, digest: str, name: str) -> Path:
    return Paths(state).optimizer / "records" / digest[:16] / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"


def store(state: Path, digest: str, run: Run) -> None:
    """Write a record; a kill leaves a whole file or none. Records of older sweeps go."""
    file = _file(state, digest, run.name)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    t = run.trades
    with fresh.open("wb") as out:
        np.savez(
            out, name=run.name, first_day=run.first_day, signals=run.signals, returns=run.returns, costs=run.costs, day=t.day, pair=t.pair,
            net=t.net, gain=t.gain,
        )  # fmt: skip
    fresh.replace(file)
    sweeps = sorted(file.parent.parent.iterdir(), key=lambda one: (one.stat().st_mtime_ns, one.name))
    for old in sweeps[:-KEPT]:
        for one in old.iterdir():
            one.unlink()
        old.rmdir()


def stored(state: Path, digest: str, name: str) -> Run | None:
    """The record; None where there is none or it cannot be read, which only means that the strategy is run again."""
    try:
        with np.load(_file(state, digest, name), allow_pickle=False) as found:
            if str(found["name"]) != name:
                return None
            return Run(
                name=name, first_day=int(found["first_day"]), returns=found["returns"], costs=found["costs"], signals=int(found["signals"]),
                trades=Trades(day=found["day"], pair=found["pair"], net=found["net"], gain=found["gain"]),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
