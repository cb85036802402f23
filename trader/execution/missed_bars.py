"""Bars of what is held that closed while no session ran, or did not come: asked of the exchange, given to the keeper once.

Beside everything: what is held has its stop before anybody asks, and the next bars are followed whether these come or not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from trader.domain.account import PositionState
from trader.domain.market import SECOND, Timeframe
from trader.errors import RejectedError, RetryableError
from trader.execution.bars import ascending
from trader.execution.keeper import Keeper
from trader.execution.wiring import Wiring

FEED_US = 30 * SECOND  # the feed's time to tell of a bar by itself


class MissedBars:
    """Looks at the start and at beats for bars that a held position was not given. The exchange keeps about 720, seven and a half
    days; of a position that nobody followed for longer the older ones count, but raise no best price."""

    def __init__(self, wiring: Wiring, keeper: Keeper, spawn: Callable[[Coroutine[Any, Any, None], str], None]) -> None:
        self.w, self.keeper, self.spawn = wiring, keeper, spawn
        self._asking = False

    def begin(self) -> None:
        """At the start: a way out that was decided by a session which died over it is taken now, not at the next trade; then `look`."""
        for pair in self.keeper.pairs():
            self.keeper.on_missed(pair, ())
        self.look()

    def look(self) -> None:
        """Ask for what is owed, beside the caller; a pair whose bars do not come is asked about again at the next look."""
        if not self._asking and (owed := self._owed()):
            self._asking = True
            self.spawn(self._ask(owed), "missed bars")

    def _until_us(self) -> int:
        return Timeframe.M15.floor(self.w.clock.now_us() - FEED_US)

    def _owed(self) -> dict[str, int]:
        """Open of the first bar that is owed, by pair."""
        until_us, owed = self._until_us(), dict[str, int]()
        for held in self.keeper.held.values():
            if held.guard is None or held.position.state is not PositionState.OPEN:
                continue
            if (since_us := held.guard.owed(until_us)) is not None:
                owed[held.position.pair] = min(since_us, owed.get(held.position.pair, since_us))
        return owed

    async def _ask(self, owed: dict[str, int]) -> None:
        try:
            for pair, since_us in owed.items():
                try:
                    await self._give(pair, since_us)
                except (RetryableError, RejectedError) as error:
                    self.w.ledger.note("history.unknown", {"pair": pair, "error": str(error)}, self.w.clock.now_us())
        finally:
            self._asking = False

    async def _give(self, pair: str, since_us: int) -> None:
        rows = ascending(await self.w.market.history(pair, Timeframe.M15, since_us), since_us)
        if spoilt := [row for row in rows if not row.sane]:
            raise RetryableError(f"{pair}: the exchange's candle at {spoilt[0].time_us} is none")
        until_us = self._until_us()
        self.keeper.on_missed(pair, [row for row in rows if row.close_us <= until_us])
