"""What every provider of verdicts has in common: batches, breaker, budget, and the record of each call.

What differs is how a prompt becomes an answer: an `Api` of its own (`exchange`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from trader.domain.market import SECOND
from trader.domain.verdicts import AskedQuestion, AskOutcome, CallRecord, Question, Verdict
from trader.errors import TraderError
from trader.gemini import budget as gate
from trader.gemini import client as sdk
from trader.gemini import prompt as prompts
from trader.gemini.exchange import Api, Sent
from trader.gemini.parse import ParsedAnswer
from trader.ports import Clock, VerdictStore

BATCH = 32
IN_FLIGHT = 4


class Provider:
    """`ports.Advisor` over an `Api`. Never raises; cancelling it cancels the requests.

    `clock`: for breaker, budget and expiry; `store` None: nothing is kept; `ttl_s`: clock time from the market snapshot.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        store: VerdictStore | None = None,
        limits: gate.Limits | None = None,
        seed: int = 0,
        ttl_s: float = 300.0,
    ) -> None:
        self._api = api
        self._clock = clock
        self._store = store
        self._seed = seed
        self._ttl_us = int(ttl_s * SECOND)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._calls = 0
        self._twin_seen = False
        self.breaker = gate.Breaker()
        self.budget = gate.Budget(limits)
        self.pace = gate.Pace(self.budget.limits)
        if store is not None and (saved := store.load_state(api.name)) is not None:
            gate.load(saved, self.breaker, self.budget)

    def state(self) -> str:
        """ok, BREAKER, PRIORITY (the budget is kept for waiting entries) or BUDGET (it is spent)."""
        if self.breaker.state is not gate.BreakerState.CLOSED:
            return "BREAKER"
        used = self.budget.used(self._clock.now_us())
        return "BUDGET" if used >= 1.0 else "PRIORITY" if used >= gate.PRIORITY_ONLY else "ok"

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict per question, in the order given; priority questions travel first."""
        order = sorted(range(len(questions)), key=lambda i: not questions[i].priority)
        chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        queued = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(self._chunk([questions[i] for i in chunk], queued) for chunk in chunks))
        placed = {i: verdict for chunk, part in zip(chunks, answers, strict=True) for i, verdict in zip(chunk, part, strict=True)}
        return [placed[i] for i in range(len(questions))]

    async def close(self) -> None:
        """Close the connections. The store belongs to whoever opened it."""
        await self._api.close()

    async def _chunk(self, questions: list[Question], queued: float) -> list[Verdict]:
        """Verdicts of at most 32 questions: those that may be asked are, the others are told why not."""
        async with self._slots:
            sendable, told = self._admit(questions)
            chosen = [questions[i] for i in sendable]
            prompt = self._book(chosen)
            if isinstance(prompt, prompts.Prompt):
                try:
                    told |= await self._send(prompt, chosen, sendable, queued)
                except TraderError as error:  # the store failed: a verdict that is not written down is not used
                    told |= {i: self._verdict(questions[i], AskOutcome.UNAVAILABLE, str(error)) for i in sendable}
            elif prompt is not None:
                self.breaker.abandon()
                told |= {i: self._verdict(questions[i], *prompt) for i in sendable}
        return [told[i] for i in range(len(questions))]

    def _admit(self, questions: list[Question]) -> tuple[list[int], dict[int, Verdict]]:
        """Indices that may be asked now, and the verdicts of the rest."""
        now_us = self._clock.now_us()
        told: dict[int, Verdict] = {}
        usable = [i for i, question in enumerate(questions) if self._api.form.record(question)]
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

    def _book(self, questions: list[Question]) -> prompts.Prompt | tuple[AskOutcome, str] | None:
        """The prompt, its cost booked; else why it may not go now, None where there is nothing to ask."""
        if not questions:
            return None
        now_us, priority = self._clock.now_us(), any(question.priority for question in questions)
        prompt = prompts.build(questions, self._api.model, self._seed, self._api.form)
        if not self.budget.admits(now_us, questions=len(questions), tokens=prompt.tokens, priority=priority):
            return AskOutcome.BUDGET, "spent"
        if not self.pace.take(now_us, tokens=prompt.tokens, priority=priority):
            return AskOutcome.RATE_LIMITED, "our own pace: the provider's limit of a minute is near"
        self.budget.spend(now_us, questions=len(questions), tokens=prompt.tokens)
        return prompt

    async def _send(self, prompt: prompts.Prompt, questions: list[Question], places: list[int], queued: float) -> dict[int, Verdict]:
        """One call, judged, counted and written down; verdicts by place in the batch."""
        started = asyncio.get_running_loop().time()
        try:
            sent = await self._api.send(prompt)
        except asyncio.CancelledError:
            self.breaker.abandon()
            raise
        now_us = self._clock.now_us()
        if sent.parsed.tokens_in is not None:
            self.budget.correct(now_us, estimated=prompt.tokens, actual=sent.parsed.tokens_in)
        sent = replace(sent, is_twin=sent.is_twin or (sent.status is None and self._twin_seen))  # silence carries no label
        self._twin_seen = sent.is_twin
        if sent.counts:
            self.breaker.note(sent.parsed.outcome, sent.network_ms, now_us, sent.retry_after_s)
        else:
            self.breaker.abandon()
        call_id = self._next_id(prompt, now_us)
        asked = [
            AskedQuestion(
                opaque_id=name,
                question=questions[index],
                verdict=self._answered(questions[index], sent, sent.parsed.answers[name], sent.verdict_ids.get(name, f"{call_id}-{name}")),
            )
            for name, index in prompt.order.items()
        ]
        self._keep(prompt, sent, call_id, asked, queue_ms=(started - queued) * 1e3, now_us=now_us)
        return {places[prompt.order[one.opaque_id]]: one.verdict for one in asked}

    def _next_id(self, prompt: prompts.Prompt, now_us: int) -> str:
        self._calls += 1
        return hashlib.sha256(f"{now_us}|{self._calls}|{prompt.sha256}".encode()).hexdigest()[:16]

    def _answered(self, question: Question, sent: Sent, answer: ParsedAnswer, verdict_id: str) -> Verdict:
        return self._verdict(
            question, answer.outcome, answer.detail, p_loss=answer.p_loss, reason=answer.reason, sent=sent, verdict_id=verdict_id
        )  # fmt: skip

    def _verdict(
        self,
        question: Question,
        outcome: AskOutcome,
        detail: str,
        *,
        p_loss: float | None = None,
        reason: str = "",
        sent: Sent | None = None,
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
            reason=reason,
            provider=self._api.name,
            model=self._api.model,
            is_twin=sent.is_twin if sent else self._twin_seen,
            latency_ms=sent.network_ms if sent else 0.0,
            verdict_id=verdict_id,
        )

    def _keep(self, prompt: prompts.Prompt, sent: Sent, call_id: str, asked: list[AskedQuestion], *, queue_ms: float, now_us: int) -> None:
        if self._store is None:
            return
        tokens_in = sent.parsed.tokens_in
        call = CallRecord(
            call_id=call_id,
            asked_us=now_us,
            provider=self._api.name,
            model_requested=self._api.model,
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
        self._store.save_state(self._api.name, gate.dump(self.breaker, self.budget))
