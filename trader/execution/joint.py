"""Work that is done once for all who ask for it at the same time, and work that is done side by side so that it can be.

Reads of the account are paced by the venue's counter: at half a call a second ten positions that each ask for themselves wait
twenty seconds, and longer still after a few starts in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from trader.errors import RetryableError

GATHER_S = 0.02  # from the first question of a round to its begin: what one event makes many ask, they ask within this
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(slots=True)
class _Answer:
    """What somebody waits for; `known` once it has come, as a result or as a failure."""

    known: bool = False
    result: Any = None
    failure: RetryableError | None = None


class Joint(Generic[Q, R]):
    """`work` for the questions of all who asked before it began. Whoever asks while it is under way waits for the next round, so that
    an answer is never older than its question."""

    def __init__(self, work: Callable[[Sequence[Q]], Awaitable[R]]) -> None:
        self._work = work
        self._waiting: list[tuple[Q, _Answer]] = []  # for the round that has not begun yet
        self._under_way = asyncio.Lock()

    async def ask(self, question: Q) -> R:
        """What the work came to. A RetryableError is raised to all of a round; whoever ends it otherwise leaves the rest to ask again."""
        answer = _Answer()
        self._waiting.append((question, answer))
        async with self._under_way:
            if not answer.known:
                await asyncio.sleep(GATHER_S)
                await self._round()
        if answer.failure is not None:
            raise answer.failure
        result: R = answer.result
        return result

    async def _round(self) -> None:
        asked, self._waiting = self._waiting, []
        result: R | None = None
        failure: RetryableError | None = None
        try:
            result = await self._work([question for question, _ in asked])
        except RetryableError as error:
            failure = error
        except BaseException:
            self._waiting = [*asked, *self._waiting]
            raise
        for _, answer in asked:
            answer.known, answer.result, answer.failure = True, result, failure


async def together(works: Sequence[Awaitable[int]]) -> int:
    """The sum of works done side by side. Each is done to its end, whatever becomes of the others; then the first failure is raised."""
    done = await asyncio.gather(*works, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return sum(one for one in done if isinstance(one, int))
