"""How far the venue's clock is from ours: deadlines are sent in its time (RELIABILITY.md section 6), everything else counts in ours.

The venue's own word bounds the difference. What was believed stays while the newest word allows it, and the first belief is
that there is none: clocks that agree are never "corrected" by the roughness of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from trader.domain.orders import Ambiguous, Answer, Rejected
from trader.errors import TraderError
from trader.kraken.outcomes import Class
from trader.ports import Clock

ASK_S = 2.0  # an order that was refused as late waits no longer than this for the time
ABOUT_DEADLINES = ("deadline", "processBefore")  # arguments the venues call invalid where a deadline is too near or too far


class VenueClock:
    """`offset_us`: what to add to our time to have the venue's."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.offset_us = clock, 0

    async def told(self, asking: Awaitable[int], *, exact_us: int) -> int:
        """The time the venue answers, right to `exact_us`: it was that time there at some moment between question and answer."""
        asked_us = self._clock.now_us()
        told_us = await asking
        low, high = told_us - exact_us - self._clock.now_us(), told_us + exact_us - asked_us
        if not low <= self.offset_us <= high:
            self.offset_us = (low + high) // 2
        return told_us

    async def heed(self, answer: Answer, ask: Callable[[], Awaitable[int]]) -> Answer:
        """After a refusal for its deadline a clock has moved: ask at once, so that the next attempt is in time."""
        if untimely(answer):
            try:
                async with asyncio.timeout(ASK_S):
                    await ask()
            except (TraderError, TimeoutError):
                pass  # the next refusal asks again
        return answer


def untimely(answer: Answer) -> bool:
    """Whether the venue refused an order or amend for its deadline."""
    if isinstance(answer, Ambiguous):
        return answer.late
    return isinstance(answer, Rejected) and answer.kind == Class.BUG and any(word in answer.message for word in ABOUT_DEADLINES)
