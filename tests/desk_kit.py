"""An order desk and a keeper on the real adapter and the exchange twin, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from kraken_kit import PAIR, World, on_twin
from ledger_kit import PLAN

from trader.data.engine import MEMORY
from trader.data.ledger import SqlLedger
from trader.domain.account import Position, PositionState
from trader.domain.orders import Acked, Fill, Intent, Leg, OrderType, Side, client_order_id
from trader.execution.desk import Order, OrderDesk
from trader.execution.keeper import Keeper
from trader.execution.lookups import Lookups
from trader.execution.wiring import NoKill
from trader.simulation.exchange_orders import TwinOrder
from trader.simulation.faults import Fault

ACCOUNT = "kraken"
BUY, STOP = {"type": "buy"}, {"ordertype": "stop-loss"}


@dataclass
class House:
    """A desk and a keeper with a ledger in memory over one twin."""

    world: World
    ledger: SqlLedger
    desk: OrderDesk
    keeper: Keeper
    work: list[asyncio.Task[None]] = field(default_factory=list)

    async def order(self, key: str = "k1", *, stop: bool = True) -> tuple[Intent, Position]:
        """An approved entry of about 500 EUR with its stop 2 % below."""
        rules = (await self.world.exchange.instruments())[PAIR]
        ask = (await self.world.market.tickers())[PAIR].ask
        name = client_order_id(self.desk.tag, ACCOUNT, key, Leg.ENTRY, 0)
        intent = self.desk.intent(
            Order(
                key=key, leg=Leg.ENTRY, position_id=name, pair=PAIR, side=Side.BUY, order_type=OrderType.LIMIT,
                quantity=rules.quantity_down(Decimal(500) / ask), limit_price=rules.price_up(ask * Decimal("1.01")),
                close_trigger=rules.price_down(ask * Decimal("0.97")) if stop else None, immediate=True,
            )
        )  # fmt: skip
        position = Position(
            position_id=name, pair=PAIR, side=Side.BUY, strategy="test", entry_key=key, plan=PLAN, opened_us=intent.created_us
        )
        return intent, position

    async def bought(self, key: str = "k1", *, stop: bool = True) -> None:
        """An entry that filled, and what the keeper made of that."""
        intent, position = await self.order(key, stop=stop)
        answer = await self.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Acked)
        await self.desk.settle(answer.txid, intent.created_us)
        await self.quiet()

    async def buy(self, *, stop: bool = True) -> Position:
        """As `bought`; the position that is held now."""
        await self.bought(stop=stop)
        return self.held()

    async def bought_before(self, mode: str, *, of: str = "system") -> tuple[Position, TwinOrder]:
        """A position and its resting stop, a second after the exchange, or (`of` pair) the pair, went into `mode` for a minute."""
        position = await self.buy()
        (stop,) = self.orders(status="open")
        if of == "system":
            self.world.twin.inject(Fault(where="system", action=mode, arg={"for_s": 60}))
        else:
            self.world.twin.inject(Fault(where="pair", action="pair_status", arg={"pair": PAIR, "status": mode, "for_s": 60}))
            told: Any = self.keeper.instruments
            told[PAIR] = replace(told[PAIR], status=mode)  # as the session does at the stream's word
        await asyncio.sleep(1)
        return position, stop

    def through(self, exchange: Any) -> None:
        """Let the desk reach the venue through this."""
        self.desk.exchange, self.desk.lookups = exchange, Lookups(exchange)

    def held(self) -> Position:
        (position,) = [p for p in self.ledger.positions() if p.state is PositionState.OPEN]
        return position

    async def quiet(self) -> None:
        """Until the spawned work is done; raises what it raised."""
        while self.work:
            await self.work.pop()

    def orders(self, **wanted: Any) -> list[TwinOrder]:
        """The exchange's own books."""
        return [o for o in self.world.twin.exchange.state.orders.values() if all(getattr(o, k) == v for k, v in wanted.items())]

    def rows(self) -> list[str]:
        """The types of all journal rows, in order."""
        return [row[0] for row in self.ledger._connection.exec_driver_sql("SELECT type FROM journal ORDER BY seq")]

    def intents(self, leg: Leg) -> list[Intent]:
        return [i for i in self.ledger.intents() if i.leg is leg]


def in_house(
    test: Callable[[House], Awaitable[None]], *faults: Fault, cash: bool = True, emergency: Path | None = None, place: str = MEMORY
) -> None:
    """Run a test in a fresh house; `cash` False: as before the very first start; `emergency`: where its ledger may retreat to."""

    async def run(world: World) -> None:
        ledger = SqlLedger(place, account=ACCOUNT, emergency=emergency)
        if cash:
            ledger.set_opening_cash({"EUR": Decimal(10_000)}, world.clock.now_us())
        work: list[asyncio.Task[None]] = []

        def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
            work.append(asyncio.create_task(coroutine, name=name))

        def on_fills(fills: Sequence[Fill], source: str) -> None:
            keeper.booked(ledger.apply_fills(fills, world.clock.now_us(), source=source))

        desk = OrderDesk(
            exchange=world.exchange, ledger=ledger, clock=world.clock, kill=NoKill(), account=ACCOUNT, tag="abc", on_fills=on_fills
        )
        rules = await world.exchange.instruments()
        keeper = Keeper(desk=desk, exchange=world.exchange, ledger=ledger, clock=world.clock, instruments=rules, spawn=spawn)
        desk.lease = ledger.acquire_lease(ACCOUNT, "test", world.clock.now_us(), 10**15)
        house = House(world, ledger, desk, keeper, work)
        try:
            await test(house)
            await house.quiet()
        finally:
            ledger.close()

    on_twin(run, *faults)


def asked(house: House, name: str) -> int:
    return house.world.twin.middleware.counters.get(name, 0)
