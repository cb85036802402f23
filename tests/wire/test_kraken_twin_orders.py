"""Order endpoints of the twin over the wire: batches, edits, amends and their history, cancels of every kind, the dead-man's switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import PAIR, trading
from trader.simulation.fills import FillRules
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.loops import run_stepped

ID = "XETHZEUR"


@asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[tuple[Any, Rest]]:
    async with trading(**options) as (twin, _), aiohttp.ClientSession() as session:
        yield twin, Rest(session)


async def last_of(rest: Rest) -> Decimal:
    _, result = await rest.public("Ticker", pair=ID)
    return Decimal(result[ID]["c"][0])


async def limit(rest: Rest, **more: Any) -> str:
    """Txid of a buy far below the market."""
    fields = {"pair": ID, "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "100", "oflags": "fciq"}
    return str((await rest.must("AddOrder", **(fields | more)))["txid"][0])


# --- placing ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "sentence", "row"),
    [
        ({"ordertype": "market"}, "@ market", {"ordertype": "market", "price": "0", "price2": "0"}),
        ({"ordertype": "limit", "price": "100"}, "@ limit 100.00", {"price": "100.00", "price2": "0"}),
        ({"ordertype": "limit", "price": "-2%"}, "@ limit -2.0000%", {"price": "-2.0000%"}),
        ({"ordertype": "stop-loss", "price": "99999"}, "@ stop loss 99999.00", {"price": "99999.00", "trigger": "last"}),
        ({"ordertype": "take-profit", "price": "100"}, "@ take profit 100.00", {"ordertype": "take-profit"}),
        (
            {"ordertype": "stop-loss-limit", "price": "99999", "price2": "100000"},
            "@ stop loss 99999.00 -> limit 100000.00",
            {"price": "99999.00", "price2": "100000.00"},
        ),
        ({"ordertype": "take-profit-limit", "price": "100", "price2": "99"}, "@ take profit 100.00 -> limit 99.00", {"price2": "99.00"}),
        ({"ordertype": "stop-loss-limit", "price": "99999", "price2": "+10"}, "@ stop loss 99999.00 -> limit +10.00", {"price2": "+10.00"}),
        ({"ordertype": "trailing-stop", "price": "+1.5%"}, "@ trailing stop +1.5000%", {"price": "+1.5000%", "price2": "0"}),
        (
            {"ordertype": "trailing-stop-limit", "price": "+100", "price2": "-100"},
            "@ trailing stop +100.00 -> limit -100.00",
            {"price": "+100.00", "price2": "-100.00"},
        ),
        ({"ordertype": "iceberg", "price": "100", "displayvol": "0.02"}, "@ iceberg 100.00", {"ordertype": "iceberg"}),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
def test_descr_and_order_object_say_the_type_in_krakens_words(
    fields: dict[str, str], sentence: str, row: dict[str, str], as_json: bool
) -> None:
    async def main() -> None:
        async with desk() as (_, rest):
            asked = {"pair": ID, "type": "buy", "volume": "0.05", "oflags": "fciq"} | fields
            checked = await rest.must("AddOrder", as_json=as_json, validate="true", **asked)
            assert checked == {"descr": {"order": f"buy 0.05000000 ETHEUR {sentence}"}}
            placed = await rest.must("AddOrder", as_json=as_json, **asked)
            assert placed["descr"] == checked["descr"]
            order = (await rest.must("QueryOrders", txid=placed["txid"][0], trades="true"))[placed["txid"][0]]
            assert order["descr"]["order"] == checked["descr"]["order"]
            assert {name: order["descr"].get(name, order.get(name)) for name in row} == row

    run_stepped(main)


def test_a_trailing_stop_shows_its_trigger_and_its_peak() -> None:
    async def main() -> None:
        async with desk() as (_, rest):
            last = await last_of(rest)
            txid = await limit(rest, ordertype="trailing-stop", price="+10")
            order = (await rest.must("OpenOrders"))["open"][txid]
            assert (Decimal(order["stopprice"]), Decimal(order["limitprice"])) == (last + 10, last)

    run_stepped(main)


def test_the_closing_order_is_described_and_comes_with_each_fill() -> None:
    async def main() -> None:
        async with desk(fills=FillRules(share=Decimal("0.5"))) as (_, rest):
            last = await last_of(rest)
            close = {"close[ordertype]": "stop-loss-limit", "close[price]": "100", "close[price2]": "#2%"}
            answer = await rest.must("AddOrder", pair=ID, type="buy", ordertype="limit", volume="0.1", price=str(last), **close)
            assert answer["descr"]["close"] == "close position @ stop loss 100.00 -> limit -2.0000%"
            entry = answer["txid"][0]
            found = {txid: row for txid, row in (await rest.must("OpenOrders"))["open"].items() if row["refid"] == entry}
            assert [(row["vol"], row["descr"]["price2"], row["descr"]["type"]) for row in found.values()] == [
                ("0.05000000", "-2.0000%", "sell")
            ]

    run_stepped(main)


def test_a_batch_answers_each_order_for_itself() -> None:
    async def main() -> None:
        async with desk() as (twin, rest):
            order = {
                "type": "buy",
                "ordertype": "limit",
                "volume": "0.1",
                "price": "100",
                "close": {"ordertype": "stop-loss", "price": "90"},
            }
            orders = [order, order | {"volume": "0.00000001"}, order | {"price": "101", "cl_ord_id": "mine"}]
            answer = await rest.must("AddOrderBatch", as_json=True, pair=ID, orders=orders)
            assert [sorted(row) for row in answer["orders"]] == [["descr", "txid"], ["error"], ["descr", "txid"]]
            assert answer["orders"][1] == {"error": "EOrder:Order minimum not met"}
            assert answer["orders"][0]["descr"]["close"] == "close position @ stop loss 90.00"
            assert set(twin.exchange.state.orders) == {answer["orders"][0]["txid"], answer["orders"][2]["txid"]}
            for count in (1, 16):
                error, _ = await rest.private("AddOrderBatch", as_json=True, pair=ID, orders=[order] * count)
                assert error == ["EGeneral:Invalid arguments:orders"]

    run_stepped(main)


# --- changing ---------------------------------------------------------------------------------------------------------
def test_edit_puts_a_new_order_in_the_place_of_the_old_one() -> None:
    async def main() -> None:
        async with desk() as (_, rest):
            old = await limit(rest, userref=7)
            answer = await rest.must("EditOrder", txid=old, pair=ID, price="101.5", volume="0.2")
            assert answer["originaltxid"] == old
            assert (answer["status"], answer["volume"], answer["price"], answer["orders_cancelled"]) == ("ok", "0.20000000", "101.50", 1)
            assert answer["descr"] == {"order": "buy 0.20000000 ETHEUR @ limit 101.50"}
            orders = await rest.must("QueryOrders", txid=f"{old},{answer['txid']}")
            assert [(orders[txid]["status"], orders[txid]["userref"]) for txid in (old, answer["txid"])] == [("canceled", 7), ("open", 7)]
            assert (await rest.private("EditOrder", txid=old, pair=ID, price="99"))[0] == ["EOrder:Unknown order"]
            assert (await rest.private("EditOrder", txid=answer["txid"], pair=ID, volume="9999"))[0] == ["EOrder:Insufficient funds"]
            assert set((await rest.must("OpenOrders"))["open"]) == {answer["txid"]}

    run_stepped(main)


def test_amends_keep_the_id_and_are_listed_with_their_terms() -> None:
    async def main() -> None:
        async with desk() as (_, rest):
            txid = await limit(rest, cl_ord_id="mine")
            assert (await rest.must("OrderAmends", order_id=txid)) == {"count": 0, "amends": []}
            first = await rest.must("AmendOrder", cl_ord_id="mine", order_qty="0.2", limit_price="101")
            second = await rest.must("AmendOrder", txid=txid, limit_price="102", post_only="True")
            listed = await rest.must("OrderAmends", order_id=txid)
            terms = [(row["amend_type"], row["order_qty"], row["limit_price"], row["post_only"]) for row in listed["amends"]]
            assert terms == [
                ("original", "0.10000000", "100.00", False),
                ("user", "0.20000000", "101.00", False),
                ("user", "0.20000000", "102.00", True),
            ]
            assert [row["amend_id"] for row in listed["amends"][1:]] == [first["amend_id"], second["amend_id"]]
            for fields, error in (
                ({"txid": "OAAAAA-AAAAA-AAAAAA", "order_qty": "1"}, "EOrder:Unknown order"),
                ({"txid": txid}, "EGeneral:Invalid arguments:order_qty"),
                ({"order_qty": "1"}, "EGeneral:Invalid arguments:txid"),
                ({"txid": txid, "trigger_price": "90"}, "EGeneral:Invalid arguments:trigger_price"),
                ({"txid": txid, "limit_price": "102", "deadline": "2026-01-05T00:00:00Z"}, "EService:Deadline elapsed"),
            ):
                assert (await rest.private("AmendOrder", **fields))[0] == [error]

    run_stepped(main)


# --- cancelling -------------------------------------------------------------------------------------------------------
def test_cancels_by_txid_client_id_userref_batch_and_all() -> None:
    async def main() -> None:
        async with desk() as (_, rest):
            txids = [await limit(rest, userref=5), await limit(rest, userref=5), await limit(rest, cl_ord_id="mine"), await limit(rest)]
            more = [await limit(rest) for _ in range(3)]
            assert await rest.must("CancelOrder", txid=5) == {"count": 2}
            assert await rest.must("CancelOrder", cl_ord_id="mine") == {"count": 1}
            assert await rest.must("CancelOrder", txid=txids[3]) == {"count": 1}
            assert (await rest.private("CancelOrder", txid=txids[3]))[0] == ["EOrder:Unknown order"]
            assert (await rest.private("CancelOrder"))[0] == ["EGeneral:Invalid arguments:txid"]
            assert await rest.must("CancelOrderBatch", as_json=True, orders=[more[0], more[1], txids[0]]) == {"count": 2}
            again = await limit(rest, cl_ord_id="mine")
            assert await rest.must("CancelOrderBatch", as_json=True, cl_ord_ids=["mine"]) == {"count": 1}
            assert again not in (await rest.must("OpenOrders"))["open"]
            assert (await rest.private("CancelOrderBatch", as_json=True, orders=[again]))[0] == ["EOrder:Unknown order"]
            assert (await rest.private("CancelOrderBatch", as_json=True, orders=["x"] * 51))[0] == ["EGeneral:Invalid arguments:orders"]
            assert await rest.must("CancelAll") == {"count": 1}
            assert (await rest.must("OpenOrders"))["open"] == {}

    run_stepped(main)


def test_the_dead_mans_switch_fires_on_the_twins_clock_and_between_ticks() -> None:
    async def main() -> None:
        async with desk() as (twin, rest):
            txid = await limit(rest)
            armed = await rest.must("CancelAllOrdersAfter", timeout=7)
            assert (len(armed["currentTime"]), len(armed["triggerTime"])) == (20, 20)
            await asyncio.sleep(6.8)
            assert txid in (await rest.must("OpenOrders"))["open"]
            await asyncio.sleep(0.3)
            order = (await rest.must("QueryOrders", txid=txid))[txid]
            assert (order["status"], order["closetm"]) == ("canceled", twin.exchange.state.orders[txid].closed_us / 1e6)
            await limit(rest)
            await rest.must("CancelAllOrdersAfter", timeout=5)
            assert (await rest.must("CancelAllOrdersAfter", timeout=0))["triggerTime"] == "0"
            await asyncio.sleep(30)
            assert len((await rest.must("OpenOrders"))["open"]) == 1
            assert (await rest.private("CancelAllOrdersAfter"))[0] == ["EGeneral:Invalid arguments:timeout"]

    run_stepped(main)


def test_a_restarted_twin_remembers_peaks_schedules_and_the_switch(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(state_dir=tmp_path) as (twin, rest):
            trailing = await limit(rest, ordertype="trailing-stop", price="+500")
            await limit(rest, starttm="+600", price="100")
            await asyncio.sleep(60)
            await rest.must("CancelAllOrdersAfter", timeout=600)
            before, dues = twin.exchange.state.dump(), twin.exchange.dues()
            peak = twin.exchange.state.orders[trailing].peak
            clock = twin.clock
        async with desk(state_dir=tmp_path, clock=clock) as (twin, rest):
            after = twin.exchange.state.dump()
            assert {name: after[name] for name in "ofbac"} == {name: before[name] for name in "ofbac"}
            assert (twin.exchange.dues(), len(dues), twin.exchange.state.orders[trailing].peak) == (dues, 2, peak)
            assert {row["status"] for row in (await rest.must("OpenOrders"))["open"].values()} == {"open", "pending"}
            await asyncio.sleep(601)
            assert (await rest.must("OpenOrders"))["open"] == {}

    run_stepped(main)


# --- rates ------------------------------------------------------------------------------------------------------------
def test_the_engine_counter_is_charged_once_at_the_desk_and_cancels_cost_by_age() -> None:
    async def main() -> None:
        async with desk(limits=LimitRules(tier="starter")) as (twin, rest):
            txids = [await limit(rest) for _ in range(6)]
            assert 5 < twin.limits.engine_value(PAIR, twin.clock.now_us()) <= 6
            for txid in txids:
                await rest.must("CancelOrder", txid=txid)
            assert 52 < twin.limits.engine_value(PAIR, twin.clock.now_us()) <= 54  # 6 adds, 6 x 8 for cancels younger than 5 s
            for _ in range(6):
                await rest.private("AddOrder", pair=ID, type="buy", ordertype="limit", volume="0", price="100")  # refused, yet charged
            error, _ = await rest.private("AddOrder", pair=ID, type="buy", ordertype="limit", volume="0.1", price="100")
            for _ in range(6):
                error, _ = await rest.private("AddOrder", pair=ID, type="buy", ordertype="limit", volume="0.1", price="100")
            assert error == ["EOrder:Rate limit exceeded"]

    run_stepped(main)
