"""S1 through the public interface gives the trades of its definition, row for row and bit for bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from benchmarks.s1 import s1_data, s1_trades
from trader.errors import ConfigError
from trader.research.backtester import SCHEMA, run
from trader.strategy.strategies import S1

NAMES = ("open", "high", "low", "close")
DATA = {f"P{seed}/USD": dict(zip(NAMES, s1_data(seed), strict=True)) for seed in range(8)}
COUNTS = [35, 23, 35, 44, 30, 29, 31, 35]


@pytest.fixture(scope="module")
def trades() -> pl.DataFrame:
    return run(S1, DATA, threads=1)


def test_the_check_data_gives_262_trades_and_the_stated_sum(trades: pl.DataFrame) -> None:
    assert [len(trades.filter(pair=pair)) for pair in DATA] == COUNTS
    assert sum(COUNTS) == len(trades) == 262
    assert Counter(trades["reason"]) == {"stop": 150, "signal": 57, "target": 55}
    assert round(trades["net_return"].sum(), 12) == -2.109209484106


def test_every_row_equals_the_definition_with_difference_zero(trades: pl.DataFrame) -> None:
    compared = 0
    for pair, arrays in DATA.items():
        wanted = s1_trades(*(arrays[name] for name in NAMES))
        found = trades.filter(pair=pair)
        assert found.select("entry_bar", "exit_bar", "entry_price", "exit_price", "reason").rows() == wanted
        entry, exit_ = (np.array([trade[place] for trade in wanted]) for place in (2, 3))
        assert (found["quantity"].to_numpy() - 1000 / entry == 0).all()
        assert (found["net_return"].to_numpy() - (exit_ * (1 - 0.0026) - entry * (1 + 0.0026)) / entry == 0).all()
        compared += len(wanted)
    assert compared == 262


def test_threads_change_nothing_and_rows_keep_the_order_given(trades: pl.DataFrame) -> None:
    turned = dict(reversed(DATA.items()))
    assert run(S1, DATA, threads=3).equals(trades)
    assert run(S1, turned, threads=2)["pair"].unique(maintain_order=True).to_list() == list(turned)


def test_a_position_open_at_the_last_close_ends_there() -> None:
    pair, cut = "P0/USD", 3_940  # 12 bars into the first trade
    arrays = {name: values[:cut] for name, values in DATA[pair].items()}
    (row,) = run(S1, {pair: arrays}).rows(named=True)
    assert (row["reason"], row["exit_bar"], row["exit_price"]) == ("end", cut - 1, arrays["close"][-1])
    assert s1_trades(*arrays.values())[-1][4] == "end"


@pytest.mark.parametrize("kind", ["datetime64[ms]", "int64"])
def test_times_are_the_opens_of_the_bars(kind: str) -> None:
    minutes = np.datetime64("2026-01-05", "us") + np.arange(43_200) * np.timedelta64(60, "s")
    time = minutes.astype(kind)
    found = run(S1, {"A/USD": {**DATA["P0/USD"], "time": time}})
    assert found.schema == SCHEMA
    assert (found["entry_time"].dt.replace_time_zone(None).to_numpy() == minutes[found["entry_bar"].to_numpy()]).all()
    assert run(S1, DATA)["entry_time"].null_count() == 262


def test_no_pair_and_no_signal_give_an_empty_frame_of_the_same_columns() -> None:
    flat = {name: np.full(500, 7.0) for name in NAMES}
    for data in ({}, {"A/USD": flat}):
        assert run(S1, data).schema == SCHEMA
        assert run(S1, data).is_empty()


def _with(name: str, values: object) -> dict[str, object]:
    return {**{key: arrays.copy() for key, arrays in DATA["P0/USD"].items()}, name: values}


def _spoiled(value: float) -> np.ndarray:
    close = DATA["P0/USD"]["close"].copy()
    close[17] = value
    return close


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"open": np.ones(3), "high": np.ones(3), "low": np.ones(3)}, "A/USD: field 'close' is missing"),
        (_with("high", np.ones(3)), "A/USD: fields differ in length: close 43200, high 3"),
        (_with("close", _spoiled(np.nan)), "A/USD: field 'close', row 17: nan must be a finite number above 0; 1 rows are not"),
        (_with("close", _spoiled(np.inf)), "row 17: inf must be"),
        (_with("close", _spoiled(-1.0)), "row 17: -1.0 must be"),
        (_with("close", _spoiled(0.0)), "row 17: 0.0 must be"),
        (_with("volume", np.full(43_200, -1.0)), "field 'volume', row 0: -1.0 must be a finite number from 0; 43200"),
        (_with("low", np.ones((2, 2))), "A/USD: field 'low' must be a 1-D array of numbers"),
        (_with("low", ["a"] * 43_200), "A/USD: field 'low' must be a 1-D array of numbers"),
        (_with("time", np.zeros(43_200, np.int64)), "A/USD: field 'time' must ascend; row 1 does not come after row 0"),
        (_with("time", np.ones(43_200)), "A/USD: field 'time' must be datetime64 or int64 microseconds, not float64"),
        ({name: np.zeros(0) for name in NAMES}, "A/USD: no candles"),
    ],
)
def test_arrays_that_are_no_candles_are_named(arrays: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        run(S1, {"A/USD": arrays})
    assert words in str(refused.value)
    with pytest.raises(ConfigError, match="threads 0 must be from 1 to 256"):
        run(S1, {}, threads=0)
