"""The operations of the table and who is asked: names only, in the order they run."""

from __future__ import annotations

ALONE = (
    "load markets", "time and status", "candles with running bar", "ticker", "tickers", "order book", "public trades", "balance",
    "trade balance", "fees", "key info and token", "market order", "ledger", "fills", "closed orders", "open orders", "limit order",
    "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit", "trailing stop", "conditional close", "post-only", "amend", "edit",
    "cancel", "batch", "dead-man's switch", "ws ticker", "ws candles", "ws trades", "ws book with CRC", "ws executions", "ws balances",
    "ws order entry",
)  # fmt: skip
"""Each client for itself, all clients at the same time."""

WAIT_FOR_A_TICK = ("ws trades", "ws book with CRC")
"""What waits for the next move of the market, which comes every 15 seconds; a client waits for both at once."""

ONE_BY_ONE = ("cancel all",)
"""What would disturb the others."""

PASSED_ON = "placed here, seen, amended, cancelled elsewhere"
SAME_TRADE = "fill here = executions = TradesHistory"
CROSSED = (PASSED_ON, SAME_TRADE)
"""Between clients; the column is the client that began."""

SPOT = ALONE + CROSSED + ONE_BY_ONE

FUTURES = (
    "futures markets", "futures ticker", "futures tickers", "futures candles", "futures order book", "futures trades",
    "futures funding rates", "futures balance", "futures market order", "futures positions", "futures fills", "futures limit order",
    "futures stop", "futures take profit", "futures edit", "futures cancel", "futures cancel all", "futures leverage",
    "futures dead-man's switch", "futures ws ticker", "futures ws book", "futures ws trades", "futures ws orders and fills",
)  # fmt: skip
"""The same clients on futures; each has its own contract."""
