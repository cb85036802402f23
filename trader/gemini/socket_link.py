"""The session's end of the AI over the worker's socket. It never waits; whatever comes over the wire, it connects again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trader.domain.verdicts import Question, Verdict, VerdictKey
from trader.gemini.link import PER_ROUND, QUEUE_LIMIT, Pending
from trader.gemini.wire import LINE_LIMIT, SILENCE_S, STATES, decode, encode, key_in, no_answer, question_out, verdict_in


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
            asked = self._sent.get(key_in(value["key"]))
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
