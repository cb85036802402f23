"""The AI's word on a switch: it can turn a SWITCH into a KEEP and nothing else (AI.md section 9).

Only a switch that passed every condition is put to it, as one question with the table of its statistics. `ai.mode`: veto, a
rejection or no usable verdict is a KEEP; shadow, it is asked and shown, and binds nothing; off, it is not asked. In each mode a
switch that is left waits for a person.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from typing import Any, Final

from trader.bootstrap.notices import clock_of
from trader.bootstrap.optimizing import Answer
from trader.bootstrap.paths import Paths
from trader.bootstrap.wire import Endpoints, ai_limits
from trader.config import Settings
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Verdict, VerdictKey
from trader.gemini.client import make_client
from trader.gemini.decisions import GeminiDecisions
from trader.gemini.switch_prompt import SWITCH
from trader.gemini.worker import KEY_VARIABLE
from trader.ports import Advisor
from trader.research.optimizer.verdict import Decision, Judgement, Reason

VETO_AT: Final = 0.5  # P(this switch should be rejected): more likely than not
DEADLINE_S: Final = 8.0  # no trade waits for this answer
TABLE: Final = ("sharpe", "p", "trades", "pairs", "train_sharpe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the AI said. `mode`: of the settings; `p_reject` None: no usable verdict; `twin`: a scripted stand-in, not AI."""

    mode: str
    p_reject: float | None
    outcome: str
    detail: str = ""
    twin: bool = False

    @property
    def rejects(self) -> bool:
        """Whether it keeps the strategy in use were it to decide: a no, or nothing usable."""
        return self.p_reject is None or self.p_reject >= VETO_AT

    @property
    def words(self) -> str:
        """In a sentence's part."""
        who = "the AI's stand-in (scripted, not AI)" if self.twin else "the AI"
        if self.p_reject is None:
            return f"{who} gave no usable verdict ({self.outcome}{f', {self.detail}' if self.detail else ''})"
        return f"{who} {'rejects' if self.rejects else 'does not reject'} the switch: P(reject) {self.p_reject:.2f}, {VETO_AT} is a veto"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "mode": self.mode, "p_reject": self.p_reject, "outcome": self.outcome, "detail": self.detail, "twin": self.twin,
            "binding": self.mode == "veto", "words": self.words,
        }  # fmt: skip


def question_on(judgement: Judgement, now_us: int) -> Question:
    """The switch as the AI sees it: numbers only."""
    features: dict[str, float | str] = {one.name: one.value for one in judgement.conditions if one.binding}
    features |= {"strategies": float(len(judgement.standings)), "days": float(judgement.days)}
    for who, name in (("candidate", judgement.candidate), ("current", judgement.current)):
        row = next(one for one in judgement.standings if one.name == name)
        features |= {f"{who}_{field}": float(getattr(row, field)) for field in TABLE}
        features |= {
            f"{who}_p_holm": row.p_adjusted, f"{who}_mean_bp": 1e4 * row.mean, f"{who}_gain_a_trade_bp": 1e4 * row.gain_a_trade,
        }  # fmt: skip
    key = VerdictKey(pair="", side=Side.BUY, strategy=judgement.candidate)
    return Question(key=key, asked_us=now_us, asked_price=0.0, band_lo=0.0, band_hi=0.0, features=features, priority=True)


async def heard(settings: Settings, answer: Answer) -> Answer:
    """The answer after the AI was heard: untouched where there is no switch or it is off; a KEEP where it vetoes."""
    if answer.judgement.decision is not Decision.SWITCH or settings.ai.mode == "off":
        return answer
    return bound(answer, await _asked(settings, answer.judgement))


def bound(answer: Answer, word: Word) -> Answer:
    """The answer with the AI's word beside it; a KEEP where that word binds and is no plain yes to go on."""
    judgement = answer.judgement
    if word.mode == "veto" and word.rejects and judgement.decision is Decision.SWITCH:
        judgement = replace(judgement, reason=Reason.VETOED, detail=f"{judgement.candidate} passed all conditions, but {word.words}")
    return replace(answer, judgement=judgement, ai=word.as_dict())


async def _asked(settings: Settings, judgement: Judgement) -> Word:
    """One question over the wire; every way it can fail is a word without a verdict."""
    demo, paths = settings.environment == "demo", Paths(settings.state)
    key = "demo" if demo else os.environ.get(KEY_VARIABLE, "")
    if not key:
        return Word(mode=settings.ai.mode, p_reject=None, outcome=AskOutcome.UNAVAILABLE, detail=f"{KEY_VARIABLE} is not set")
    clock = clock_of(settings, paths)
    store = SqliteVerdictStore(paths.optimizer_ai)
    try:
        client = make_client(key, Endpoints.loopback(settings).gemini if demo else None)
        advisor = GeminiDecisions(
            client, clock, model=settings.ai.model, store=store, limits=ai_limits(settings), seed=settings.market.seed,
            deadline_s=DEADLINE_S, form=SWITCH,
        )  # fmt: skip
        return await word_of(advisor, settings.ai.mode, question_on(judgement, clock.now_us()))
    finally:
        store.close()


async def word_of(advisor: Advisor, mode: str, question: Question) -> Word:
    """Ask, and close the advisor."""
    try:
        verdicts = await advisor.ask([question])
    finally:
        await advisor.close()
    return _word(mode, verdicts[0])


def _word(mode: str, verdict: Verdict) -> Word:
    usable = verdict.outcome is AskOutcome.OK
    return Word(
        mode=mode, p_reject=verdict.p_loss if usable else None, outcome=verdict.outcome, detail=verdict.detail, twin=verdict.is_twin
    )  # fmt: skip


def heard_now(settings: Settings, answer: Answer) -> Answer:
    """`heard` for a caller without a loop."""
    return asyncio.run(heard(settings, answer))
