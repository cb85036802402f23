"""Rate limits at the twin's door: strings, and figures on the control route."""

from __future__ import annotations

import aiohttp
import ccxt
import pytest

from tests.wire.kraken_twin_harness import trading
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.loops import run_stepped


def test_a_starter_key_is_refused_after_its_calls_and_served_again_later() -> None:
    async def main() -> None:
        async with trading(limits=LimitRules(tier="starter")) as (twin, exchange):
            with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
                for _ in range(30):
                    await exchange.private_post_balance()
            assert 15 <= twin.middleware.counters["Balance"] - 1 <= 16  # a call takes 20..50 ms, in which a little falls
            async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:8701/_twin") as answer:
                figures = (await answer.json())["limits"]
            assert figures["refused"] == {"EAPI:Rate limit exceeded": 1}
            ((value, peak),) = figures["rest"].values()
            assert 14 < value <= peak <= 15
            await twin.clock.sleep(4)
            await exchange.private_post_balance()

    run_stepped(main)
