"""How an order behind an answer that proves nothing is found, or proved absent, and how soon."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from desk_kit import House, asked, in_house
from kraken_kit import PAIR

from trader.domain.market import SECOND
from trader.domain.orders import Acked, Ambiguous, Leg, Outcome, Rejected
from trader.execution.desk import ENTRY_GRACE_S
from trader.simulation.faults import Fault

STOP = {"ordertype": "stop-loss"}


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


def test_an_order_the_venue_calls_late_needs_two_clean_passes_and_no_grace() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Rejected)
        assert answer.kind == "absent"
        assert (house.world.clock.now_us() - intent.created_us) / SECOND < 3
        assert asked(house, "OpenOrders") == 2

    in_house(test, Fault(where="AddOrder", nth=(1,), action="error", arg="EService:Deadline elapsed"))


def test_a_late_order_that_stands_all_the_same_is_found() -> None:
    async def test(house: House) -> None:
        intent, position = await house.order()
        answer = await house.desk.send_and_resolve(intent, position=position)
        assert isinstance(answer, Acked)
        assert asked(house, "AddOrder") == len(house.orders(side="buy")) == 1

    in_house(test, Fault(where="AddOrder", nth=(1,), action="error", arg="EService:Deadline elapsed", after=True))


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


def test_a_stop_whose_request_was_lost_is_sent_anew_once_that_is_proved() -> None:
    async def test(house: House) -> None:
        await house.buy(stop=False)
        outcomes = [i.outcome for i in house.intents(Leg.STOP)]
        assert outcomes == [Outcome.ABSENT, Outcome.ACKED]
        assert len(house.orders(ordertype="stop-loss", status="open")) == 1
        assert house.world.twin.protection_report().max_unprotected_us < 10_000_000

    in_house(test, Fault(where="AddOrder", match=STOP, nth=(1,), action="lost_request"))


def test_beside_coins_of_others_a_stop_counts_as_absent_only_after_the_grace_of_an_entry() -> None:
    async def test(house: House) -> None:
        house.ledger.external_move(PAIR.split("/")[0], Decimal(1), "deposit", house.world.clock.now_us())
        await house.buy(stop=False)
        lost, placed = house.intents(Leg.STOP)
        assert [lost.outcome, placed.outcome] == [Outcome.ABSENT, Outcome.ACKED]
        assert placed.created_us - lost.deadline_us > ENTRY_GRACE_S * SECOND

    in_house(test, Fault(where="AddOrder", match=STOP, nth=(1,), action="lost_request"))
