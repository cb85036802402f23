"""What a person told to leave is left: whatever fills, refuses or dies in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from desk_kit import House, in_house
from interleave_kit import MARKET, Wrapped
from kraken_kit import PAIR
from test_halting import recovering

from trader.data import ledger_control
from trader.domain.orders import Acked, Answer, Intent, Leg, Outcome
from trader.execution.controls import Controls
from trader.simulation.faults import Fault
from trader.simulation.fills import FillRules


class Slow(Wrapped):
    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.real.submit(intent)
        if intent.leg is Leg.ENTRY:
            await asyncio.sleep(2.0)  # the answer takes its time
        return answer


def controls_of(house: House) -> Controls:
    wiring: Any = SimpleNamespace(ledger=house.ledger, clock=house.world.clock)
    accounting: Any = SimpleNamespace()
    spawn: Any = house.keeper.spawn
    return Controls(wiring, house.keeper, accounting, spawn=spawn, stop=print)


async def polled(controls: Controls, seconds: float) -> None:
    """As the session polls, for so long."""
    for _ in range(int(seconds * 2)):
        controls.poll()
        await asyncio.sleep(0.5)


def given(house: House, verb: str, argument: str = "") -> str:
    with house.ledger._change(house.world.clock.now_us()) as tx:
        return ledger_control.submit(tx, verb, argument, "tester", reason="", key=f"{verb}{argument}").control_id


def test_flatten_sells_what_an_entry_buys_whose_request_was_on_its_way() -> None:
    async def test(house: House) -> None:
        house.through(Slow(house.world.exchange))
        intent, position = await house.order()
        entering = asyncio.create_task(house.desk.send(intent, position=position))  # `Entries.enter`
        await asyncio.sleep(1.0)
        given(house, "flatten")
        controls_of(house).poll()  # every 0.5 s: the entry is SENT, its OPENING position is in the ledger
        answer = await entering
        house.keeper.load()  # as `Entries.enter` goes on
        assert isinstance(answer, Acked)
        await house.desk.settle(answer.txid, intent.created_us)
        await house.quiet()
        await asyncio.sleep(120)
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)


def test_flatten_is_carried_out_once_the_venue_takes_orders_again() -> None:
    async def test(house: House) -> None:
        await house.buy()
        given(house, "flatten")
        await polled(controls_of(house), 60)
        await house.quiet()
        assert house.ledger.positions() == []
        assert [i.outcome for i in house.intents(Leg.EXIT)].count(Outcome.REJECTED) == 4

    in_house(test, Fault(where="AddOrder", match=MARKET, nth=(1, 2, 3, 4), action="error", arg="EAPI:Rate limit exceeded"))


def test_flatten_outlives_the_session_that_answered_it() -> None:
    """Killed a moment after `poll`: the control says DONE, and the next session knows of no wish to leave."""

    async def test(house: House) -> None:
        position = await house.buy()
        given(house, "flatten")
        controls_of(house).poll()
        for task in house.work:  # the process dies
            task.cancel()
        await asyncio.gather(*house.work, return_exceptions=True)
        house.work.clear()
        house.keeper.held.clear()
        recovery = await recovering(house, house.world.exchange)  # the next session
        await recovery.run()
        controls_of(house).poll()
        await house.quiet()
        assert house.ledger.position(position.position_id).state == "CLOSED"  # type: ignore[union-attr]

    in_house(test)


def test_flatten_sells_all_that_an_entry_fills_after_its_first_trade() -> None:
    async def test(house: House) -> None:
        house.world.twin.exchange.fills = FillRules(trades=3)
        intent, position = await house.order()
        answer = await house.desk.send(intent, position=position)
        assert isinstance(answer, Acked)
        first, *others = [f for f in await house.world.exchange.fills(0) if f.txid == answer.txid]
        house.desk.on_fills([first], "stream")
        given(house, "flatten")
        controls = controls_of(house)
        await polled(controls, 5)
        assert len(house.intents(Leg.EXIT)) == 1
        for fill in others:
            house.desk.on_fills([fill], "stream")
        await polled(controls, 30)
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)


def test_an_exit_does_not_wait_for_a_status_that_nobody_answers() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        house.world.twin.inject(Fault(where="SystemStatus", nth=tuple(range(1, 40)), action="hang"))
        begun = asyncio.get_running_loop().time()
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        took = asyncio.get_running_loop().time() - begun
        assert took < 5.0, f"flatten took {took:.0f} s"

    in_house(test)


@pytest.mark.parametrize("small", [True, False])
def test_whoever_tells_to_leave_what_the_venue_takes_no_order_for_hears_so(small: bool) -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        rules: Any = house.keeper.instruments
        rules[PAIR] = replace(rules[PAIR], order_min=position.quantity * (2 if small else 1))
        name = given(house, "exit", PAIR)
        controls_of(house).poll()
        told = next(row[0] for row in house.ledger._connection.exec_driver_sql(f"SELECT answer FROM control WHERE control_id = '{name}'"))
        assert told.startswith(f"closing 1 positions at market: {PAIR}")
        assert told.endswith(f"only a stop that rests already sells it: {PAIR}") is small

    in_house(test)
