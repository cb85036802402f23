"""A futures engine on hand-made prices: BTC at 100, ETH at 50, no premium unless a test wants one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from trader.simulation.exchange_books import Books
from trader.simulation.fills import FillRules, Tick
from trader.simulation.futures.account import FuturesCosts
from trader.simulation.futures.books import FUTURES
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import FuturesOrder, FuturesRequest
from trader.simulation.futures.prices import HOUR

BTC, ETH, INVERSE = "PF_XBTUSD", "PF_ETHUSD", "PI_XBTUSD"
T0 = 500_000 * HOUR


def _contract(symbol: str, index: int, **changes: Any) -> Contract:
    fields = {"inverse": False, "tick": Decimal("0.1"), "precision": 3, "max_position": Decimal(75_000_000)} | changes
    base = "ETH" if index else "BTC"
    return Contract(symbol=symbol, base=base, pair=f"{base}/EUR", index=index, **fields)


CONTRACTS = {
    BTC: _contract(BTC, 0, precision=4),
    ETH: _contract(ETH, 1),
    INVERSE: _contract(INVERSE, 0, inverse=True, tick=Decimal("0.5"), precision=0),
}
CASH = {
    "cash": {"usd": Decimal(0), "xbt": Decimal(1)},
    "flex": {"usd": Decimal(1_000)},
    "fi_xbtusd": {"xbt": Decimal(1)},
}


class Bench:
    """An engine whose time and prices the test moves."""

    def __init__(self, directory: Path | None = None, *, seed: int = 1, costs: FuturesCosts | None = None, **fills: Any) -> None:
        self.now = T0
        self.prices = [100.0, 50.0]
        self.engine = self.make(directory, seed, costs, FillRules(**({"slippage": Decimal(0)} | fills)))

    def make(self, directory: Path | None, seed: int, costs: FuturesCosts | None, fills: FillRules) -> FuturesExchange:
        engine = FuturesExchange(
            CONTRACTS,
            cash=CASH,
            fills=fills,
            books=Books(directory, FUTURES),
            seed=seed,
            start_us=self.now,
            price_at=lambda pair, _: 100.0 if pair == "BTC/EUR" else 50.0,
            costs=costs,
        )
        engine.set_prices(np.array(self.prices))
        return engine

    def move(self, btc: float | None = None, eth: float | None = None, *, gap: bool = False, after_us: int = 1_000_000) -> None:
        """The next tick, prices moving there in a straight line (or jumping)."""
        self.now += after_us
        self.prices = [self.prices[0] if btc is None else btc, self.prices[1] if eth is None else eth]
        self.engine.advance(Tick(time_us=self.now, prices=np.array(self.prices), gap=gap, part=2))

    def send(self, side: str, size: str, order_type: str = "mkt", *, symbol: str = BTC, **fields: Any) -> FuturesOrder:
        """Place an order; prices as text."""
        for name in ("limit_price", "stop_price", "deviation"):
            if name in fields:
                fields[name] = Decimal(fields[name])
        request = FuturesRequest(symbol=symbol, side=side, order_type=order_type, size=Decimal(size), **fields)
        return self.engine.place(request, self.now)[0]

    def size(self, symbol: str = BTC) -> Decimal:
        """Signed size of the position."""
        position = self.engine.state.positions.get(symbol)
        return position.size if position else Decimal(0)

    def cash(self, account: str = "flex") -> Decimal:
        return self.engine.balance(account)
