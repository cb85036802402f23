"""The private channels of the twin's WebSocket v2: snapshots, sequence numbers, options, tokens and rights."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import SECRET, enter, trading
from tests.wire.stream_kit import stream
from trader.simulation.kraken_server.spot.keyring import ApiKey
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US


async def token_of(exchange: Any) -> str:
    return str((await exchange.private_post_getwebsocketstoken())["result"]["token"])


def test_sequence_numbers_are_gapless_from_one_for_each_channel_and_connection() -> None:
    async def main() -> None:
        async with trading() as (_, exchange), stream() as first:
            token = await token_of(exchange)
            await first.subscribe("executions", token=token)
            await first.subscribe("balances", token=token)
            await enter(exchange, number=1)
            async with stream() as second:
                await second.subscribe("executions", token=token)
                await second.subscribe("balances", token=token)
                await enter(exchange, number=2)
                await asyncio.sleep(1)
                for client, wanted in ((first, (13, 5)), (second, (7, 3))):
                    for channel, count in zip(("executions", "balances"), wanted, strict=True):
                        frames = client.of(channel)
                        assert [frame["sequence"] for frame in frames] == list(range(1, count + 1)), channel
                        assert [frame["type"] for frame in frames] == ["snapshot"] + ["update"] * (count - 1)
                (opened,) = second.of("executions", "snapshot")
                assert [row["order_type"] for row in opened["data"]] == ["stop-loss"]

    run_stepped(main)


@pytest.mark.parametrize("batched", [False, True])
def test_the_last_fill_and_the_end_it_brings_come_in_one_frame_where_kraken_batches(batched: bool) -> None:
    async def main() -> None:
        async with trading(switches=Switches(batched_executions=batched)) as (_, exchange), stream() as client:
            await client.subscribe("executions", token=await token_of(exchange))
            await enter(exchange)
            await asyncio.sleep(1)
            kinds = [[row["exec_type"] for row in frame["data"]] for frame in client.of("executions", "update")]
            fill = [["trade", "filled"]] if batched else [["trade"], ["filled"]]
            assert kinds == [["pending_new"], ["new"], *fill, ["pending_new"], ["new"]]

    run_stepped(main)


@pytest.mark.parametrize(("says_filled", "status"), [(False, "partially_filled"), (True, "filled")])
def test_the_fill_that_fills_an_order_may_say_so_itself(says_filled: bool, status: str) -> None:
    async def main() -> None:
        async with trading(switches=Switches(trade_says_filled=says_filled)) as (_, exchange), stream() as client:
            await client.subscribe("executions", token=await token_of(exchange))
            await enter(exchange)
            await asyncio.sleep(1)
            rows = [row for frame in client.of("executions", "update") for row in frame["data"]]
            assert [row["order_status"] for row in rows if row["exec_type"] in ("trade", "filled")] == [status, "filled"]

    run_stepped(main)


def test_execution_options_choose_the_snapshot_the_transitions_and_the_engine_counter() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            await enter(exchange)
            token = await token_of(exchange)
            async with stream() as plain, stream() as full, stream() as few:
                (snapshot,) = (await plain.subscribe("executions", token=token))[1:]
                assert [row["exec_type"] for row in snapshot["data"]] == ["new"]
                (snapshot,) = (await full.subscribe("executions", token=token, snap_trades=True, ratecounter=True))[1:]
                assert [row["exec_type"] for row in snapshot["data"]] == ["new", "trade"]
                (snapshot,) = (await few.subscribe("executions", token=token, snap_orders=False, order_status=False))[1:]
                assert snapshot["data"] == []
                await enter(exchange, number=2)
                await asyncio.sleep(1)
                kinds = {client: [f["data"][0]["exec_type"] for f in client.of("executions", "update")] for client in (full, few)}
                assert kinds[full] == ["pending_new", "new", "trade", "filled", "pending_new", "new"]
                assert kinds[few] == ["new", "trade", "filled", "new"]
                assert all("ratecount" in frame["data"][0] for frame in full.of("executions", "update"))
                assert not any("ratecount" in frame["data"][0] for frame in few.of("executions", "update"))
                assert twin.limits.tier is None

    run_stepped(main)


def test_a_balance_update_names_its_ledger_entry() -> None:
    async def main() -> None:
        async with trading() as (_, exchange), stream() as client:
            await client.subscribe("balances", token=await token_of(exchange))
            await enter(exchange)
            await asyncio.sleep(1)
            rows = [frame["data"][0] for frame in client.of("balances", "update")]
            ledger = (await exchange.private_post_ledgers())["result"]["ledger"]
            for row in rows:
                entry = ledger[row["ledger_id"]]
                assert (entry["refid"], float(entry["amount"]) - float(entry["fee"])) == (row["ref_id"], pytest.approx(row["amount"]))
                assert float(entry["balance"]) == row["balance"]
            assert [row["asset"] for row in rows] == ["ETH", "EUR"]

    run_stepped(main)


def test_a_token_lives_900_seconds_unless_it_holds_a_subscription() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange), stream() as holder, stream() as other:
            token = await token_of(exchange)
            assert (await holder.subscribe("executions", token=token))[0]["success"]
            await twin.clock.sleep(901)
            (late,) = await other.subscribe("executions", token=token)
            assert late["error"] == "ESession:Invalid session"
            assert (await holder.subscribe("balances", token=token))[0]["success"]
            await enter(exchange)
            await asyncio.sleep(1)
            assert [frame["sequence"] for frame in holder.of("executions")] == list(range(1, 8))

    run_stepped(main)


def test_tokens_carry_the_rights_and_the_end_of_their_key() -> None:
    async def main() -> None:
        secret = "c2VjcmV0"
        keys = [
            ApiKey(key="twin-key", secret=SECRET),
            ApiKey(key="reader", secret=secret, permissions=("query-funds", "create-ws-token")),
            ApiKey(key="short", secret="b3RoZXI=", valid_until_us=EPOCH_US + 60_000_000),
        ]
        async with trading(keys=keys) as (twin, exchange), stream() as client:
            exchange.apiKey, exchange.secret = "reader", secret
            token = await token_of(exchange)
            assert (await client.subscribe("balances", token=token))[0]["success"]
            (denied,) = await client.subscribe("executions", token=token)
            assert denied["error"] == "EGeneral:Permission denied"
            exchange.apiKey, exchange.secret = "short", "b3RoZXI="
            token = await token_of(exchange)
            await twin.clock.sleep(61)
            (ended,) = await client.subscribe("executions", token=token)
            assert ended["error"] == "ESession:Invalid session"

    run_stepped(main)
