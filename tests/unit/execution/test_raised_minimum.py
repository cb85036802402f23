"""A holding whose stop vanished while the venue's minimum was raised: it is no dust, and has a stop again once that came down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from desk_kit import House, asked, in_house
from kraken_kit import PAIR

from trader.domain.account import PositionState
from trader.domain.orders import Leg, Rejected
from trader.simulation.faults import Fault

RAISED = Fault(where="pair", action="raise_minimum", arg={"pair": PAIR, "ordermin": "1000", "for_s": 60})


@pytest.mark.parametrize(("of_entry", "state"), [("0.5", PositionState.OPEN), ("1.5", PositionState.DUST)])
def test_what_could_be_sold_by_the_minimum_of_its_entry_is_not_written_off(of_entry: str, state: PositionState) -> None:
    """`of_entry`: the minimum at the entry, as a share of what is held."""

    async def test(house: House) -> None:
        position = await house.buy()
        held = house.keeper.held[position.position_id]
        assert held.guard is not None
        before = held.guard.state
        held.guard.state = before._replace(terms=before.terms._replace(order_min=before.lots * float(of_entry)))
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        house.world.twin.inject(RAISED)
        rules = house.keeper.instruments[PAIR]
        house.keeper.instruments[PAIR] = replace(rules, order_min=Decimal(1000))  # type: ignore[index]  # as after a start meanwhile
        await house.desk.cancel(stop)
        orders = len(house.intents(Leg.STOP))
        await house.keeper.protect(held)
        assert [one.state for one in house.ledger.positions()] == [state]
        assert len(house.intents(Leg.STOP)) == orders  # nothing is sent that would be refused
        await asyncio.sleep(75)
        assert (house.keeper.stop_of(position.position_id) is not None) is (state is PositionState.OPEN)

    in_house(test)


async def told_of_the_raise(house: House) -> None:
    """The exchange raised the minimum for a minute, and the client alone has read it: the keeper's rules are as at the entry."""
    house.world.twin.inject(RAISED)
    await asyncio.sleep(1)
    fresh = await house.world.exchange.instruments()
    assert fresh[PAIR].order_min == 1000 > house.keeper.instruments[PAIR].order_min


def test_a_raised_minimum_that_the_client_read_keeps_nobody_from_a_stop_once_it_has_come_down() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        await told_of_the_raise(house)
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        await house.desk.cancel(stop)
        await house.keeper.protect(house.keeper.held[position.position_id])
        assert house.keeper.stop_of(position.position_id) is None, "below the minimum no stop can stand"
        await asyncio.sleep(75)
        assert house.keeper.stop_of(position.position_id) is not None

    in_house(test)


def test_a_way_out_asks_for_the_rules_again_every_few_seconds_and_an_entry_never() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        held = house.keeper.held[position.position_id]
        await told_of_the_raise(house)
        stop = house.keeper.stop_of(position.position_id)
        assert stop is not None
        await house.desk.cancel(stop)
        before = asked(house, "AssetPairs")
        for _ in range(3):
            await house.keeper._sell(held, position.quantity, "EXIT")
        assert asked(house, "AssetPairs") == before + 1, "within seconds of each other they are asked for once"
        entry, opening = await house.order("k2")
        before = asked(house, "AssetPairs")
        assert isinstance(await house.desk.send(entry, position=opening), Rejected)
        assert asked(house, "AssetPairs") == before
        await asyncio.sleep(70)
        await house.keeper.leave(held, "EXIT")
        assert position.position_id not in [one.position_id for one in house.ledger.positions()]

    in_house(test)
