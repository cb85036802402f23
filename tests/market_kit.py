"""Markets of many pairs for tests of shared accounts and of the optimizer: 15m random walks with one common factor."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from trader.domain.market import Instrument, Timeframe
from trader.ports import Columns
from trader.strategy.columns import Bars

M15 = Timeframe.M15.us
START = 19_675 * 86_400_000_000  # 2023-11-14, a midnight
TICK = Decimal("1e-8")


def market(seed: int, pairs: int, days: int, *, sd: float = 0.004) -> dict[str, Columns]:
    """`pairs` pairs around 10 against EUR, BTC first, gapless."""
    rng, n = np.random.default_rng(seed), days * 96
    factor, out = rng.standard_normal(n), {}
    for k in range(pairs):
        close = np.round(10 * np.exp(np.cumsum(sd * (0.6 * factor + 0.8 * rng.standard_normal(n)))), 8)
        open_ = np.r_[close[0], close[:-1]]
        high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.standard_normal(n)) * sd / 2), 8)
        low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.standard_normal(n)) * sd / 2), 8)
        out["BTC/EUR" if k == 0 else f"P{k:02d}/EUR"] = Columns(
            time=START + np.arange(n) * M15, open=open_, high=high, low=low, close=close, volume=rng.lognormal(6, 1, n),
            filled=np.zeros(n, np.bool_),
        )  # fmt: skip
    return out


def bars_of(columns: dict[str, Columns]) -> dict[str, Bars]:
    """Ready after three periods."""
    return {pair: Bars(one, warmup="short") for pair, one in columns.items()}


def instruments_of(pairs: list[str]) -> dict[str, Instrument]:
    """Ticks and lots so fine that nothing is decided by rounding."""
    return {
        pair: Instrument(
            pair=pair, base=pair.split("/")[0], quote="EUR", tick=TICK, lot=TICK, order_min=Decimal("1e-5"), cost_min=Decimal("0.5"),
            quote_step=TICK,
        )
        for pair in pairs
    }  # fmt: skip
