"""One prompt put to somebody, and how that ended: what a provider of verdicts must bring of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trader.gemini import client as sdk
from trader.gemini import prompt as prompts
from trader.gemini.parse import ParsedAnswer, ParsedReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A finished request, however it ended.

    `counts` False: nobody was asked, so the breaker learns nothing (a cassette without the answer). `verdict_ids`: those the
    answers had when they were recorded, by the id in the prompt.
    """

    parsed: ParsedReply
    body: bytes = b""
    status: int | None = None
    is_twin: bool = False
    served_by: str = ""
    network_ms: float = 0.0
    parse_ms: float = 0.0
    retry_after_s: float | None = None
    counts: bool = True
    verdict_ids: Mapping[str, str] = field(default_factory=dict)


class Api(Protocol):
    """One way to put a prompt to somebody. `send` never raises, but it may be cancelled."""

    name: str
    model: str
    form: prompts.Form

    async def send(self, prompt: prompts.Prompt) -> Sent:
        """The answer, however it ended."""

    async def close(self) -> None:
        """Close what is open."""


class Judge(Protocol):
    """A strict parser: a raw reply to the questions `ids`, judged by the table of AI.md section 3."""

    def __call__(self, reply: sdk.RawReply, ids: Sequence[str]) -> ParsedReply: ...


async def over_http(request: Awaitable[sdk.RawReply], judge: Judge, ids: Sequence[str], deadline_s: float) -> Sent:
    """The one HTTP request of a batch, within `deadline_s` of loop time."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(deadline_s):
            reply = await request
    except Exception as error:  # noqa: BLE001 - two SDK error trees of private classes; classify() knows every one
        failure = sdk.classify(error)
        answer = ParsedAnswer(outcome=failure.outcome, detail=failure.detail)
        return Sent(
            parsed=ParsedReply(outcome=failure.outcome, answers=dict.fromkeys(ids, answer), detail=failure.detail),
            body=failure.body,
            status=failure.status,
            is_twin=failure.is_twin,
            network_ms=(loop.time() - started) * 1e3,
            retry_after_s=failure.retry_after_s,
        )
    arrived = loop.time()
    parsed = judge(reply, ids)
    return Sent(
        parsed=parsed,
        body=reply.body,
        status=reply.status,
        is_twin=reply.is_twin,
        served_by=reply.served_by,
        network_ms=(arrived - started) * 1e3,
        parse_ms=(loop.time() - arrived) * 1e3,
    )
