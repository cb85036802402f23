"""Verdicts of the AI as the ledger recorded them, for a session that is played again: nobody is asked a second time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trader.data.reader_activity import DecisionView
from trader.domain.market import Timeframe
from trader.domain.verdicts import Lookup, Question, Ruling, RulingResult, Verdict, VerdictKey
from trader.execution.thresholds import SHRINK_FACTOR
from trader.execution.verdict_book import VerdictBook


class RecordedBook(VerdictBook):
    """Answers each look-up with the ruling stored for that pair and candle, and DEFER where none is.

    `deferred`: decision id -> when it was last deferred (UTC us): until then nothing was known of it.
    """

    def __init__(self, decisions: Iterable[DecisionView], deferred: Mapping[str, int]) -> None:
        super().__init__()
        self._rulings = {(d.pair, d.close_us): (found, deferred.get(d.decision_id, 0)) for d in decisions if (found := _ruling(d))}

    def look_up(self, key: VerdictKey, price: float, now_us: int) -> RulingResult:
        found = self._rulings.get((key.pair, Timeframe.M15.floor(now_us)))
        if found is None or now_us <= found[1]:
            return RulingResult(ruling=Ruling.DEFER, lookup=Lookup.MISS)
        return found[0]


def _ruling(decision: DecisionView) -> RulingResult | None:
    if decision.ruling is None or decision.lookup is None:
        return None
    ruling = Ruling(decision.ruling)
    return RulingResult(
        ruling=ruling, lookup=Lookup(decision.lookup), factor=SHRINK_FACTOR if ruling is Ruling.SHRINK else 1.0, p_loss=decision.p_loss,
        age_ms=decision.age_ms, verdict_id=decision.verdict_id or "", is_twin=bool(decision.is_twin),
    )  # fmt: skip


class RecordedLink:
    """`ports.VerdictLink` with nobody at its other end: what there is to know stands in the book already."""

    def want(self, questions: Sequence[Question]) -> None:
        """Nobody is asked."""

    def take(self) -> Sequence[Verdict]:
        return ()

    def state(self) -> str:
        return "ok"

    async def close(self) -> None:
        """Nothing to close."""
