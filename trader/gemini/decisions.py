"""Advisor on the Gemini Decisions API: batches in, one verdict per question out, exactly one HTTP request per batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trader.domain.market import SECOND
from trader.domain.verdicts import AskedQuestion, AskOutcome, CallRecord, Question, Verdict
from trader.errors import TraderError
from trader.gemini import budget as gate
from trader.gemini import client as sdk
from trader.gemini import prompt as prompts
from trader.gemini.parse import ParsedAnswer, ParsedReply, parse_decisions
from trader.ports import Clock, VerdictStore

PROVIDER = "gemini-decisions"
BATCH = 32
IN_FLIGHT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A finished request, however it ended."""

    parsed: ParsedReply
    body: bytes
    status: int | None
    is_twin: bool
    served_by: str
    network_ms: float
    parse_ms: float
    retry_after_s: float | None = None


class GeminiDecisions:
    """`ports.Advisor` on `client.aio.decisions`. Never raises; cancelling it cancels the requests.

    `client`: from `client.make_client`; `clock`: for breaker, budget and expiry; `store` None: nothing is kept;
    `deadline_s` is loop time, `ttl_s` clock time from the market snapshot; `form`: what is asked of every question.
    """

    def __init__(
        self,
        client: Any,
        clock: Clock,
        *,
        model: str = "models/gemini-decision-1",
        store: VerdictStore | None = None,
        limits: gate.Limits | None = None,
        seed: int = 0,
        deadline_s: float = 2.0,
        ttl_s: float = 300.0,
        form: prompts.Form = prompts.TRADE,
    ) -> None:
        self._client = client
        self._clock = clock
        self._model = model
        self._store = store
        self._seed = seed
        self._form = form
        self._deadline_s = deadline_s
        self._ttl_us = int(ttl_s * SECOND)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._calls = 0
        self._twin_seen = False
        self.breaker = gate.Breaker()
        self.budget = gate.Budget(limits)
        if store is not None and (saved := store.load_state(PROVIDER)) is not None:
            gate.load(saved, self.breaker, self.budget)

    def state(self) -> str:
        """ok, BREAKER or BUDGET."""
        if self.breaker.state is not gate.BreakerState.CLOSED:
            return "BREAKER"
        return "BUDGET" if self.budget.used(self._clock.now_us()) >= 1.0 else "ok"

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict per question, in the order given; priority questions travel first."""
        order = sorted(range(len(questions)), key=lambda i: not questions[i].priority)
        chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        queued = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(self._chunk([questions[i] for i in chunk], queued) for chunk in chunks))
        placed = {i: verdict for chunk, part in zip(chunks, answers, strict=True) for i, verdict in zip(chunk, part, strict=True)}
        return [placed[i] for i in range(len(questions))]

    async def close(self) -> None:
        """Close the SDK's connections. The store belongs to whoever opened it."""
        await self._client.aio.aclose()

    async def _chunk(self, questions: list[Question], queued: float) -> list[Verdict]:
        """Verdicts of at most 32 questions: those that may be asked are, the others are told why not."""
        async with self._slots:
            sendable, told = self._admit(questions)
            chosen = [questions[i] for i in sendable]
            if prompt := self._book(chosen):
                try:
                    told |= await self._send(prompt, chosen, sendable, queued)
                except TraderError as error:  # the store failed: a verdict that is not written down is not used
                    told |= {i: self._verdict(questions[i], AskOutcome.UNAVAILABLE, str(error)) for i in sendable}
            elif sendable:
                self.breaker.abandon()
                told |= {i: self._verdict(questions[i], AskOutcome.BUDGET, "spent") for i in sendable}
        return [told[i] for i in range(len(questions))]

    def _admit(self, questions: list[Question]) -> tuple[list[int], dict[int, Verdict]]:
        """Indices that may be asked now, and the verdicts of the rest."""
        now_us = self._clock.now_us()
        told: dict[int, Verdict] = {}
        usable = [i for i, question in enumerate(questions) if self._form.record(question)]
        for i in sorted(set(range(len(questions))) - set(usable)):
            told[i] = self._verdict(questions[i], AskOutcome.INVALID, "features: no number of the legend")
        if self.budget.used(now_us) >= gate.PRIORITY_ONLY:
            told |= {i: self._verdict(questions[i], AskOutcome.BUDGET, "kept for priority") for i in usable if not questions[i].priority}
            usable = [i for i in usable if questions[i].priority]
        if not usable:
            return [], told
        allowed = self.breaker.admit(now_us)
        told |= {i: self._verdict(questions[i], AskOutcome.BREAKER, self.breaker.reason) for i in usable[allowed:]}
        return usable[:allowed], told

    def _book(self, questions: list[Question]) -> prompts.Prompt | None:
        """The prompt, its cost booked; None where there is nothing to ask or no budget for it."""
        if not questions:
            return None
        now_us, priority = self._clock.now_us(), any(question.priority for question in questions)
        prompt = prompts.build(questions, self._model, self._seed, self._form)
        if not self.budget.admits(now_us, questions=len(questions), tokens=prompt.tokens, priority=priority):
            return None
        self.budget.spend(now_us, questions=len(questions), tokens=prompt.tokens)
        return prompt

    async def _send(self, prompt: prompts.Prompt, questions: list[Question], places: list[int], queued: float) -> dict[int, Verdict]:
        """One call, judged, counted and written down; verdicts by place in the batch."""
        started = asyncio.get_running_loop().time()
        try:
            sent = await self._request(prompt)
        except asyncio.CancelledError:
            self.breaker.abandon()
            raise
        now_us = self._clock.now_us()
        if sent.parsed.tokens_in is not None:
            self.budget.correct(now_us, estimated=prompt.tokens, actual=sent.parsed.tokens_in)
        self._twin_seen = sent.is_twin
        self.breaker.note(sent.parsed.outcome, sent.network_ms, now_us, sent.retry_after_s)
        call_id = self._next_id(prompt, now_us)
        asked = [
            AskedQuestion(
                opaque_id=name,
                question=questions[index],
                verdict=self._answered(questions[index], sent, sent.parsed.answers[name], f"{call_id}-{name}"),
            )
            for name, index in prompt.order.items()
        ]
        self._keep(prompt, sent, call_id, asked, queue_ms=(started - queued) * 1e3, now_us=now_us)
        return {places[prompt.order[one.opaque_id]]: one.verdict for one in asked}

    async def _request(self, prompt: prompts.Prompt) -> _Sent:
        """The one HTTP request, judged by the table of AI.md section 3."""
        loop, ids = asyncio.get_running_loop(), list(prompt.order)
        started = loop.time()
        try:
            async with asyncio.timeout(self._deadline_s):
                questions = sdk.noul_questions(prompt.instructions, prompt.form.true_text, prompt.form.false_text)
                reply = await sdk.post_decisions(self._client, model=prompt.model, shared=prompt.shared, questions=questions)
        except Exception as error:  # noqa: BLE001 - two SDK error trees of private classes; classify() knows every one
            failure = sdk.classify(error)
            answer = ParsedAnswer(outcome=failure.outcome, detail=failure.detail)
            return _Sent(
                parsed=ParsedReply(outcome=failure.outcome, answers=dict.fromkeys(ids, answer), detail=failure.detail),
                body=failure.body,
                status=failure.status,
                is_twin=failure.is_twin or (failure.status is None and self._twin_seen),
                served_by="",
                network_ms=(loop.time() - started) * 1e3,
                parse_ms=0.0,
                retry_after_s=failure.retry_after_s,
            )
        arrived = loop.time()
        parsed = parse_decisions(reply.body, ids)
        return _Sent(
            parsed=parsed,
            body=reply.body,
            status=reply.status,
            is_twin=reply.is_twin,
            served_by=reply.served_by,
            network_ms=(arrived - started) * 1e3,
            parse_ms=(loop.time() - arrived) * 1e3,
        )

    def _next_id(self, prompt: prompts.Prompt, now_us: int) -> str:
        self._calls += 1
        return hashlib.sha256(f"{now_us}|{self._calls}|{prompt.sha256}".encode()).hexdigest()[:16]

    def _answered(self, question: Question, sent: _Sent, answer: ParsedAnswer, verdict_id: str) -> Verdict:
        return self._verdict(question, answer.outcome, answer.detail, p_loss=answer.p_loss, sent=sent, verdict_id=verdict_id)

    def _verdict(
        self,
        question: Question,
        outcome: AskOutcome,
        detail: str,
        *,
        p_loss: float | None = None,
        sent: _Sent | None = None,
        verdict_id: str = "",
    ) -> Verdict:
        return Verdict(
            key=question.key,
            outcome=outcome,
            asked_us=question.asked_us,
            expires_us=question.asked_us + self._ttl_us,
            band_lo=question.band_lo,
            band_hi=question.band_hi,
            p_loss=p_loss,
            detail=detail,
            provider=PROVIDER,
            model=self._model,
            is_twin=sent.is_twin if sent else self._twin_seen,
            latency_ms=sent.network_ms if sent else 0.0,
            verdict_id=verdict_id,
        )

    def _keep(self, prompt: prompts.Prompt, sent: _Sent, call_id: str, asked: list[AskedQuestion], *, queue_ms: float, now_us: int) -> None:
        if self._store is None:
            return
        tokens_in = sent.parsed.tokens_in
        call = CallRecord(
            call_id=call_id,
            asked_us=now_us,
            provider=PROVIDER,
            model_requested=self._model,
            model_served=sent.served_by,
            api_version=sdk.API_VERSION,
            is_twin=sent.is_twin,
            prompt_version=prompt.form.version,
            request_sha256=prompt.sha256,
            request=prompt.canonical,
            response=sent.body,
            http_status=sent.status,
            outcome=sent.parsed.outcome,
            detail=sent.parsed.detail,
            questions=len(asked),
            queue_ms=queue_ms,
            network_ms=sent.network_ms,
            parse_ms=sent.parse_ms,
            tokens_in=tokens_in,
            tokens_out=sent.parsed.tokens_out,
            cost_usd=None if tokens_in is None else self.budget.cost_usd(tokens_in),
            breaker_state=self.breaker.state.value,
            budget_used_pct=100.0 * self.budget.used(now_us),
        )
        self._store.record(call, asked)
        self._store.save_state(PROVIDER, gate.dump(self.breaker, self.budget))
