"""How a life ends at a named point of the code, and what of it remains: the ledger as it was committed, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trader.bootstrap.paths import Paths
from trader.data.journal import Tx
from trader.data.ledger import SqlLedger


class Killed(BaseException):
    """The process is gone."""


class Mortal(Protocol):
    """Whose life ends: `alive` while a session runs that has not been killed yet."""

    @property
    def alive(self) -> bool: ...
    def happened(self, row: str, where: str) -> None: ...
    def pending(self) -> bool: ...
    def hand_over(self) -> None: ...
    def die(self, why: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class Arm:
    """A death to come: at the n-th hit of the last point of a chain, the others before it in order, so many seconds later.

    `waits`: for a hit while an order, stop or fill is pending; `heir`: another takes over.
    """

    row: str
    chain: tuple[str, ...]
    hits: int = 1
    after_s: float = 0.0
    waits: bool = False
    heir: bool = False


class Reaper:
    """KillPoints: counts every hit, tells who listens, and ends the life at the armed one."""

    def __init__(self, world: Mortal) -> None:
        self.world, self.hits = world, Counter[str]()
        self.armed: list[Arm] = []
        self.listeners: dict[str, list[Callable[[], None]]] = {}

    def reach(self, name: str) -> None:
        """A point in the code. Raises Killed at the armed one."""
        self.hits[name] += 1
        for listener in self.listeners.pop(name, []):
            listener()
        if not self.armed or self.armed[0].chain[0] != name or not self.world.alive:
            return
        arm = self.armed[0]
        if len(arm.chain) > 1:
            arm.chain = arm.chain[1:]
            return
        if arm.waits and not self.world.pending():
            return
        arm.hits -= 1
        if arm.hits:
            return
        self.armed.pop(0)
        self.world.happened(arm.row, "" if arm.waits else "AddOrder")
        if arm.heir:
            self.world.hand_over()
        if arm.after_s:
            asyncio.get_running_loop().call_later(arm.after_s, self.world.die, name)
            return
        self.world.die(name)
        raise Killed(name)


class MortalLedger(SqlLedger):
    """The ledger with two more points at which to die: inside a transaction, and right after its commit."""

    @contextmanager
    def _change(self, now_us: int) -> Iterator[Tx]:
        with super()._change(now_us) as tx:
            yield tx
            self._kill.reach("mid_ledger_commit")
        self._kill.reach("after_ledger_commit")


def saving(save: Callable[[int], None], reaper: Reaper, floor: int) -> None:
    """A client's `save_nonce` with a point at which to die before it."""
    reaper.reach("nonce_ceiling")
    save(floor)


def copy_ledger(paths: Paths, grave: Path) -> Path:
    """The ledger's files as a kill at this instant leaves them."""
    shutil.rmtree(grave, ignore_errors=True)
    grave.mkdir(mode=0o700)
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(paths.root / name, grave / name)
    return grave


def restore_ledger(paths: Paths, grave: Path) -> None:
    """Let the next life begin with what is in the grave."""
    for file in paths.root.glob("ledger.sqlite*"):
        file.unlink()
    for file in sorted(grave.iterdir()):
        shutil.copy(file, paths.root / file.name)
