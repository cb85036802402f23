"""A reconciliation beside an order on its way, and beside a slow answer, ends no session."""

from __future__ import annotations

import asyncio

from desk_kit import BUY, House, in_house
from interleave_kit import Wrapped
from test_halting import recovering

from trader.domain.orders import Answer, Intent, Leg, Rejected
from trader.simulation.faults import Fault


class SlowRefusal(Wrapped):
    """AddOrder of an entry is refused, four seconds after it was asked: what an overloaded venue does."""

    async def submit(self, intent: Intent) -> Answer:
        if intent.leg is Leg.ENTRY:
            await asyncio.sleep(4.0)
            return Rejected(kind="funds", message="EOrder:Insufficient funds")
        return await self.real.submit(intent)


def test_a_reconciliation_that_meets_an_order_on_its_way_survives_its_refusal() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        house.through(SlowRefusal(house.world.exchange))
        intent, position = await house.order()
        sending = asyncio.create_task(house.desk.send(intent, position=position))
        await asyncio.sleep(0.1)
        await recovery.run()  # a FeedReset came: FatalError here ends the session
        assert isinstance(await sending, Rejected)

    in_house(test)


def test_an_entry_begun_while_a_reconciliation_reads_and_refused_ends_no_session() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        house.world.twin.inject(Fault(where="BalanceEx", nth=(1,), action="delay", arg=0.5))
        reconciling = asyncio.create_task(recovery.run())
        await asyncio.sleep(0.3)  # its last read is under way
        intent, position = await house.order()
        answer = await house.desk.send(intent, position=position)
        assert isinstance(answer, Rejected)
        await reconciling

    in_house(test, Fault(where="AddOrder", match=BUY, action="error", arg="EOrder:Insufficient funds"))


def test_a_clock_is_not_judged_by_how_long_the_answer_took() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        house.world.twin.inject(Fault(where="Time", nth=(1,), action="delay", arg=6, after=True))
        await recovery.run()  # FatalError "clock differs ... by 5.6 s" ends the session

    in_house(test)
