"""Account endpoints of the twin: balances, fees, ledger, trades, their filters and pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import PAIR, trading
from trader.simulation.kraken_server.spot.fee_tiers import schedule
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

D = Decimal


@asynccontextmanager
async def account(**options: Any) -> AsyncIterator[tuple[Any, Rest]]:
    async with trading(**options) as (twin, _), aiohttp.ClientSession() as session:
        yield twin, Rest(session)


async def trade(rest: Rest, count: int, *, volume: str = "0.01") -> None:
    """Buy and sell in turn."""
    for number in range(count):
        side = "buy" if number % 2 == 0 else "sell"
        await rest.must("AddOrder", pair="XETHZEUR", type=side, ordertype="market", volume=volume, oflags="fciq")


async def everything(rest: Rest, name: str, key: str) -> dict[str, Any]:
    """All pages, newest first."""
    found: dict[str, Any] = {}
    while True:
        answer = await rest.must(name, ofs=len(found))
        if not answer[key]:
            assert answer["count"] == len(found)
            return found
        assert len(answer[key]) == min(50, answer["count"] - len(found))
        assert not set(answer[key]) & set(found)
        found |= answer[key]


def test_ledger_trades_and_balances_agree_over_all_pages() -> None:
    async def main() -> None:
        async with account() as (_, rest):
            await trade(rest, 61)
            ledger, trades = await everything(rest, "Ledgers", "ledger"), await everything(rest, "TradesHistory", "trades")
            assert (len(ledger), len(trades)) == (123, 61)
            sums: dict[str, Decimal] = {}
            for row in ledger.values():
                sums[row["asset"]] = sums.get(row["asset"], D(0)) + D(row["amount"]) - D(row["fee"])
            balances = await rest.must("Balance")
            assert sums == {asset: D(text) for asset, text in balances.items()}
            assert {entry for row in trades.values() for entry in row["ledgers"]} == {
                key for key, row in ledger.items() if row["type"] == "trade"
            }
            assert all(ledger[entry]["refid"] == key for key, row in trades.items() for entry in row["ledgers"])
            times = [row["time"] for row in ledger.values()]
            assert times == sorted(times, reverse=True)
            assert set(next(iter(ledger.values()))) == {"refid", "time", "type", "subtype", "aclass", "asset", "amount", "fee", "balance"}
            assert list(ledger.values())[-1] | {"refid": ""} == {
                "refid": "", "time": EPOCH_US / 1e6, "type": "deposit", "subtype": "", "aclass": "currency", "asset": "ZEUR",
                "amount": "10000.0000", "fee": "0.0000", "balance": "10000.0000",
            }  # fmt: skip

    run_stepped(main)


def test_ledger_and_trade_filters_by_table() -> None:
    async def main() -> None:
        async with account() as (twin, rest):
            await trade(rest, 4)
            await twin.clock.sleep(60)
            await trade(rest, 2)
            ledger = (await rest.must("Ledgers"))["ledger"]
            trades = (await rest.must("TradesHistory"))["trades"]
            third, times = list(trades)[2], [row["time"] for row in trades.values()]
            counts = {
                ("Ledgers", "asset", "XETH"): 6, ("Ledgers", "asset", "ETH"): 6, ("Ledgers", "asset", "ZEUR"): 7,
                ("Ledgers", "asset", "XETH,ZEUR"): 13, ("Ledgers", "asset", "all"): 13, ("Ledgers", "type", "deposit"): 1,
                ("Ledgers", "type", "trade"): 12, ("Ledgers", "type", "withdrawal"): 0, ("Ledgers", "start", EPOCH_US // 1_000_000 + 30): 4,
                ("Ledgers", "end", EPOCH_US // 1_000_000 + 30): 9, ("Ledgers", "end", list(ledger)[-1]): 1,
                ("TradesHistory", "start", EPOCH_US // 1_000_000 + 30): 2, ("TradesHistory", "start", third): 2,
                ("TradesHistory", "end", third): 4, ("TradesHistory", "type", "no position"): 6,
            }  # fmt: skip
            for (name, field, value), count in counts.items():
                assert (await rest.must(name, **{field: value}))["count"] == count, (name, field, value)
            assert times[1] > EPOCH_US / 1e6 + 30 > times[2]
            assert "count" not in await rest.must("Ledgers", without_count="true")
            wrong = [
                ("Ledgers", "asset", "NOPE", "EQuery:Unknown asset"), ("Ledgers", "type", "x", "EGeneral:Invalid arguments:type"),
                ("Ledgers", "ofs", "-1", "EGeneral:Invalid arguments:ofs"), ("Ledgers", "start", "x", "EGeneral:Invalid arguments:start"),
                ("Ledgers", "aclass", "x", "EGeneral:Invalid arguments:aclass"),
                ("TradesHistory", "type", "x", "EGeneral:Invalid arguments:type"),
                ("QueryLedgers", "id", "", "EGeneral:Invalid arguments:id"), ("QueryLedgers", "id", "LX", "EGeneral:Invalid arguments:id"),
                ("QueryTrades", "txid", ",".join(["T"] * 21), "EGeneral:Invalid arguments:txid"),
                ("QueryTrades", "txid", "TX", "EGeneral:Invalid arguments:txid"),
                ("TradeBalance", "asset", "NOPE", "EQuery:Unknown asset"), ("TradeVolume", "pair", "NOPE", "EQuery:Unknown asset pair"),
                ("OpenPositions", "consolidation", "x", "EGeneral:Invalid arguments:consolidation"),
            ]  # fmt: skip
            for name, field, value, error in wrong:
                assert (await rest.private(name, **{field: value}))[0] == [error], (name, field, value)
            assert await rest.must("QueryLedgers", id=",".join(list(ledger)[:3])) == {key: ledger[key] for key in list(ledger)[:3]}
            assert await rest.must("QueryTrades", txid=",".join(list(trades)[:2])) == {key: trades[key] for key in list(trades)[:2]}

    run_stepped(main)


def test_trade_balance_values_what_is_held_at_last_prices() -> None:
    async def main() -> None:
        async with account() as (twin, rest):
            await trade(rest, 1, volume="0.5")
            last, balances = twin.exchange.last(PAIR), twin.exchange.state.balances
            worth = balances["EUR"] + balances["ETH"] * last
            row = await rest.must("TradeBalance")
            assert (D(row["eb"]), row["eb"], row["m"]) == (worth, row["e"], "0.0000")
            assert set(row) == {"eb", "tb", "m", "uv", "n", "c", "v", "e", "mf"}
            assert D((await rest.must("TradeBalance", asset="XETH"))["eb"]) == (worth / last).quantize(D("0.0001"))
            assert await rest.must("OpenPositions", docalcs="true") == {}
            assert await rest.must("OpenPositions", docalcs="true", consolidation="market") == []
            extended = await rest.must("BalanceEx")
            assert extended["XETH"] == {"balance": "0.50000000", "hold_trade": "0.00000000"}

    run_stepped(main)


def test_the_base_tier_holds_at_any_volume_unless_tiers_are_asked_for() -> None:
    async def main() -> None:
        async with account() as (_, rest):
            await trade(rest, 6, volume="2")
            fees = await rest.must("TradeVolume", pair="ETHEUR", **{"fee-info": "True"})
            assert D(fees["volume"]) > 20_000
            assert fees["fees"] == {"XETHZEUR": {"fee": "0.4000", "minfee": "0.4000", "maxfee": "0.4000", "nextfee": None,
                                                 "nextvolume": None, "tiervolume": "0.0000"}}  # fmt: skip
            assert "fees" not in await rest.must("TradeVolume")

    run_stepped(main)


def test_with_tiers_the_fee_falls_with_thirty_days_of_volume_and_rises_again() -> None:
    async def main() -> None:
        async with account(switches=Switches(fee_tiers=True)) as (twin, rest):
            before = await rest.must("TradeVolume", pair="ETHEUR")
            assert before["fees"]["XETHZEUR"] == {"fee": "0.4000", "minfee": "0.1000", "maxfee": "0.4000", "nextfee": "0.3500",
                                                  "nextvolume": "10000.0000", "tiervolume": "0.0000"}  # fmt: skip
            await trade(rest, 6, volume="2")
            rows = list((await rest.must("TradesHistory"))["trades"].values())[::-1]
            rates = [(D(row["fee"]) / D(row["cost"])).quantize(D("0.0001")) for row in rows]
            total, wanted = D(0), []
            for row in rows:
                wanted.append(next(tier.taker for tier in reversed(schedule(D("0.004"), D("0.0025"), tiers=True)) if tier.volume <= total))
                total += D(row["cost"])
            assert rates == wanted
            assert {D("0.004"), D("0.0035")} <= set(rates)
            assert (await rest.must("TradeVolume", pair="ETHEUR"))["fees_maker"]["XETHZEUR"]["fee"] == "0.2000"
            twin._fees.refresh(EPOCH_US + 31 * 86_400_000_000)
            assert twin.exchange.fills.taker == D("0.004")

    run_stepped(main)


@pytest.mark.parametrize("size", [50, 10])
def test_the_page_of_closed_orders_is_a_switch(size: int) -> None:
    async def main() -> None:
        async with account(switches=Switches(closed_page_size=size)) as (_, rest):
            await trade(rest, 12)
            answer = await rest.must("ClosedOrders")
            assert (len(answer["closed"]), answer["count"]) == (min(size, 12), 12)

    run_stepped(main)


def test_the_default_of_a_trade_balance_works_on_a_market_without_dollars() -> None:
    async def main() -> None:
        async with account() as (_, rest):
            assert await rest.must("TradeBalance", asset="ZUSD") == await rest.must("TradeBalance", asset="ZEUR")
            assert (await rest.private("TradeBalance", asset="ZGBP"))[0] == ["EQuery:Unknown asset"]

    run_stepped(main)


@pytest.mark.parametrize("cash", ["50", "100", "777.77"])
def test_the_average_of_one_fill_is_its_price(cash: str) -> None:
    async def main() -> None:
        async with account() as (_, rest):
            (txid,) = (await rest.must("AddOrder", pair="XETHZEUR", type="buy", ordertype="market", volume=cash, oflags="viqc"))["txid"]
            order, trades = (await rest.must("QueryOrders", txid=txid))[txid], (await rest.must("TradesHistory"))["trades"]
            assert [D(trade["price"]) for trade in trades.values()] == [D(order["price"])]

    run_stepped(main)


def test_flags_come_back_in_krakens_order() -> None:
    async def main() -> None:
        async with account() as (_, rest):
            order = {"pair": "XETHZEUR", "type": "buy", "ordertype": "limit", "price": "1000", "volume": "0.1", "oflags": "fciq,post"}
            (txid,) = (await rest.must("AddOrder", **order))["txid"]
            assert (await rest.must("QueryOrders", txid=txid))[txid]["oflags"] == "post,fciq"  # as recorded from Kraken

    run_stepped(main)
