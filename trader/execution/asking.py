"""Buying verdicts ahead: which pairs to ask the AI about before a close, and what the book says when a signal fires."""

from __future__ import annotations

from typing import Any, Final

from trader.domain.market import Timeframe
from trader.domain.messages import Decision
from trader.domain.orders import Side, entry_key
from trader.domain.verdicts import AiMode, Ruling, RulingResult, VerdictKey
from trader.execution.confirmation import Snapshot, snapshot, snapshot_of
from trader.execution.engine import Engine
from trader.execution.thresholds import tau_veto
from trader.execution.verdict_book import Ruled, rule, unruled
from trader.execution.wiring import Wiring
from trader.indicators.series import Row
from trader.strategy.brain import near_zone
from trader.strategy.context import VALUES
from trader.strategy.scoring import levels_of

USED: Final = "verdict.used"
"""Journal note of a close: what the book said of each candidate, obeyed or not, and the threshold it was held against."""
ALARMS: Final = {
    "BREAKER": ("ai.breaker", "questions fail; the AI is not asked for a while"),
    "PRIORITY": ("ai.budget", "80 % of the day's budget is used: only waiting entries are asked about"),
    "BUDGET": ("ai.budget", "the day's budget is used up: verdicts there are stay good, new ones do not come"),
    "NO_WORKER": ("ai.worker", "the AI worker does not answer"),
}
"""State of the link -> note, and what it means."""


class Asking:
    """The session's side of AI confirmation; never waits for an answer."""

    def __init__(self, wiring: Wiring, engine: Engine) -> None:
        self.w, self.engine = wiring, engine
        self.mode = AiMode(wiring.ai_mode)
        self.regime = ""
        self._said: list[dict[str, Any]] = []
        self._told = ""  # the link's state that people know of
        self._broken: list[str] = []

    def take(self) -> None:
        """Put what has arrived into the book, and the link's state with it."""
        if self.mode is AiMode.OFF:
            return
        state = self.w.book.link_state = self.w.verdicts.state()
        if state != self._told:
            self._tell(state)
        self.w.desk.take(self.w.verdicts.take(), self.w.clock.now_us())

    def _tell(self, state: str) -> None:
        """Write down that the link's state changed: entries stop or go on with it. A worker that has yet to come is no news."""
        now_us = self.w.clock.now_us()
        if state in ALARMS and (self._told or state != "NO_WORKER"):
            kind, means = ALARMS[state]
            self.w.ledger.note(kind, {"cause": state, "detail": means, "mode": self.mode.value}, now_us)
        elif self._told in ALARMS:
            self.w.ledger.note("ai.recovered", {"cause": self._told, "mode": self.mode.value}, now_us)
        self._told = state if self._told or state != "NO_WORKER" else ""

    def _tell_broken(self, error: Exception) -> None:
        """Write down how the look-up broke, once for each way."""
        name = type(error).__name__
        if name not in self._broken:
            self._broken.append(name)
            payload = {"cause": "LOOKUP", "detail": f"the look-up fails ({name}): no verdict", "mode": self.mode.value}
            self.w.ledger.note("ai.worker", payload, self.w.clock.now_us())

    def prescan(self, held: frozenset[str], blocked: frozenset[str]) -> int:
        """Ask about every pair near its trigger; returns how many questions went out."""
        if self.mode is AiMode.OFF:
            return 0
        now_us, snapshots = self.w.clock.now_us(), []
        h4_ends = ends_4h(now_us)
        limit = max(self.w.parameters.rsi_oversold, self.w.parameters.composite_limit) + self.w.near_zone
        for pair in self.engine.pairs:
            if pair in held or pair in blocked:
                continue
            row = self.engine.peek(pair, self.w.market.forming(pair), rsi_below=limit)
            if row is not None and near_zone(row, self.w.parameters, self.w.near_zone, h4_ends=h4_ends):
                snapshots.append(self._snapshot(pair, row))
        questions = self.w.desk.near(snapshots, now_us, self.regime)
        self.w.verdicts.want(questions)
        return len(questions)

    def _snapshot(self, pair: str, row: Row) -> Snapshot:
        levels = levels_of(self.w.parameters, row.atr_fraction, self.w.costs)
        return snapshot(
            VerdictKey(pair=pair, side=Side.BUY, strategy=self.w.strategy),
            {name: getattr(row, name) for name in VALUES},
            price=row.close,
            stop=levels.stop,
            target=levels.tp1,
            costs=self.w.costs.round_trip,
            horizon_bars=self.w.parameters.max_hold_bars,
        )

    def ruling(self, decision: Decision, price: float) -> Ruled:
        """The book's word on this very plan, now. A look-up that breaks is no verdict on this entry, and concerns nothing else."""
        key = VerdictKey(pair=decision.pair, side=decision.side, strategy=decision.strategy)
        tau = self.w.tau if self.w.tau is not None else tau_veto(decision.stop, decision.tp1, self.w.costs.round_trip)
        try:
            ruled = rule(self.mode, self.w.book, key, price=price, now_us=self.w.clock.now_us(), tau=tau)
        except Exception as error:  # noqa: BLE001 - whatever it is: a session that ends of it would no longer follow its positions
            ruled = unruled(self.mode)
            self._tell_broken(error)
        self._said.append(_used(decision, ruled, tau))
        return ruled

    def write_down(self) -> None:
        """What the book said since the last time, as one note."""
        if self._said:
            self.w.ledger.note(USED, {"rows": self._said}, self.w.clock.now_us())
            self._said = []

    def ask_again(self, decision: Decision) -> None:
        """A deferred entry's question, ahead of all others."""
        question = self.w.desk.priority(
            snapshot_of(decision, self.w.costs.round_trip, self.w.parameters.max_hold_bars), self.w.clock.now_us()
        )
        if question is not None:
            self.w.verdicts.want([question])


def ends_4h(now_us: int) -> bool:
    """Whether the 15m bar that is forming is the last of a 4h candle."""
    return (Timeframe.M15.floor(now_us) + Timeframe.M15.us) % Timeframe.H4.us == 0


def _used(decision: Decision, ruled: Ruled, tau: float) -> dict[str, Any]:
    """A row of the note: `ruling` the book's, `factor` what the entry obeys."""
    seen = ruled.seen
    return {
        "decision_id": entry_key(decision.pair, decision.strategy, decision.close_us, decision.side), "verdict_id": seen.verdict_id,
        "mode": ruled.mode.value, "lookup": seen.lookup.value, "ruling": seen.ruling.value, "tau": tau, "factor": ruled.used.factor,
        "p_loss": seen.p_loss, "age_ms": seen.age_ms,
    }  # fmt: skip


def counted(ruling: RulingResult | None) -> str | None:
    """Under which of allow, shrink, veto, defer a ruling counts."""
    return None if ruling is None else Ruling(ruling.ruling).value.lower()
