"""Where a real process kills itself: the forty numbered points of `tests.chaos.kills`, and lines of its own journal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.deaths import Arm, MortalLedger, Reaper
from tests.chaos.kills import FIRST, IN_RECOVERY, SECOND, WHEN, Point, deaths
from tests.chaos.kills import POINTS as NUMBERED
from trader.data.journal import Tx
from trader.data.migrations import run as migrations

HELD_S = 0.052  # a little more than the twin's longest latency: the order is in its books, the answer is held back
HELD, MIGRATING = "after_send", "mid_migration"
LINE, KEPT = "journal_line", "journal_line_kept"
POINTS: Mapping[str, Point] = {
    **{name: point for name, point in NUMBERED.items() if not point.unreached},
    HELD: replace(NUMBERED[HELD], after_s=HELD_S),
    MIGRATING: replace(NUMBERED[MIGRATING], once=True, unreached=""),
}
UNREACHED = {name: point.unreached for name, point in NUMBERED.items() if name not in POINTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What dies where: a numbered point at a hit, or the journal's `line`, inside its transaction or, with `kept`, after its commit."""

    point: str = ""
    when: str = FIRST
    line: int = 0
    kept: bool = False

    def __post_init__(self) -> None:
        if self.when not in WHEN:
            raise ValueError(f"when: {self.when!r} is not allowed; one of {', '.join(WHEN)}")
        if (self.point in POINTS) == (self.line > 0):
            raise ValueError(f"point {self.point!r} and line {self.line}: either a point of {', '.join(POINTS)} or a line above 0")

    @property
    def name(self) -> str:
        return f"{self.point} {self.when}" if self.point else f"line {self.line}{' kept' if self.kept else ''}"

    def arms(self) -> list[Arm]:
        """One for each life that dies, in their order."""
        if self.line:
            return [Arm(row="", chain=(KEPT if self.kept else LINE,), hits=self.line)]
        return [Arm(row="", chain=chain, hits=hits, after_s=after) for _, chain, hits, after in deaths(POINTS[self.point], self.when)]


def editions(point: str) -> tuple[str, ...]:
    """When a point can kill: those of a recovery do it in one in any case, and before a migration there is nothing to recover."""
    return (FIRST, SECOND) if point in (*IN_RECOVERY, MIGRATING) else WHEN


class Suicide:
    """A `Mortal` that dies by SIGKILL: no handler, no flush, no goodbye."""

    alive = True

    def happened(self, row: str, where: str) -> None:
        """Nobody counts."""

    def pending(self) -> bool:
        return True

    def hand_over(self) -> None:
        """Whoever starts the next process says who it is."""

    def die(self, _why: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class CountedLedger(MortalLedger):
    """The ledger with two more points for each line of its journal: inside the transaction that writes it, and after its commit."""

    @contextmanager
    def _jot(self, now_us: int) -> Iterator[Tx]:
        with super()._jot(now_us) as tx:
            before = tx.tip()[0]
            yield tx
            count = tx.tip()[0] - before
            self._each(LINE, count)
        self._each(KEPT, count)

    def _each(self, point: str, count: int) -> None:
        for _ in range(count):
            self._kill.reach(point)


def mortal_migrations(reaper: Reaper) -> None:
    """From now on a migration of this process is a point at which to die, before its transaction is committed."""
    migrate = migrations.migrate

    def dying(*words: Any, **more: Any) -> None:
        migrate(*words, **more)
        reaper.reach(MIGRATING)

    migrations.migrate = dying
