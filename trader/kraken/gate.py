"""The turn of private calls: Kraken wants the nonces of a key in order, so one call at a time leaves."""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE_S = 2.0  # an order call lets a read in flight go on for this long


class Gate:
    """One private call at a time, orders before reads; a read in flight is cut short when an order waits."""

    def __init__(self) -> None:
        self._busy = False
        self._reading: asyncio.Timeout | None = None
        self._queues: tuple[deque[asyncio.Future[None]], deque[asyncio.Future[None]]] = (deque(), deque())

    async def enter(self, *, urgent: bool) -> None:
        """Wait for the turn."""
        if not self._busy:
            self._busy = True
            return
        loop = asyncio.get_running_loop()
        if urgent and self._reading is not None and (when := self._reading.when()) is not None:
            self._reading.reschedule(min(when, loop.time() + PATIENCE_S))
        turn: asyncio.Future[None] = loop.create_future()
        self._queues[0 if urgent else 1].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the turn came together with the cancellation: pass it on
            raise

    def holds(self, scope: asyncio.Timeout | None) -> None:
        """Tell whose deadline may be cut: that of a read, or nobody's."""
        self._reading = scope

    def leave(self) -> None:
        """Give the turn to the next."""
        self._reading = None
        for queue in self._queues:
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._busy = False
