"""Many positions at once without their stops: what each must know is read once for all, as reads are paced by the venue's counter."""

from __future__ import annotations

import asyncio

from desk_kit import House, asked, in_house
from kraken_kit import PAIR
from test_halting import recovering

from trader.domain.market import SECOND
from trader.domain.orders import Leg, OrderType, Outcome, Side
from trader.execution.desk import Order
from trader.kraken.limits import Tally
from trader.kraken.tariff import TIERS

MANY = 8
BARE_S = 5.0  # INV-6
READS = ("OpenOrders", "ClosedOrders", "TradesHistory")


async def bare_s(house: House) -> list[float]:
    """Seconds between the end of each stop and the sale it made room for, after all were left together."""
    for number in range(MANY):
        await house.bought(f"k{number}")
    held = list(house.keeper.held.values())
    limiter = house.world.exchange._rest.limiter
    tier = TIERS["intermediate"]
    full = Tally(tier.rest_max, tier.rest_decay, value=tier.rest_max, time_us=house.world.clock.now_us())
    limiter.rest = full  # as after a few starts in a row: a read every two seconds
    await asyncio.gather(*(house.keeper.leave(one, "FLATTEN") for one in held))
    await house.quiet()
    ends = {i.position_id: order.closed_us for i in house.intents(Leg.STOP) for order in house.orders(txid=i.txid)}
    sales = {i.position_id: order.opened_us for i in house.intents(Leg.EXIT) for order in house.orders(txid=i.txid)}
    assert len(ends) == len(sales) == MANY
    assert house.ledger.positions() == []
    return [(sales[name] - ends[name]) / 1e6 for name in ends]


def test_no_position_waits_for_the_confirmations_of_the_others() -> None:
    async def test(house: House) -> None:
        gaps = await bare_s(house)
        assert max(gaps) <= BARE_S, gaps
        assert asked(house, "QueryOrders") < 2 * MANY

    in_house(test)


def test_sales_that_a_death_lost_are_proved_absent_in_the_same_passes() -> None:
    async def test(house: House) -> None:
        for number in range(MANY):
            await house.bought(f"k{number}")
        for held in house.keeper.held.values():
            (stop,) = house.keeper.stops_of(held.position.position_id)
            await house.desk.cancel(stop)
            sale = Order(
                key=held.position.entry_key, leg=Leg.EXIT, position_id=held.position.position_id, pair=PAIR, side=Side.SELL,
                order_type=OrderType.MARKET, quantity=held.position.quantity,
            )  # fmt: skip
            house.ledger.begin(house.desk.intent(sale), house.desk._leased(), house.world.clock.now_us())  # and killed before the send
        await asyncio.sleep(20)
        house.keeper.held.clear()
        recovery = await recovering(house, house.world.exchange)
        before, begun_us = {name: asked(house, name) for name in READS}, house.world.clock.now_us()
        await recovery.run()
        assert [i.outcome for i in house.intents(Leg.EXIT)] == [Outcome.ABSENT] * MANY
        stops = house.orders(ordertype="stop-loss", status="open")
        assert len(stops) == MANY
        assert max(stop.opened_us for stop in stops) - begun_us <= BARE_S * SECOND
        cost = {name: asked(house, name) - before[name] for name in READS}
        assert cost == dict.fromkeys(READS, 3)  # the reconciliation's own, and the two clean passes of a proof

    in_house(test)
