"""Order desk and keeper on the real adapter and the exchange twin, in memory: each order leaves once and ends in a proof."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from kraken_kit import PAIR, World, on_twin
from ledger_kit import PLAN

from trader.data.ledger import SqlLedger
from trader.domain.account import Position, PositionState
from trader.domain.market import SECOND
from trader.domain.messages import OrderChanged
from trader.domain.orders import Acked, Ambiguous, ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, Rejected, Side, client_order_id
from trader.errors import BeginRefused
from trader.execution.desk import ENTRY_GRACE_S, Order, OrderDesk
from trader.execution.keeper import Keeper
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

    async def bought(self, *, stop: bool = True) -> None:
        """An entry that filled, and what the keeper made of that."""
        intent, position = await self.order(stop=stop)
        answer = await self.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Acked)
        await self.desk.settle(answer.txid, intent.created_us)
        await self.quiet()

    async def buy(self, *, stop: bool = True) -> Position:
        """As `bought`; the position that is held now."""
        await self.bought(stop=stop)
        return self.held()

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

    def intents(self, leg: Leg) -> list[Intent]:
        return [i for i in self.ledger.intents() if i.leg is leg]


def in_house(test: Callable[[House], Awaitable[None]], *faults: Fault) -> None:
    """Run a test in a fresh house."""

    async def run(world: World) -> None:
        ledger = SqlLedger(":memory:", account=ACCOUNT)
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


# --- sending -----------------------------------------------------------------------------------------------------------
def test_an_acknowledged_entry_becomes_a_position_with_its_conditional_stop_adopted() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stops = house.orders(ordertype="stop-loss")
        assert len(house.orders(side="buy")) == len(stops) == 1
        known = house.keeper.stop_of(position.position_id)
        assert known is not None
        assert (known.txid, known.remaining) == (stops[0].txid, position.quantity)
        guard = house.keeper.held[position.position_id].guard
        assert guard is not None
        assert stops[0].trigger == guard.stop_price == known.trigger_price, "amended from the cap's level to the fill's"
        assert stops[0].amends == 1

    in_house(test)


def test_the_same_key_is_never_begun_twice() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        await house.desk.send(intent, position=position)
        with pytest.raises(BeginRefused, match="begun already"):
            await house.desk.send(intent, position=position)
        assert asked(house, "AddOrder") == 1

    in_house(test)


def test_without_a_lease_nothing_is_sent() -> None:
    async def test(house: House) -> None:
        house.desk.lease = None
        intent, position = await house.order()
        with pytest.raises(RuntimeError, match="lease"):
            await house.desk.send(intent, position=position)
        assert (asked(house, "AddOrder"), house.ledger.intents()) == (0, [])

    in_house(test)


def test_a_refusal_is_final_and_keeps_the_exchanges_words() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send(intent, position=position)
        assert isinstance(answer, Rejected)
        assert [(i.outcome, i.live) for i in house.ledger.intents()] == [(Outcome.REJECTED, False)]

    in_house(test, Fault(where="AddOrder", action="error", arg="EOrder:Insufficient funds"))


# --- resolving ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("action", [{"action": "lost_response"}, {"action": "http", "arg": 520, "after": True}, {"action": "cut_json"}])
def test_an_order_behind_an_unreadable_answer_is_found_and_not_sent_again(action: dict[str, Any]) -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        first = await house.desk.send(intent, position=position)
        assert isinstance(first, Ambiguous)
        assert [i.outcome for i in house.ledger.intents()] == [Outcome.SENT]
        answer = await house.desk.resolve(intent)
        assert isinstance(answer, Acked)
        assert answer.txid == house.orders(side="buy")[0].txid
        assert asked(house, "AddOrder") == len(house.orders(side="buy")) == 1
        assert house.held().quantity == intent.quantity, "its fills are booked with it"
        assert not house.desk.resolving

    in_house(test, Fault(where="AddOrder", nth=(1,), **action))


def test_a_lost_request_is_absent_only_after_deadline_and_grace_with_its_proof() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Rejected)
        assert answer.kind == "absent"
        waited = (house.world.clock.now_us() - intent.deadline_us) / SECOND
        assert ENTRY_GRACE_S < waited < ENTRY_GRACE_S + 15
        assert asked(house, "AddOrder") == 1
        assert asked(house, "OpenOrders") >= 5
        assert [i.outcome for i in house.ledger.intents()] == [Outcome.ABSENT]

    in_house(test, Fault(where="AddOrder", action="lost_request"))


def test_a_failed_query_proves_nothing() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Rejected)
        assert (house.world.clock.now_us() - intent.deadline_us) / SECOND > ENTRY_GRACE_S + 30

    nth = tuple(range(1, 41))
    in_house(test, Fault(where="AddOrder", action="lost_request"), Fault(where="TradesHistory", nth=nth, action="http", arg=503))


def test_an_exchange_in_maintenance_proves_nothing() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(house.desk.send_and_resolve(intent, position=position), 200)
        assert [i.outcome for i in house.ledger.intents()] == [Outcome.SENT]

    in_house(test, Fault(where="AddOrder", action="lost_request"), Fault(where="SystemStatus", action="error", arg="EService:Unavailable"))


class Lagging:
    """The exchange with a trade history that is behind its order status: the first `empty` readings show nothing."""

    def __init__(self, exchange: Any, empty: int) -> None:
        self._exchange, self.empty = exchange, empty

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    async def fills(self, since_us: int) -> Sequence[Fill]:
        self.empty -= 1
        return [] if self.empty >= 0 else await self._exchange.fills(since_us)


def test_a_final_status_counts_only_once_its_trades_are_booked() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send(intent, position=position)
        assert isinstance(answer, Acked)
        house.desk.exchange = Lagging(house.world.exchange, 3)
        assert await house.desk.settle(answer.txid, intent.created_us, patience_s=0.5) is None
        assert house.ledger.intents()[0].live, "its quantity stays reserved"
        order = await house.desk.settle(answer.txid, intent.created_us)
        assert order is not None
        assert order.filled == house.held().quantity > 0
        assert house.ledger.intents()[0].status is ExchangeStatus.CLOSED

    in_house(test)


# --- amend and cancel --------------------------------------------------------------------------------------------------
def test_an_amend_without_an_answer_is_read_back() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        assert stop.trigger_price is not None
        rules = (await house.world.exchange.instruments())[PAIR]
        level = rules.price_down(stop.trigger_price * Decimal("0.99"))
        assert await house.desk.amend(stop, trigger_price=level)
        assert house.orders(ordertype="stop-loss")[0].trigger == level
        now = house.keeper.stop_of(position.position_id)
        assert now is not None
        assert now.trigger_price == level

    in_house(test, Fault(where="AmendOrder", nth=(2,), action="lost_response"))


def test_a_cancel_converges_over_a_lost_request() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        final = await house.desk.cancel(stop)
        assert final is not None
        assert final.status is ExchangeStatus.CANCELED
        assert asked(house, "CancelOrder") == 2

    in_house(test, Fault(where="CancelOrder", nth=(1,), action="lost_request"))


# --- protection --------------------------------------------------------------------------------------------------------
def test_an_entry_whose_conditional_stop_never_came_gets_one_of_its_own() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stops = house.orders(ordertype="stop-loss")
        assert [(o.volume, o.refid, o.live) for o in stops] == [(position.quantity, None, True)]
        assert house.world.twin.protection_report().max_unprotected_us < 5_000_000

    in_house(test, Fault(where="AddOrder", match=BUY, action="swallow_stops"))


def test_a_stop_whose_request_was_lost_is_sent_anew_once_that_is_proved() -> None:
    async def test(house: House) -> None:
        await house.buy(stop=False)
        outcomes = [i.outcome for i in house.intents(Leg.STOP)]
        assert outcomes == [Outcome.ABSENT, Outcome.ACKED]
        assert len(house.orders(ordertype="stop-loss", status="open")) == 1
        assert house.world.twin.protection_report().max_unprotected_us < 15_000_000

    in_house(test, Fault(where="AddOrder", match=STOP, nth=(1,), action="lost_request"))


def test_a_stop_that_is_refused_twice_ends_in_a_sale_at_market() -> None:
    async def test(house: House) -> None:
        await house.bought(stop=False)
        assert house.ledger.positions() == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["EMERGENCY"]
        assert house.world.twin.protection_report().positions == {}
        assert len(house.intents(Leg.STOP)) == 2

    in_house(test, Fault(where="AddOrder", match=STOP, action="error", arg="EGeneral:Invalid arguments:price"))


def test_a_stop_whose_level_the_market_has_passed_ends_in_a_sale_at_once() -> None:
    async def test(house: House) -> None:
        await house.bought(stop=False)
        assert house.ledger.positions() == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["EMERGENCY"]
        assert len(house.intents(Leg.STOP)) == 1

    in_house(test, Fault(where="AddOrder", match=STOP, action="error", arg="EOrder:Invalid price"))


def test_a_stop_that_somebody_else_cancelled_is_back_within_seconds() -> None:
    async def test(house: House) -> None:
        house.world.listen([PAIR])
        await asyncio.sleep(5)
        position = await house.buy()
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        assert stop.txid is not None
        await house.world.exchange.cancel(stop.txid)
        await asyncio.sleep(1)
        for event in house.world.of(OrderChanged):
            house.desk.heard(event.order)
            house.keeper.heard(event.order)
        await house.quiet()
        again = house.keeper.stop_of(position.position_id)
        assert again is not None
        assert again.txid != stop.txid
        assert [o.txid for o in house.orders(ordertype="stop-loss", status="open")] == [again.txid]
        assert house.world.twin.protection_report().max_unprotected_us < 5_000_000

    in_house(test)


def test_leaving_cancels_the_stop_then_sells_what_is_held_and_nothing_more() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        sells = house.orders(side="sell")
        assert [(o.ordertype, o.status) for o in sells] == [("stop-loss", "canceled"), ("market", "closed")]
        assert sum((o.executed for o in sells), Decimal(0)) == position.quantity
        assert house.ledger.positions() == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["FLATTEN"]

    in_house(test)


def test_an_exit_that_is_refused_is_protected_again_and_tried_anew() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        assert [i.outcome for i in house.intents(Leg.EXIT)] == [Outcome.REJECTED, Outcome.ACKED]
        assert house.ledger.positions() == []
        assert house.world.twin.protection_report().max_unprotected_us < 5_000_000
        assert house.orders(status="open") == []

    in_house(test, Fault(where="AddOrder", match={"ordertype": "market"}, nth=(1,), action="error", arg="EOrder:Insufficient funds"))


def test_an_exit_whose_answer_was_lost_sells_once() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        assert [o.executed for o in house.orders(ordertype="market")] == [position.quantity]
        assert house.ledger.positions() == []

    in_house(test, Fault(where="AddOrder", match={"ordertype": "market"}, nth=(1,), action="lost_response"))


def test_a_stop_that_the_exchange_forgot_does_not_keep_a_position_from_leaving() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        await asyncio.sleep(10)
        assert house.orders(ordertype="stop-loss") == []
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        assert house.ledger.positions() == []
        assert [o.executed for o in house.orders(ordertype="market")] == [position.quantity]

    in_house(test, Fault(where="AddOrder", action="swallow_stops"))
