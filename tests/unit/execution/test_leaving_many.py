"""Many positions left at once, while the venue's counter of reads is full: each is bare from the end of its stop to its sale."""

from __future__ import annotations

import asyncio

from desk_kit import House, asked, in_house

from trader.domain.orders import Leg
from trader.kraken.limits import Tally
from trader.kraken.tariff import TIERS

MANY = 8
BARE_S = 5.0  # INV-6


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
