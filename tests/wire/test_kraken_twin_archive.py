"""The downloadable OHLCVT archive: zips that the standard library reads, row for row the market, the same bytes each time."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_twin_harness import MARKET, trading
from trader.domain.market import DAY, MINUTE
from trader.indicators.resample import aggregate
from trader.simulation.intervals import Interval, source_of
from trader.simulation.kraken_server.spot import archive
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket

URL = "http://127.0.0.1:8701/archive/"
Q4_2025 = int(datetime(2025, 10, 1, tzinfo=UTC).timestamp()) * 1_000_000
Q1_2026 = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    """(status, JSON or bytes)."""
    async with session.get(URL + path) as answer:
        return answer.status, await (answer.json() if "json" in answer.content_type else answer.read())


def table(body: bytes, name: str) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(body)) as container:
        assert container.testzip() is None
        return list(csv.reader(io.TextIOWrapper(container.open(name), "ascii")))


def truth(pair: str, minutes: int, start_us: int, end_us: int) -> list[tuple[float, ...]]:
    """Bars of the market in which something traded."""
    span = Interval(minutes)
    columns = aggregate(MARKET.candles(pair, source_of(span), start_us, end_us), source_of(span), span)
    values = (columns.time // 1_000_000, columns.open, columns.high, columns.low, columns.close, columns.volume)
    return [row for row in zip(*(column.tolist() for column in values), strict=True) if row[5] > 0]


def test_the_index_offers_the_whole_and_every_finished_quarter() -> None:
    async def main() -> None:
        async with trading() as _, aiohttp.ClientSession() as session:
            status, index = await get(session, "")
            assert status == 200
            assert [file["name"] for file in index["files"]][:2] == ["Kraken_OHLCVT.zip", "Kraken_OHLCVT_Q1_2023.zip"]
            assert len(index["files"]) == 1 + 12
            name = "Kraken_OHLCVT_Q4_2025.zip"
            assert index["files"][-1] == {"name": name, "path": f"/archive/{name}", "from": "2025-10-01", "until": "2026-01-01"}
            assert index["files"][0]["until"] == "2026-01-01"
            assert index["intervals"] == [1, 5, 15, 30, 60, 240, 720, 1440]
            assert len(index["pairs"]) == len(MARKET.pairs)

    run_stepped(main)


def test_every_file_holds_the_markets_bars_and_leaves_out_the_empty_ones() -> None:
    async def main() -> None:
        async with trading() as _, aiohttp.ClientSession() as session:
            last = MARKET.pairs[-1]
            listing, compared = MARKET.listing(last), 0
            status, body = await get(session, f"Kraken_OHLCVT.zip?pairs=XBTEUR,{last}&days=9")
            assert status == 200
            with zipfile.ZipFile(io.BytesIO(body)) as container:
                assert container.namelist() == [
                    f"{name}_{minutes}.csv" for name in ("XBTEUR", listing.altname) for minutes in archive.INTERVALS
                ]
            for name, pair in (("XBTEUR", "BTC/EUR"), (listing.altname, last)):
                for minutes in archive.INTERVALS:
                    start_us = -(-(Q1_2026 - 9 * DAY) // (minutes * MINUTE)) * minutes * MINUTE
                    rows, wanted = table(body, f"{name}_{minutes}.csv"), truth(pair, minutes, start_us, Q1_2026)
                    assert [tuple(float(text) for text in row[:6]) for row in rows] == wanted
                    assert {row[6] for row in rows} == {"4"}
                    assert not any("e" in text.lower() for row in rows for text in row)
                    compared += len(rows)
            assert compared > 30_000
            assert (
                len(table(body, f"{listing.altname}_1.csv")) < 9 * 1440 <= len(table(body, "XBTEUR_1.csv")) + 200
            )  # quiet pair, busy pair

    run_stepped(main)


def test_the_quarters_joined_are_the_whole_and_seeds_decide_the_bytes() -> None:
    market = SyntheticMarket(7, count=2)

    def body(name: str, source: SyntheticMarket, **query: str) -> bytes:
        wanted = archive.archive_of(name, query, source, EPOCH_US)
        assert wanted is not None
        return b"".join(archive.stream(wanted, source))

    query = {"pairs": "ETHEUR", "intervals": "240"}
    whole = table(body(archive.WHOLE, market, **query), "ETHEUR_240.csv")
    quarters = [name for name in archive.names(market, EPOCH_US) if name != archive.WHOLE]
    assert [row for name in quarters for row in table(body(name, market, **query), "ETHEUR_240.csv")] == whole
    assert len(whole) > 6_000
    digests = [
        hashlib.sha256(body("Kraken_OHLCVT_Q4_2025.zip", source, **query)).hexdigest()
        for source in (market, SyntheticMarket(7, count=2), SyntheticMarket(8, count=2))
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("Kraken_OHLCVT_Q1_2026.zip", 404, "not in the archive"),  # not over yet
        ("Kraken_OHLCVT_Q5_2025.zip", 404, "not in the archive"),
        ("Kraken_Trading_History.zip", 404, "not in the archive"),
        ("Kraken_OHLCVT.zip?pairs=NOPE", 400, "'NOPE' is not listed"),
        ("Kraken_OHLCVT.zip?intervals=15,7", 400, "'7' is not allowed; any of 1, 5, 15, 30, 60, 240, 720, 1440"),
        ("Kraken_OHLCVT.zip?days=0", 400, "days='0'"),
        ("Kraken_OHLCVT.zip?days=many", 400, "days='many'"),
    ],
)
def test_what_the_archive_does_not_have_is_said(path: str, status: int, told: str) -> None:
    async def main() -> None:
        async with trading() as _, aiohttp.ClientSession() as session:
            got, body = await get(session, path)
            assert (got, told in body["error"]) == (status, True), body

    run_stepped(main)


def test_a_quarter_appears_when_it_is_over() -> None:
    last_day = int(datetime(2026, 3, 31, 23, 59, tzinfo=UTC).timestamp()) * 1_000_000
    assert "Kraken_OHLCVT_Q1_2026.zip" not in archive.names(MARKET, last_day)
    span = archive.names(MARKET, last_day + MINUTE)["Kraken_OHLCVT_Q1_2026.zip"]
    assert span == (Q1_2026, last_day + MINUTE)
    assert archive.names(MARKET, MARKET.first_us + DAY) == {}
    assert archive.names(MARKET, Q1_2026)["Kraken_OHLCVT_Q4_2025.zip"] == (Q4_2025, Q1_2026)
