"""What a restarted twin must know of its futures account: the state behind `exchange_books.Books`, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trader.simulation.exchange_codec import from_row, to_row
from trader.simulation.futures.orders import Fill, FuturesOrder, Happening, LogLine, Position

FUTURES = "futures"  # name of its files


@dataclass(slots=True)
class FuturesState:
    """The whole account. `balances`: account -> asset -> amount; `funding_us`: the hour up to which funding is booked."""

    line: int = 0
    mark_us: int = 0
    tick_us: int = 0
    switch_us: int = 0  # when the dead-man's switch fires; 0: not armed
    orders: dict[str, FuturesOrder] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    balances: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    leverage: dict[str, Decimal] = field(default_factory=dict)
    pnl_currency: dict[str, str] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.orders) + len(self.fills) + len(self.happenings)

    def head(self) -> dict[str, Any]:
        """The small part, written with every operation."""
        return {
            "n": self.line,
            "t": self.mark_us,
            "k": self.tick_us,
            "switch": self.switch_us,
            "positions": [to_row(position) for position in self.positions.values()],
            "balances": {account: {asset: str(amount) for asset, amount in held.items()} for account, held in self.balances.items()},
            "leverage": {symbol: str(most) for symbol, most in self.leverage.items()},
            "pnl": dict(self.pnl_currency),
            "counters": dict(self.counters),
        }

    def dump(self) -> dict[str, Any]:
        """The state as JSON values; equal states give equal text."""
        return self.head() | {
            "orders": [to_row(order) for order in self.orders.values()],
            "fills": [to_row(fill) for fill in self.fills.values()],
            "happenings": [to_row(happening) for happening in self.happenings],
            "logs": [to_row(log) for log in self.logs],
            "nonces": dict(self.nonces),
        }

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take over what a line or a snapshot says."""
        self.line, self.mark_us, self.tick_us, self.switch_us = line["n"], line["t"], line["k"], line["switch"]
        self.positions = {row["symbol"]: from_row(Position, row) for row in line["positions"]}
        self.balances = {name: {asset: Decimal(text) for asset, text in held.items()} for name, held in line["balances"].items()}
        self.leverage = {symbol: Decimal(text) for symbol, text in line["leverage"].items()}
        self.pnl_currency, self.counters = dict(line["pnl"]), dict(line["counters"])
        for row in line.get("orders", ()):
            self.orders[row["order_id"]] = from_row(FuturesOrder, row)
        for row in line.get("fills", ()):
            self.fills[row["fill_id"]] = from_row(Fill, row)
        self.happenings += [from_row(Happening, row) for row in line.get("happenings", ())]
        self.logs += [from_row(LogLine, row) for row in line.get("logs", ())]
        self.nonces.update(line.get("nonces", {}))
