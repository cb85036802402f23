"""The Kraken twin against unmodified ccxt.pro: market data, orders, streams, signatures, restarts."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.wire.kraken_twin_harness import KEY, MARKET, PAIR, SECRET, client, enter, trading
from trader.simulation.clock import LoopClock
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.kraken_server.wire.signing import make_token, sign, token_valid
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US


def fixtures() -> Path:
    """Recorded payloads of the real exchange."""
    root = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "kraken_fixtures"
    if not root.exists():
        pytest.skip("recorded Kraken payloads are absent (set TRADER_SHARED_DATA)")
    return root


# --- signing ----------------------------------------------------------------------------------------------------------
def test_the_documented_signature_vector_is_reproduced() -> None:
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    good = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    assert sign("/0/private/AddOrder", "1616492376594", body, SECRET) == good
    assert sign("/0/private/AddOrder", "1616492376594", body.replace(b"1.25", b"1.26"), SECRET) != good


def test_stream_tokens_prove_themselves_for_15_minutes() -> None:
    token = make_token(SECRET, EPOCH_US, 1)
    assert token_valid(token, SECRET, EPOCH_US + 900_000_000)
    assert not token_valid(token, SECRET, EPOCH_US + 900_000_001)
    assert not token_valid(token[:-4] + "AAA=", SECRET, EPOCH_US)
    assert not any(token_valid(bad, SECRET, EPOCH_US) for bad in (None, "", "x", 5, "é"))


# --- market data ------------------------------------------------------------------------------------------------------
def test_market_data_reads_as_on_the_real_exchange() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            assert len(exchange.markets) == 12
            market = exchange.market(PAIR)
            assert (market["taker"], market["active"], market["limits"]["cost"]["min"]) == (0.004, True, 0.5)
            await twin.clock.sleep(60 * 20 + 30)
            rows = await exchange.fetch_ohlcv(PAIR, "1m", since=0)
            assert len(rows) == 721  # 720 closed and the running one, whatever `since` says
            assert rows[-1][0] == (EPOCH_US + 20 * 60_000_000) // 1000
            closed = MARKET.candles(PAIR, MARKET.base, EPOCH_US, EPOCH_US + 20 * 60_000_000)
            assert [row[4] for row in rows[-21:-1]] == closed.close.tolist()
            running = (await exchange.fetch_ohlcv(PAIR, "15m"))[-1]
            assert running[1] == closed.open[15]
            assert running[3] <= closed.low[15:].min()
            tickers = await exchange.fetch_tickers()
            assert len(tickers) == 12
            ticker = tickers[PAIR]
            assert ticker["bid"] < ticker["last"] < ticker["ask"]
            assert ticker["baseVolume"] > 0
            book = await exchange.fetch_order_book(PAIR, 5)
            assert (len(book["bids"]), book["bids"][0][0], book["asks"][0][0]) == (5, ticker["bid"], ticker["ask"])
            trades = await exchange.fetch_trades(PAIR, limit=40)
            assert len(trades) == 40
            assert trades[-1]["price"] == ticker["last"]
            assert (await exchange.fetch_status())["status"] == "ok"
            assert await exchange.fetch_time() // 1000 == twin.clock.now_us() // 1_000_000
            with pytest.raises(ccxt.ExchangeError, match="Unknown asset pair"):
                await exchange.public_get_ohlc({"pair": "NOPE"})

    run_stepped(main)


def test_field_names_are_those_of_the_recorded_payloads() -> None:
    folder = fixtures() / "nautilus"

    def first(value: Any) -> Any:
        return next(iter(value.values()))

    def recorded(name: str) -> Any:
        return json.loads((folder / name).read_text())["result"]

    async def main() -> None:
        async with trading() as (_, exchange):
            await enter(exchange)
            names = {"pair": "ETHEUR"}
            pair = first((await exchange.public_get_assetpairs(names))["result"])
            assert set(first(recorded("http_asset_pairs.json"))) - set(pair) <= {
                "long_position_limit",
                "short_position_limit",
                "execution_venue",
            }
            assert set(first((await exchange.public_get_ticker(names))["result"])) == set(first(recorded("http_ticker.json")))
            ohlc = (await exchange.public_get_ohlc(names))["result"]
            seen, wanted = ohlc["XETHZEUR"], recorded("http_ohlc.json")["XBTUSDT"]
            assert len(seen) == len(wanted) == 721
            assert int(ohlc["last"]) == int(seen[-2][0])
            assert recorded("http_ohlc.json")["last"] == wanted[-2][0]
            trades, book = (await exchange.public_get_trades(names))["result"], (await exchange.public_get_depth(names))["result"]
            assert len(trades["XETHZEUR"][0]) == len(recorded("http_trades.json")["XBTUSDT"][0])
            assert set(first(book)) == set(first(recorded("http_order_book.json")))
            assert set((await exchange.public_get_time())["result"]) == set(recorded("http_server_time.json"))
            assert set((await exchange.public_get_systemstatus())["result"]) == set(recorded("http_system_status.json"))
            opened = first((await exchange.private_post_openorders())["result"]["open"])
            wanted_open = first(recorded("http_open_orders.json")["open"])
            assert set(wanted_open) <= set(opened)
            assert set(wanted_open["descr"]) == set(opened["descr"])
            closed = first((await exchange.private_post_closedorders())["result"]["closed"])
            assert set(first(recorded("http_closed_orders.json")["closed"])) <= set(closed)
            history = first((await exchange.private_post_tradeshistory())["result"]["trades"])
            assert set(first(recorded("http_trades_history.json")["trades"])) <= set(history)

    run_stepped(main)


# --- orders -----------------------------------------------------------------------------------------------------------
def test_an_entry_with_conditional_close_is_protected_amended_cancelled_and_accounted_for() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            entry = await enter(exchange)
            assert entry["info"]["descr"]["close"].startswith("close position @ stop loss ")
            (stop,) = await exchange.fetch_open_orders()
            assert (stop["info"]["refid"], stop["side"], stop["amount"]) == (entry["id"], "sell", 0.1)
            closed = (await exchange.private_post_closedorders({"cl_ord_id": "tabc00000000000001"}))["result"]
            assert (list(closed["closed"]), int(closed["count"])) == ([entry["id"]], 1)
            trigger = exchange.price_to_precision(PAIR, stop["stopLossPrice"] * 1.01)
            assert (await exchange.private_post_amendorder({"txid": stop["id"], "trigger_price": trigger}))["result"]["amend_id"]
            amended = await exchange.fetch_order(stop["id"])
            assert (amended["id"], amended["stopLossPrice"]) == (stop["id"], float(trigger))
            balance = await exchange.fetch_balance()
            assert (balance["ETH"]["total"], balance["ETH"]["used"]) == (0.1, 0.1)
            (trade,) = await exchange.fetch_my_trades()
            assert (trade["order"], trade["amount"], trade["fee"]["currency"]) == (entry["id"], 0.1, "EUR")
            assert balance["EUR"]["total"] == pytest.approx(10_000 - trade["cost"] - trade["fee"]["cost"], abs=1e-9)
            await exchange.cancel_order(stop["id"])
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order(stop["id"])
            sold = await exchange.create_order(PAIR, "market", "sell", 0.1, None, {"clientOrderId": "tabc00000000000002", "oflags": "fciq"})
            assert (await exchange.fetch_order(sold["id"]))["filled"] == 0.1
            assert (await exchange.fetch_balance())["ETH"]["total"] == 0
            fees = (await exchange.fetch_trading_fee(PAIR))["taker"]
            assert fees == 0.004
            report = twin.protection_report()
            assert (dict(report.positions), report.foreign_orders) == ({}, ())
            assert 0 < report.max_unprotected_us < 200_000  # between the cancel and the exit

    run_stepped(main)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"volume": "0.00000001"}, "EOrder:Order minimum not met"),
        ({"volume": "1000"}, "EOrder:Insufficient funds"),
        ({"price": "1.005"}, "EOrder:Invalid price:ETHEUR price can only be specified up to 2 decimals."),
        ({"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ({"deadline": "2026-01-04T00:00:00Z"}, "EService:Deadline elapsed"),
        ({"deadline": "2026-01-05T00:00:01Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2026-01-05T00:02:00Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"leverage": "3"}, "EOrder:Margin allowance exceeded"),
        ({"reduce_only": "true", "leverage": "3"}, "EOrder:Reduce only:No position exists"),
        ({"nonsense": "1"}, "EGeneral:Invalid arguments"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:viqc"),
    ],
)
def test_bad_orders_get_krakens_strings(params: dict[str, str], error: str) -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            order = {"pair": "XETHZEUR", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "100", "oflags": "fciq"}
            with pytest.raises(ccxt.BaseError) as refusal:
                await exchange.private_post_addorder(order | params)
            assert json.loads(str(refusal.value).removeprefix("kraken "))["error"] == [error]
            assert len(twin.exchange.state.orders) == 0
            good = await exchange.private_post_addorder(order | {"deadline": "2026-01-05T00:00:30Z", "validate": "True"})
            assert "txid" not in good["result"]
            assert len((await exchange.private_post_addorder(order | {"deadline": "2026-01-05T00:00:30.5Z"}))["result"]["txid"]) == 1

    run_stepped(main)


def test_keys_signatures_and_nonces_are_strict() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            await exchange.fetch_balance()
            stranger = client(8701, twin.clock, secret="AAAA" + SECRET[4:])  # type: ignore[arg-type]
            with pytest.raises(ccxt.ExchangeError, match="EAPI:Invalid signature"):
                await stranger.private_post_balance()
            stranger.secret, stranger.apiKey = SECRET, "other"
            with pytest.raises(ccxt.AuthenticationError, match="EAPI:Invalid key"):
                await stranger.private_post_balance()
            await stranger.close()
            async with aiohttp.ClientSession() as session:
                answers = []
                for nonce in (9_000_000_000_000_000, 9_000_000_000_000_000, 8_999_999_999_999_999):
                    body = f"nonce={nonce}"
                    headers = {"API-Key": KEY, "API-Sign": sign("/0/private/Balance", str(nonce), body.encode(), SECRET)}
                    headers["Content-Type"] = "application/x-www-form-urlencoded"
                    async with session.post("http://127.0.0.1:8701/0/private/Balance", data=body, headers=headers) as answer:
                        answers.append((answer.status, (await answer.json())["error"]))
            assert answers == [(200, []), (200, ["EAPI:Invalid nonce"]), (200, ["EAPI:Invalid nonce"])]
            with pytest.raises(ccxt.InvalidNonce):
                await exchange.fetch_balance()

    run_stepped(main)


def test_trade_history_pages_by_fifty_newest_first() -> None:
    async def main() -> None:
        async with trading() as (_, exchange):
            for number in range(60):
                side = "buy" if number % 2 == 0 else "sell"
                await exchange.create_order(PAIR, "market", side, 0.01, None, {"oflags": "fciq"})
            pages = [(await exchange.private_post_tradeshistory({"ofs": offset}))["result"] for offset in (0, 50, 100)]
            assert [len(page["trades"]) for page in pages] == [50, 10, 0]
            assert {int(page["count"]) for page in pages} == {60}
            numbers = [int(trade["trade_id"]) for page in pages for trade in page["trades"].values()]
            assert numbers == sorted(numbers, reverse=True)
            assert len((await exchange.private_post_closedorders())["result"]["closed"]) == 50

    run_stepped(main)


# --- streams ----------------------------------------------------------------------------------------------------------
async def raw_stream(port: int, messages: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Frames that a bare WebSocket client receives."""
    frames: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/v2") as socket:
        for message in messages:
            await socket.send_json(message)
        try:
            async with asyncio.timeout(seconds):
                async for message in socket:
                    frames.append(json.loads(message.data))
        except TimeoutError:
            pass
    return frames


def test_ccxt_watches_executions_candles_trades_and_tickers() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            orders: list[str] = []
            trades: list[Any] = []

            async def watch_orders() -> None:
                while True:
                    orders.extend(f"{order['id']} {order['status']}" for order in await exchange.watch_orders())

            async def watch_trades() -> None:
                while True:
                    trades.extend(await exchange.watch_my_trades())

            tasks = [asyncio.create_task(watch_orders()), asyncio.create_task(watch_trades())]
            await asyncio.sleep(1)
            entry = await enter(exchange)
            candles = await exchange.watch_ohlcv(PAIR, "1m")
            while candles[-1][0] < (EPOCH_US + 60_000_000) // 1000:
                candles = await exchange.watch_ohlcv(PAIR, "1m")
            assert twin.clock.now_us() - EPOCH_US == pytest.approx(118_000_000, abs=1000)  # one frame a minute, at L - 2 s
            public = await exchange.watch_trades_for_symbols([PAIR, "BTC/EUR"])
            assert {trade["symbol"] for trade in public} <= {PAIR, "BTC/EUR"}
            assert (await exchange.watch_ticker(PAIR))["last"] > 0
            assert [f"{entry['id']} {status}" in orders for status in ("open", "closed")] == [True, True]
            assert [(trade["order"], trade["amount"]) for trade in trades] == [(entry["id"], 0.1)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run_stepped(main)


def test_frames_are_krakens_status_answers_snapshots_sequences_and_heartbeats() -> None:
    async def main() -> None:
        async with trading() as (twin, exchange):
            token = (await exchange.private_post_getwebsocketstoken())["result"]["token"]
            stream = asyncio.create_task(
                raw_stream(
                    8701,
                    [
                        {"method": "ping", "req_id": 1},
                        {"method": "subscribe", "params": {"channel": "ohlc", "symbol": [PAIR, "BTC/EUR"], "interval": 1}, "req_id": 2},
                        {"method": "subscribe", "params": {"channel": "ticker", "symbol": ["NOPE/EUR"]}, "req_id": 3},
                        {"method": "subscribe", "params": {"channel": "executions", "token": "bad"}, "req_id": 4},
                        {"method": "subscribe", "params": {"channel": "executions", "token": token}, "req_id": 5},
                        {"method": "subscribe", "params": {"channel": "balances", "token": token}, "req_id": 6},
                    ],
                    70,
                )
            )
            await asyncio.sleep(5)
            await enter(exchange)
            frames = await stream
            assert frames[0]["channel"] == "status"
            assert (frames[1]["method"], frames[1]["req_id"]) == ("pong", 1)
            answers = [(frame["req_id"], frame["success"], frame.get("error")) for frame in frames if frame.get("method") == "subscribe"]
            assert answers == [
                (2, True, None),
                (2, True, None),
                (3, False, "Currency pair not supported NOPE/EUR"),
                (4, False, "ESession:Invalid session"),
                (5, True, None),
                (6, True, None),
            ]
            snapshots = [frame["data"] for frame in frames if frame.get("channel") == "ohlc" and frame["type"] == "snapshot"]
            assert [[item["symbol"] for item in data] for data in snapshots] == [[PAIR], ["BTC/EUR"]]
            updates = [frame["data"][0] for frame in frames if frame.get("channel") == "ohlc" and frame["type"] == "update"]
            closed = MARKET.candles(PAIR, MARKET.base, EPOCH_US, EPOCH_US + 60_000_000)
            assert next((item["symbol"], item["close"]) for item in updates) == (PAIR, closed.close[0])
            assert len(updates) == 2
            executions = [frame for frame in frames if frame.get("channel") == "executions"]
            assert [frame["sequence"] for frame in executions] == list(range(1, 8))
            kinds = [item["exec_type"] for frame in executions for item in frame["data"]]
            assert kinds == ["pending_new", "new", "trade", "filled", "pending_new", "new"]
            trade = executions[3]["data"][0]
            assert (trade["order_status"], trade["fees"][0]["asset"], trade["exec_id"]) == (
                "partially_filled",
                "EUR",
                next(iter(twin.exchange.state.trades)),
            )
            assert "symbol" not in executions[2]["data"][0]
            balances = [frame["data"] for frame in frames if frame.get("channel") == "balances"]
            assert [[item["asset"] for item in data] for data in balances] == [["EUR"], ["ETH"], ["EUR"]]
            assert 40 < sum(frame == {"channel": "heartbeat"} for frame in frames) < 70

    run_stepped(main)


def test_four_frames_a_minute_show_the_candle_grow() -> None:
    async def main() -> None:
        async with trading(switches=Switches(frames_per_minute=4)):
            frames = await raw_stream(
                8701, [{"method": "subscribe", "params": {"channel": "ohlc", "symbol": [PAIR], "interval": 15}}], 16 * 60
            )
            updates = [frame["data"][0] for frame in frames if frame.get("channel") == "ohlc" and frame["type"] == "update"]
            assert len(updates) == 64 - 1  # the tick of 00:00 came before the subscription
            closed = MARKET.candles(PAIR, MARKET.base, EPOCH_US, EPOCH_US + 15 * 60_000_000)
            whole = [item for item in updates if item["interval_begin"].startswith("2026-01-05T00:00")][-1]
            assert [whole[name] for name in ("open", "high", "low", "close", "volume")] == [
                closed.open[0],
                closed.high.max(),
                closed.low.min(),
                closed.close[-1],
                closed.volume.sum(),
            ]

    run_stepped(main)


# --- restart, sockets -------------------------------------------------------------------------------------------------
def test_a_restarted_twin_knows_its_orders_and_fills_what_was_due_while_it_was_down(tmp_path: Path) -> None:
    async def main() -> None:
        clock = LoopClock(EPOCH_US)
        async with trading(state_dir=tmp_path, clock=clock) as (twin, exchange):
            await enter(exchange, stop=0.9999)
            before = json.dumps(twin.exchange.state.dump())
            open_before = twin.exchange.open_orders()
        await clock.sleep(3600)
        async with trading(state_dir=tmp_path, clock=clock, port=8711) as (twin, exchange):
            assert len(open_before) == 1
            assert json.dumps(twin.exchange.state.dump()) != before  # an hour of ticks was worked off in order
            assert twin.exchange.open_orders() == []
            sold = await exchange.fetch_order(open_before[0].txid)
            assert (sold["status"], sold["filled"]) == ("closed", 0.1)
            assert sold["average"] < sold["stopLossPrice"]

    run_stepped(main)


def test_the_twin_serves_real_sockets_too() -> None:
    async def main() -> None:
        clock = LoopClock(EPOCH_US, speed=60.0, loop=asyncio.get_running_loop())
        clock.origin_us -= round(clock.speed * asyncio.get_running_loop().time() * 1e6)
        async with trading(clock=clock, port=0) as (twin, exchange):
            await enter(exchange)
            assert len(await exchange.fetch_open_orders()) == 1
            assert (await exchange.watch_ohlcv(PAIR, "1m"))[-1][4] > 0
            assert twin.exchange.state.balances["ETH"] == Decimal("0.1")

    asyncio.run(main())
