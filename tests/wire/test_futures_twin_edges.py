"""The futures twin at its edges: rate limits, faults, hostile arguments, long pages, kills and restarts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import ccxt
import pytest

from tests.wire.futures_twin_harness import PF, futures_trading, on_futures, raw
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.futures.limits import UNLIMITED, FuturesLimitRules
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US


@pytest.mark.parametrize("rules", [FuturesLimitRules(units=50), FuturesLimitRules(units=None)])
def test_cost_units_are_counted_and_come_back(rules: FuturesLimitRules) -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        refused = 0
        for number in range(8):
            try:
                await exchange.create_order(PF, "limit", "buy", 0.001, 50_000 + number)
            except ccxt.RateLimitExceeded as error:
                assert "apiLimitExceeded" in str(error)
                refused += 1
        assert refused == (0 if rules.units is None else 3) == twin.futures.limits.refused
        await twin.clock.sleep(11)
        await exchange.create_order(PF, "limit", "buy", 0.001, 49_000)

    on_futures(test, futures_limits=rules)


def test_a_batch_in_either_spelling_counts_as_writes_of_its_orders() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        order = {"symbol": PF, "type": "limit", "side": "buy", "amount": 0.001, "price": 50_000.0, "params": {"clientOrderId": "one"}}
        await exchange.create_orders([order])
        encoded = urlencode({"json": '{"batchOrder":[{"order":"cancel","cliOrdId":"one"}]}'})
        assert (await raw("POST", "/derivatives/api/v3/batchorder", body=encoded))["batchStatus"][0]["status"] == "cancelled"
        assert twin.middleware.writes.of("futures:batchorder") == {"one": 2}

    on_futures(test)


def test_a_lost_response_leaves_its_order_to_be_found() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order(PF, "limit", "buy", 0.01, 50_000, {"clientOrderId": "lost"})
        assert [order["clientOrderId"] for order in await exchange.fetch_open_orders()] == ["lost"]

    on_futures(test, '[[fault]]\nwhere = "futures:sendorder"\nnth = 1\naction = "lost_response"\n')


@pytest.mark.parametrize("status", ["marketSuspended", "aStatusNobodyKnows"])
def test_a_fault_can_answer_with_any_status(status: str) -> None:
    async def test(twin: KrakenTwin, _: Any) -> None:
        body = "symbol=PF_XBTUSD&side=buy&size=0.001&orderType=lmt&limitPrice=50000"
        answer = await raw("POST", "/derivatives/api/v3/sendorder", body=body)
        assert (answer["result"], answer["sendStatus"]["status"]) == ("success", status)
        assert twin.futures.exchange.open_orders() == []

    on_futures(test, f'[[fault]]\nwhere = "futures:sendorder"\naction = "error"\narg = "status:{status}"\n')


HOSTILE = ("", "0", "-1", "NaN", "1E+999999", "1E-999999", "9" * 41, "\u0663", "%FF", "true", "[]", "{}", "'; DROP TABLE", "\U0001f680")


def test_no_argument_breaks_the_door() -> None:
    """Every field of every endpoint with every hostile value: an answer in Kraken's words, never a server error."""
    fields = ("symbol", "side", "size", "orderType", "limitPrice", "stopPrice", "triggerSignal", "reduceOnly", "cliOrdId",
              "processBefore",
              "orderId", "order_id", "timeout", "maxLeverage", "pnlPreference", "fromAccount", "toAccount", "unit", "amount",
              "lastFillTime",
              "trailingStopMaxDeviation", "since", "before", "count", "sort", "continuation_token", "from", "to", "tradeable", "json",
              "orderIds")  # fmt: skip
    good = "symbol=PF_XBTUSD&side=buy&size=0.001&orderType=lmt&limitPrice=50000"
    calls = [("POST", f"/derivatives/api/v3/{name}") for name in ("sendorder", "editorder", "cancelorder", "batchorder", "cancelallorders",
             "cancelallordersafter", "transfer", "orders/status")]  # fmt: skip
    calls += [("PUT", "/derivatives/api/v3/leveragepreferences"), ("PUT", "/derivatives/api/v3/pnlpreferences")]
    calls += [("GET", f"/derivatives/api/v3/{name}") for name in ("fills", "history", "orderbook", "historicalfundingrates", "nonsense")]
    calls += [("GET", f"/api/history/v2/{name}") for name in ("orders", "executions", "triggers", "account-log", "positions")]
    calls += [("GET", "/api/history/v3/market/PF_XBTUSD/executions"), ("GET", "/api/charts/v1/trade/PF_XBTUSD/1m")]

    async def test(twin: KrakenTwin, _: Any) -> None:
        asked = 0
        for method, path in calls:
            for field in fields:
                value = HOSTILE[(asked * 7 + len(field)) % len(HOSTILE)]
                query = f"{good}&{urlencode({field: value})}"
                answer = await raw(method, path, query=query)
                assert isinstance(answer, dict), (method, path, field, value)
                asked += 1
        assert asked == len(calls) * len(fields) > 600
        for body in ("json={" + "[" * 100_000, "json=" + "[" * 100_000, 'json={"batchOrder":' + "[" * 100_000):
            assert (await raw("POST", "/derivatives/api/v3/batchorder", body=body))["error"] == "Json Parse Error"
        counters = twin.middleware.counters
        assert {"requiredArgumentMissing", "invalidArgument: size", "notFound"} <= set(counters)

    on_futures(test, futures_limits=UNLIMITED)


def test_public_pages_join_in_both_directions_however_long_ago_they_begin() -> None:
    async def test(_: KrakenTwin, __: Any) -> None:
        path = "/api/history/v3/market/PF_XBTUSD/price"
        for order, end in (("asc", f"since={EPOCH_US // 1000 - 300_000}"), ("desc", f"since={EPOCH_US // 1000 - 300_000}")):
            whole = (await raw("GET", path, query=f"{end}&sort={order}"))["elements"]
            pages, token = [], ""
            while True:
                page = await raw("GET", path, query=f"{end}&sort={order}&count=6{token}")
                pages += page["elements"]
                if "continuationToken" not in page:
                    break
                token = f"&continuation_token={page['continuationToken']}"
            assert len(whole) == 21
            assert pages == whole
        first = await raw("GET", path, query="since=0&sort=desc&count=2")
        assert (first["len"], first["elements"][0]["timestamp"]) == (2, EPOCH_US // 1000)

    on_futures(test)


def test_a_restarted_twin_knows_orders_and_positions(tmp_path: Path) -> None:
    async def main() -> None:
        async with futures_trading(state_dir=tmp_path) as (twin, exchange):
            await exchange.create_order(PF, "market", "buy", 0.05)
            placed = await exchange.create_order(PF, "limit", "sell", 0.05, 90_000, {"clientOrderId": "goal"})
            await twin.clock.sleep(100)
            before = twin.futures.exchange.state.dump()
            clock = twin.clock
        async with futures_trading(state_dir=tmp_path, clock=clock) as (twin, exchange):
            after = twin.futures.exchange.state.dump()
            assert {name: after[name] for name in ("orders", "fills", "positions", "balances")} == {
                name: before[name] for name in ("orders", "fills", "positions", "balances")
            }
            assert (await exchange.fetch_positions())[0]["contracts"] == 0.05
            assert [order["id"] for order in await exchange.fetch_open_orders()] == [placed["id"]]

    run_stepped(main)


def test_a_twin_killed_between_its_two_sides_works_off_what_futures_missed(tmp_path: Path) -> None:
    """The spot books know half an hour more than the futures books: the ticks in between happen to futures at the start."""

    async def main() -> None:
        kept, books = tmp_path / "kept", tmp_path / "books"
        async with futures_trading(state_dir=books) as (twin, exchange):
            last = (await exchange.fetch_ticker(PF))["last"]
            await exchange.create_order(PF, "limit", "sell", 0.05, last * 1.002)
            await exchange.create_order(PF, "market", "sell", 0.05, None, {"triggerPrice": last * 0.998})
            kept.mkdir()
            for file in books.glob("futures.*"):
                shutil.copy(file, kept / file.name)
            await twin.clock.sleep(1_800)
            clock, fills = twin.clock, [fill.price for fill in twin.futures.exchange.state.fills.values()]
            positions = [position.size for position in twin.futures.exchange.positions()]
        assert fills
        for file in kept.glob("futures.*"):
            shutil.copy(file, books / file.name)
        async with futures_trading(state_dir=books, clock=clock) as (twin, _):
            assert [fill.price for fill in twin.futures.exchange.state.fills.values()] == fills
            assert [position.size for position in twin.futures.exchange.positions()] == positions

    run_stepped(main)


def test_a_liquidation_is_told_by_fills_history_and_log() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        last = (await exchange.fetch_ticker(PF))["last"]
        await exchange.create_order(PF, "market", "buy", 3.5)
        stop = await exchange.create_order(PF, "market", "sell", 3.5, None, {"stopLossPrice": last * 0.5})
        engine = twin.futures.exchange
        threshold = engine.liquidation_price(engine.positions()[0])
        for _hour in range(24 * 14):
            if not engine.positions():
                break
            await twin.clock.sleep(3_600)
        fill = (await exchange.fetch_my_trades(PF))[-1]
        assert fill["info"]["fillType"] == "liquidation"
        assert threshold is not None and abs(fill["price"] - float(threshold)) < last * 0.01  # funding moves it a little
        assert (await exchange.fetch_ledger())[-1]["info"]["info"] == "futures liquidation"
        (closed,) = await exchange.fetch_positions_history([PF])
        assert closed["info"]["tradeType"] == "liquidation"
        gone = [order for order in await exchange.fetch_canceled_orders(PF, params={"trigger": True}) if order["id"] == stop["id"]]
        assert gone
        assert 0 <= (await exchange.fetch_balance())["USD"]["total"] < 10_000

    on_futures(test)
