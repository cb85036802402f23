"""An advisor out of a cassette: the answers that were given, after as long as they took then. There is no network here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

from trader.domain.verdicts import AskOutcome
from trader.errors import CorruptError, FatalError
from trader.gemini import budget as gate
from trader.gemini import client as sdk
from trader.gemini import decisions, text
from trader.gemini import prompt as prompts
from trader.gemini.cassette import Cassette, Heard, Source
from trader.gemini.exchange import Sent
from trader.gemini.parse import ParsedAnswer, ParsedReply, parse_decisions
from trader.gemini.provider import Provider
from trader.ports import Clock

HTTP_OK = 200
_MISSING = ParsedAnswer(outcome=AskOutcome.UNAVAILABLE, detail="not on the cassette")
_PARSERS: Mapping[str, Callable[[Heard], ParsedReply]] = {
    decisions.PROVIDER: lambda call: parse_decisions(call.reply, list(call.keys)),
    text.PROVIDER: lambda call: text.judge(call.reply, list(call.keys), call.model, is_twin=call.is_twin),
}


class Miss(StrEnum):
    """What a question means that the cassette does not hold: the end of the replay, or no verdict."""

    FAIL = "fail"
    ABSTAIN = "abstain"


class CassetteApi:
    """Answers each question with what was heard the n-th time it was put, later with what was heard last.

    `asked` and `missed` count questions; a batch takes as long as the slowest of the calls its answers come from.
    """

    def __init__(self, cassette: Cassette, source: Source, clock: Clock, form: prompts.Form) -> None:
        self.name, self.model = source
        if self.name not in _PARSERS:
            raise CorruptError(f"cassette {cassette.name}: answers of {self.name!r}; known are {', '.join(sorted(_PARSERS))}")
        self.form = form
        self.asked = self.missed = 0
        self.first_missed = ""
        self._cassette = cassette
        self._clock = clock
        self._put: Counter[str] = Counter()
        self._replies: dict[str, ParsedReply] = {}

    async def send(self, prompt: prompts.Prompt) -> Sent:
        """What the cassette holds for these questions, after the time it took."""
        heard = {name: self._next(key) for name, key in content_keys(self.name, prompt).items()}
        self.asked += len(heard)
        self.missed += len(heard) - len([one for one in heard.values() if one])
        calls = {one[0].call_id: one[0] for one in heard.values() if one}
        slowest = max((call.network_ms for call in calls.values()), default=0.0)
        await self._clock.sleep(slowest / 1e3)
        answers = {name: _MISSING if one is None else self._reply(one[0]).answers[one[1]] for name, one in heard.items()}
        known = [answers[name] for name, one in heard.items() if one]
        outcome = next((answer.outcome for answer in known if answer.outcome is not AskOutcome.OK), AskOutcome.OK)
        only = next(iter(calls.values())) if len(calls) == 1 else None
        whole = only if only is not None and len(only.keys) == len(heard) else None  # the very call that was recorded
        return Sent(
            parsed=ParsedReply(outcome=outcome, answers=answers, tokens_in=whole.tokens_in if whole else None),
            status=only.status if only else None,
            is_twin=any(call.is_twin for call in calls.values()),
            served_by=only.served if only else "",
            network_ms=slowest,
            retry_after_s=min((after for call in calls.values() if (after := _retry_after(call)) is not None), default=None),
            counts=bool(calls),
            verdict_ids={name: f"{one[0].call_id}-{one[1]}" for name, one in heard.items() if one},
        )

    async def close(self) -> None:
        """Nothing to close."""

    def _next(self, key: str) -> tuple[Heard, str] | None:
        """The call and the id in it that answer this question now; None where it was never put."""
        found = self._cassette.answers.get(key)
        if found is None:
            self.first_missed = self.first_missed or key
            return None
        self._put[key] += 1
        return found[min(self._put[key], len(found)) - 1]

    def _reply(self, call: Heard) -> ParsedReply:
        if call.call_id not in self._replies:
            self._replies[call.call_id] = reply_of(call)
        return self._replies[call.call_id]


def reply_of(call: Heard) -> ParsedReply:
    """A call's answers: out of the raw reply where there was one, else how it failed."""
    if call.status == HTTP_OK:
        return _PARSERS[call.provider](call)
    failed = ParsedAnswer(outcome=call.outcome, detail=call.detail)
    return ParsedReply(outcome=call.outcome, answers=dict.fromkeys(call.keys, failed), detail=call.detail)


def content_keys(provider: str, prompt: prompts.Prompt) -> dict[str, str]:
    """Content addresses of a prompt's questions, in the order of their ids."""
    return dict(sorted(prompts.content_keys(provider, prompt.request).items()))


def _retry_after(call: Heard) -> float | None:
    """How long a 429 asked to wait."""
    if call.outcome is not AskOutcome.RATE_LIMITED:
        return None
    try:
        return sdk.retry_info(json.loads(call.reply))
    except ValueError:
        return None


class Replay(Provider):
    """`ports.Advisor` on a cassette, with the breaker and budget of the provider that was recorded. `source`: as in the cassette."""

    def __init__(
        self,
        cassette: Cassette,
        clock: Clock,
        *,
        source: Source,
        miss: Miss = Miss.FAIL,
        limits: gate.Limits | None = None,
        seed: int = 0,
        ttl_s: float = 300.0,
        form: prompts.Form = prompts.TRADE,
    ) -> None:
        self.tape = CassetteApi(cassette, source, clock, text.form_of(form) if source[0] == text.PROVIDER else form)
        self.source = source
        self._name, self._miss = cassette.name, miss
        super().__init__(self.tape, clock, limits=limits, seed=seed, ttl_s=ttl_s)

    def state(self) -> str:
        """ok, BREAKER or BUDGET. Raises FatalError, which ends the session, after a miss where the policy is `fail`."""
        if self.tape.missed and self._miss is Miss.FAIL:
            raise FatalError(
                f"cassette {self._name}: {self.tape.missed} of {self.tape.asked} questions are not on it, the first "
                f"{self.tape.first_missed[:12]}; it was recorded with other candles, settings or words. With `--miss abstain` the replay "
                "goes on without a verdict"
            )
        return super().state()
