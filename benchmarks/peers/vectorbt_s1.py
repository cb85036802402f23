"""S1 on vectorbt, run by its own environment's interpreter: prints one JSON object with seconds and trades.

Signals are moved to the bar after, where they fill at the open; stops are watched from the bar after the entry, and a target
touched in a bar wins over an exit due at its open, so some trades end differently from the definition (the count says how many).
Indicators, signals, simulation and trade records are timed; the first run compiles and is not.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import talib
import vectorbt as vbt

sys.path.insert(0, sys.argv[1])  # this interpreter knows nothing of the project
from benchmarks.s1 import s1_data

FEE, STOP, TARGET = 0.0026, 0.02, 0.03


def due(decided: Any) -> Any:
    """What was decided at a close, at the bar after."""
    moved = np.zeros_like(decided)
    moved[1:] = decided[:-1]
    return moved


def records(open_: Any, high: Any, low: Any, close: Any) -> Any:
    """Trade records of all pairs, shape (bars, pairs) each."""
    pairs = range(close.shape[1])
    rsi = np.column_stack([talib.RSI(np.ascontiguousarray(close[:, k]), 14) for k in pairs])
    ema = np.column_stack([talib.EMA(np.ascontiguousarray(close[:, k]), 200) for k in pairs])
    portfolio = vbt.Portfolio.from_signals(
        close, due((rsi < 30) & (close > ema)), due(rsi > 70), price=open_, open=open_, high=high, low=low, size=1.0, fees=FEE,
        sl_stop=STOP, tp_stop=TARGET, stop_entry_price="fillprice", stop_exit_price="stoplimit", accumulate=False, init_cash=1e9,
        freq="1min",
    )  # fmt: skip
    return portfolio.trades.records


def main() -> int:
    pairs, bars = int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")
    columns = [np.column_stack(part) for part in zip(*(s1_data(seed, bars) for seed in range(pairs)), strict=True)]
    records(*(part[:, :1] for part in columns))
    spent, found = float("inf"), None
    for _ in range(3):
        begin = time.process_time()
        found = records(*columns)
        spent = min(spent, time.process_time() - begin)
    assert found is not None
    rows = zip(found["col"], found["entry_idx"], found["exit_idx"], found["entry_price"], found["exit_price"], strict=True)
    trades = [[int(col), int(entry), int(exit_), float(bought), float(sold)] for col, entry, exit_, bought, sold in rows]
    sys.stdout.write(json.dumps({"cpu_s": spent, "trades": trades}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
