"""An entry that fills in several trades has a closing order from each: the keeper takes all in and makes them one stop."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.account import Position
from trader.domain.orders import Leg
from trader.simulation.faults import Fault
from trader.simulation.fills import FillRules

PARTS = 3


async def bought_in_parts(house: House) -> Position:
    house.world.twin.exchange.fills = FillRules(trades=PARTS)
    return await house.buy()


def covered(house: House) -> list[Decimal]:
    """What each live sell on the exchange covers."""
    return [order.remaining for order in house.world.twin.exchange.open_orders() if order.side == "sell"]


def test_the_stops_of_several_fills_become_one_of_the_whole_position() -> None:
    async def test(house: House) -> None:
        position = await bought_in_parts(house)
        (entry,) = house.orders(side="buy")
        assert (len(entry.trades), len(entry.closes)) == (PARTS, PARTS)
        assert covered(house) == [position.quantity]
        stops = house.intents(Leg.STOP)
        assert [stop.remaining for stop in stops if stop.live] == [position.quantity]
        assert {stop.txid for stop in stops} == set(entry.closes), "every one was taken in, none placed besides"
        report = house.world.twin.protection_report()
        assert (report.unprotected, report.max_unprotected_us < 5_000_000) == ({}, True)

    in_house(test)


def test_a_target_and_the_way_out_free_all_coins_of_several_stops() -> None:
    async def test(house: House) -> None:
        await bought_in_parts(house)
        (held,) = house.keeper.held.values()
        await house.keeper.leave(held, "TEST")
        await house.quiet()
        assert covered(house) == []
        assert house.keeper.by_pair(PAIR) == []

    in_house(test)


@pytest.mark.parametrize("error", ["EOrder:Rate limit exceeded", "EService:Unavailable"])
def test_a_cancel_that_is_refused_leaves_every_part_protected_until_it_succeeds(error: str) -> None:
    async def test(house: House) -> None:
        position = await bought_in_parts(house)
        assert sum(covered(house)) == position.quantity
        (held,) = house.keeper.held.values()
        await house.keeper.protect(held)
        assert covered(house) == [position.quantity]

    in_house(test, Fault(where="CancelOrder", action="error", arg=error, nth=(1, 2)))


class Killed(BaseException):
    """The process is gone."""


class KillAt:
    """KillPoints that end everything at one of them."""

    def __init__(self, point: str) -> None:
        self.point = point

    def reach(self, name: str) -> None:
        if name == self.point:
            raise Killed(name)


@pytest.mark.parametrize("point", ["after_ack", "after_ack_commit"])
@pytest.mark.parametrize("trades", [1, PARTS])
def test_dead_at_the_first_fill_the_exchange_holds_stops_of_all_that_filled(point: str, trades: int) -> None:
    async def test(house: House) -> None:
        house.world.twin.exchange.fills = FillRules(trades=trades)
        house.desk.kill = KillAt(point)
        intent, position = await house.order()
        with pytest.raises(Killed):
            await house.desk.send(intent, position=position)
        await asyncio.sleep(60)  # nobody does anything
        (entry,) = house.orders(side="buy")
        assert sum(covered(house)) == entry.executed > 0
        report = house.world.twin.protection_report()
        assert (report.unprotected, report.max_unprotected_us) == ({}, 0)

    in_house(test)
