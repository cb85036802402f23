"""What a run notices while it goes on: faults delivered, log lines, and the neighbours whose trouble it stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.catalogue import PENDING
from tests.chaos.plan import Tagged
from trader.errors import RetryableError
from trader.ports import HistoryLink
from trader.simulation.exchange_orders import TwinOrder
from trader.simulation.faults import Fault, FaultPlan

LOGGED = 2000  # log lines kept, the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A fault that happened: when, and whether an order, stop or fill was pending then."""

    row: str
    time_us: int
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A time in which a stop or an exit could really be late: of every pair, or of one."""

    since_us: int
    until_us: int
    pair: str = ""

    def concerns(self, pair: str) -> bool:
        """Whether orders of that pair could be late by it."""
        return self.pair in ("", pair)


class WatchedPlan(FaultPlan):
    """A fault plan that tells of every fault it delivers, and of calls that some rows count as their own.

    `pending`: whether an order, stop or fill is pending, for the faults that wait for one.
    """

    def __init__(
        self, faults: list[Fault], *, seed: int, natural: Mapping[str, list[str]], told: Callable[[str, str], None],
        soon: Callable[[], int], pending: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(faults, seed=seed)
        self._natural, self._told, self._soon, self._pending = natural, told, soon, pending
        self._selective = {fault.where for fault in faults if PENDING.items() <= fault.match.items()}

    def take(self, where: str, fields: Mapping[str, str]) -> list[Fault]:
        if where in self._selective and self._pending():
            fields = {**fields, **PENDING}
        due = super().take(where, fields)
        for fault in due:
            if isinstance(fault, Tagged):
                self._told(fault.row, where)
        for row in self._natural.get(where, ()):
            self._told(row, where)
        return [self._dated(fault) for fault in due]

    def _dated(self, fault: Fault) -> Fault:
        """`{soon}` in an argument is a moment a little after its delivery, in Unix seconds."""
        if not isinstance(fault.arg, str) or "{soon}" not in fault.arg:
            return fault
        return replace(fault, arg=fault.arg.replace("{soon}", str(self._soon())))


class LockedHistory:
    """The history link behind a lock that somebody else may hold."""

    def __init__(self, inner: HistoryLink, locked: Callable[[], bool]) -> None:
        self._inner, self._locked = inner, locked

    def __getattr__(self, name: str) -> Any:
        if self._locked() and name in ("gates", "warm", "append"):
            return _locked
        return getattr(self._inner, name)


async def _locked(*_: Any) -> Any:
    raise RetryableError("history: another process holds the lock")


class Bare(dict[str, int]):
    """The exchange's note of bare holdings, pair -> since when; tells at the moment that one is bare no more."""

    def __init__(self, covered: Callable[[str], None]) -> None:
        super().__init__()
        self._covered = covered

    def pop(self, pair: str, *default: Any) -> Any:
        if pair in self:
            self._covered(pair)
        return super().pop(pair, *default)


class LogLines(logging.Handler):
    """The newest log lines, searched for secrets after the run."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        del self.lines[:-LOGGED]


@dataclass(slots=True, kw_only=True)
class Skew:
    """A span in which the exchange's clock was apart from ours on purpose, by our clock, and the numbers of the orders it stamped then."""

    since_us: int
    until_us: int
    first: int
    after: int | None = None  # None: it still lasts

    def stamped(self, order: TwinOrder) -> bool:
        """Whether that clock said when the order came."""
        return order.number >= self.first and (self.after is None or order.number < self.after)


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was seen while the run went on, beside what stands in the books afterwards."""

    deliveries: list[Delivery] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # how sessions ended that nobody had told to
    deaths: list[tuple[str, int]] = field(default_factory=list)
    bare: list[tuple[str, int, int]] = field(default_factory=list)  # pair, from, to: without stops of its size
    limiter: list[tuple[int, float, float]] = field(default_factory=list)  # time, ours, the exchange's, where ours was below
    looks: int = 0  # beats after which the starred invariants were looked at
    tasks: list[int] = field(default_factory=list)
    breaches: dict[str, list[str]] = field(default_factory=dict)  # invariant -> what an act found wrong
    behaviour: dict[str, str] = field(default_factory=dict)  # row -> what the system did, in words
    troubles: list[Trouble] = field(default_factory=list)

    def troubled_until_us(self, pair: str) -> int:
        """The last moment known so far at which an order of this pair could be late by a fault."""
        return max((one.until_us for one in self.troubles if one.concerns(pair)), default=0)

    def asleep(self, now_us: int, for_us: int) -> None:
        """The machine slept: what was to last some time yet, lasts as long after it."""
        self.troubles = [replace(one, until_us=one.until_us + for_us) if one.until_us > now_us else one for one in self.troubles]

    def breach(self, invariant: str, text: str) -> None:
        self.breaches.setdefault(invariant, []).append(text)
