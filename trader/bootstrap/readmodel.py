"""The read model of a state directory: everything from stored rows, nothing recomputed, nothing asked of the session.

Works while a session writes, after it died, and where there is nothing yet: a file that cannot be read becomes a
dependency that says so, never an exception.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from trader.bootstrap import readparts as parts
from trader.bootstrap.dependencies import ask_prefect
from trader.bootstrap.paths import Paths
from trader.bootstrap.views import (
    AiView,
    CandidateView,
    ClockView,
    CurvePoint,
    DependencyView,
    MessageView,
    MoneyView,
    PairView,
    SessionView,
    StatusView,
    TradeView,
)
from trader.data.outbox import Outbox
from trader.data.reader import LedgerReader
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.market import DAY, SECOND
from trader.domain.messages import stamp
from trader.domain.money import plain
from trader.errors import CorruptError, TraderError
from trader.ports import EquityRow
from trader.reporting.charts import thinned
from trader.simulation.clock import PacedClock, load_clock

T = TypeVar("T")
FRESH_S = 1.0  # several watchers share one reading
NO_MONEY = MoneyView(
    quote="EUR", equity=None, cash=None, held=None, paid_for_held=None, today=None, total=None, total_fraction=None, realised=None,
    fees=None, drawdown=None, max_drawdown=None, trades=0, wins=0, open=0, win_rate=None, win_low=None, win_high=None,
)  # fmt: skip
UNKNOWN = SessionView(
    state="NEVER_STARTED", detail="no session has run in this directory", strategy="", holder="", since=None, ended="", last_beat=None,
    beat_number=None, beat_age_s=None, lag_s=None, pairs=None,
)  # fmt: skip


@dataclass(slots=True)
class _Curve:
    """Equity rows read so far of one ledger file; only new ones are read again."""

    file: tuple[int, int] = (0, 0)
    rows: list[EquityRow] = field(default_factory=list)


class ReadModel:
    """Views of one state directory. Safe to use from several threads; each answer is at most a second old."""

    def __init__(self, state: Path, *, environment: str = "demo", prefect_url: str = "", ask: Callable[[str], DependencyView] = ask_prefect) -> None:
        self.paths = Paths(state)
        self.environment = environment
        self.prefect_url = prefect_url.rstrip("/")
        self._ask = ask
        self._lock = threading.Lock()
        self._curve = _Curve()
        self._made: tuple[float, StatusView] | None = None
        self._prefect: tuple[float, DependencyView] | None = None

    # --- answers -------------------------------------------------------------------------------------------------------
    def status(self) -> StatusView:
        """One screen; never raises for what is in the directory."""
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] > FRESH_S:
                self._made = (time.monotonic(), self._status())
            return self._made[1]

    def curve(self, points: int, from_us: int = 0, to_us: int = 2**62) -> tuple[list[CurvePoint], list[EquityRow]]:
        """The equity curve thinned to `points`, as values for the API and as rows for a chart."""
        with self._lock, self._ledger() as ledger:
            if ledger is not None:
                _read(lambda: self._follow(ledger), None)
            rows = [row for row in self._curve.rows if from_us <= row.time_us <= to_us] if ledger is not None else []
        few = thinned(rows, points) if rows else []
        return [CurvePoint(t=stamp(r.time_us), equity=plain(r.equity), cash=plain(r.cash), drawdown=r.drawdown) for r in few], few

    def trades(self, limit: int) -> list[TradeView]:
        """Closed positions, newest first."""
        with self._ledger() as ledger:
            return [] if ledger is None else _read(lambda: parts.trades(ledger, limit), [])

    def decisions(self, limit: int, pair: str | None = None) -> list[CandidateView]:
        """Candidates, newest first."""
        with self._ledger() as ledger:
            return [] if ledger is None else _read(lambda: [parts.candidate(d) for d in ledger.decisions(limit, pair=pair)], [])

    def pairs(self) -> list[PairView]:
        """The newest word on every pair."""
        with self._ledger() as ledger:
            return [] if ledger is None else _read(lambda: [parts.pair(p) for p in ledger.pair_states()], [])

    def messages(self, limit: int) -> list[MessageView]:
        """The outbox, newest first."""
        return self._messages(limit)[0]

    # --- how they are made ---------------------------------------------------------------------------------------------
    def _ledger(self) -> _Opened:
        return _Opened(self.paths.ledger)

    def _follow(self, ledger: LedgerReader) -> None:
        about = self.paths.ledger.stat()
        file = (about.st_dev, about.st_ino)
        if file != self._curve.file:
            self._curve = _Curve(file=file)
        last = self._curve.rows[-1].time_us if self._curve.rows else -1
        self._curve.rows.extend(ledger.equity(last + 1))

    def _status(self) -> StatusView:
        clock, clock_state = self._clock()
        messages, outbox_state = self._messages(60)
        ai, ai_state = self._ai()
        blank = StatusView(
            environment=self.environment, as_of=None, stale_s=None, session=UNKNOWN, clock=parts.clock(clock, None, self.environment),
            money=NO_MONEY, ai=ai, positions=(), trades=(), decisions=(), counts=(), halts=(), blocked=(), controls=(),
            messages=tuple(messages[:20]), alarms=tuple(m for m in messages if m.alarm)[:10], dependencies=(),
        )  # fmt: skip
        with self._ledger() as ledger:
            made, ledger_state = self._from_ledger(ledger, blank, clock)
            if ledger is None and ledger.__class__ is type(None):
                ledger_state = self._ledger_trouble()
        found = (ledger_state, outbox_state, ai_state, clock_state, self._prefect_state())
        if ledger_state.state == "failed":
            made = replace(made, session=replace(UNKNOWN, state="UNREADABLE", detail=ledger_state.detail))
        return replace(made, dependencies=found)
