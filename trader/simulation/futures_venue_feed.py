"""`ports.MarketData` beside the in-process futures venue: the market's candles and ticks, and the futures engine's orders and fills."""

from __future__ import annotations

from collections.abc import Iterator

from trader.domain.messages import FeedEvent, Filled, OrderChanged
from trader.simulation.futures.orders import Happening
from trader.simulation.futures_venue import FuturesVenue, FuturesVenueExchange
from trader.simulation.kraken_server.spot.market_view import TICKS
from trader.simulation.venue_feed import SNAPSHOT_TRADES_US, VenueMarketData


class FuturesVenueMarketData(VenueMarketData):
    """Market data of all contracts and the account's own events."""

    def __init__(self, venue: FuturesVenue) -> None:
        super().__init__(venue, frames_per_minute=TICKS)
        self._futures, self._account = venue.futures, FuturesVenueExchange(venue)

    def _listen(self, *, on: bool) -> None:
        (self._futures.listeners.append if on else self._futures.listeners.remove)(self._happened)

    def _snapshot(self) -> Iterator[FeedEvent]:
        for order in self._futures.open_orders():
            yield OrderChanged(order=self._account.remote(order))
        since_us = self._clock.now_us() - SNAPSHOT_TRADES_US
        for fill in self._futures.state.fills.values():
            if fill.time_us >= since_us:
                yield Filled(fill=self._account.fill(fill))

    def _happened(self, happening: Happening) -> None:
        """A fill comes before the state that it leaves its order in; a refused order never was one."""
        if self._queue is None or happening.kind == "rejected":
            return
        if happening.fill is not None:
            self._queue.put_nowait(Filled(fill=self._account.fill(happening.fill)))
        self._queue.put_nowait(OrderChanged(order=self._account.remote(happening.order)))
