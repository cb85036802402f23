"""The futures twin against unmodified ccxt.pro.krakenfutures: signatures, market data, orders, positions, history, preferences."""

from __future__ import annotations

import itertools
from typing import Any

import ccxt
import pytest

from tests.wire.futures_twin_harness import PF, PI, futures_client, on_futures, raw
from tests.wire.kraken_twin_harness import MARKET
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.futures.signing import sign_challenge
from trader.simulation.market import EPOCH_US


# --- signing ----------------------------------------------------------------------------------------------------------
def test_the_documented_challenge_vector_is_reproduced() -> None:
    secret = "7zxMEF5p/Z8l2p2U7Ghv6x14Af+Fx+92tPgUdVQ748FOIrEoT9bgT+bTRfXc5pz8na+hL/QdrCVG7bh9KpT0eMTm"
    good = "4JEpF3ix66GA2B+ooK128Ift4XQVtc137N9yeg4Kqsn9PI0Kpzbysl9M1IeCEdjg0zl00wkVqcsnG4bmnlMb3A=="
    assert sign_challenge("c100b894-1729-464d-ace1-52dbce11db42", secret) == good
    assert sign_challenge("c100b894-1729-464d-ace1-52dbce11db43", secret) != good


def test_signatures_cover_the_raw_query_or_body_with_or_without_a_nonce() -> None:
    async def test(_: KrakenTwin, __: Any) -> None:
        path, form = "/derivatives/api/v3/sendorder", "symbol=PF_XBTUSD&side=buy&size=0.001&orderType=lmt&limitPrice=50000"
        when = "&processBefore=2026-01-05T00%3A10%3A00.000Z"
        assert (await raw("POST", path, query=form + when))["sendStatus"]["status"] == "placed"
        assert (await raw("POST", path, body=form, nonce="5"))["sendStatus"]["status"] == "placed"
        assert (await raw("GET", "/api/history/v2/orders"))["len"] == 2
        decoded = await raw("POST", path, query=form + when, sign=(form + when).replace("%3A", ":"))
        assert decoded == {"result": "error", "error": "authenticationError", "serverTime": decoded["serverTime"]}
        assert (await raw("POST", path, body=form, secret="b3RoZXI="))["error"] == "authenticationError"
        assert (await raw("POST", path, body=form, nonce="5"))["error"] == "nonceDuplicate"
        assert (await raw("POST", path, body=form, nonce="4"))["error"] == "nonceBelowThreshold"
        late = form + "&processBefore=2026-01-04T00%3A00%3A00.000Z"
        assert (await raw("POST", path, query=late))["error"] == "invalidArgument: processBefore"

    on_futures(test)


# --- market data ------------------------------------------------------------------------------------------------------
def test_market_data_reads_as_on_the_real_exchange() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        assert len(exchange.markets) == 14
        market = exchange.market(PF)
        assert (market["linear"], market["precision"]["amount"], market["precision"]["price"]) == (True, 0.0001, 1)
        assert (exchange.market(PI)["inverse"], exchange.market(PI)["settle"]) == (True, "BTC")
        assert exchange.amount_to_precision("PEPE/USD:USD", 98_123) == "98000"
        await twin.clock.sleep(60 * 20 + 30)
        ticker = await exchange.fetch_ticker(PF)
        assert ticker["bid"] < ticker["last"] < ticker["ask"]
        assert 0 < abs(ticker["markPrice"] / ticker["indexPrice"] - 1) <= 0.0005
        assert set(await exchange.fetch_tickers()) == set(exchange.markets)
        book = await exchange.fetch_order_book(PF)
        assert (len(book["bids"]), book["bids"][0][0], book["asks"][0][0]) == (25, ticker["bid"], ticker["ask"])
        trades = await exchange.fetch_trades(PF, limit=40)
        assert (len(trades), trades[-1]["price"]) == (40, ticker["last"])
        rates = await exchange.fetch_funding_rate_history(PF)
        assert len(rates) == 1440
        assert len({rate["fundingRate"] > 0 for rate in rates}) == 2
        with pytest.raises(ccxt.BadSymbol, match="contractNotFound"):
            await exchange.public_get_orderbook({"symbol": "PF_NOPEUSD"})

    on_futures(test)


def test_candles_of_all_prices_and_lengths_agree_with_the_market() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        await twin.clock.sleep(60 * 20 + 30)
        rows = await exchange.fetch_ohlcv(PF, "1m", since=EPOCH_US // 1000)
        closed = MARKET.candles("BTC/EUR", MARKET.base, EPOCH_US, EPOCH_US + 20 * 60_000_000)
        assert (len(rows), rows[-1][0]) == (21, EPOCH_US // 1000 + 20 * 60_000)
        assert [row[4] for row in rows[:-1]] == [round(price) for price in closed.close.tolist()]
        spot = await exchange.fetch_index_ohlcv(PF, "1m", since=EPOCH_US // 1000)
        assert [row[4] for row in spot[:-1]] == closed.close.tolist()
        mark = await exchange.fetch_mark_ohlcv(PF, "1m", limit=3)
        assert len(mark) == 3
        assert 0 < abs(mark[-1][4] / spot[-1][4] - 1) <= 0.0005
        for length in exchange.timeframes:
            found = await exchange.fetch_ohlcv(PF, length)
            steps = {after[0] - before[0] for before, after in itertools.pairwise(found)}
            assert steps == {exchange.parse_timeframe(length) * 1000}, length
            assert found[-1][4] == rows[-1][4]
        raw = await exchange.charts_get_price_type_symbol_interval(
            {"price_type": "trade", "symbol": "PF_XBTUSD", "interval": "1m", "from": EPOCH_US // 1_000_000 - 200_000}
        )
        assert (len(raw["candles"]), raw["more_candles"]) == (2000, True)

    on_futures(test)


# --- orders -----------------------------------------------------------------------------------------------------------
def test_an_order_is_placed_edited_seen_and_cancelled() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        placed = await exchange.create_order(PF, "limit", "buy", 0.01, 50_000, {"clientOrderId": "mine"})
        assert (placed["status"], placed["clientOrderId"], placed["filled"]) == ("open", "mine", 0)
        edited = await exchange.edit_order(placed["id"], PF, "limit", "buy", 0.02, 51_000)
        assert (edited["id"], edited["amount"]) == (placed["id"], 0.02)
        (seen,) = await exchange.fetch_open_orders(PF)
        assert (seen["id"], seen["clientOrderId"], seen["remaining"]) == (placed["id"], "mine", 0.02)
        assert (await exchange.fetch_order(placed["id"]))["status"] == "open"
        with pytest.raises(ccxt.DuplicateOrderId):
            await exchange.create_order(PF, "limit", "buy", 0.01, 50_000, {"clientOrderId": "mine"})
        assert (await exchange.cancel_order(placed["id"], PF))["status"] == "canceled"
        assert (await exchange.fetch_order(placed["id"]))["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound, match="notFound"):
            await exchange.cancel_order(placed["id"], PF)
        assert [order["id"] for order in await exchange.fetch_canceled_orders(PF)][:1] == [placed["id"]]

    on_futures(test)


def test_orders_status_forgets_what_ended_more_than_five_seconds_ago() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        placed = await exchange.create_order(PF, "market", "buy", 0.01)
        assert (await exchange.fetch_order(placed["id"]))["status"] == "closed"
        await twin.clock.sleep(6)
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order(placed["id"])
        body = f"orderIds={placed['id']}"
        assert (await raw("POST", "/derivatives/api/v3/orders/status", body=body))["orders"] == []
        assert [order["id"] for order in await exchange.fetch_closed_orders(PF)] == [placed["id"]]

    on_futures(test)


def test_a_fill_is_the_same_trade_everywhere() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        order = await exchange.create_order(PF, "market", "sell", 0.02)
        assert (order["status"], order["filled"], len(order["trades"])) == ("closed", 0.02, 1)
        (trade,) = await exchange.fetch_my_trades(PF)
        assert (trade["id"], trade["order"], trade["side"], trade["price"]) == (
            order["trades"][0]["id"],
            order["id"],
            "sell",
            order["average"],
        )
        (position,) = await exchange.fetch_positions([PF])
        assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 0.02, trade["price"])
        history = await raw("GET", "/api/history/v2/executions")
        assert history["elements"][0]["event"]["Execution"]["execution"]["uid"] == trade["id"]
        (entry,) = await exchange.fetch_ledger()
        assert (entry["referenceId"], entry["after"]) == (trade["id"], 10_000 - entry["fee"]["cost"])
        await exchange.create_order(PF, "market", "buy", 0.02, None, {"reduceOnly": True})
        assert await exchange.fetch_positions() == []
        (closed,) = await exchange.fetch_positions_history([PF])
        assert (closed["side"], closed["contracts"]) == ("short", 0.02)
        balance = await exchange.fetch_balance()
        assert balance["USD"]["total"] == float(twin.futures.exchange.balance("flex"))

    on_futures(test)


def test_stops_and_take_profits_fire_and_are_found_by_their_history() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        last = (await exchange.fetch_ticker(PF))["last"]
        await exchange.create_order(PF, "market", "buy", 0.02)
        stop = await exchange.create_order(PF, "market", "sell", 0.02, None, {"stopLossPrice": last * 0.999, "triggerSignal": "mark"})
        goal = await exchange.create_order(PF, "limit", "sell", 0.02, last * 2, {"takeProfitPrice": last * 1.999})
        trail = {"orderType": "trailing_stop", "trailingStopMaxDeviation": 0.1, "trailingStopDeviationUnit": "PERCENT", "reduceOnly": True}
        assert stop["triggerPrice"] == float(exchange.price_to_precision(PF, last * 0.999))
        await exchange.create_order(PF, "market", "sell", 0.02, None, trail)
        assert len(await exchange.fetch_open_orders()) == 3
        await twin.clock.sleep(3_600)
        assert await exchange.fetch_positions() == []
        fired = {trade["order"] for trade in await exchange.fetch_my_trades(PF)}
        assert len(fired) == 2
        assert goal["id"] not in fired
        history = await exchange.history_get_triggers()
        kinds = [next(iter(element["event"])) for element in history["elements"]]
        assert kinds.count("OrderTriggerPlaced") == 3
        assert "OrderTriggerActivated" in kinds

    on_futures(test)


def test_refusals_have_krakens_words() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        last = (await exchange.fetch_ticker(PF))["last"]
        cases: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
            (ccxt.InsufficientFunds, "insufficientAvailableFunds", ("limit", "buy", 100, 50_000)),
            (ccxt.OrderImmediatelyFillable, "postWouldExecute", ("limit", "buy", 0.01, last * 1.1, {"postOnly": True})),
            (ccxt.OrderNotFillable, "iocWouldNotExecute", ("limit", "buy", 0.01, 50_000, {"timeInForce": "ioc"})),
            (ccxt.ExchangeError, "wouldNotReducePosition", ("market", "sell", 0.01, None, {"reduceOnly": True})),
            (ccxt.InvalidOrder, "invalidOrderType", ("limit", "buy", 0.01, 50_000, {"orderType": "iceberg"})),
            (ccxt.BadRequest, "clientOrderIdTooLong", ("limit", "buy", 0.01, 50_000, {"clientOrderId": "x" * 101})),
        ]
        for kind, word, arguments in cases:
            with pytest.raises(kind, match=word):
                await exchange.create_order(PF, *arguments)
        twin.exchange.set_pair_status("BTC/EUR", "cancel_only")
        with pytest.raises(ccxt.ExchangeNotAvailable, match="marketSuspended"):
            await exchange.create_order(PF, "market", "buy", 0.01)
        assert (await exchange.fetch_ticker(PF))["info"]["suspended"] is True
        assert not twin.futures.exchange.state.orders
        wrong = futures_client(8701, twin.clock, secret="b3RoZXI=")
        try:
            with pytest.raises(ccxt.AuthenticationError):
                await wrong.fetch_balance()
        finally:
            await wrong.close()

    on_futures(test)


def test_a_batch_judges_each_instruction_for_itself() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        orders = [
            {"symbol": PF, "type": "limit", "side": "buy", "amount": 0.001, "price": 50_000.0},
            {"symbol": PF, "type": "limit", "side": "buy", "amount": 100, "price": 50_000.0},
        ]
        placed = await exchange.create_orders(orders)
        assert sorted(order["status"] for order in placed) == ["open", "rejected"]
        ids = [order["id"] for order in placed if order["id"]]
        assert [order["status"] for order in await exchange.cancel_orders(ids)] == ["canceled"]
        encoded = "json=%7B%22batchOrder%22%3A%5B%7B%22order%22%3A%22cancel%22%2C%22order_id%22%3A%22none%22%7D%5D%7D"
        assert (await raw("POST", "/derivatives/api/v3/batchorder", body=encoded))["batchStatus"][0]["status"] == "notFound"
        assert (await raw("POST", "/derivatives/api/v3/batchorder", body="json={broken"))["error"] == "Json Parse Error"

    on_futures(test)


def test_the_dead_mans_switch_fires_on_time_and_once() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        await exchange.create_order(PF, "limit", "buy", 0.01, 50_000)
        assert (await exchange.cancel_all_orders_after(0))["status"]["triggerTime"] == "0"
        await exchange.cancel_all_orders_after(5_000)
        await twin.clock.sleep(4.9)
        assert len(twin.futures.exchange.open_orders()) == 1
        await twin.clock.sleep(0.2)
        assert twin.futures.exchange.open_orders() == []
        await exchange.create_order(PF, "limit", "buy", 0.01, 50_000)
        await twin.clock.sleep(30)
        assert len(await exchange.fetch_open_orders()) == 1
        assert len(await exchange.cancel_all_orders(PF)) == 1

    on_futures(test)


# --- account ----------------------------------------------------------------------------------------------------------
def test_leverage_funding_and_transfers_show_on_the_account() -> None:
    async def test(twin: KrakenTwin, exchange: Any) -> None:
        await exchange.set_leverage(5, PF)
        assert (await exchange.fetch_leverage(PF))["longLeverage"] == 5
        await exchange.create_order(PF, "market", "buy", 0.1)
        (position,) = await exchange.fetch_positions()
        assert (position["marginMode"], position["leverage"]) == ("isolated", 5)
        balance = await exchange.fetch_balance()
        flex = balance["info"]["accounts"]["flex"]
        assert flex["initialMargin"] == pytest.approx(position["entryPrice"] * 0.1 / 5)
        assert balance["USD"]["free"] == pytest.approx(flex["balanceValue"] - flex["initialMargin"])
        assert flex["portfolioValue"] == pytest.approx(flex["balanceValue"] + flex["pnl"])
        response = await raw("PUT", "/derivatives/api/v3/leveragepreferences", query="symbol=PF_ETHUSD")
        assert response["result"] == "success"
        await exchange.create_order(PF, "market", "buy", 0.6)
        with pytest.raises(ccxt.InsufficientFunds, match="INSUFFICIENT_MARGIN"):
            await exchange.set_leverage(1, PF)
        await twin.clock.sleep(3_700)
        (funding,) = await exchange.fetch_funding_history(PF)
        rate = (await exchange.fetch_funding_rate_history(PF))[-1]["fundingRate"]
        assert (funding["amount"] < 0) == (rate > 0)
        await exchange.transfer("BTC", 0.25, "fi_xbtusd", "cash")
        assert (await exchange.fetch_balance({"type": "cash"}))["BTC"]["total"] == 0.25

    on_futures(test)


def test_an_inverse_position_uses_its_own_account() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        await exchange.create_order(PI, "market", "buy", 1_000)
        (position,) = await exchange.fetch_positions()
        assert (position["symbol"], position["contracts"]) == (PI, 1_000)
        account = (await exchange.fetch_balance({"type": "fi_xbtusd"}))["info"]["accounts"]["fi_xbtusd"]
        assert account["balances"]["xbt"] < 1
        assert account["balances"]["PI_XBTUSD"] == 1_000
        assert account["marginRequirements"]["im"] == pytest.approx(1_000 / position["entryPrice"] * 0.02, rel=0.01)
        assert (await exchange.fetch_balance())["USD"]["total"] == 10_000

    on_futures(test)


def test_history_comes_in_pages_that_join() -> None:
    async def test(_: KrakenTwin, exchange: Any) -> None:
        for number in range(5):
            await exchange.create_order(PF, "limit", "buy", 0.001, 50_000 + number)
        whole = (await exchange.history_get_orders({"sort": "asc"}))["elements"]
        pages, token = [], {}
        while True:
            page = await exchange.history_get_orders({"sort": "asc", "count": 2, **token})
            pages += page["elements"]
            if "continuationToken" not in page:
                break
            token = {"continuation_token": page["continuationToken"]}
        assert (len(whole), pages) == (5, whole)
        newest = (await exchange.history_get_orders({"count": 1}))["elements"]
        assert newest == whole[-1:]
        with pytest.raises(ccxt.BadRequest, match="continuation_token"):
            await exchange.history_get_orders({"continuation_token": "?"})
        trades = await exchange.history_get_market_symbol_executions({"symbol": "PF_XBTUSD", "count": 3})
        older = await exchange.history_get_market_symbol_executions(
            {"symbol": "PF_XBTUSD", "count": 3, "before": trades["elements"][-1]["timestamp"]}
        )
        times = [element["timestamp"] for element in trades["elements"] + older["elements"]]
        assert times == sorted(times, reverse=True)
        assert len(dict.fromkeys(times)) == 6

    on_futures(test)
