"""On recorded 5m candles of 24 pairs: signals come as often as the specification measured (SPEC section 2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from trader.domain.costs import Costs
from trader.domain.market import Timeframe
from trader.indicators.series import features
from trader.ports import Columns
from trader.strategy.brain import candidates
from trader.strategy.modes import STRATEGIES, parameters

DATA = Path(os.environ.get("TRADER_SHARED_DATA", Path(__file__).parents[2] / "../shared/data")) / "ohlcv/dev_binance_2024_5m_core24.parquet"
# signals per pair-day after full 4h warm-up, as the specification prints them: M-C, M-D, M-A, S-C, S-D, S-A
MEASURED = (0.05, 0.22, 0.76, 0.011, 0.06, 0.38)


def longer(rows: dict[str, Any], timeframe: Timeframe) -> Columns:
    """Complete candles of a longer timeframe from 5m rows."""
    label = rows["time"] // timeframe.us
    start = np.flatnonzero(np.r_[True, np.diff(label) != 0])
    size = np.diff(np.r_[start, len(label)])
    whole = size == timeframe.us // Timeframe.M5.us
    first, last = start[whole], (start + size - 1)[whole]
    high, low = np.maximum.reduceat(rows["high"], start)[whole], np.minimum.reduceat(rows["low"], start)[whole]
    volume = np.add.reduceat(rows["volume"], start)[whole]
    return Columns(
        time=label[first] * timeframe.us, open=rows["open"][first], high=high, low=low, close=rows["close"][last], volume=volume,
        filled=volume == 0,
    )  # fmt: skip


def test_signals_per_pair_day_match_the_orientation() -> None:
    if not DATA.exists():
        pytest.skip(f"no recorded candles at {DATA}; set TRADER_SHARED_DATA")
    signals, days = np.zeros(6), np.zeros(6)
    for _, frame in polars.read_parquet(DATA).group_by(["pair"], maintain_order=True):
        rows = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        rows["time"] = frame["time"].dt.epoch("us").to_numpy()
        fifteen, four = longer(rows, Timeframe.M15), longer(rows, Timeframe.H4)
        for n, (mode, variation) in enumerate(STRATEGIES):
            strategy = parameters("viable", mode, variation)
            made = features(fifteen, four, strategy)
            signals[n] += candidates(made, strategy, Costs()).enter.sum()
            days[n] += made.ready.sum() / 96
    assert days[0] > 1500
    assert (signals / days).tolist() == pytest.approx(MEASURED, rel=0.1)
