"""The session's end of the AI in its own process: questions queued and batched for an advisor of the same loop. It never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from trader.domain.verdicts import Question, Verdict, VerdictKey
from trader.gemini.wire import no_answer
from trader.ports import Advisor

BATCH_WAIT_S = 0.25
FULL_BATCH = 32
PER_ROUND = 128  # four calls of 32
QUEUE_LIMIT = 512


class StatefulAdvisor(Advisor, Protocol):
    """An advisor that knows whether it may ask now."""

    def state(self) -> str: ...


class Pending:
    """Questions waiting to be sent: bounded, the newest per key wins, priority first; what is dropped is handed back."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._questions: dict[VerdictKey, Question] = {}

    def __len__(self) -> int:
        return len(self._questions)

    @property
    def urgent(self) -> bool:
        return any(question.priority for question in self._questions.values())

    def put(self, questions: Sequence[Question]) -> list[Question]:
        """Add; returns those that did not fit, the oldest without priority first."""
        for question in questions:
            held = self._questions.get(question.key)
            if held is None or held.asked_us <= question.asked_us:
                self._questions.pop(question.key, None)
                self._questions[question.key] = question
        dropped: list[Question] = []
        while len(self._questions) > self._limit:
            victim = next((key for key, question in self._questions.items() if not question.priority), next(iter(self._questions)))
            dropped.append(self._questions.pop(victim))
        return dropped

    def pop(self, count: int) -> list[Question]:
        """The next `count` questions, priority first, else in order of arrival."""
        chosen = sorted(self._questions.values(), key=lambda question: not question.priority)[:count]
        for question in chosen:
            del self._questions[question.key]
        return chosen


class DirectLink:
    """`ports.VerdictLink` on an advisor of the same process and event loop (stepped clock; also the worker's batcher).

    The first question of a batch waits at most 250 ms of loop time for company. `arrived` is set when `take` has news.
    """

    def __init__(self, advisor: StatefulAdvisor, *, batch_wait_s: float = BATCH_WAIT_S, limit: int = QUEUE_LIMIT) -> None:
        self._advisor = advisor
        self._wait_s = batch_wait_s
        self._pending = Pending(limit)
        self._verdicts: list[Verdict] = []
        self._rounds: dict[asyncio.Task[None], None] = {}  # in order, unlike a set
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.arrived = asyncio.Event()

    def want(self, questions: Sequence[Question]) -> None:
        """Queue questions; needs a running loop, returns at once."""
        if self._closed or not questions:
            return
        self._deliver([no_answer(question, "queue full") for question in self._pending.put(questions)])
        loop = asyncio.get_running_loop()
        if len(self._pending) >= FULL_BATCH or self._pending.urgent:
            self._stop_timer()
            self._timer = loop.call_later(0, self._start_round)
        elif self._timer is None:
            self._timer = loop.call_later(self._wait_s, self._start_round)

    def take(self) -> Sequence[Verdict]:
        verdicts, self._verdicts = self._verdicts, []
        self.arrived.clear()
        return verdicts

    def state(self) -> str:
        return "NO_WORKER" if self._closed else self._advisor.state()

    async def close(self) -> None:
        """Cancel what is on the way and close the advisor."""
        self._closed = True
        self._stop_timer()
        for task in list(self._rounds):
            task.cancel()
        await asyncio.gather(*self._rounds, return_exceptions=True)
        await self._advisor.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_round(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self._round(self._pending.pop(PER_ROUND)))
        self._rounds[task] = None
        task.add_done_callback(self._rounds.pop)
        if len(self._pending):
            self._timer = asyncio.get_running_loop().call_later(0, self._start_round)

    async def _round(self, questions: list[Question]) -> None:
        if questions:
            self._deliver(await self._advisor.ask(questions))

    def _deliver(self, verdicts: Sequence[Verdict]) -> None:
        if verdicts:
            self._verdicts += verdicts
            self.arrived.set()
