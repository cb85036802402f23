"""A text model as advisor: the questions of a batch in one request, the verdicts as JSON of a fixed schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trader.gemini import budget as gate
from trader.gemini import client as sdk
from trader.gemini import prompt as prompts
from trader.gemini.exchange import Sent, over_http
from trader.gemini.parse import ParsedReply
from trader.gemini.parse_text import REASONS, parse_text
from trader.gemini.provider import Provider
from trader.ports import Clock, VerdictStore

PROVIDER = "gemini-text"
MODEL = "gemini-3.5-flash-lite"
TWIN_MODEL = "scripted-twin-1"  # what a stand-in says it is; only one that says so in its header may be it
RULES = (
    "Each question holds the numbers of one plan as JSON and a sentence about it. Give for every id the probability that the sentence "
    "is true, by these numbers only, and the one reason that weighed most. Answer with JSON of the schema and nothing else."
)
_VERDICT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "p_loss": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string", "enum": list(REASONS)},
    },
    "required": ["id", "p_loss", "reason"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"verdicts": {"type": "array", "items": _VERDICT}},
    "required": ["verdicts"],
    "additionalProperties": False,
}
PARAMS: dict[str, Any] = {"rules": RULES, "schema": SCHEMA, "max_output_tokens": 4096, "thinking": "MINIMAL"}


class TextApi:
    """`client.aio.models.generate_content`; `client` from `client.make_client`, `deadline_s` of loop time."""

    name = PROVIDER

    def __init__(self, client: Any, *, model: str = MODEL, deadline_s: float = 6.0, form: prompts.Form = prompts.TRADE) -> None:
        self.model = model
        self.form = form_of(form)
        self._client = client
        self._deadline_s = deadline_s
        self._config = sdk.text_config(**PARAMS)

    async def send(self, prompt: prompts.Prompt) -> Sent:
        """One request to generateContent."""
        request = sdk.post_text(self._client, model=self.model, contents=contents(prompt), config=self._config)
        return await over_http(request, self._judge, list(prompt.order), self._deadline_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aio.aclose()

    def _judge(self, reply: sdk.RawReply, ids: Sequence[str]) -> ParsedReply:
        return judge(reply.body, ids, self.model, is_twin=reply.is_twin)


def form_of(form: prompts.Form) -> prompts.Form:
    """The same questions with what a text model is told beside them: another prompt, and so another calibration."""
    return replace(form, version=f"{form.version}-text", params=PARAMS)


def contents(prompt: prompts.Prompt) -> str:
    """What the model reads: the shared input on the first line, the questions by id on the second."""
    asked = {"questions": dict(prompt.instructions), "true": prompt.form.true_text, "false": prompt.form.false_text}
    return f"{prompt.shared}\n{prompts.canonical(asked)}"


def judge(body: bytes, ids: Sequence[str], model: str, *, is_twin: bool) -> ParsedReply:
    """A raw reply, held against the model that was asked, or the stand-in that said it was one."""
    return parse_text(body, ids, served_as(model, is_twin=is_twin))


def served_as(model: str, *, is_twin: bool) -> str:
    """What a reply must say under `modelVersion`."""
    return TWIN_MODEL if is_twin else model.removeprefix("models/")


class GeminiText(Provider):
    """`ports.Advisor` on a text model."""

    def __init__(
        self,
        client: Any,
        clock: Clock,
        *,
        model: str = MODEL,
        store: VerdictStore | None = None,
        limits: gate.Limits | None = None,
        seed: int = 0,
        deadline_s: float = 6.0,
        ttl_s: float = 300.0,
        form: prompts.Form = prompts.TRADE,
    ) -> None:
        api = TextApi(client, model=model, deadline_s=deadline_s, form=form)
        super().__init__(api, clock, store=store, limits=limits, seed=seed, ttl_s=ttl_s)
