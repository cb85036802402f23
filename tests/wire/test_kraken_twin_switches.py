"""`--switch NAME=VALUE`: what Kraken leaves open, both ways. The contract suites of both ports run with every switch turned, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ccxt
import pytest
from kraken_twin_harness import PAIR, trading
from venue_kit import FUTURES, Bench, on_venue

from trader.domain.orders import Acked
from trader.errors import ConfigError
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.kraken_server.switches import NAMES, Switches, read_switches
from trader.simulation.loops import run_stepped

OF_BEHAVIOUR = {
    "frames_per_minute=4": 4, "heartbeat_s=0.5": 0.5, "batched_executions=on": True, "trade_says_filled=true": True,
    "messages_per_s=3": 3, "closed_page_size=7": 7, "fee_tiers=on": True, "post_only_style=cancel": "cancel",
    "orders_status_method=POST": "POST",
}  # fmt: skip
OF_LIMITS = {"public_per_s=5": 5, "lockout_after=20": 20, "nonce_ban_after=9": 9}


def test_the_tables_of_this_file_name_every_switch() -> None:
    assert sorted(text.partition("=")[0] for text in OF_BEHAVIOUR | OF_LIMITS) == sorted(NAMES)


@pytest.mark.parametrize(("text", "value"), OF_BEHAVIOUR.items())
def test_a_switch_is_turned_by_its_name(text: str, value: Any) -> None:
    switches, limits = read_switches([text], tier="pro")
    assert switches == Switches(**{text.partition("=")[0]: value}) != Switches()
    assert limits == LimitRules(tier="pro")


@pytest.mark.parametrize(("text", "value"), OF_LIMITS.items())
def test_limits_are_switched_beside_the_tier(text: str, value: int) -> None:
    assert read_switches([text], tier=None) == (Switches(), LimitRules(**{text.partition("=")[0]: value}))


def test_the_last_of_a_name_counts_and_none_changes_nothing() -> None:
    assert read_switches(["fee_tiers=on", "fee_tiers=off"], tier="pro") == (Switches(), LimitRules(tier="pro"))
    assert read_switches([], tier="starter") == (Switches(), LimitRules(tier="starter"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batched=on", r"--switch 'batched=on': write NAME=VALUE; NAME is one of frames_per_minute, .*, nonce_ban_after$"),
        ("tier=pro", r"NAME is one of"),
        ("fee_tiers", r"write NAME=VALUE"),
        ("fee_tiers=yes", r"'fee_tiers=yes': the value is one of on, true, off, false"),
        ("closed_page_size=many", r"the value is a whole number"),
        ("closed_page_size=0", r"--switch: closed_page_size 0 must be at least 1"),
        ("heartbeat_s=soon", r"the value is a number"),
        ("heartbeat_s=nan", r"--switch: heartbeat_s nan must be above 0"),
        ("frames_per_minute=2", r"--switch: frames_per_minute 2 must be 1 or 4"),
        ("post_only_style=keep", r"--switch: post_only_style 'keep' must be refuse or cancel"),
        ("orders_status_method=PUT", r"--switch: orders_status_method 'PUT' must be one of both, GET, POST"),
        ("lockout_after=0", r"--switch: lockout_after 0 must be at least 1"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused_with_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_switches([text], tier="pro")


@pytest.mark.parametrize("style", ["refuse", "cancel"])
def test_a_post_only_order_that_would_trade_is_refused_or_cancelled(style: str) -> None:
    async def main() -> None:
        async with trading(switches=Switches(post_only_style=style)) as (_, exchange):
            price = exchange.price_to_precision(PAIR, (await exchange.fetch_ticker(PAIR))["last"] * 1.01)
            order = exchange.create_order(PAIR, "limit", "buy", 0.1, price, {"postOnly": True})
            if style == "refuse":
                with pytest.raises(ccxt.BaseError, match="Post only"):
                    await order
                assert await exchange.fetch_closed_orders(PAIR) == []
            else:
                txid = (await order)["id"]
                assert [(row["id"], row["status"]) for row in await exchange.fetch_closed_orders(PAIR)] == [(txid, "canceled")]

    run_stepped(main)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_futures_statuses_are_found_by_the_one_method_that_is_served(method: str) -> None:
    async def promise(b: Bench) -> None:
        trigger = await b.far("0.9")
        fill = await b.bought()
        answer = await b.exchange.submit(await b.stop(fill.quantity, trigger))
        assert isinstance(answer, Acked), answer
        assert [order.txid for order in await b.exchange.orders([answer.txid])] == [answer.txid]
        assert b.calls["futures:orders/status"] == (2 if method == "GET" else 1)  # ours asks by POST first

    on_venue(replace(FUTURES, switches=Switches(orders_status_method=method)), promise)
