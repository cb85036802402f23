"""S1 on backtesting.py, run by its own environment's interpreter: prints one JSON object with seconds and trades.

Stops and targets are set when the entry is known, so they are watched from the bar after it; the engine computes its
statistics with every run, and cannot be told not to. Its commission is a side's fee; the trades compared are bars and prices.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import pandas as pd
import talib
from backtesting import Backtest, Strategy

sys.path.insert(0, sys.argv[1])  # this interpreter knows nothing of the project
from benchmarks.s1 import s1_data

FEE = 0.0026


class S1(Strategy):
    """Decided at the close, due at the next open; stop -2 %, target +3 % of the entry price."""

    def init(self) -> None:
        self.rsi = self.I(talib.RSI, self.data.Close, 14)
        self.ema = self.I(talib.EMA, self.data.Close, 200)

    def next(self) -> None:
        if self.position:
            trade = self.trades[0]
            if trade.sl is None:
                trade.sl, trade.tp = trade.entry_price * 0.98, trade.entry_price * 1.03
            if self.rsi[-1] > 70:
                self.position.close()
        elif self.rsi[-1] < 30 and self.data.Close[-1] > self.ema[-1]:
            self.buy(size=1)


def main() -> int:
    pairs, bars = int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")
    spent, trades = 0.0, []
    for seed in range(pairs):
        columns: Any = pd.DataFrame(dict(zip(("Open", "High", "Low", "Close"), s1_data(seed, bars), strict=True)))
        begin = time.process_time()
        result = Backtest(columns, S1, cash=1e9, commission=FEE, finalize_trades=True).run()
        spent += time.process_time() - begin
        found = result["_trades"]
        trades += [[seed, int(t.EntryBar), int(t.ExitBar), float(t.EntryPrice), float(t.ExitPrice)] for t in found.itertuples()]
    sys.stdout.write(json.dumps({"cpu_s": spent, "trades": trades}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
