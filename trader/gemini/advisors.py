"""Which advisor is asked: the Decisions API or a text model, and whether a text model steps in while the first must not be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trader.domain.verdicts import AskOutcome, Question, Verdict
from trader.gemini import decisions, text
from trader.gemini.budget import Limits
from trader.gemini.link import StatefulAdvisor
from trader.gemini.provider import Provider
from trader.ports import Clock, VerdictStore

DECISIONS, TEXT, NONE = "decisions", "text", "none"
PROVIDERS, FALLBACKS = (DECISIONS, TEXT), (NONE, TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whom to ask. Models as their API names them; deadlines in seconds of loop time; `fallback`: none, or text."""

    provider: str = DECISIONS
    model: str = decisions.MODEL
    deadline_s: float = 2.0
    text_model: str = text.MODEL
    text_deadline_s: float = 6.0
    fallback: str = NONE

    @property
    def source(self) -> tuple[str, str]:
        """Provider and model, as the verdict store names them, of the one that is asked first."""
        return (text.PROVIDER, self.text_model) if self.provider == TEXT else (decisions.PROVIDER, self.model)


def advisor(
    client: Any, clock: Clock, choice: Choice, *, store: VerdictStore | None, limits: Limits, seed: int, ttl_s: float
) -> StatefulAdvisor:  # fmt: skip
    """The advisor of a choice, each provider with a breaker and a budget of its own. A fallback's price is not known."""

    def of_text(limits: Limits) -> Provider:
        return text.GeminiText(
            client, clock, model=choice.text_model, deadline_s=choice.text_deadline_s, store=store, limits=limits, seed=seed, ttl_s=ttl_s
        )

    if choice.provider == TEXT:
        return of_text(limits)
    first = decisions.GeminiDecisions(
        client, clock, model=choice.model, deadline_s=choice.deadline_s, store=store, limits=limits, seed=seed, ttl_s=ttl_s
    )
    return first if choice.fallback == NONE else Fallback(first, of_text(replace(limits, usd_per_million=None)))


class Fallback:
    """Two providers over one client: the second is asked what the breaker of the first did not let through, and nothing else."""

    def __init__(self, first: Provider, second: Provider) -> None:
        self._first, self._second = first, second

    def state(self) -> str:
        """That of the first; while its breaker is open, that of the second."""
        first, second = self._first.state(), self._second.state()
        return second if first == "BREAKER" else first

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict per question, in the order given."""
        verdicts = list(await self._first.ask(questions))
        left = [place for place, verdict in enumerate(verdicts) if verdict.outcome is AskOutcome.BREAKER]
        if left:
            for place, verdict in zip(left, await self._second.ask([questions[place] for place in left]), strict=True):
                verdicts[place] = verdict
        return verdicts

    async def close(self) -> None:
        """Close the one client they share."""
        await self._first.close()
