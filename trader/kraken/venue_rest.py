"""What both REST sides share: repeated reads, answers that cannot be read, and the venue's names."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from trader.domain.market import SECOND, Instrument
from trader.domain.money import PHI
from trader.domain.orders import Rejected
from trader.errors import RejectedError, RetryableError
from trader.kraken.outcomes import Class
from trader.ports import Clock, Rng

T = TypeVar("T")
TRIES = 5
LONGEST_PAUSE_S = 60.0  # a longer one is the caller's business
READ_AGAIN_S = 5.0  # rules that refuse a stop or a way out are not asked for more often
MALFORMED = (ValueError, KeyError, TypeError, IndexError, ArithmeticError)  # what reading a spoilt answer raises
log = logging.getLogger(__name__)


async def retrying(call: Callable[[], Awaitable[T]], rng: Rng, *, tries: int = TRIES) -> T:
    """Repeat a read after RetryableError: `tries` times in all, pauses phi^n s with +-50 % jitter (or what the venue asked for)."""
    for attempt in range(tries):
        try:
            return await call()
        except RetryableError as error:
            pause = PHI**attempt * (0.5 + rng.random())
            if error.retry_after_s is not None:
                pause = max(pause, error.retry_after_s)
            if attempt == tries - 1 or pause > LONGEST_PAUSE_S:
                raise
            log.info("read again in %.1f s: %s", pause, error)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def read_answer(path: str, read: Callable[[Any], T], answer: Any) -> T:
    """The value in an answer. Raises RetryableError for a malformed one."""
    try:
        return read(answer)
    except MALFORMED as error:
        raise RetryableError(f"{path}: malformed answer: {type(error).__name__}: {error}") from error


class VenueRest(ABC):
    """Names and rules of a venue, read at their first use, and once more for a pair that may be newly listed."""

    def __init__(self, clock: Clock, rng: Rng | None) -> None:
        self.clock = clock
        self.rng: Rng = rng if rng is not None else np.random.default_rng(0)
        self.instruments: Mapping[str, Instrument] = {}  # rules by pair, once they are loaded
        self._loading = asyncio.Lock()
        self._read_again_us = 0

    @abstractmethod
    async def load(self) -> Any:
        """Read names and rules anew. Raises RetryableError where the venue lists nothing."""

    async def _load_first(self) -> None:
        async with self._loading:
            if not self.instruments:
                await self.load()

    async def _id_of(self, pair: str, look: Callable[[], str]) -> str:
        """The venue's id of a pair, which `look` finds or raises ValueError. Raises RejectedError for an unknown one."""
        await self._load_first()
        try:
            return look()
        except ValueError:
            log.info("%s is not listed; reading the names again", pair)
        async with self._loading:
            await self.load()
        try:
            return look()
        except ValueError as error:
            raise RejectedError(str(error)) from None

    async def refused(self, pair: str, check: Callable[[Instrument | None], Rejected | None], *, reducing: bool) -> Rejected | None:
        """Why an order breaks the rules as we know them, or None. Nobody is kept from a stop or a way out by a minimum that has come down
        since: before such an order is refused the rules are read again, at most every few seconds. Should its deadline pass by that,
        the next attempt finds them read."""
        answer = check(self.instruments.get(pair))
        if answer is None or answer.kind != Class.SIZE or not reducing or not await self._read_again():
            return answer
        return check(self.instruments[pair]) if pair in self.instruments else answer

    async def _read_again(self) -> bool:
        now = self.clock.now_us()
        if now < self._read_again_us:
            return False
        self._read_again_us = now + int(READ_AGAIN_S * SECOND)
        try:
            async with asyncio.timeout(READ_AGAIN_S), self._loading:
                await self.load()
        except (RetryableError, RejectedError, TimeoutError) as error:
            log.warning("the rules could not be read again: %s", error)
            return False
        return True
