"""Public endpoints of the twin: parameters, intervals, trades that page without a gap, candles built from trades."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import MARKET, PAIR, trading
from trader.domain.market import DAY, MINUTE
from trader.simulation.intervals import MINUTES
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

D = Decimal
ID = "XETHZEUR"
EPOCH_S = EPOCH_US // 1_000_000


@asynccontextmanager
async def public(seconds: float = 0, **options: Any) -> AsyncIterator[tuple[Any, Rest]]:
    """A twin that has run for a while, and a client without a key."""
    async with trading(**options) as (twin, _), aiohttp.ClientSession() as session:
        await twin.clock.sleep(seconds)
        yield twin, Rest(session)


async def pages(rest: Rest, since: str, *, count: int = 1000) -> list[list[list[Any]]]:
    """Pages of Trades from `since` until one is empty, each asked for with the cursor of the one before."""
    found = []
    while True:
        error, result = await rest.public("Trades", pair=ID, since=since, count=count)
        assert error == []
        if not result[ID]:
            assert result["last"] == since
            return found
        assert len(result[ID]) <= count
        assert result["last"] == str(round(result[ID][-1][2] * 1e6) * 1000)
        found.append(result[ID])
        since = result["last"]


def candles_of(trades: list[list[Any]], minutes: int) -> dict[int, list[Decimal]]:
    """Candles of trades: open time -> open, high, low, close, volume."""
    built: dict[int, list[Decimal]] = {}
    for price_text, volume_text, time, *_ in trades:
        price, volume = D(price_text), D(volume_text)
        row = built.setdefault(int(time) // (60 * minutes) * 60 * minutes, [price, price, price, price, D(0)])
        row[1], row[2], row[3], row[4] = max(row[1], price), min(row[2], price), price, row[4] + volume
    return built


def test_trades_from_a_time_in_the_past_reach_now_without_gap_or_repeat() -> None:
    async def main() -> None:
        async with public(90) as (twin, rest):
            found = await pages(rest, str(EPOCH_S - 86_401))
            assert len(found) > 4
            assert {len(page) for page in found[:-1]} == {1000}
            numbers = [row[6] for page in found for row in page]
            assert numbers == sorted(set(numbers))
            minutes = MARKET.candles(PAIR, MARKET.base, EPOCH_US - DAY, EPOCH_US)
            traded = 4 * int((minutes.volume > 0).sum())
            assert sum(row[2] < EPOCH_S for page in found for row in page) == traded
            last = found[-1][-1]
            assert last[2] * 1e6 <= twin.clock.now_us()
            assert [row for page in await pages(rest, f"{EPOCH_S - 3600}000000000", count=7) for row in page] == [
                row for page in found for row in page if row[2] > EPOCH_S - 3600
            ]

    run_stepped(main)


@pytest.mark.parametrize("minutes", [1, 15, 30])
def test_candles_built_from_trades_are_the_rows_of_ohlc(minutes: int) -> None:
    async def main() -> None:
        async with public(19 * 60 + 45) as (_, rest):
            start = EPOCH_S - 6 * 3600
            built = candles_of([row for page in await pages(rest, str(start - 1)) for row in page], minutes)
            _, answer = await rest.public("OHLC", pair=ID, interval=minutes, since=start - 1)
            rows, compared = answer[ID], 0
            assert len(rows) == (6 * 60 + 19) // minutes + 1  # whole ones and the running one
            for row in rows:
                if row[0] in built:
                    assert [D(text) for text in (*row[1:5], row[6])] == built[row[0]], row
                    compared += 1
                else:
                    assert (row[1], row[5], row[6], row[7]) == (row[4], "0.0", "0.00000000", 0)
            assert compared >= min(len(rows), 10)

    run_stepped(main)


def test_every_interval_of_kraken_is_served_with_the_running_bar_last() -> None:
    async def main() -> None:
        async with public(100) as (twin, rest):
            for minutes in MINUTES:
                error, answer = await rest.public("OHLC", pair="ETHEUR", interval=minutes)
                rows, length = answer[ID], minutes * 60
                assert error == []
                assert len(rows) == 721 if minutes <= 1440 else 60 < len(rows) < 721  # the market is 1,099 days old
                assert {later[0] - row[0] for row, later in pairwise(rows)} == {length}
                assert rows[-1][0] == twin.clock.now_us() // 1_000_000 // length * length
                assert answer["last"] == rows[-2][0]
                assert [len(row) for row in rows] == [8] * len(rows)

    run_stepped(main)


def test_since_of_ohlc_leaves_out_what_opened_before_but_never_the_running_bar() -> None:
    async def main() -> None:
        async with public(600) as (_, rest):
            full = (await rest.public("OHLC", pair=ID))[1]
            for since, count in ((-60, 721), (0, 721), (EPOCH_S, 10), (full["last"], 1), (EPOCH_S + 10**6, 1)):
                answer = (await rest.public("OHLC", pair=ID, since=since))[1]
                assert answer[ID] == full[ID][-count:], since
                assert answer["last"] == full["last"]

    run_stepped(main)


def test_the_first_trades_of_the_market_are_one_cheap_page_away() -> None:
    async def main() -> None:
        async with public() as (_, rest):
            answer = (await rest.public("Trades", pair=ID, since=0, count=5))[1]
            assert (len(answer[ID]), int(answer[ID][0][2] * 1e6) // DAY) == (5, MARKET.first_us // DAY)
            again = (await rest.public("Trades", pair=ID, since=answer["last"], count=1))[1]
            assert again[ID][0][6] > answer[ID][-1][6]

    run_stepped(main)


def test_parameters_are_judged_in_krakens_words() -> None:
    table: list[tuple[str, dict[str, Any], str]] = [
        ("OHLC", {}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("OHLC", {"pair": ID, "interval": 2}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"pair": ID, "interval": "x"}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"pair": ID, "since": "x"}, "EGeneral:Invalid arguments:since"),
        ("Trades", {"pair": ID, "since": "--1"}, "EGeneral:Invalid arguments:since"),
        ("Trades", {"pair": ID, "count": 0}, "EGeneral:Invalid arguments:count"),
        ("Trades", {"pair": ID, "count": "many"}, "EGeneral:Invalid arguments:count"),
        ("Depth", {"pair": ID, "count": -3}, "EGeneral:Invalid arguments:count"),
        ("Depth", {}, "EGeneral:Invalid arguments"),
        ("Spread", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("Ticker", {"pair": f"{ID},NOPE"}, "EQuery:Unknown asset pair"),
        ("AssetPairs", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("AssetPairs", {"info": "x"}, "EGeneral:Invalid arguments:info"),
        ("Assets", {"asset": "NOPE"}, "EQuery:Unknown asset"),
        ("Assets", {"aclass": "stock"}, "EGeneral:Invalid arguments:aclass"),
        ("Nothing", {}, "EGeneral:Unknown method"),
    ]

    async def main() -> None:
        async with public() as (_, rest):
            for name, params, error in table:
                assert (await rest.public(name, **params))[0] == [error], (name, params)

    run_stepped(main)


def test_pairs_and_assets_by_filter_and_by_every_name() -> None:
    async def main() -> None:
        async with public(switches=Switches(fee_tiers=True)) as (_, rest):
            whole = (await rest.public("AssetPairs"))[1]
            assert len(whole) == len(MARKET.pairs)
            for name, key in (("XETHZEUR", ID), ("ETHEUR", ID), ("ETH/EUR", "ETH/EUR")):
                assert (await rest.public("AssetPairs", pair=name))[1] == {key: whole[ID]}
            for info, names in {
                "leverage": {"leverage_buy", "leverage_sell"},
                "fees": {"fees", "fees_maker", "fee_volume_currency"},
                "margin": {"margin_call", "margin_stop"},
            }.items():
                assert set((await rest.public("AssetPairs", pair=ID, info=info))[1][ID]) == names
            assert whole[ID]["fees"][:2] == [[0, 0.4], [10000, 0.35]]
            assert whole[ID]["fees_maker"][-1] == [10000000, 0.0]
            for name in ("XXBT", "XBT", "BTC"):
                row = (await rest.public("Assets", asset=name))[1]
                assert row == {"XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 8, "display_decimals": 5, "status": "enabled"}}

    run_stepped(main)


def test_tickers_spreads_and_the_book_agree_about_the_best_prices() -> None:
    async def main() -> None:
        async with public(5 * 3600 + 100) as (twin, rest):
            ticker = (await rest.public("Ticker", pair="ETHEUR"))[1][ID]
            spread = (await rest.public("Spread", pair="ETHEUR"))[1]
            book = (await rest.public("Depth", pair="ETHEUR", count=1))[1][ID]
            assert spread[ID][-1][1:] == [ticker["b"][0], ticker["a"][0]] == [book["bids"][0][0], book["asks"][0][0]]
            assert (len(spread[ID]), spread["last"]) == (200, spread[ID][-1][0])
            since = spread[ID][-3][0]
            assert (await rest.public("Spread", pair="ETHEUR", since=since))[1][ID] == spread[ID][-3:]
            today, day = [D(text) for text in ticker["v"]]
            rows = [row for page in await pages(rest, str(EPOCH_S - 1)) for row in page]
            assert (today, ticker["t"][0]) == (sum(D(row[1]) for row in rows), len(rows))
            assert day > today > 0
            hours = MARKET.candles(PAIR, MARKET.base, EPOCH_US, EPOCH_US + 5 * 60 * MINUTE)
            assert float(ticker["o"]) == hours.open[0]
            assert twin.exchange.last(PAIR) == D(ticker["c"][0])

    run_stepped(main)
