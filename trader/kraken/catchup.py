"""What the private stream may not have told: asked by REST after every reconnect and for every item nobody could read.

The snapshot of a new connection holds the last 50 fills and the open orders only, so an outage can hide the 51st fill and the
end of an order. The trades since the last good frame and the orders that went missing are read and delivered like frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from trader.domain.market import MINUTE
from trader.domain.messages import FeedEvent, FeedReset
from trader.errors import RejectedError, RetryableError
from trader.kraken.executions import ExecutionReader
from trader.kraken.pages import read_fills, read_orders
from trader.kraken.rest import Rest

MARGIN_US = MINUTE  # trades are asked from this long before the last good frame: REST stamps them by another clock
AGAIN_S = 60.0  # REST may be a minute behind the stream: one more look after this long
PAUSE_S = 5.0  # I/O time between two looks, so that a storm of bad frames costs a few calls
log = logging.getLogger(__name__)


class CatchUp:
    """Owes trades since a time and orders by id; pays through `deliver`, each fill and each new state once."""

    def __init__(self, rest: Rest, reader: ExecutionReader, deliver: Callable[[FeedEvent], None]) -> None:
        self._rest, self._reader, self._deliver = rest, reader, deliver
        self._since_us: int | None = None
        self._orders: dict[str, None] = {}
        self._unnamed = False
        self._due = asyncio.Event()
        self._later: list[asyncio.TimerHandle] = []
        self.passes = 0

    def owe(self, since_us: int, orders: Iterable[str] = (), *, unnamed: bool = False, again: bool = False) -> None:
        """Something after `since_us` may be missing. `unnamed`: an item that did not even say which order it is about;
        `again`: look once more in a minute."""
        self._since_us = since_us if self._since_us is None else min(self._since_us, since_us)
        self._orders.update(dict.fromkeys(orders))
        self._unnamed = self._unnamed or unnamed
        self._due.set()
        if again:
            loop = asyncio.get_running_loop()
            self._later = [handle for handle in self._later if handle.when() > loop.time()]
            self._later.append(loop.call_later(AGAIN_S, self.owe, since_us))

    async def run(self) -> None:
        """Pay for ever; a refused or failed read stays owed. Raises FatalError only."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self._pay()
                await asyncio.sleep(PAUSE_S)
        finally:
            for handle in self._later:
                handle.cancel()

    async def _pay(self) -> None:
        since_us, orders, unnamed = self._since_us, self._orders, self._unnamed
        if since_us is None:
            return
        self._since_us, self._orders, self._unnamed = None, {}, False
        try:
            fills = await read_fills(self._rest, since_us - MARGIN_US)
            states = await read_orders(self._rest, list(orders)) if orders else []
        except (RetryableError, RejectedError) as error:
            log.warning("own trades could not be read after the stream broke: %s", error)
            self.owe(since_us, orders, unnamed=unnamed)
            return
        self.passes += 1
        for fill in fills:
            for event in self._reader.take_fill(fill):
                self._deliver(event)
        for order in states:
            for changed in self._reader.take_order(order):
                self._deliver(changed)
        if unnamed:
            self._deliver(FeedReset(reason="an execution that names no order"))
