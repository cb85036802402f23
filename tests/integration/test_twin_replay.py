"""`trader twin kraken --replay FILE` without a moment: it begins with a page of the file's candles behind it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.clients.twin_process import running
from tests.unit.simulation.test_market_replay import START, candles

PATH = "/0/public/OHLC?pair=ETHUSDT&interval=5"


@pytest.mark.parametrize(("count", "behind"), [(800, 720), (600, 0)])
def test_a_replay_that_is_told_no_moment_begins_where_the_file_allows(tmp_path: Path, count: int, behind: int) -> None:
    file, rows = tmp_path / "candles.parquet", candles("ETH/USDT", count)
    rows.write_parquet(file)
    with (
        running((), arguments=("--replay", str(file))) as twin,
        urllib.request.urlopen(twin.url + PATH) as got,  # noqa: S310 - our own twin
    ):
        result = json.loads(got.read())["result"]
    *closed, now = result["ETHUSDT"]
    times, closes = [START // 1_000_000 + 300 * n for n in range(behind)], rows["close"].round(2).to_list()[:behind]
    assert [(row[0], float(row[4])) for row in closed] == list(zip(times, closes, strict=True))
    assert now[0] == START // 1_000_000 + 300 * behind and result["last"] == now[0] - 300
