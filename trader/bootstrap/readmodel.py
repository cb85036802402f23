"""The read model of a state directory: everything from stored rows, nothing recomputed, nothing asked of the session.

Works while a session writes, after it died, and where there is nothing yet: a file that cannot be read becomes a
dependency that says so, never an exception.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from trader.bootstrap import dependencies as dep
from trader.bootstrap import judgements, nights
from trader.bootstrap import readparts as parts
from trader.bootstrap import views as v
from trader.bootstrap.installation import DEMO, environment_of
from trader.bootstrap.paths import Paths
from trader.bootstrap.readsession import NO_MONEY, NOT_STARTED, Now, session
from trader.data.engine import exists, identity, is_url, shown
from trader.data.ledger_strategy import read_changes
from trader.data.outbox import Outbox
from trader.data.reader import LedgerReader
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.messages import stamp
from trader.domain.money import plain
from trader.errors import CorruptError, TraderError
from trader.ports import EquityRow
from trader.reporting.words import RULINGS
from trader.simulation.clock import PacedClock, load_clock, wall_clock

T = TypeVar("T")
FRESH_S = 1.0  # several watchers share one reading
ASK_AGAIN_S = 5.0
SCRATCH = "past.new"  # folder that `bootstrap.past` plays into; importing that module would load the whole trader
PROVIDER = "gemini-decisions"  # name under which the AI worker keeps breaker and budget
IN_PAST = "the simulated past is being played at full speed; live trading starts when it is done"
NEVER = "appears when a session first runs; `trader up --env demo` starts one"


@dataclass(slots=True)
class _Curve:
    """Equity rows read so far of one ledger file; only new ones are read again."""

    file: tuple[int, int] = (0, 0)
    rows: list[EquityRow] = field(default_factory=list)


class ReadModel:
    """Views of one state directory. Safe to use from several threads; `status` is at most a second old."""

    def __init__(
        self, state: Path, *, environment: str = "", prefect_url: str = "", ask: Callable[[str], v.DependencyView] = dep.ask_prefect
    ) -> None:
        self.root = state
        self.environment = environment or environment_of(Paths(state))
        self.prefect_url = prefect_url.rstrip("/")
        self._ask = ask
        self._lock = threading.Lock()
        self._curve = _Curve()
        self._made: tuple[float, v.StatusView] | None = None
        self._prefect: tuple[float, v.DependencyView] | None = None

    @property
    def paths(self) -> Paths:
        """Where to read: the simulated past that is being played, until it is moved into the directory."""
        return Paths(self.root / SCRATCH if self.in_past else self.root)

    @property
    def in_past(self) -> bool:
        """Whether the simulated past of a fresh demo is being played."""
        return not exists(Paths(self.root).ledger_at) and Paths(self.root / SCRATCH).ledger.exists()

    # --- answers -------------------------------------------------------------------------------------------------------
    def status(self) -> v.StatusView:
        """One screen; never raises for what is in the directory."""
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] > FRESH_S:
                self._made = (time.monotonic(), self._status())
            return self._made[1]

    def curve(self, points: int, from_us: int = 0, to_us: int = 2**62) -> list[EquityRow]:
        """The equity curve, oldest first, at most `points` rows; the last one is always among them."""
        with self._lock:
            self._from_ledger(self._follow, None)
            rows = [row for row in self._curve.rows if from_us <= row.time_us <= to_us]
        step = -(-(len(rows) - 1) // (points - 1)) if len(rows) > points else 1
        return rows if step == 1 else [*rows[:-1:step], rows[-1]]

    def points(self, points: int, from_us: int = 0, to_us: int = 2**62) -> list[v.CurvePoint]:
        """The same as values of the API."""
        rows = self.curve(points, from_us, to_us)
        return [v.CurvePoint(t=stamp(r.time_us), equity=plain(r.equity), cash=plain(r.cash), drawdown=r.drawdown) for r in rows]

    def trades(self, limit: int) -> list[v.TradeView]:
        """Closed positions, newest first."""
        none: list[v.TradeView] = []
        return self._from_ledger(lambda ledger: parts.trades(ledger, limit), none)[0]

    def decisions(self, limit: int, pair: str | None = None) -> list[v.CandidateView]:
        """Candidates, newest first."""
        none: list[v.CandidateView] = []
        return self._from_ledger(lambda ledger: [parts.candidate(d) for d in ledger.decisions(limit, pair=pair)], none)[0]

    def pairs(self) -> list[v.PairView]:
        """The newest word on every pair, by name."""
        none: list[v.PairView] = []
        return self._from_ledger(lambda ledger: [parts.pair(p) for p in ledger.pair_states()], none)[0]

    def messages(self, limit: int) -> list[v.MessageView]:
        """The outbox, newest first."""
        return self._messages(limit)[0]

    # --- the ledger ----------------------------------------------------------------------------------------------------
    def _from_ledger(self, query: Callable[[LedgerReader], T], otherwise: T) -> tuple[T, v.DependencyView]:
        """What `query` says, or `otherwise` with the reason as a dependency."""
        name, place = "ledger", self.paths.ledger_at
        if not exists(place):
            self._curve = _Curve()
            return otherwise, dep.missing(name, f"{shown(place)} {NEVER}")
        try:
            with _open(place) as ledger:
                return query(ledger), dep.ok(name, shown(place), self._stale_s())
        except CorruptError as error:
            if not is_url(place) and Path(place).stat().st_size == 0:
                return otherwise, dep.missing(name, f"{place} is being made by the first session")
            return otherwise, dep.failed(name, str(error))
        except (TraderError, OSError) as error:
            return otherwise, dep.failed(name, str(error))

    def _stale_s(self) -> float | None:
        ledger = self.paths.ledger
        return dep.age_of(ledger, ledger.with_name(ledger.name + "-wal"))

    def _follow(self, ledger: LedgerReader) -> None:
        file = identity(self.paths.ledger_at)
        if file != self._curve.file:
            self._curve = _Curve(file=file)
        last = self._curve.rows[-1].time_us if self._curve.rows else -1
        self._curve.rows.extend(ledger.equity(last + 1))

    # --- one screen ----------------------------------------------------------------------------------------------------
    def _status(self) -> v.StatusView:
        clock, clock_state = self._clock()
        messages, outbox_state = self._messages(200)
        ai, ai_state = self._ai()
        blank = v.StatusView(
            environment=self.environment, as_of=None, stale_s=None, session=NOT_STARTED, clock=parts.clock(clock, None, self.environment),
            money=NO_MONEY, ai=ai, positions=(), trades=(), decisions=(), counts=(), halts=(), blocked=(), controls=(),
            messages=tuple(messages[:20]), alarms=tuple(m for m in messages if m.alarm)[:10], dependencies=(),
        )  # fmt: skip
        made, ledger_state = self._from_ledger(lambda ledger: self._filled(ledger, blank, clock), blank)
        if ledger_state.state == "failed":
            made = replace(made, session=replace(NOT_STARTED, state="UNREADABLE", detail=ledger_state.detail))
        elif self.in_past and made.session.state != "NEVER_STARTED":
            made = replace(made, session=replace(made.session, state="PAST", detail=IN_PAST))
        return replace(
            made, night=self._night(), optimizer=self._judgement(),
            dependencies=(ledger_state, outbox_state, ai_state, clock_state, self._prefect_state()),
        )  # fmt: skip

    def _filled(self, ledger: LedgerReader, blank: v.StatusView, clock: PacedClock | None) -> v.StatusView:
        self._follow(ledger)
        rows, held = self._curve.rows, ledger.positions()
        now = Now.of(ledger, rows, clock, self._stale_s())
        verdicts = ledger.verdicts()
        halts = ledger.halts()
        told = session(ledger, now, halts)
        started = ledger.newest_event("system.started")
        return replace(
            blank, as_of=None if now.as_of_us is None else stamp(now.as_of_us), stale_s=now.stale_s,
            session=told, clock=parts.clock(clock, now.as_of_us, self.environment),
            money=parts.money(rows, ledger.cash(), ledger.totals(), held),
            ai=replace(
                blank.ai, mode=str(started.payload.get("ai", "")) if started else "", rulings=parts.counts(verdicts, RULINGS),
                suggestions=parts.waiting(self.paths.ops, now.now_us),
            ),
            positions=tuple(parts.position(p, now.now_us) for p in held), trades=tuple(parts.trades(ledger, 20)),
            decisions=tuple(parts.candidate(d) for d in ledger.decisions(20)), counts=parts.counts(ledger.refusals()),
            halts=tuple(parts.halt(h) for h in halts), blocked=parts.blocked(ledger.blocked()),
            controls=tuple(parts.control(c) for c in ledger.controls(8)),
        )  # fmt: skip

    # --- files beside the ledger ---------------------------------------------------------------------------------------
    def _clock(self) -> tuple[PacedClock | None, v.DependencyView]:
        name, file = "clock", self.paths.clock
        if self.environment != DEMO:
            return wall_clock(), dep.ok(name, "the machine's own")
        try:
            clock = load_clock(file)
        except FileNotFoundError:
            return None, dep.missing(name, "no paced clock: the newest stored row stands for now")
        except (CorruptError, OSError) as error:
            return None, dep.failed(name, str(error))
        return clock, dep.ok(name, f"{clock.speed:g} simulated seconds a second")

    def _messages(self, limit: int) -> tuple[list[v.MessageView], v.DependencyView]:
        name, file = "outbox", self.paths.ops
        if not file.exists():
            return [], dep.missing(name, "no message yet; the sender fills the outbox from the ledger")
        try:
            box = Outbox(file, environment=self.environment)
            try:
                found = [parts.message(m) for m in box.latest(limit)]
            finally:
                box.close()
        except (TraderError, OSError) as error:
            return [], dep.failed(name, str(error))
        return found, dep.ok(name, str(file), dep.age_of(file, file.with_name(file.name + "-wal")))

    def _ai(self) -> tuple[v.AiView, v.DependencyView]:
        name, file, demo = "ai", self.paths.ai, self.environment == "demo"
        none = v.AiView(mode="", twin=demo, breaker="", calls=0, questions=0, usable=0, failed=0, rulings=())
        if not file.exists():
            return none, dep.missing(name, "the AI was not asked yet")
        try:
            store = SqliteVerdictStore(file, read_only=True)
            try:
                summary, budget, origin = store.summary(), store.budget_used(), store.newest_origin()
                saved = store.load_state(origin.provider if origin else PROVIDER)
            finally:
                store.close()
            breaker = str(json.loads(saved)["breaker"]["state"]) if saved else ""
        except Exception as error:  # noqa: BLE001 - a broken store is shown, whatever breaks in it
            return none, dep.failed(name, f"{file}: {error}")
        bad = sum(count for outcome, count in summary.outcomes.items() if outcome != "OK")
        ai = replace(
            none, twin=demo or summary.twin_calls > 0, breaker=breaker, calls=summary.calls, questions=summary.questions,
            usable=summary.usable, failed=bad, budget=budget, worth=self._worth(),
        )  # fmt: skip
        return ai, dep.ok(name, str(file), dep.age_of(file, file.with_name(file.name + "-wal")))

    def _worth(self) -> tuple[str, ...]:
        """What the newest night held of the AI; nothing where it did not look or its record cannot be read."""
        try:
            night = nights.newest(self.paths.nights)
        except (TraderError, OSError):
            return ()
        return () if night is None else tuple(str(line) for line in night.found("score the AI").get("lines", ()))

    def _night(self) -> v.NightView | None:
        """What the newest night published; None before the first, or where its record cannot be read."""
        try:
            night = nights.newest(self.paths.nights)
        except (TraderError, OSError):
            return None
        return None if night is None else parts.night(night)

    def _judgement(self) -> v.OptimizerView | None:
        """The newest judgement of the strategy in use; None before the first, or where it cannot be read."""
        try:
            told = judgements.kept(self.paths)
            made = {one.run for one in read_changes(self.paths.ledger_at)}
            waiting = told["decision"] == "SWITCH" and not told.get("outcome") and told["run"] not in made
            return parts.judgement(told, waiting=waiting)
        except (TraderError, OSError, KeyError):
            return None

    def _prefect_state(self) -> v.DependencyView:
        if self._prefect is None or time.monotonic() - self._prefect[0] > ASK_AGAIN_S:
            self._prefect = (time.monotonic(), self._ask(self.prefect_url))
        return self._prefect[1]


@contextmanager
def _open(place: str) -> Iterator[LedgerReader]:
    ledger = LedgerReader(place)
    try:
        yield ledger
    finally:
        ledger.close()
