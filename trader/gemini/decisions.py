"""The Gemini Decisions API: one yes-or-no question per planned trade, answered by a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trader.gemini import budget as gate
from trader.gemini import client as sdk
from trader.gemini import prompt as prompts
from trader.gemini.exchange import Sent, over_http
from trader.gemini.parse import ParsedReply, parse_decisions
from trader.gemini.provider import Provider
from trader.ports import Clock, VerdictStore

PROVIDER = "gemini-decisions"
MODEL = "models/gemini-decision-1"


class DecisionsApi:
    """`client.aio.decisions`; `client` from `client.make_client`, `deadline_s` of loop time."""

    name = PROVIDER

    def __init__(self, client: Any, *, model: str = MODEL, deadline_s: float = 2.0, form: prompts.Form = prompts.TRADE) -> None:
        self.model, self.form = model, form
        self._client = client
        self._deadline_s = deadline_s

    async def send(self, prompt: prompts.Prompt) -> Sent:
        """One request to the Decisions API."""
        questions = sdk.noul_questions(prompt.instructions, prompt.form.true_text, prompt.form.false_text)
        request = sdk.post_decisions(self._client, model=prompt.model, shared=prompt.shared, questions=questions)
        return await over_http(request, _judge, list(prompt.order), self._deadline_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aio.aclose()


def _judge(reply: sdk.RawReply, ids: Sequence[str]) -> ParsedReply:
    return parse_decisions(reply.body, ids)


class GeminiDecisions(Provider):
    """`ports.Advisor` on the Decisions API."""

    def __init__(
        self,
        client: Any,
        clock: Clock,
        *,
        model: str = MODEL,
        store: VerdictStore | None = None,
        limits: gate.Limits | None = None,
        seed: int = 0,
        deadline_s: float = 2.0,
        ttl_s: float = 300.0,
        form: prompts.Form = prompts.TRADE,
    ) -> None:
        api = DecisionsApi(client, model=model, deadline_s=deadline_s, form=form)
        super().__init__(api, clock, store=store, limits=limits, seed=seed, ttl_s=ttl_s)
