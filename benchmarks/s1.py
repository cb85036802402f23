"""The definition of strategy S1 (PERFORMANCE.md section 1): the plain code every engine is compared with, and its check data."""

from __future__ import annotations

from typing import Any

import numpy as np

from trader.indicators.ta import talib

Column = np.ndarray[Any, np.dtype[np.float64]]
VARIATIONS = (
    (30.0, 70.0, 0.02, 0.03), (25.0, 70.0, 0.02, 0.03), (35.0, 70.0, 0.02, 0.03), (30.0, 65.0, 0.015, 0.03), (30.0, 75.0, 0.03, 0.045),
    (35.0, 65.0, 0.02, 0.04),
)  # fmt: skip
"""RSI to enter below, RSI to leave above, stop, target: S1 and five that share its indicators."""


def s1_trades(open_: Column, high: Column, low: Column, close: Column) -> list[tuple[Any, ...]]:
    """(entry bar, exit bar, entry price, exit price, reason) of every trade; kept as the specification prints it."""
    rsi, ema = talib.RSI(close, 14), talib.EMA(close, 200)
    trades, entry, enter, leave = [], None, False, False  # entry = (bar, price, stop, target)
    for t in range(len(close)):
        price = reason = None
        if entry is None and enter:  # due at this open
            e = open_[t]
            entry = (t, e, e * (1 - 0.02), e * (1 + 0.03))
        elif entry is not None:  # due exit first, then a gap through a level
            if leave:
                price, reason = open_[t], "signal"
            elif open_[t] <= entry[2]:
                price, reason = open_[t], "stop"
            elif open_[t] >= entry[3]:
                price, reason = open_[t], "target"
        if entry is not None and price is None:  # inside the bar, the entry bar included; stop before target
            if low[t] <= entry[2]:
                price, reason = entry[2], "stop"
            elif high[t] >= entry[3]:
                price, reason = entry[3], "target"
            elif t == len(close) - 1:
                price, reason = close[t], "end"
        if price is not None:
            trades.append((entry[0], t, entry[1], price, reason))
            entry = None
        leave = entry is not None and rsi[t] > 70  # decided at this close; a bar that stopped out may signal again
        enter = entry is None and rsi[t] < 30 and close[t] > ema[t]
    return trades  # quantity = 1000 / entry price; net return = (x * (1 - .0026) - e * (1 + .0026)) / e


def s1_data(seed: int, n: int = 43_200) -> tuple[Column, Column, Column, Column]:
    """Open, high, low, close that reach every branch above."""
    r, s = np.random.default_rng(seed), 1e-3 * (1 + seed % 4)
    close = np.round(100 * np.exp(np.cumsum(r.standard_normal(n) * s)), 4)
    open_ = np.round(np.r_[close[0], close[:-1]] * np.exp(r.standard_normal(n) * s), 4)
    up, down = np.abs(r.standard_normal((2, n))) * s * np.where(r.random(n) < 0.02, 12, 1)
    high = np.round(np.maximum(open_, close) * (1 + up), 4)
    low = np.round(np.minimum(open_, close) * np.exp(-down), 4)
    return open_, high, low, close
