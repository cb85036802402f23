"""The futures side of the Kraken twin as one part: engine, books, REST and WebSocket, on the spot side's clock, market and port."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web

from trader.domain.money import ZERO
from trader.ports import Clock
from trader.simulation.drive import prices_at
from trader.simulation.exchange_books import Books
from trader.simulation.fills import FillRules, Tick, bar_path
from trader.simulation.futures.books import FUTURES
from trader.simulation.futures.contracts import CASH, FLEX, Contract, contracts_of
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.kraken_server.futures.hub import FuturesHub
from trader.simulation.kraken_server.futures.limits import FuturesLimitRules, FuturesLimits
from trader.simulation.kraken_server.futures.market import FuturesMarket
from trader.simulation.kraken_server.futures.rest import FuturesDoor, SecretOf
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.kraken_server.wire.middleware import Middleware
from trader.simulation.market import Market

OPENING = {"xbt": Decimal(1), "eth": Decimal(10)}  # what the accounts of inverse contracts hold at first


class FuturesTwin:
    """Built beside the spot twin and fed by its ticks. Without futures orders and positions a tick costs next to nothing."""

    def __init__(
        self,
        market: Market,
        clock: Clock,
        view: MarketView,
        middleware: Middleware,
        *,
        state_dir: Path | None,
        seed: int,
        starting_cash: Decimal,
        fills: FillRules,
        secret_of: SecretOf,
        limits: FuturesLimitRules | None,
        switches: Switches,
    ) -> None:
        self._market = market
        self._books = Books(state_dir, FUTURES)
        contracts = contracts_of(market.listing(pair) for pair in market.pairs)
        self.exchange = FuturesExchange(
            contracts,
            cash=_opening(contracts, starting_cash),
            fills=fills,
            books=self._books,
            seed=seed,
            start_us=view.exchange.state.tick_us,
            price_at=market.last_price,
        )
        self.exchange.post_only_style = switches.post_only_style
        spot = view.exchange  # a contract trades while its base's spot market does
        self.exchange.trading = lambda contract: spot.system_status == "online" and spot.rule(contract.pair).status == "online"
        self.exchange.set_prices(prices_at(market, self.exchange.state.tick_us))
        self.limits = FuturesLimits(limits or FuturesLimitRules())
        public = FuturesMarket(self.exchange, view, clock, seed)
        self.door = FuturesDoor(public, middleware, self.limits, secret_of=secret_of, settled=self.flush, switches=switches)
        self.hub = FuturesHub(public, middleware, self.door.history, secret_of=secret_of, uid=self.door.uid)
        self.places = (*self.door.places, *self.hub.places)
        self._catch_up(view.exchange.state.tick_us)

    def _catch_up(self, until_us: int) -> None:
        """Work off the ticks that the spot side has in its books and this side has not: after a kill between the two."""
        engine, base = self.exchange, self._market.base
        open_us = base.floor(engine.state.tick_us)
        while open_us <= until_us and (engine.state.positions or engine.open_orders()):
            for tick in bar_path(open_us, base, self._market.minute(open_us)):
                if tick.time_us <= until_us:
                    engine.advance(tick)
            open_us += base.us
        engine.set_prices(prices_at(self._market, until_us))

    def add_routes(self, app: web.Application) -> None:
        """REST and WebSocket beside the spot routes; the paths do not clash."""
        self.door.add_routes(app)
        app.router.add_get("/ws/v1", self.hub.handle)

    def start(self) -> None:
        """What must run by itself once the server listens."""
        self.door.start()

    async def close(self) -> None:
        """Stop what `start` began, drop clients, close the books."""
        await self.door.close()
        await self.hub.close()
        self._books.close()

    async def moved(self, tick: Tick) -> None:
        """Take over a tick of the market."""
        self.exchange.advance(tick)
        await self.flush()
        if self.hub.connections:
            await self.hub.publish(tick)

    async def flush(self) -> None:
        """Send what happened to the streams."""
        await self.hub.flush()

    def figures(self) -> dict[str, Any]:
        """What it counted, as JSON values."""
        state = self.exchange.state
        return {
            "orders": len(state.orders),
            "open_orders": len(self.exchange.open_orders()),
            "fills": len(state.fills),
            "positions": {position.symbol: str(position.size) for position in self.exchange.positions()},
            "balances": {name: {asset: str(amount) for asset, amount in held.items()} for name, held in sorted(state.balances.items())},
            "connections": len(self.hub.connections),
            "frames": self.hub.sent,
            "limit_spent": dict(self.limits.spent),
            "limit_refused": self.limits.refused,
        }


def _opening(contracts: Mapping[str, Contract], usd: Decimal) -> dict[str, dict[str, Decimal]]:
    """Accounts at the beginning: an empty cash wallet, USD in flex, some of its base for each inverse contract."""
    inverse = {contract.account: contract.asset for contract in contracts.values() if contract.inverse}
    cash = {"usd": ZERO} | dict.fromkeys(inverse.values(), ZERO)
    return {CASH: cash, FLEX: {"usd": usd}} | {account: {asset: OPENING[asset]} for account, asset in inverse.items()}
