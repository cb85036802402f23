"""Buying verdicts ahead: which pairs to ask the AI about before a close, and what the book says when a signal fires."""

from __future__ import annotations

from trader.domain.messages import Decision
from trader.domain.orders import Side
from trader.domain.verdicts import AiMode, Ruling, RulingResult, VerdictKey
from trader.execution.confirmation import Ruled, Snapshot, rule, snapshot, snapshot_of, tau_veto
from trader.execution.engine import Engine
from trader.execution.wiring import Wiring
from trader.indicators.series import Row
from trader.strategy.brain import near_zone
from trader.strategy.context import VALUES
from trader.strategy.scoring import levels_of


class Asking:
    """The session's side of AI confirmation; never waits for an answer."""

    def __init__(self, wiring: Wiring, engine: Engine) -> None:
        self.w, self.engine = wiring, engine
        self.mode = AiMode(wiring.ai_mode)
        self.regime = ""

    def take(self) -> None:
        """Put what has arrived into the book, and the link's state with it."""
        if self.mode is AiMode.OFF:
            return
        self.w.book.link_state = self.w.verdicts.state()
        self.w.desk.take(self.w.verdicts.take(), self.w.clock.now_us())

    def prescan(self, held: frozenset[str], blocked: frozenset[str]) -> int:
        """Ask about every pair near its trigger; returns how many questions went out."""
        if self.mode is AiMode.OFF:
            return 0
        snapshots = []
        limit = max(self.w.parameters.rsi_oversold, self.w.parameters.composite_limit) + self.w.near_zone
        for pair in self.engine.pairs:
            if pair in held or pair in blocked:
                continue
            row = self.engine.peek(pair, self.w.market.forming(pair), rsi_below=limit)
            if row is not None and near_zone(row, self.w.parameters, self.w.near_zone):
                snapshots.append(self._snapshot(pair, row))
        questions = self.w.desk.near(snapshots, self.w.clock.now_us(), self.regime)
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
        """The book's word on this very plan, now."""
        key = VerdictKey(pair=decision.pair, side=decision.side, strategy=decision.strategy)
        tau = tau_veto(decision.stop, decision.tp1, self.w.costs.round_trip)
        return rule(self.mode, self.w.book, key, price=price, now_us=self.w.clock.now_us(), tau=tau)

    def ask_again(self, decision: Decision) -> None:
        """A deferred entry's question, ahead of all others."""
        question = self.w.desk.priority(
            snapshot_of(decision, self.w.costs.round_trip, self.w.parameters.max_hold_bars), self.w.clock.now_us()
        )
        if question is not None:
            self.w.verdicts.want([question])


def counted(ruling: RulingResult | None) -> str | None:
    """Under which of allow, shrink, veto, defer a ruling counts."""
    return None if ruling is None else Ruling(ruling.ruling).value.lower()
