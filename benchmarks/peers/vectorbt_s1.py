"""S1 and its six variations on vectorbt, run by its own environment's interpreter: prints one JSON object with seconds and trades.

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
from benchmarks.s1 import VARIATIONS, s1_data

FEE = 0.0026
ROUNDS = 3


def due(decided: Any) -> Any:
    """What was decided at a close, at the bar after."""
    moved = np.zeros_like(decided)
    moved[1:] = decided[:-1]
    return moved


def records(open_: Any, high: Any, low: Any, close: Any, variations: Any) -> list[Any]:
    """Trade records of all pairs for each variation, on indicators they share; columns of shape (bars, pairs)."""
    pairs = range(close.shape[1])
    rsi = np.column_stack([talib.RSI(np.ascontiguousarray(close[:, k]), 14) for k in pairs])
    ema = np.column_stack([talib.EMA(np.ascontiguousarray(close[:, k]), 200) for k in pairs])
    above, found = close > ema, []
    for enter, leave, stop, target in variations:
        portfolio = vbt.Portfolio.from_signals(
            close, due((rsi < enter) & above), due(rsi > leave), price=open_, open=open_, high=high, low=low, size=1.0, fees=FEE,
            sl_stop=stop, tp_stop=target, stop_entry_price="fillprice", stop_exit_price="stoplimit", accumulate=False, init_cash=1e9,
            freq="1min",
        )  # fmt: skip
        found.append(portfolio.trades.records)
    return found


def fastest(columns: Any, variations: Any) -> tuple[float, list[Any]]:
    """The least CPU time of the rounds, and the records."""
    spent, found = float("inf"), []
    for _ in range(ROUNDS):
        begin = time.process_time()
        found = records(*columns, variations)
        spent = min(spent, time.process_time() - begin)
    return spent, found


def main() -> int:
    pairs, bars = int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")
    columns = [np.column_stack(part) for part in zip(*(s1_data(seed, bars) for seed in range(pairs)), strict=True)]
    records(*(part[:, :1] for part in columns), VARIATIONS[:1])
    spent, (found,) = fastest(columns, VARIATIONS[:1])
    rows = zip(found["col"], found["entry_idx"], found["exit_idx"], found["entry_price"], found["exit_price"], strict=True)
    trades = [[int(col), int(entry), int(exit_), float(bought), float(sold)] for col, entry, exit_, bought, sold in rows]
    six_spent, six = fastest(columns, VARIATIONS)
    counts = [len(one) for one in six]
    sys.stdout.write(json.dumps({"cpu_s": spent, "trades": trades, "six": {"cpu_s": six_spent, "trades": counts}}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
