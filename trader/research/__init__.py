"""Pure studies over history: the backtest kernel, the account pass, statistics and what they are compared with."""
