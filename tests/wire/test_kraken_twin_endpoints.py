"""Every endpoint of Kraken's table is there, answers with the fields its clients read, and needs its permission."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import trading
from trader.simulation.kraken_server.spot.keyring import NEEDS
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.loops import run_stepped

ID = "XETHZEUR"
ORDER: dict[str, Any] = {"pair": ID, "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "100", "oflags": "fciq"}

# name -> (parameters, fields the answer must have; "*" stands for any key)
PUBLIC: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Time": ({}, ("unixtime", "rfc1123")),
    "SystemStatus": ({}, ("status", "timestamp")),
    "Assets": ({}, ("XXBT", "ZEUR")),
    "AssetPairs": ({}, (ID, "XXBTZEUR")),
    "Ticker": ({"pair": ID}, (ID,)),
    "OHLC": ({"pair": ID}, (ID, "last")),
    "Depth": ({"pair": ID}, (ID,)),
    "Trades": ({"pair": ID}, (ID, "last")),
    "Spread": ({"pair": ID}, (ID, "last")),
}
PRIVATE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Balance": ({}, ("ZEUR",)),
    "BalanceEx": ({}, ("ZEUR",)),
    "TradeBalance": ({}, ("eb", "tb", "e", "mf")),
    "TradeVolume": ({"pair": ID}, ("currency", "volume", "fees", "fees_maker")),
    "OpenPositions": ({}, ()),
    "AddOrder": (ORDER, ("txid", "descr")),
    "OpenOrders": ({}, ("open",)),
    "ClosedOrders": ({}, ("closed", "count")),
    "TradesHistory": ({}, ("trades", "count")),
    "Ledgers": ({}, ("ledger", "count")),
    "CancelAllOrdersAfter": ({"timeout": 60}, ("currentTime", "triggerTime")),
    "GetWebSocketsToken": ({}, ("token", "expires")),
    "GetApiKeyInfo": ({}, ("apiKey", "permissions", "nonceWindow", "validUntil")),
    "CancelAll": ({}, ("count",)),
}


async def by_id(rest: Rest) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """The endpoints that need an id, with ids that exist."""
    resting = [(await rest.must("AddOrder", **ORDER))["txid"][0] for _ in range(4)]
    await rest.must("AddOrder", pair=ID, type="buy", ordertype="market", volume="0.1", oflags="fciq")
    trade, entry = next(iter((await rest.must("TradesHistory"))["trades"])), next(iter((await rest.must("Ledgers"))["ledger"]))
    return {
        "QueryOrders": ({"txid": resting[0]}, (resting[0],)),
        "QueryTrades": ({"txid": trade}, (trade,)),
        "QueryLedgers": ({"id": entry}, (entry,)),
        "AmendOrder": ({"txid": resting[0], "limit_price": "101"}, ("amend_id",)),
        "OrderAmends": ({"order_id": resting[0]}, ("count", "amends")),
        "EditOrder": ({"txid": resting[1], "pair": ID, "price": "102"}, ("txid", "originaltxid", "descr")),
        "CancelOrder": ({"txid": resting[2]}, ("count",)),
        "CancelOrderBatch": ({"orders": [resting[3], resting[0]], "as_json": True}, ("count",)),
        "AddOrderBatch": ({"pair": ID, "orders": [{k: v for k, v in ORDER.items() if k != "pair"}] * 2, "as_json": True}, ("orders",)),
    }


def test_every_endpoint_answers_with_the_fields_its_clients_read() -> None:
    async def main() -> None:
        async with trading() as (twin, _), aiohttp.ClientSession() as session:
            rest = Rest(session)
            for name, (params, fields) in PUBLIC.items():
                error, result = await rest.public(name, **params)
                assert (error, [field for field in fields if field not in result]) == ([], []), name
            private = await by_id(rest) | PRIVATE
            for name, (params, fields) in private.items():
                error, result = await rest.private(name, **params)
                assert error == [], (name, error)
                assert [field for field in fields if field not in result] == [], (name, result)
            assert sorted(private) == sorted(NEEDS) == sorted(twin._private)
            assert sorted(PUBLIC) == sorted(twin._public)
            assert (len(PUBLIC), len(private)) == (9, 23)
            for private_call in (rest.private("Withdraw"), rest.private("Nothing"), rest.private("balance")):
                assert (await private_call)[0] == ["EGeneral:Unknown method"]

    run_stepped(main)


def test_orders_are_charged_at_their_pair_even_where_they_fail_and_cancels_by_age() -> None:
    async def main() -> None:
        async with trading(limits=LimitRules(tier="starter")) as (twin, _), aiohttp.ClientSession() as session:
            rest = Rest(session)
            answers = [(await rest.private("AddOrder", **(ORDER | {"volume": "0"})))[0] for _ in range(70)]
            refused = [error for error in answers if error == ["EOrder:Rate limit exceeded"]]
            assert 1 <= len(refused) <= 10
            assert answers.index(["EOrder:Rate limit exceeded"]) >= 60
            other = {"pair": "XXBTZEUR", "volume": "0.001", "price": "1000"}
            txid = (await rest.must("AddOrder", **(ORDER | other)))["txid"][0]
            before = twin.limits.engine_value("BTC/EUR", twin.clock.now_us())
            await twin.clock.sleep(20)
            assert (before > 0.9, twin.limits.engine_value("BTC/EUR", twin.clock.now_us())) == (True, 0)
            await rest.must("CancelOrder", txid=txid)
            assert 3.9 < twin.limits.engine_value("BTC/EUR", twin.clock.now_us()) <= 4
            assert twin.limits.refusals == {"EOrder:Rate limit exceeded": len(refused)}

    run_stepped(main)


def test_a_lookup_of_pairs_sees_what_was_changed_at_run_time() -> None:
    async def main() -> None:
        async with trading() as (twin, _), aiohttp.ClientSession() as session:
            rest = Rest(session)
            twin.exchange.set_pair_status("ETH/EUR", "cancel_only")
            assert (await rest.public("AssetPairs", pair=ID))[1][ID]["status"] == "cancel_only"

    run_stepped(main)
