"""Trades of a shared account as a Polars frame, one row per exit leg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from trader.domain.messages import TradeLeg
from trader.domain.orders import Side

TIME = pl.Datetime("us", "UTC")
SCHEMA: dict[str, Any] = {
    "position": pl.String, "pair": pl.String, "side": pl.String, "entry_time": TIME, "exit_time": TIME, "entry_price": pl.Float64,
    "exit_price": pl.Float64, "quantity": pl.Float64, "fee": pl.Float64, "net": pl.Float64, "net_return": pl.Float64, "r": pl.Float64,
    "reason": pl.String,
}  # fmt: skip


def trades_frame(legs: Sequence[TradeLeg], risk: Mapping[str, float]) -> pl.DataFrame:
    """In the order given. Money and prices in quote, as the nearest float64 of the exact decimals; `net_return` is net over what
    the leg cost to enter; `r` that over `risk`, the planned risk of its position as a fraction."""
    rows = []
    for leg in legs:
        result = float(leg.net) / float(leg.entry_price * leg.quantity)
        rows.append(
            (
                leg.position_id, leg.pair, "long" if leg.side is Side.BUY else "short", leg.entry_us, leg.exit_us, float(leg.entry_price),
                float(leg.exit_price), float(leg.quantity), float(leg.fee), float(leg.net), result, result / risk[leg.position_id],
                leg.reason,
            )
        )  # fmt: skip
    raw = SCHEMA | {"entry_time": pl.Int64, "exit_time": pl.Int64}
    return pl.DataFrame(rows, schema=raw, orient="row").with_columns(pl.col("entry_time", "exit_time").cast(TIME))
