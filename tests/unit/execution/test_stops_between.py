"""A stop that ends, or is amended, between two steps of something else is looked at."""

from __future__ import annotations

import asyncio
from typing import Any

from desk_kit import House, in_house
from interleave_kit import Wrapped, at_target
from kraken_kit import PAIR
from test_halting import recovering
from test_races import _lowered

from trader.domain.money import ZERO
from trader.domain.orders import Ambiguous, Answer, Intent, Leg


class CancelsStopDuringTarget(Wrapped):
    """The venue ends the resting stop (dead-man's switch, self-trade, its own risk) while a target leg is under way."""

    house: House
    txid = ""

    async def submit(self, intent: Intent) -> Answer:
        answer = await self.real.submit(intent)
        if intent.leg is Leg.TARGET:
            stop = self.house.keeper.stop_of(intent.position_id)
            assert stop is not None and stop.txid is not None
            self.txid = stop.txid
            await self.real.cancel(stop.txid)
            final = (await self.real.orders([stop.txid]))[0]
            self.house.desk.heard(final)  # what `_feed` does with OrderChanged
            self.house.keeper.heard(final)
        return answer


def test_a_stop_that_ends_while_a_target_is_sold_is_back_within_5_s() -> None:
    async def test(house: House) -> None:
        _, bid = await at_target(house)
        wrapped = CancelsStopDuringTarget(house.world.exchange)
        wrapped.house = house
        house.through(wrapped)
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        await asyncio.sleep(20)
        await house.quiet()
        assert house.held().quantity > ZERO
        live = list(house.orders(ordertype="stop-loss", status="open"))
        assert [o.remaining for o in live] == [house.held().quantity]

    in_house(test)


class LateAmendSlowRead(Wrapped):
    """The answer to an amend is lost, it takes effect 1.9 s later (deadline 3 s); reads take 2.7 s to come back."""

    async def amend(self, txid: str, **terms: Any) -> Answer:
        async def later() -> None:
            await asyncio.sleep(1.9)
            await self.real.amend(txid, **terms)

        self.task = asyncio.create_task(later())
        return Ambiguous(message="HTTP 502")

    async def orders(self, txids: Any) -> Any:
        found = await self.real.orders(txids)
        await asyncio.sleep(2.7)
        return found


def test_a_read_that_left_before_the_deadline_does_not_prove_that_an_amend_had_no_effect() -> None:
    async def test(house: House) -> None:
        await house.buy()
        house.through(LateAmendSlowRead(house.world.exchange))
        await _lowered(house)
        house.through(house.world.exchange)
        recovery = await recovering(house, house.world.exchange)
        recovery._last_full_us = house.world.clock.now_us()
        for _ in range(3):  # three beats: neither check sees it, as ids and the ledger's own quantities agree
            await recovery.cheap_check()
            await recovery.stops_present()
        covered = [o.remaining for o in house.orders(ordertype="stop-loss", status="open")]
        assert covered == [house.held().quantity]

    in_house(test)
