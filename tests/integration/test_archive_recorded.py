"""Real candles of Kraken, written as its archive has them: every missing bar is found and listed, and coverage is true."""

from __future__ import annotations

import os
from pathlib import Path

import archive_kit as kit
import polars as pl
import pytest

from trader.data.history import HistoryStore
from trader.domain.market import Timeframe

H1 = Timeframe.H1
FOLDER = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared/data"))
FILE = FOLDER / "ohlcv" / "dev_kraken_ohlcvt_1h_2018-2022.parquet"


def recorded() -> pl.DataFrame:
    if not FILE.exists():
        pytest.skip(f"recorded candles are not here: {FILE}; set TRADER_SHARED_DATA to their folder")
    return pl.read_parquet(FILE)


def test_the_122_missing_bars_of_the_recorded_hours_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = recorded()
    for pair, rows in frame.group_by("pair"):
        name = str(pair[0]).replace("BTC", "XBT").replace("/", "")
        text = rows.sort("time").select(pl.col("time").dt.epoch("s"), "open", "high", "low", "close", "volume")
        text.write_csv(tmp_path / f"{name}_60.csv", include_header=False)
    store = HistoryStore(tmp_path / "history")
    report = kit.load(store, tmp_path)
    assert (report.rows, report.refused, report.problems) == (83_110, 0, [])
    assert report.filled == sum(hole.bars for hole in report.missing) == 122
    by_pair = {pair: sum(hole.bars for hole in report.missing if hole.pair == pair) for pair in ("BTC/USD", "ETH/USD")}
    assert by_pair == {"BTC/USD": 61, "ETH/USD": 61}
    stored = kit.stored(store, H1)
    assert len(stored) == 83_110 + 122 and stored["filled"].sum() >= 122
    real = stored.filter(~pl.col("filled") | (pl.col("volume") > 0)).select("pair", "time", "open", "high", "low", "close", "volume")
    told = frame.select(real.columns).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))).sort("pair", "time")
    assert real.join(told, on=real.columns, how="anti").is_empty(), "every stored real candle is one of the file"
    for pair, known in store.catalog.coverage("spot", H1).items():
        assert len(known) == 1 and known[0].state == "fetched"
        bars = (known[0].end_us - known[0].start_us) // H1.us
        assert bars == stored.filter(pair=pair).height
        with capsys.disabled():
            missing = sum(h.bars for h in report.missing if h.pair == pair)
            print(f"\n{pair} 1h: {bars} bars covered without a hole, {missing} of them without a row in the archive", end="")
