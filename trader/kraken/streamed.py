"""What both feeds remember of their one running stream, and the part of `ports.MarketData` that follows from it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from trader.domain.market import Candle
from trader.kraken.repairs import Repairs
from trader.kraken.stream import Events, guarded


class Forming(Protocol):
    """A board of candles."""

    def forming(self, pair: str) -> Candle | None: ...


class Subscribed(Protocol):
    """Subscriptions of a running stream."""

    refused: dict[str, str]
    counts: Counter[str]

    def loops(self) -> list[tuple[Coroutine[Any, Any, None], str]]: ...
    async def want(self, pairs: Sequence[str]) -> None: ...
    async def watch_ticks(self, pairs: Iterable[str]) -> None: ...


S = TypeVar("S", bound=Subscribed)


class StreamedMarketData(Generic[S]):
    """One stream at a time; pairs and ticks that were asked for outlive it."""

    def __init__(self) -> None:
        self._board: Forming | None = None
        self._channels: S | None = None
        self._pairs: dict[str, None] = {}
        self._ticking: tuple[str, ...] = ()
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def _running(
        self, pairs: Sequence[str], board: Forming, channels: S, *, repairs: Repairs, closer: Coroutine[Any, Any, None], queue: Events
    ) -> AsyncIterator[None]:
        """The stream's coroutines, from subscription to the end of the last one."""
        self._board, self._channels, self._counts = board, channels, channels.counts
        self._pairs.update(dict.fromkeys(pairs))
        loops = (*channels.loops(), (closer, "candle closer"))
        tasks = [asyncio.create_task(guarded(coroutine, queue), name=name) for coroutine, name in loops]
        try:
            await channels.want(list(self._pairs))
            await channels.watch_ticks(self._ticking)
            yield
        finally:
            self._channels = self._board = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await repairs.stop()

    def _must_be_idle(self) -> None:
        """Raises RuntimeError while a stream runs."""
        if self._channels is not None:
            raise RuntimeError("a stream is running already; close it before starting another")

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        """Ticks of exactly these pairs, now and in later streams."""
        self._ticking = tuple(dict.fromkeys(pairs))
        if self._channels is not None:
            await self._channels.watch_ticks(self._ticking)

    async def add_pairs(self, pairs: Iterable[str]) -> None:
        """Candles of these pairs too, now and in later streams."""
        self._pairs.update(dict.fromkeys(pairs))
        if self._channels is not None:
            await self._channels.want(list(self._pairs))

    def forming(self, pair: str) -> Candle | None:
        """The running base candle of a pair as of its newest frame; None without a stream or a frame."""
        return None if self._board is None else self._board.forming(pair)

    @property
    def refused(self) -> Mapping[str, str]:
        """Pairs the venue does not stream, with the reason."""
        return {} if self._channels is None else dict(self._channels.refused)

    @property
    def counts(self) -> Mapping[str, int]:
        """What the newest stream rejected, dropped, repaired and reconnected, by reason."""
        return dict(self._counts)
