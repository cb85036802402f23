"""A way out waits for nothing that is not about it: candles use up the venue's public rate, and an exit asks it for its state."""

from __future__ import annotations

import asyncio

from desk_kit import House, asked, in_house
from kraken_kit import PAIR

from trader.domain.market import Timeframe
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.limits import TIERS, Limiter

FETCHERS = 8


def test_an_exit_does_not_wait_for_the_public_rate_that_candles_use_up() -> None:
    """After a reconnect, eight fetchers ask for candles by REST at the venue's one public call a second."""

    async def test(house: House) -> None:
        position = await house.buy()
        limiter = Limiter(house.world.clock, tier=TIERS["unlimited"], public_per_s=1.0)
        exchange = KrakenExchange(house.world.client, house.world.clock, limiter=limiter)
        market = KrakenMarketData(house.world.client, house.world.clock, limiter=limiter)
        await exchange.instruments()
        await market.instruments()

        async def fetcher() -> None:
            while True:
                await market.history(PAIR, Timeframe.M1, 0)

        house.through(exchange)
        fetchers = [asyncio.create_task(fetcher()) for _ in range(FETCHERS)]
        await asyncio.sleep(10)
        before, begun = asked(house, "SystemStatus"), asyncio.get_running_loop().time()
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        took = asyncio.get_running_loop().time() - begun
        for task in fetchers:
            task.cancel()
        await asyncio.gather(*fetchers, return_exceptions=True)
        assert took < 2.0, f"flatten took {took:.1f} s"
        assert asked(house, "SystemStatus") > before, "it was told, rather than out of patience"

    in_house(test)
