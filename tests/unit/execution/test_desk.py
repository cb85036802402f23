"""Order desk and keeper on the real adapter and the exchange twin, in memory: each order leaves once and ends in a proof."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from desk_kit import House, asked, in_house
from kraken_kit import PAIR

from trader.domain.messages import OrderChanged
from trader.domain.orders import Acked, ExchangeStatus, Fill, Leg, Outcome, Rejected
from trader.errors import BeginRefused
from trader.simulation.faults import Fault

BUY, STOP = {"type": "buy"}, {"ordertype": "stop-loss"}


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


# --- settling -----------------------------------------------------------------------------------------------------------
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
        house.through(Lagging(house.world.exchange, 3))
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
        assert isinstance(await house.desk.amend(stop, trigger_price=level), Acked)
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


def test_a_stop_that_is_to_be_raised_through_the_market_sells_at_once_under_its_new_reason() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        held = house.keeper.held[position.position_id]
        assert held.guard is not None
        last = house.world.twin.exchange.last(PAIR)
        raised = held.guard.instrument.to_ticks(last) + 1
        held.guard.state = held.guard.state._replace(stop=raised, level=2)
        await house.keeper.protect(held)
        await asyncio.sleep(1)
        assert house.ledger.positions() == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["RATCHET_L2"]

    in_house(test)


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


@pytest.mark.parametrize("patience_s", [0.5, 4.0, 6.0])
def test_whoever_waits_for_an_end_waits_as_long_as_was_said(patience_s: float) -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None and stop.txid is not None
        begun = asyncio.get_running_loop().time()
        assert await house.desk.settle(stop.txid, stop.created_us, patience_s=patience_s) is None
        assert patience_s <= asyncio.get_running_loop().time() - begun < patience_s + 0.2  # and an answer's time

    in_house(test)


def test_a_cancel_that_is_said_to_be_done_and_is_not_is_asked_again_within_seconds() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        begun = asyncio.get_running_loop().time()
        await house.keeper.leave(house.keeper.held[position.position_id], "EXIT")
        assert house.ledger.positions() == [] and asked(house, "CancelOrder") == 3
        assert asyncio.get_running_loop().time() - begun < 10

    in_house(test, Fault(where="CancelOrder", action="cancel_ignored", nth=(1, 2)))
