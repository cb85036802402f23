"""Candles the stream does not have, from REST: within the limiter, oldest debt first, in order per pair, late rather than never.

A pair that misses a candle holds its later ones back until the hole is filled, so whoever consumes candles sees each pair in
order. One OHLC answer fills every hole of its pair, and the venue's rate decides how long that takes for many pairs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from trader.domain.market import Candle, Timeframe
from trader.errors import RejectedError, RetryableError

FETCHERS = 8
LONGEST_SKIP = 16  # candles a pair is left alone after its hole could not be filled
GIVE_UP = 6  # answers without the candle after which it is called lost
log = logging.getLogger(__name__)
Fetch = Callable[[str, int], Awaitable[Sequence[Candle]]]


class Repairs:
    """Debts of a running stream. `fetch(pair, since)` returns closed candles by REST; `known` is told the newest of a pair."""

    def __init__(self, timeframe: Timeframe, fetch: Fetch, counts: Counter[str], known: Callable[[Sequence[Candle]], None]) -> None:
        self._timeframe, self._fetch, self._counts, self._known = timeframe, fetch, counts, known
        self._owed: dict[str, int] = {}  # pair -> open of its first missing candle, oldest debt first
        self._held: dict[str, dict[int, Candle]] = {}  # candles that wait for a hole before them
        self._skips: dict[str, tuple[int, int]] = {}  # pair -> (closes still to skip, length of the last skip)
        self._misses: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(FETCHERS)
        self._ready: list[Candle] = []
        self._closed_us = 0
        self._failure: BaseException | None = None

    @property
    def owed(self) -> Mapping[str, int]:
        """Pairs with a hole, and where it begins."""
        return self._owed

    async def close(self, candles: Iterable[Candle], missing: Mapping[str, int], closed_us: int, *, patience_s: float) -> list[Candle]:
        """What may be delivered after a close: the candles of whole pairs, and what was repaired meanwhile, oldest first.

        `missing`: pair -> open of the candle the stream does not have. New debts are waited for `patience_s` (I/O time);
        what is not there by then comes with a later close. Raises FatalError when a read did.
        """
        if self._failure is not None:
            raise self._failure
        self._closed_us = closed_us
        fresh = [pair for pair in missing if pair not in self._owed]
        self._owed.update((pair, missing[pair]) for pair in fresh)
        out: list[Candle] = []
        for candle in candles:
            if candle.pair in self._owed:
                self._held.setdefault(candle.pair, {})[candle.time_us] = candle
            else:
                out.append(candle)
        self._start()
        waited = [self._tasks[pair] for pair in fresh if pair in self._tasks]
        if waited:
            await asyncio.wait(waited, timeout=patience_s)
        ready, self._ready = self._ready, []
        self._counts["late candle"] += sum(candle.close_us < closed_us for candle in ready)
        return sorted([*out, *ready], key=lambda candle: candle.time_us)

    async def stop(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one debt -------------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        for pair in sorted(self._owed, key=lambda name: self._owed[name]):  # stable: equal debts in the order they were made
            if pair not in self._tasks and not self._skipped(pair):
                self._tasks[pair] = asyncio.create_task(self._repair(pair), name=f"candles of {pair}")
                self._tasks[pair].add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    async def _repair(self, pair: str) -> None:
        try:
            async with self._turns:
                rows = await self._fetch(pair, self._owed[pair])
            if self._fill(pair, rows) > 0:
                self._skips.pop(pair, None)  # what is still owed closed while this answer was under way
                return
        except (RetryableError, RejectedError) as error:
            log.warning("no candle of %s by REST: %s", pair, error)
        finally:
            self._tasks.pop(pair, None)
        length = min(LONGEST_SKIP, 2 * self._skips.get(pair, (0, 0))[1] or 1)
        self._skips[pair] = (length, length)

    def _fill(self, pair: str, rows: Sequence[Candle]) -> int:
        """Deliver the unbroken stretch from the hole on; how many candles that are."""
        begin, step = self._owed[pair], self._timeframe.us
        held = self._held.setdefault(pair, {})
        held.update((row.time_us, row) for row in rows if begin <= row.time_us < self._closed_us and row.sane)
        if begin not in held and any(time_us > begin for time_us in held):
            begin = self._beyond(pair, begin, min(held))
        stretch = []
        while begin in held:
            stretch.append(held.pop(begin))
            begin += step
        self._ready += stretch
        self._counts["repaired candle"] += len(stretch)
        if begin < self._closed_us:
            self._owed[pair] = begin
            return len(stretch)
        del self._owed[pair], self._held[pair]
        self._misses.pop(pair, None)
        self._known(stretch)
        return len(stretch)

    def _beyond(self, pair: str, begin: int, first: int) -> int:
        """The answer lacks the candle asked for though it has later ones: after a few such answers it is lost, by name."""
        self._misses[pair] += 1
        if self._misses[pair] < GIVE_UP:
            return begin
        del self._misses[pair]
        lost = (first - begin) // self._timeframe.us
        self._counts["lost candle"] += lost
        log.error("%s: %d candles from %d on are not to be had by REST; going on behind them", pair, lost, begin)
        return first

    def _skipped(self, pair: str) -> bool:
        left, length = self._skips.get(pair, (0, 0))
        if left > 0:
            self._skips[pair] = (left - 1, length)
        return left > 0
