"""What the WebSocket v2 door knows of one client: its socket and what it subscribed to."""

from __future__ import annotations

from dataclasses import dataclass, field

from trader.simulation.kraken_server.spot.book import Book
from trader.simulation.kraken_server.wire.sockets import Client

TRADES, BBO = "trades", "bbo"  # what sets off a ticker frame: every trade, or a change of the best prices


@dataclass(slots=True)
class BookView:
    """A subscribed book: its depth, and what the client was told last (None: nothing yet, the pair has no price)."""

    depth: int
    shown: Book | None = None


@dataclass(slots=True, eq=False)
class Connection(Client):
    """One client.

    `candles`: interval in minutes -> symbols; `tickers`: symbol -> trigger; `sequences`: private channel -> last number.
    """

    candles: dict[int, dict[str, None]] = field(default_factory=dict)
    tickers: dict[str, str] = field(default_factory=dict)
    trades: dict[str, None] = field(default_factory=dict)
    books: dict[str, BookView] = field(default_factory=dict)
    instruments: bool = False
    sequences: dict[str, int] = field(default_factory=dict)
    transitions: bool = True  # order_status: every transition of an order, not only its opening and closing
    ratecounter: bool = False  # the engine counter beside each order event
    tokens: dict[str, None] = field(default_factory=dict)  # stream tokens that opened a private subscription here
    heard: list[int] = field(default_factory=list)  # times of the last second's messages (us), where they are counted

    @property
    def subscribed(self) -> bool:
        return bool(self.sequences or self.trades or self.tickers or self.books or self.instruments or any(self.candles.values()))
