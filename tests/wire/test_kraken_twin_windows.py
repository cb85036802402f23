"""States of the exchange and of pairs that come by time: what they refuse, what they let through, and how they end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.wire.kraken_twin_harness import PAIR, enter, trading
from trader.errors import ConfigError
from trader.simulation.fault_catalogue import BY_TIME, KRAKEN_ACTIONS
from trader.simulation.faults import Fault, parse_plan
from trader.simulation.loops import run_stepped

ENTRY_REFUSED = {
    "maintenance": "EService:Unavailable",
    "cancel_only": "EService:Market in cancel_only mode",
    "post_only": "EService:Market in post_only mode",
}


async def refusal(exchange: Any, number: int, *, post_only: bool = False) -> str:
    """Kraken's string for an entry, empty where it is taken."""
    try:
        if post_only:
            price = exchange.price_to_precision(PAIR, (await exchange.fetch_ticker(PAIR))["last"] / 2)
            await exchange.create_order(PAIR, "limit", "buy", 0.1, price, {"postOnly": True, "clientOrderId": f"tabc{number:014d}"})
        else:
            await enter(exchange, number=number)
    except ccxt.BaseError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("mode", ENTRY_REFUSED)
def test_the_system_is_in_a_mode_for_a_while(mode: str) -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            await enter(exchange, number=1)
            twin.inject(Fault(where="system", action=mode, arg={"after_s": 10, "for_s": 30}))
            states = []
            for number in range(2, 7):
                states.append((await exchange.public_get_systemstatus())["result"]["status"])
                said = await refusal(exchange, number)
                assert (ENTRY_REFUSED[mode] in said) == (states[-1] == mode), (mode, number, said)
                if states[-1] == mode:
                    assert bool(await refusal(exchange, 20 + number, post_only=True)) == (mode != "post_only")
                await twin.clock.sleep(10)
            assert states == ["online", mode, mode, mode, "online"]
            assert twin.plan.fired == {f"system:{mode}": 1}

    run_stepped(main)


@pytest.mark.parametrize(
    ("status", "said"),
    [("cancel_only", "Market in cancel_only mode"), ("post_only", "Market in post_only mode"), ("maintenance", "EService:Unavailable")],
)
def test_a_pair_has_another_status_and_the_others_go_on(status: str, said: str) -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            twin.inject(Fault(where="pair", action="pair_status", arg={"pair": PAIR, "status": status, "for_s": 20}))
            await twin.clock.sleep(1)
            assert (await exchange.public_get_assetpairs({"pair": "XETHZEUR"}))["result"]["XETHZEUR"]["status"] == status
            assert said in await refusal(exchange, 1)
            other = await exchange.create_order("BTC/EUR", "market", "buy", 0.001, None, {"clientOrderId": "tabc9"})
            assert other["id"]
            await twin.clock.sleep(20)
            assert await refusal(exchange, 2) == ""

    run_stepped(main)


def test_a_delisted_pair_ends_its_orders_and_is_unknown() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            await enter(exchange, number=1)
            assert len(await exchange.fetch_open_orders()) == 1
            twin.inject(Fault(where="pair", action="delist", arg={"pair": PAIR, "after_s": 5}))
            await twin.clock.sleep(6)
            assert await exchange.fetch_open_orders() == []
            assert "EQuery:Unknown asset pair" in await refusal(exchange, 2)

    run_stepped(main)


def test_a_raised_minimum_is_listed_and_refuses_smaller_orders() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            before = twin.exchange.rule(PAIR).ordermin
            twin.inject(Fault(where="pair", action="raise_minimum", arg={"pair": PAIR, "ordermin": "0.5", "for_s": 10}))
            await twin.clock.sleep(1)
            row = (await exchange.public_get_assetpairs({"pair": "XETHZEUR"}))["result"]["XETHZEUR"]
            assert Decimal(row["ordermin"]) == Decimal("0.5")
            said = await refusal(exchange, 1)
            assert "minimum" in said
            await twin.clock.sleep(10)
            assert twin.exchange.rule(PAIR).ordermin == before
            assert await refusal(exchange, 2) == ""

    run_stepped(main)


def test_clearing_ends_what_lasts_and_what_has_not_begun() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange), aiohttp.ClientSession() as session:
            for fault in (
                {"where": "system", "action": "cancel_only"},
                {"where": "system", "action": "clock_skew", "arg": 90},
                {"where": "pair", "action": "delist", "arg": {"pair": PAIR, "after_s": 30}},
            ):
                async with session.post("http://127.0.0.1:8701/_twin/inject", json=fault) as answer:
                    assert answer.status == 200
            await twin.clock.sleep(1)
            assert (twin.exchange.system_status, twin.shown.offset_us) == ("cancel_only", 90_000_000)
            async with session.post("http://127.0.0.1:8701/_twin/clear") as answer:
                assert await answer.json() == {"cleared": 3}
            await twin.clock.sleep(60)
            assert (twin.exchange.system_status, twin.shown.offset_us) == ("online", 0)
            assert await refusal(exchange, 1) == ""

    run_stepped(main)


def test_a_pair_that_is_not_listed_is_named() -> None:
    async def main() -> None:
        async with trading() as (twin, _):
            with pytest.raises(ConfigError, match="NIX/EUR"):
                twin.inject(Fault(where="pair", action="delist", arg={"pair": "NIX/EUR"}))
            assert twin.plan.faults == ()

    run_stepped(main)


BAD = {
    "foreign_fill": ["{ pair = 'A/B' }"],
    "clock_skew": ["'late'", "1e9"],
    "maintenance": ["5", "{ for_s = -1 }", "{ until = 3 }"],
    "cancel_only": ["{ after_s = 'soon' }"],
    "post_only": ["[]"],
    "pair_status": ["{ pair = 'A/B' }", "{ pair = 'A/B', status = 'closed' }"],
    "delist": ["{ after_s = 1 }", "{ pair = 5 }"],
    "raise_minimum": ["{ pair = 'A/B', ordermin = 0.5 }", "{ pair = 'A/B', ordermin = '-1' }", "{ pair = 'A/B' }"],
}


def test_a_plan_that_asks_for_something_else_is_refused_in_words() -> None:
    timed = {name: action for name, action in KRAKEN_ACTIONS.items() if set(action.at) & set(BY_TIME)}
    assert set(timed) == set(BAD)
    for action, args in BAD.items():
        for arg in args:
            with pytest.raises(ConfigError, match=rf"fault 1: arg = .*; {action} takes "):
                parse_plan(f'[[fault]]\nwhere = "{timed[action].at[0]}"\naction = "{action}"\narg = {arg}\n', seed=1)
