"""A holding whose stop vanished while the venue's minimum was raised: it is no dust, and has a stop again once that came down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.account import PositionState
from trader.domain.orders import Leg
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
