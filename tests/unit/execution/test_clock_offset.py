"""A machine whose clock runs behind the exchange's: deadlines count in exchange time, so nothing is refused as late for good."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from desk_kit import House, asked, in_house
from test_halting import recovering

from trader.domain.market import SECOND
from trader.domain.orders import Acked, Leg, Outcome
from trader.execution.desk import REDUCING_DEADLINE_S
from trader.execution.positions import Exit, ExitKind

OUT = "MAX_HOLD"


async def left(house: House) -> int:
    """Sell what is held as a time exit would; the longest it was bare meanwhile, in seconds."""
    position = house.held()
    held = house.keeper.held[position.position_id]
    await house.keeper.act(held, [Exit(kind=ExitKind.MARKET, reason=OUT, price=Decimal(1), quantity=position.quantity)])
    await asyncio.sleep(60)
    await house.quiet()
    return house.world.twin.protection_report().max_unprotected_us // SECOND


def test_an_exit_with_a_clock_4_s_behind_leaves_no_bare_position() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        await house.buy()
        house.world.twin.shown.offset_us += 4 * SECOND
        await recovery.run()  # "a running session goes on"
        assert await left(house) < 12
        assert [i.outcome for i in house.intents(Leg.EXIT)] == [Outcome.ACKED], "the reconciliation had asked for the time"
        assert house.ledger.positions() == []

    in_house(test)


@pytest.mark.parametrize("behind_s", [1.3, 2.0, 2.8, 4.0, 4.9])
def test_a_clock_that_falls_behind_unseen_costs_an_exit_one_attempt(behind_s: float) -> None:
    """Under a second of the deadline is left, or none: Kraken calls the one an invalid argument, the other elapsed."""

    async def test(house: House) -> None:
        await house.buy()
        house.world.twin.shown.offset_us += int(behind_s * SECOND)
        assert await left(house) < 12
        outcomes = [i.outcome for i in house.intents(Leg.EXIT)]
        assert outcomes[-1] is Outcome.ACKED
        assert Outcome.ACKED not in outcomes[:-1]
        assert len(outcomes) == 2
        assert house.ledger.positions() == []

    in_house(test)


@pytest.mark.parametrize("behind_s", [2.0, 4.0])
def test_a_stop_placed_by_a_clock_behind_stands_within_5_s(behind_s: float) -> None:
    async def test(house: House) -> None:
        intent, position = await house.order(stop=False)
        answer = await house.desk.send(intent, position=position)
        assert isinstance(answer, Acked)
        house.world.twin.shown.offset_us += int(behind_s * SECOND)
        await house.desk.settle(answer.txid, intent.created_us)
        await house.quiet()
        (stop,) = house.orders(ordertype="stop-loss", status="open")
        assert stop.volume == house.held().quantity
        jumped = house.world.twin.protection_report().max_unprotected_us  # with the seconds that its clock went ahead after the fill
        assert jumped - behind_s * SECOND < 5 * SECOND

    in_house(test)


def test_an_amend_that_came_late_is_sent_again_in_exchange_time() -> None:
    async def test(house: House) -> None:
        await house.buy()
        (stop,) = house.keeper.stops_of(house.held().position_id)
        assert stop.trigger_price is not None
        house.world.twin.shown.offset_us += 4 * SECOND
        raised = stop.trigger_price + house.keeper.instruments[stop.pair].tick
        before = asked(house, "AmendOrder")
        assert isinstance(await house.desk.amend(stop, trigger_price=raised), Acked)
        assert asked(house, "AmendOrder") == before + 2
        assert [i.trigger_price for i in house.keeper.stops_of(stop.position_id)] == [raised]

    in_house(test)


def test_the_intent_keeps_our_time_and_a_machine_in_step_asks_for_none() -> None:
    async def test(house: House) -> None:
        await house.buy()
        assert await left(house) == 0
        (out,) = house.intents(Leg.EXIT)
        assert out.deadline_us - out.created_us == REDUCING_DEADLINE_S * SECOND
        assert asked(house, "Time") == 0

    in_house(test)
