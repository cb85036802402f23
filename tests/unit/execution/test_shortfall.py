"""Coins that the ledger holds and the exchange lacks: one halt instead of endless attempts, and no guess at what is held."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.account import Position
from trader.domain.orders import Leg, Outcome

BASE = PAIR.split("/")[0]
HOUR_S = 3600.0


async def taken_away(house: House) -> tuple[Position, Decimal]:
    """A position whose stop and coins somebody else has taken off the exchange, two minutes ago; what was taken."""
    position = await house.buy()
    balances = house.world.twin.exchange.state.balances
    (stop,) = house.intents(Leg.STOP)
    await house.desk.cancel(stop)
    taken, balances[BASE] = balances[BASE], Decimal(0)
    (held,) = house.keeper.held.values()
    await house.keeper.protect(held)
    await asyncio.sleep(120)
    return position, taken


def tried(house: House) -> int:
    """Orders the exchange refused."""
    return sum(intent.outcome is Outcome.REJECTED for intent in house.ledger.intents())


def halts(house: House) -> list[str]:
    return [halt.cause for halt in house.ledger.halts()]


async def end(house: House) -> None:
    for task in house.work:
        task.cancel()
    await asyncio.gather(*house.work, return_exceptions=True)
    house.work.clear()


def test_coins_that_are_gone_are_one_halt_and_no_endless_noise() -> None:
    async def test(house: House) -> None:
        position, _ = await taken_away(house)
        assert halts(house) == [f"unknown {BASE}"]
        first, noted = tried(house), house.rows().count("stop.refused")
        await asyncio.sleep(2 * HOUR_S)
        assert house.rows().count("halt.set") == 1
        assert house.rows().count("stop.refused") == noted
        assert 3 * 10 <= tried(house) - first <= 3 * 13, "a stop, once more, and a sale, every ten minutes"
        assert house.held().quantity == position.quantity, "what is held is never guessed"
        await end(house)

    in_house(test)


def test_a_stop_stands_once_the_coins_are_back_and_the_halt_ends() -> None:
    async def test(house: House) -> None:
        position, taken = await taken_away(house)
        house.world.twin.exchange.state.balances[BASE] = taken
        (held,) = house.keeper.held.values()
        await house.keeper.protect(held)
        assert [stop for stop in house.intents(Leg.STOP) if stop.live] == [], "nobody has looked at the balance yet"
        house.keeper.shortfall.looked([held], await house.world.exchange.balances())
        await house.keeper.protect(held)
        assert [stop.remaining for stop in house.intents(Leg.STOP) if stop.live] == [position.quantity]
        assert halts(house) == []

    in_house(test)


def test_attempts_begin_anew_where_a_person_has_looked() -> None:
    async def test(house: House) -> None:
        _, taken = await taken_away(house)
        house.ledger.clear_halt(f"unknown {BASE}", "me", "the coins are back", house.world.clock.now_us())
        house.world.twin.exchange.state.balances[BASE] = taken
        (held,) = house.keeper.held.values()
        await house.keeper.protect(held)
        assert house.keeper.stop_of(held.position.position_id) is not None
        assert halts(house) == []
        await end(house)

    in_house(test)


def test_a_way_out_is_tried_whenever_it_is_due() -> None:
    async def test(house: House) -> None:
        _, taken = await taken_away(house)
        house.world.twin.exchange.state.balances[BASE] = taken
        (held,) = house.keeper.held.values()
        await house.keeper.leave(held, "EXIT")
        assert house.keeper.by_pair(PAIR) == []
        assert halts(house) == [f"unknown {BASE}"], "a person has not looked, and no stop stands"
        await end(house)

    in_house(test)
