"""The session's ends of the AI: `DirectLink` in its own process, `SocketLink` to the worker. Neither ever waits.

Wire: newline-terminated JSON objects on a unix socket. Session to worker `{"type": "want", "questions": [...]}`; worker to
session `{"type": "verdicts", "verdicts": [...]}` and, every second, `{"type": "state", "state": "ok"}`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Verdict, VerdictKey
from trader.ports import Advisor

BATCH_WAIT_S = 0.25
FULL_BATCH = 32
PER_ROUND = 128  # four calls of 32
QUEUE_LIMIT = 512
LINE_LIMIT = 1 << 20
HEARTBEAT_S = 1.0
SILENCE_S = 5.0
STATES = ("ok", "BREAKER", "PRIORITY", "BUDGET")


class StatefulAdvisor(Advisor, Protocol):
    """An advisor that knows whether it may ask now."""

    def state(self) -> str: ...


def no_answer(question: Question, detail: str) -> Verdict:
    """A question that never reached a provider."""
    return Verdict(
        key=question.key,
        outcome=AskOutcome.UNAVAILABLE,
        asked_us=question.asked_us,
        expires_us=question.asked_us,
        band_lo=question.band_lo,
        band_hi=question.band_hi,
        detail=detail,
    )


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


# --- the wire ----------------------------------------------------------------------------------------------------------
def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """One line as a message; raises ValueError for anything else."""
    try:
        message = json.loads(line)
    except RecursionError as error:
        raise ValueError("AI socket: line nested too deeply") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("AI socket: a line is not a message with a type")
    return message


def _key_out(key: VerdictKey) -> dict[str, str]:
    return {"pair": key.pair, "side": key.side.value, "strategy": key.strategy}


def _key_in(value: Any) -> VerdictKey:
    return VerdictKey(pair=str(value["pair"]), side=Side(value["side"]), strategy=str(value["strategy"]))


def question_out(question: Question) -> dict[str, Any]:
    """A question as it crosses the socket."""
    return {
        "key": _key_out(question.key),
        "asked_us": question.asked_us,
        "asked_price": question.asked_price,
        "band": [question.band_lo, question.band_hi],
        "features": question.features,
        "priority": question.priority,
    }


def question_in(value: Any) -> Question:
    """Raises ValueError where the value is not what `question_out` makes."""
    try:
        return Question(
            key=_key_in(value["key"]),
            asked_us=int(value["asked_us"]),
            asked_price=float(value["asked_price"]),
            band_lo=float(value["band"][0]),
            band_hi=float(value["band"][1]),
            features={str(name): entry if isinstance(entry, str) else float(entry) for name, entry in value["features"].items()},
            priority=value["priority"] is True,
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"AI socket: not a question ({type(error).__name__})") from error


def verdict_out(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it crosses the socket."""
    return {
        "key": _key_out(verdict.key),
        "outcome": verdict.outcome.value,
        "asked_us": verdict.asked_us,
        "expires_us": verdict.expires_us,
        "p_loss": verdict.p_loss,
        "detail": verdict.detail,
        "provider": verdict.provider,
        "model": verdict.model,
        "is_twin": verdict.is_twin,
        "latency_ms": verdict.latency_ms,
        "verdict_id": verdict.verdict_id,
    }


def verdict_in(value: Any, asked: Question) -> Verdict:
    """The verdict on a question of ours; the band is the one we asked about, whatever the line says. Raises ValueError."""
    try:
        outcome, p_loss = AskOutcome(value["outcome"]), value["p_loss"]
        if (outcome is AskOutcome.OK) != (type(p_loss) in (int, float) and 0.0 <= p_loss <= 1.0):
            raise ValueError("AI socket: a probability belongs to OK, and only to OK")
        return replace(
            no_answer(asked, str(value["detail"])),
            outcome=outcome,
            expires_us=int(value["expires_us"]),
            p_loss=None if p_loss is None else float(p_loss),
            provider=str(value["provider"]),
            model=str(value["model"]),
            is_twin=value["is_twin"] is True,
            latency_ms=float(value["latency_ms"]),
            verdict_id=str(value["verdict_id"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"AI socket: not a verdict ({type(error).__name__})") from error


# --- the socket --------------------------------------------------------------------------------------------------------
class SocketLink:
    """`ports.VerdictLink` over the worker's unix socket; `start` once, then it reconnects by itself for ever.

    NO_WORKER: no connection, or 5 s without a line. Questions the worker lost are answered UNAVAILABLE.
    """

    def __init__(self, path: Path, *, silence_s: float = SILENCE_S, limit: int = QUEUE_LIMIT) -> None:
        self._path = path
        self._silence_s = silence_s
        self._limit = limit
        self._pending = Pending(limit)
        self._sent: dict[VerdictKey, Question] = {}
        self._verdicts: dict[VerdictKey, Verdict] = {}
        self._worker_state = "NO_WORKER"
        self._heard = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.last_error = ""

    async def start(self) -> None:
        """Begin connecting in the background."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def want(self, questions: Sequence[Question]) -> None:
        for question in self._pending.put(questions):
            self._verdicts[question.key] = no_answer(question, "queue full")
        self._wake.set()

    def take(self) -> Sequence[Verdict]:
        verdicts, self._verdicts = list(self._verdicts.values()), {}
        return verdicts

    def state(self) -> str:
        silent = asyncio.get_running_loop().time() - self._heard >= self._silence_s
        return "NO_WORKER" if silent else self._worker_state

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._lose("closed")

    async def _run(self) -> None:
        pause_s = 0.1
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(os.fspath(self._path), limit=LINE_LIMIT)
            except OSError as error:
                self._lose(f"connect: {type(error).__name__}")
            else:
                pause_s = 0.1
                await self._talk(reader, writer)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = asyncio.get_running_loop().create_task(self._write(writer))
        try:
            while line := await self._line(reader):
                self._hear(decode(line))
            self._lose("worker closed the connection")
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._lose(f"connection: {type(error).__name__}: {error}"[:200])
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._silence_s):  # wait_for() of Python 3.11 swallows a cancellation that races with data
            return await reader.readline()

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while questions := self._pending.pop(PER_ROUND):
                for question in questions:
                    self._sent[question.key] = question
                writer.write(encode({"type": "want", "questions": [question_out(question) for question in questions]}))
                await writer.drain()

    def _hear(self, message: dict[str, Any]) -> None:
        """One line of the worker; raises ValueError for a line it would not send."""
        self._heard = asyncio.get_running_loop().time()
        if message["type"] == "state" and message.get("state") in STATES:
            self._worker_state = message["state"]
        elif message["type"] == "verdicts" and isinstance(message.get("verdicts"), list):
            for value in message["verdicts"]:
                self._accept(value)
        else:
            raise ValueError("AI socket: unknown line")

    def _accept(self, value: Any) -> None:
        """Keep a verdict on the newest question of its key; anything else comes too late and is dropped."""
        try:
            asked = self._sent.get(_key_in(value["key"]))
            late = asked is None or asked.asked_us != value["asked_us"]
        except (KeyError, TypeError) as error:
            raise ValueError("AI socket: a verdict without a key") from error
        if asked is not None and not late:
            self._verdicts[asked.key] = verdict_in(value, asked)
            del self._sent[asked.key]

    def _lose(self, reason: str) -> None:
        self._worker_state, self._heard, self.last_error = "NO_WORKER", float("-inf"), reason
        for question in self._sent.values():
            self._verdicts[question.key] = no_answer(question, "NO_WORKER")
        self._sent.clear()
        if len(self._pending):
            self._wake.set()
