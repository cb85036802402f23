"""A stop that the venue acknowledged and does not list yet: REST may be a minute behind, and nothing is written off for good."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from desk_kit import House, in_house
from interleave_kit import Wrapped
from test_halting import recovering
from test_races import late_fill

from trader.domain.orders import Acked, Answer, ExchangeStatus, Fill, Intent, Leg
from trader.execution.reconcile import SetStatus


class Behind(Wrapped):
    """The REST side reads a replica that is `lag_s` behind the engine for the first stop; orders themselves work."""

    hidden = ""
    until = 0.0

    def __init__(self, real: Any, lag_s: float) -> None:
        super().__init__(real)
        self.lag_s = lag_s

    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.real.submit(intent)
        if intent.leg is Leg.STOP and isinstance(answer, Acked) and not self.hidden:
            self.hidden, self.until = answer.txid, asyncio.get_running_loop().time() + self.lag_s
        return answer

    def _seen(self, rows: Any) -> Any:
        return [row for row in rows if row.txid != self.hidden or asyncio.get_running_loop().time() >= self.until]

    async def open_orders(self) -> Any:
        return self._seen(await self.real.open_orders())

    async def orders(self, txids: Any) -> Any:
        return self._seen(await self.real.orders(txids))


@pytest.mark.parametrize(("lag_s", "lost"), [(30.0, 0), (58.0, 0), (150.0, 1)])
def test_a_stop_that_is_listed_late_is_ours_again_once_it_shows(lag_s: float, lost: int) -> None:
    """Within a minute it is waited for; one that shows even later was written down as lost, and any word of the venue corrects that."""

    async def test(house: House) -> None:
        behind = Behind(house.world.exchange, lag_s)
        house.through(behind)
        recovery = await recovering(house, behind)
        await recovery.run()
        await house.bought(stop=False)  # as on futures, or where the conditional close is missing
        await asyncio.sleep(6)
        await recovery.run()  # a reconnect, a surprise at a beat, or the ten minutes
        for _ in range(3):
            await asyncio.sleep(97)
            await recovery.run()
        assert (house.rows().count("order.lost"), house.rows().count("order.found")) == (lost, lost)
        live = {o.txid for o in house.orders(ordertype="stop-loss", status="open")}
        assert live == {i.txid for i in house.intents(Leg.STOP) if i.live}, "a live stop that the ledger calls ended"
        for held in list(house.keeper.held.values()):
            await house.keeper.leave(held, "FLATTEN")
        await house.quiet()
        assert house.ledger.positions() == [], "a hidden stop would hold the coins"
        assert house.orders(ordertype="stop-loss", status="open") == []

    in_house(test)


def test_a_final_word_of_the_venue_stays_and_our_own_does_not() -> None:
    async def test(house: House) -> None:
        await house.buy()
        (stop,) = house.keeper.stops_of(house.held().position_id)
        assert stop.txid is not None
        now = house.world.clock.now_us()
        house.ledger.set_status(stop.txid, ExchangeStatus.LOST, now)
        assert house.keeper.stop_of(stop.position_id) is None
        recovery = await recovering(house, house.world.exchange)
        open_again = SetStatus(txid=stop.txid, status=ExchangeStatus.OPEN, filled=stop.filled)
        assert await recovery._apply(open_again) == 1, "a difference that people are told"
        assert house.keeper.stop_of(stop.position_id) is not None
        house.ledger.set_status(stop.txid, ExchangeStatus.CANCELED, now)
        for word in (ExchangeStatus.OPEN, ExchangeStatus.LOST):
            house.ledger.set_status(stop.txid, word, now)
        assert [i.status for i in house.intents(Leg.STOP)] == [ExchangeStatus.CANCELED]

    in_house(test)


class Listing(Wrapped):
    """An exchange that lists these trades."""

    listed: tuple[Fill, ...] = ()

    async def fills(self, since_us: int) -> tuple[Fill, ...]:
        return self.listed


def test_what_a_stop_sold_is_booked_after_what_its_entry_bought() -> None:
    """The ledger refuses the one without the other and the session would end; the entry's trades may come in the same answer."""

    async def test(house: House) -> None:
        position = await house.buy()
        (stop,), (entry,) = house.keeper.stops_of(position.position_id), house.intents(Leg.ENTRY)
        assert stop.txid is not None
        (seen,) = await house.world.exchange.orders([stop.txid])
        twice = position.quantity * 2
        house.ledger.set_terms(stop.txid, 1, quantity=twice)  # the second half of the entry has filled, and the stop sold both
        bought = replace(late_fill(house, entry), trade_id="second half", quantity=position.quantity, cost=position.entry_cost)
        sold = replace(bought, trade_id="overtook", txid=stop.txid, side=stop.side, quantity=twice, cost=position.entry_cost * 2)
        ended = replace(seen, status=ExchangeStatus.CLOSED, quantity=twice, filled=twice)
        house.through(listing := Listing(house.world.exchange))
        listing.listed = (sold,)
        assert not await house.desk.conclude(ended, stop.created_us)
        assert house.held().quantity == position.quantity
        listing.listed = (sold, bought)
        assert await house.desk.conclude(ended, stop.created_us)
        assert house.ledger.positions() == []

    in_house(test)
