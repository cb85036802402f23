"""A target leg is sold once, whoever asks for it how often, and nothing is on sale beside it."""

from __future__ import annotations

import asyncio
from typing import Any

from desk_kit import House, in_house
from interleave_kit import LIMIT_SELL, Wrapped, at_target, first_leg, sold_at_tp1
from kraken_kit import PAIR

from trader.domain.market import Candle, Timeframe
from trader.domain.money import ZERO
from trader.domain.orders import Acked, Answer, Intent, Leg
from trader.simulation.faults import Fault


def test_two_ticks_of_one_frame_sell_the_first_target_once() -> None:
    async def test(house: House) -> None:
        held, bid = await at_target(house)
        leg = first_leg(house, held)
        house.keeper.on_tick(PAIR, bid)  # `_feed` takes both from the queue without giving the loop a turn between
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        assert sold_at_tp1(house) == leg

    in_house(test)


def test_a_close_while_the_first_target_is_being_sold_does_not_sell_it_again() -> None:
    async def test(house: House) -> None:
        held, bid = await at_target(house)
        leg = first_leg(house, held)
        house.keeper.on_tick(PAIR, bid)
        await asyncio.sleep(0.02)  # the stop is being reduced, or the leg under way
        assert held.lock.locked()
        price, time_us = float(bid), Timeframe.M15.floor(house.held().opened_us)
        house.keeper.on_close(
            Candle(pair=PAIR, timeframe=Timeframe.M15, time_us=time_us, open=price, high=price, low=price, close=price, volume=1.0)
        )
        await house.quiet()
        assert sold_at_tp1(house) == leg

    in_house(test)


def test_a_leg_that_filled_in_part_sells_only_what_is_missing_at_the_next_touch() -> None:
    async def test(house: House) -> None:
        held, bid = await at_target(house)
        leg = first_leg(house, held)
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        assert ZERO < sold_at_tp1(house) < leg
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        assert sold_at_tp1(house) == leg

    in_house(test, Fault(where="AddOrder", match=LIMIT_SELL, nth=(1,), action="partial_fill", arg=0.9))


def test_a_target_that_filled_in_part_gives_the_stop_its_rest_back_before_anything_is_looked_up() -> None:
    """Where the venue counts our requests as too many each look-up takes a second, in which a part is without a stop."""

    async def test(house: House) -> None:
        held, bid = await at_target(house)
        watched = house.keeper.adoption.exchange = Listing(house.world.exchange)
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        stop = house.keeper.stop_of(held.position.position_id)
        assert ZERO < sold_at_tp1(house) < first_leg(house, held)
        assert stop is not None
        assert stop.remaining == house.held().quantity
        assert watched.listed == 0

    in_house(test, Fault(where="AddOrder", match=LIMIT_SELL, nth=(1,), action="partial_fill", arg=0.1))


class Listing(Wrapped):
    """Counts how often all open orders are asked for."""

    listed = 0

    async def open_orders(self) -> Any:
        self.listed += 1
        return await self.real.open_orders()


def test_a_first_target_that_could_not_be_sold_is_not_marked_by_the_second() -> None:
    async def test(house: House) -> None:
        held, bid = await at_target(house)
        assert held.guard is not None
        state = held.guard.state
        held.guard.state = state._replace(terms=state.terms._replace(tp2=state.terms.tp1 + 1))
        house.world.twin.inject(Fault(where="AmendOrder", nth=(1,), action="error", arg="EOrder:Rate limit exceeded"))
        house.keeper.on_tick(PAIR, bid)
        await house.quiet()
        assert [i.reason for i in house.intents(Leg.TARGET)] == ["TP2"]
        assert held.guard.state.legs == 2

    in_house(test)


class LateFills(Wrapped):
    """The leg sold; neither its final state nor its trades are listed for 30 s (REST lags up to 60 s)."""

    hidden = ""
    until = 0.0

    def _lags(self) -> bool:
        return asyncio.get_running_loop().time() < self.until

    async def submit(self, intent: Intent) -> Answer:
        answer: Answer = await self.real.submit(intent)
        if intent.leg is Leg.TARGET and isinstance(answer, Acked):
            self.hidden, self.until = answer.txid, asyncio.get_running_loop().time() + 30
        return answer

    async def orders(self, txids: Any) -> Any:
        return [o for o in await self.real.orders(txids) if not (self._lags() and o.txid == self.hidden)]

    async def fills(self, since_us: int) -> Any:
        return [f for f in await self.real.fills(since_us) if not (self._lags() and f.txid == self.hidden)]


def test_live_and_unresolved_sells_never_exceed_the_position_after_a_target_that_is_not_listed_yet() -> None:
    async def test(house: House) -> None:
        _, bid = await at_target(house)
        house.world.twin.exchange.state.balances["BTC"] += 3  # a person's own coins, allowed beside ours
        house.through(LateFills(house.world.exchange))
        house.keeper.on_tick(PAIR, bid)
        await asyncio.sleep(15)
        live = sum((i.remaining for i in house.ledger.intents(live_only=True) if i.leg.reducing), ZERO)
        assert live <= house.held().quantity

    in_house(test)
