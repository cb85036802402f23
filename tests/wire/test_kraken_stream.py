"""WebSocket v2 of the twin with a bare client: the public channels, their snapshots and refusals."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.wire.kraken_twin_harness import MARKET, PAIR, trading
from tests.wire.stream_kit import KeptBook, stream
from trader.simulation.intervals import MINUTES
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped

DECIMALS = {pair: MARKET.listing(pair).pair_decimals for pair in MARKET.pairs}


# --- refusals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "ticker", "symbol": ["NOPE/EUR"]}, "Currency pair not supported NOPE/EUR"),
        ({"channel": "ticker", "symbol": ["XBT/EUR"]}, "Currency pair not supported XBT/EUR"),  # unified names only
        ({"channel": "ticker", "symbol": [7]}, "Currency pair not supported 7"),
        ({"channel": "ticker"}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": PAIR}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": [PAIR], "event_trigger": "often"}, "EGeneral:Invalid arguments:event_trigger"),
        ({"channel": "ticker", "symbol": [PAIR], "snapshot": "yes"}, "EGeneral:Invalid arguments:snapshot"),
        ({"channel": "ohlc", "symbol": [PAIR], "interval": 7}, "Subscription ohlc interval not supported"),
        ({"channel": "ohlc", "symbol": [PAIR], "interval": "1"}, "Subscription ohlc interval must be an integer"),
        ({"channel": "book", "symbol": [PAIR], "depth": 42}, "Subscription depth not supported"),
        ({"channel": "book", "symbol": [PAIR], "depth": 1.5}, "Subscription book depth must be an integer"),
        ({"channel": "level3", "symbol": [PAIR]}, "Channel not supported level3"),
        ({"channel": "news"}, "Channel not supported news"),
        ({}, "Channel not supported None"),
        ({"channel": "executions"}, "ESession:Invalid session"),
        ({"channel": "balances", "token": "stale"}, "ESession:Invalid session"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused_in_krakens_words_and_leaves_nothing(params: dict[str, Any], error: str) -> None:
    async def main() -> None:
        async with trading() as (twin, _), stream() as client:
            (answer,) = await client.send({"method": "subscribe", "params": params, "req_id": 5})
            assert (answer["method"], answer["success"], answer["error"], answer["req_id"]) == ("subscribe", False, error, 5)
            assert not twin.hub.connections[0].subscribed

    run_stepped(main)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "Malformed request"),
        ("[1, 2]", "Malformed request"),
        ('{"method": NaN}', "Malformed request"),
        ("[" * 100_000, "Malformed request"),
        ('{"method": "dance"}', "Unsupported method"),
        ("{}", "Unsupported method"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_lives(text: str, words: str) -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            (answer,) = await client.send(text)
            assert (answer["success"], answer["error"]) == (False, words)
            (pong,) = await client.ask("ping", req_id=3)
            assert (pong["method"], pong["req_id"]) == ("pong", 3)

    run_stepped(main)


def test_each_symbol_of_a_request_gets_its_own_answer_and_its_own_snapshot() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            frames = await client.subscribe("ticker", symbol=[PAIR, "NOPE/EUR", "BTC/EUR"])
            seen = [frame.get("symbol") or frame.get("result", {}).get("symbol") or frame["data"][0]["symbol"] for frame in frames]
            assert seen == [PAIR, PAIR, "NOPE/EUR", "BTC/EUR", "BTC/EUR"]
            assert [frame.get("success") for frame in frames] == [True, None, False, True, None]
            assert all(len(frame["data"]) == 1 for frame in frames if "data" in frame)

    run_stepped(main)


@pytest.mark.parametrize(
    ("channel", "params", "again"),
    [
        ("ticker", {}, "Already subscribed"),
        ("trade", {}, "Already subscribed"),
        ("book", {}, "Already subscribed"),
        ("instrument", {}, "Already subscribed"),
        ("ohlc", {"interval": 5}, "Already subscribed to one ohlc interval on this symbol"),
    ],
)
def test_a_channel_is_subscribed_once_and_unsubscribed_once(channel: str, params: dict[str, Any], again: str) -> None:
    async def main() -> None:
        async with trading() as (twin, _), stream() as client:
            first = await client.subscribe(channel, **params)
            assert first[0]["success"] is True
            (second,) = await client.subscribe(channel, **params)
            assert (second["success"], second["error"]) == (False, again)
            wanted = {"channel": channel} | ({} if channel == "instrument" else {"symbol": [PAIR]}) | params
            (left,) = await client.ask("unsubscribe", wanted)
            assert (left["success"], left["result"]["channel"], left["req_id"]) == (True, channel, 7)
            assert not twin.hub.connections[0].subscribed
            (gone,) = await client.ask("unsubscribe", wanted)
            assert (gone["success"], gone["error"]) == (False, "Subscription Not Found")
            count = len(client.frames)
            await asyncio.sleep(120)
            assert len(client.frames) == count  # silence: no frame, no heartbeat either
            assert (await client.subscribe(channel, **params))[0]["success"] is True

    run_stepped(main)


def test_a_second_interval_of_one_symbol_is_refused() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            await client.subscribe("ohlc", interval=1)
            (answer,) = await client.subscribe("ohlc", interval=15)
            assert (answer["error"], answer["symbol"]) == ("Already subscribed to one ohlc interval on this symbol", PAIR)

    run_stepped(main)


# --- channels ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("interval", MINUTES)
def test_every_interval_has_a_snapshot_and_updates_that_agree_with_rest(interval: int) -> None:
    async def main() -> None:
        async with trading() as (_, exchange), stream() as client:
            answer, snapshot = await client.subscribe("ohlc", interval=interval)
            assert (answer["result"]["interval"], answer["result"]["snapshot"]) == (interval, True)
            assert answer["result"]["warnings"] == ["timestamp is deprecated, use interval_begin"]
            assert snapshot["data"][0]["interval"] == interval
            await asyncio.sleep(130)
            updates = client.of("ohlc", "update")
            assert len(updates) == 2
            rows = (await exchange.public_get_ohlc({"pair": "ETHEUR", "interval": interval}))["result"]["XETHZEUR"]
            last = updates[-1]["data"][0]
            assert [float(value) for value in rows[-2 if interval == 1 else -1][1:5]] == [
                last[name] for name in ("open", "high", "low", "close")
            ]
            assert all(int(after[0]) - int(before[0]) == interval * 60 for before, after in itertools.pairwise(rows))

    run_stepped(main)


@pytest.mark.parametrize("channel", ["ticker", "ohlc", "trade", "book", "instrument"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_snapshot_comes_where_it_is_asked_for(channel: str, wanted: bool) -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            answer, *snapshots = await client.subscribe(channel, snapshot=wanted)
            assert answer["result"]["snapshot"] is wanted
            assert [frame["type"] for frame in snapshots] == ["snapshot"] * wanted
            if channel == "trade" and wanted:
                assert len(snapshots[0]["data"]) == 50

    run_stepped(main)


@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
def test_books_of_every_depth_keep_their_checksum(depth: int) -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            pairs = list(MARKET.pairs)[: 12 if depth <= 100 else 2]
            await client.subscribe("book", symbol=pairs, depth=depth)
            await asyncio.sleep(60 * (20 if depth <= 100 else 3))
            books = {pair: KeptBook(depth, DECIMALS[pair]) for pair in pairs}
            for frame in client.of("book"):
                books[frame["data"][0]["symbol"]].take(frame)
            checked = sum(book.checked for book in books.values())
            assert checked >= (500 if depth <= 100 else 20), checked
            assert [pair for pair, book in books.items() if book.wrong] == []
            assert {len(book.asks) for book in books.values()} == {depth}

    run_stepped(main)


def test_a_planted_wrong_digit_breaks_the_checksum() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            _, snapshot = await client.subscribe("book")
            good, spoilt = KeptBook(10, DECIMALS[PAIR]), KeptBook(10, DECIMALS[PAIR])
            good.take(snapshot)
            snapshot["data"][0]["bids"][9]["qty"] += 1e-8
            spoilt.take(snapshot)
            assert (good.wrong, spoilt.wrong) == (0, 1)

    run_stepped(main)


def test_ticker_book_and_rest_show_the_same_best_prices() -> None:
    async def main() -> None:
        async with trading() as (_, exchange), stream() as client:
            await client.subscribe("ticker")
            await client.subscribe("book", depth=100)
            await asyncio.sleep(125)
            depth = (await exchange.public_get_depth({"pair": "ETHEUR", "count": "500"}))["result"]["XETHZEUR"]
            assert (len(depth["asks"]), len(depth["bids"])) == (500, 500)
            book, ticker = KeptBook(100, DECIMALS[PAIR]), client.of("ticker")[-1]["data"][0]
            for frame in client.of("book"):
                book.take(frame)
            assert [(float(row[0]), float(row[1])) for row in depth["bids"][:100]] == list(book.bids.items())
            assert [(float(row[0]), float(row[1])) for row in depth["asks"][:100]] == list(book.asks.items())
            assert (ticker["bid"], ticker["bid_qty"]) == next(iter(book.bids.items()))
            assert (ticker["ask"], ticker["ask_qty"]) == next(iter(book.asks.items()))

    run_stepped(main)


def test_bbo_tickers_are_silent_while_the_best_prices_stand() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            answer, _ = await client.subscribe("ticker", event_trigger="bbo", symbol=list(MARKET.pairs)[-1:])
            assert answer["result"]["event_trigger"] == "bbo"
            await asyncio.sleep(1200)
            best = [(frame["data"][0]["bid"], frame["data"][0]["ask"]) for frame in client.of("ticker")]
            assert len(best) > 10
            assert all(before != after for before, after in itertools.pairwise(best[1:]))

    run_stepped(main)


def test_the_instrument_channel_lists_pairs_and_assets_under_unified_names() -> None:
    async def main() -> None:
        async with trading(), stream() as client:
            answer, snapshot = await client.subscribe("instrument")
            assert answer["result"]["warnings"] == ["tick_size is deprecated, use price_increment"]
            data = snapshot["data"]
            assert [row["symbol"] for row in data["pairs"]] == list(MARKET.pairs)
            assert {row["id"] for row in data["assets"]} == {part for pair in MARKET.pairs for part in pair.split("/")}
            pair = data["pairs"][0]
            listing = MARKET.listing(pair["symbol"])
            assert (pair["base"], pair["quote"], pair["status"]) == ("BTC", "EUR", "online")
            assert (pair["price_precision"], pair["price_increment"]) == (listing.pair_decimals, float(listing.tick))
            assert (pair["qty_precision"], pair["qty_min"], pair["cost_min"]) == (8, float(listing.ordermin), 0.5)

    run_stepped(main)


def test_changes_of_a_pair_and_of_the_exchange_are_told() -> None:
    async def main() -> None:
        async with trading() as (twin, _), stream() as client:
            await client.subscribe("instrument")
            twin.exchange.set_pair_status(PAIR, "cancel_only")
            twin.exchange.set_system_status("maintenance", twin.clock.now_us())
            await twin.hub.flush()
            async with stream() as second:
                greeting = second.frames[0]["data"][0]
                assert (greeting["system"], greeting["connection_id"]) == ("maintenance", 2)
            (update,) = client.of("instrument", "update")
            assert [(row["symbol"], row["status"]) for row in update["data"]["pairs"]] == [(PAIR, "cancel_only")]
            assert [frame["data"][0]["system"] for frame in client.of("status")] == ["online", "maintenance"]
            assert {frame["data"][0]["connection_id"] for frame in client.of("status")} == {1}

    run_stepped(main)


def test_more_messages_a_second_than_allowed_are_answered_with_exceeded_msg_rate() -> None:
    async def main() -> None:
        async with trading(switches=Switches(messages_per_s=3)), stream() as client:
            for _ in range(5):
                await client.send({"method": "ping"}, settle=0.01)
            await asyncio.sleep(1.1)
            assert client.frames[1:] == [*client.frames[1:4], {"error": "Exceeded msg rate"}, {"error": "Exceeded msg rate"}]
            assert [frame["method"] for frame in client.frames[1:4]] == ["pong"] * 3
            assert (await client.ask("ping"))[0]["method"] == "pong"

    run_stepped(main)


@pytest.mark.parametrize("longest_s", [1.0, 4.0])
def test_a_heartbeat_ends_every_silence_before_it_is_too_long(longest_s: float) -> None:
    async def main() -> None:
        async with trading(switches=Switches(heartbeat_s=longest_s)), stream() as client:
            await client.subscribe("ohlc", interval=1)
            await asyncio.sleep(300)
            gaps = [later - earlier for earlier, later in itertools.pairwise(client.came_s)]
            assert len(gaps) >= 300 / longest_s
            assert max(gaps) == pytest.approx(longest_s)

    run_stepped(main)
