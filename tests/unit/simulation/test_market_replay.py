"""A recorded market: exactly the file, longer candles from it, and one clear error for a file that cannot be replayed."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trader.domain.market import DAY, MINUTE, Timeframe
from trader.errors import ConfigError
from trader.simulation.replay import ReplayMarket

START = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000


def candles(pair: str, count: int = 600, first: int = 0, price: float = 100.0) -> pl.DataFrame:
    chance = np.random.default_rng(first + count)
    close = np.round(price + np.cumsum(chance.integers(-5, 6, count)) / 100, 2)
    open_ = np.concatenate(([price], close[:-1]))
    return pl.DataFrame(
        {
            "pair": pair,
            "timeframe": "5m",
            "time": START + (first + np.arange(count)) * 5 * MINUTE,
            "open": open_,
            "high": np.round(np.maximum(open_, close) + 0.01, 2),
            "low": np.minimum(open_, close) - 0.01,  # with the noise of float arithmetic
            "close": close,
            "volume": chance.random(count),
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "candles.parquet"
    sol = candles("SOL/USDT", 300, first=120, price=130.0)
    pl.concat([candles("ETH/USDT"), candles("BTC/USDT", price=60_000.0), sol.filter(pl.int_range(pl.len()) != 50)]).write_parquet(path)
    return path


def test_instruments_follow_the_file(file: Path) -> None:
    market = ReplayMarket(file)
    assert market.pairs == ("BTC/USDT", "ETH/USDT", "SOL/USDT") and market.quote == "USDT" and market.base is Timeframe.M5
    listing = market.listing("BTC/USDT")
    assert (listing.altname, listing.wsname, listing.quote_id) == ("XBTUSDT", "XBT/USDT", "USDT")
    assert (listing.tick, listing.ordermin, listing.costmin) == (Decimal("0.01"), Decimal("0.00000834"), Decimal("0.5"))


def test_base_candles_are_the_rows_of_the_file(file: Path) -> None:
    market, rows = ReplayMarket(file), candles("ETH/USDT")
    c = market.candles("ETH/USDT", Timeframe.M5, START, START + 600 * 5 * MINUTE)
    assert len(c) == 600
    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(c, name), rows[name].to_numpy() if name == "volume" else rows[name].round(2).to_numpy())


def test_prices_print_exactly_on_the_tick(file: Path) -> None:
    c = ReplayMarket(file).candles("BTC/USDT", Timeframe.M5, START, START + DAY)
    seen = [Decimal(repr(float(value))) for value in (*c.low, *c.high, *c.close)]
    assert len(seen) == 864 and all(value % Decimal("0.01") == 0 for value in seen)


def test_longer_candles_agree_with_each_other_and_are_whole(file: Path) -> None:
    market = ReplayMarket(file)
    fifteen = market.candles("ETH/USDT", Timeframe.M15, START, START + DAY)
    four = market.candles("ETH/USDT", Timeframe.H4, START, START + DAY)
    assert (len(fifteen), len(four)) == (96, 6)
    assert four.high.tolist() == fifteen.high.reshape(6, 16).max(axis=1).tolist()
    assert four.close.tolist() == fifteen.close[15::16].tolist()
    # SOL begins at 10:00 and ends at 11:00 of the next day: the candles 08:00-12:00 at both ends are not whole
    sol = market.candles("SOL/USDT", Timeframe.H4, START, START + 3 * DAY)
    assert sol.time.tolist() == [START + h * 60 * MINUTE for h in (12, 16, 20, 24, 28)]
    assert len(market.candles("ETH/USDT", Timeframe.H4, START + 1, START + 8 * 60 * MINUTE - 1)) == 0


def test_candles_before_the_start_are_history(file: Path) -> None:
    market = ReplayMarket(file, START + DAY)
    assert market.start_us == START + DAY
    assert len(market.candles("BTC/USDT", Timeframe.M15, 0, market.start_us)) == 96


def test_minute_has_no_price_where_the_pair_has_no_candle(file: Path) -> None:
    market = ReplayMarket(file)
    row = market.minute(START)
    assert row.open[0] == 60_000.0 and np.isnan(row.close[2])
    assert np.isnan(market.minute(START - 5 * MINUTE).close).all() and np.isnan(market.minute(market.end_us).close).all()
    hole = market.minute(START + (120 + 50) * 5 * MINUTE)
    before = market.minute(START + (120 + 49) * 5 * MINUTE)
    assert hole.volume[2] == 0 and hole.open[2] == hole.high[2] == hole.low[2] == hole.close[2] == before.close[2]
    c = market.candles("SOL/USDT", Timeframe.M5, START, START + 3 * DAY)
    assert c.filled.sum() == 1 and c.filled[50]


def test_last_price_follows_the_path_and_stays_after_the_end(file: Path) -> None:
    market = ReplayMarket(file)
    row = market.minute(START + DAY)
    seen = [market.last_price("ETH/USDT", START + DAY + s * 1_000_000) for s in (0, 99, 100, 200, 297, 298)]
    assert seen == [row.open[1], row.open[1], row.low[1], row.high[1], row.high[1], row.close[1]]
    assert np.isnan(market.last_price("SOL/USDT", START))
    assert market.last_price("ETH/USDT", START + 30 * DAY) == market.minute(market.end_us - 5 * MINUTE).close[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop("volume"), "lacks column 'volume'"),
        (lambda f: f.with_columns(pl.col("close").cast(pl.String)), "column 'close' is String, it must be Float64"),
        (lambda f: f.with_columns(pl.col("time").dt.cast_time_unit("ms")), "column 'time' is Datetime"),
        (lambda f: f.with_columns(timeframe=pl.lit("7m")), "column 'timeframe' holds 7m"),
        (lambda f: f.with_columns(pair=pl.lit("ETHUSDT")), "column 'pair' holds 'ETHUSDT'"),
        (lambda f: pl.concat([f, f.with_columns(pair=pl.lit("ETH/EUR"))]), "quotes EUR, USDT"),
        (lambda f: f.with_columns(high=pl.col("high") - 50), "column 'high' has 600 values"),
        (lambda f: f.with_columns(open=pl.lit(float("nan"))), "column 'open' has 600 values"),
        (lambda f: pl.concat([f, f]), "column 'time' repeats"),
        (lambda f: f.head(0), "has no rows"),
    ],
)
def test_a_wrong_file_gets_one_error_naming_file_and_column(
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], words: str
) -> None:
    path = tmp_path / "wrong.parquet"
    change(candles("ETH/USDT")).write_parquet(path)
    with pytest.raises(ConfigError, match=words) as caught:
        ReplayMarket(path)
    assert "wrong.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_corrupt_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.parquet does not exist"):
        ReplayMarket(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(ConfigError, match=r"bad\.parquet is not a readable Parquet file"):
        ReplayMarket(tmp_path / "bad.parquet")


def test_a_start_outside_the_file_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="must be the open of a"):
        ReplayMarket(file, START - DAY)


def test_unknown_pair_and_too_short_timeframe_are_refused(file: Path) -> None:
    market = ReplayMarket(file)
    with pytest.raises(ValueError, match="'XRP/USDT' is not in this market"):
        market.listing("XRP/USDT")
    with pytest.raises(ValueError, match="shorter than the market's 5m"):
        market.candles("ETH/USDT", Timeframe.M1, START, START + DAY)


def test_recorded_market_replays() -> None:
    folder = Path(os.environ.get("TRADER_SHARED_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
    path = folder / "ohlcv" / "dev_binance_2024_5m_core24.parquet"
    if not path.is_file():
        pytest.skip(f"recorded candles are absent: {path} (set TRADER_SHARED_DATA)")
    market = ReplayMarket(path)
    assert len(market.pairs) == 24 and market.pairs[0] == "BTC/USDT"
    assert market.listing("BTC/USDT").tick == Decimal("0.01")
    four = market.candles("BTC/USDT", Timeframe.H4, market.first_us, market.end_us)
    assert len(four) == 1_135 and not four.filled.any()
