"""Trading statistics of closed trades and of the equity curve (SPEC section 13). What is undefined is None, never 0 or infinity."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

import numpy as np

from trader.domain.market import DAY
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, mul
from trader.ports import EquityRow

Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal
DAYS_A_YEAR = 365  # this market never closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A position that was closed, all its legs together. Money in quote; `net` is after both fees, `stake` what was paid in."""

    position_id: str
    pair: str
    entry_us: int
    exit_us: int
    stake: Decimal
    turnover: Decimal
    fees: Decimal
    net: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFigures:
    """Statistics of closed trades. `win_low` and `win_high` are Wilson's 95 % interval of the win rate.

    `profit_factor`: gains over losses, both net; `expectancy`: mean net of a trade; `fee_share`: fees as a fraction of the
    gains before fees; `best_streak`, `worst_streak`: most gains, most losses in a row.
    """

    trades: int
    wins: int
    losses: int
    net: Decimal
    fees: Decimal
    turnover: Decimal
    win_rate: float | None
    win_low: float | None
    win_high: float | None
    average_win: float | None
    average_loss: float | None
    profit_factor: float | None
    expectancy: float | None
    fee_share: float | None
    best_streak: int
    worst_streak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityFigures:
    """Statistics of the marked equity. Fractions; `sharpe` and `sortino` annualised by sqrt(365) from daily closes, risk-free 0.

    `days`: whole daily returns there are; `calmar`: annual growth over the greatest drawdown.
    """

    first: Decimal | None
    last: Decimal | None
    total_return: float | None
    days: int
    sharpe: float | None
    sortino: float | None
    max_drawdown: float | None
    current_drawdown: float | None
    calmar: float | None


def trades_of(legs: Iterable[TradeLeg], still_open: Collection[str] = ()) -> list[Trade]:
    """Exit legs joined to closed trades by position, oldest exit first; positions in `still_open` are left out."""
    by_position: dict[str, list[TradeLeg]] = {}
    for leg in legs:
        if leg.position_id not in still_open:
            by_position.setdefault(leg.position_id, []).append(leg)
    trades = [_trade(found) for found in by_position.values()]
    return sorted(trades, key=lambda t: (t.exit_us, t.position_id))


def _trade(legs: Sequence[TradeLeg]) -> Trade:
    first, last = legs[0], max(legs, key=lambda leg: leg.exit_us)
    paid = [mul(leg.entry_price, leg.quantity) for leg in legs]
    return Trade(
        position_id=first.position_id, pair=first.pair, entry_us=first.entry_us, exit_us=last.exit_us, stake=add(*paid),
        turnover=add(*paid, *(mul(leg.exit_price, leg.quantity) for leg in legs)), fees=add(*(leg.fee for leg in legs)),
        net=add(*(leg.net for leg in legs)), reason=last.reason,
    )  # fmt: skip


def trade_figures(trades: Sequence[Trade]) -> TradeFigures:
    """Statistics of closed trades in the order given. A trade that nets exactly nothing is neither win nor loss."""
    gains = [t.net for t in trades if t.net > ZERO]
    losses = [t.net for t in trades if t.net < ZERO]
    gained, lost, fees = add(*gains), -add(*losses), add(*(t.fees for t in trades))
    before_fees = add(*(gross for t in trades if (gross := t.net + t.fees) > ZERO))
    low, high = wilson(len(gains), len(trades)) or (None, None)
    return TradeFigures(
        trades=len(trades), wins=len(gains), losses=len(losses), net=add(*(t.net for t in trades)), fees=fees,
        turnover=add(*(t.turnover for t in trades)), win_rate=_ratio(len(gains), len(trades)), win_low=low, win_high=high,
        average_win=_ratio(gained, len(gains)), average_loss=_ratio(-lost, len(losses)), profit_factor=_ratio(gained, lost),
        expectancy=_ratio(add(*(t.net for t in trades)), len(trades)), fee_share=_ratio(fees, before_fees),
        best_streak=_streak(trades, 1), worst_streak=_streak(trades, -1),
    )  # fmt: skip


def _ratio(above: Decimal | int, below: Decimal | int) -> float | None:
    return float(above) / float(below) if below else None


def _streak(trades: Sequence[Trade], sign: int) -> int:
    signs = [(t.net > ZERO) - (t.net < ZERO) for t in trades]
    return max((len(list(run)) for value, run in groupby(signs) if value == sign), default=0)


def wilson(wins: int, trades: int) -> tuple[float, float] | None:
    """95 % interval of a share, None without observations. Source: Wilson 1927, the score interval."""
    if not 0 <= wins <= trades:
        raise ValueError(f"wins {wins} of {trades}: must lie between 0 and the number of trades")
    if trades == 0:
        return None
    share, z2 = wins / trades, Z_95 * Z_95
    centre = (share + z2 / (2 * trades)) / (1 + z2 / trades)
    half = Z_95 / (1 + z2 / trades) * math.sqrt(share * (1 - share) / trades + z2 / (4 * trades * trades))
    return max(0.0, centre - half), min(1.0, centre + half)


def drawdowns(equity: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How far below its own peak so far, float64, shape (n,), fractions >= 0."""
    values = np.asarray(equity, dtype=np.float64)
    if values.size and float(values.min()) <= 0:
        raise ValueError(f"equity {float(values.min())}: must be above 0")
    return 1 - values / np.maximum.accumulate(values)


def daily_closes(rows: Sequence[EquityRow]) -> list[float]:
    """The last marked equity of each UTC day that has one, oldest first."""
    last: dict[int, float] = {row.time_us // DAY: float(row.equity) for row in sorted(rows, key=lambda row: row.time_us)}
    return list(last.values())


def equity_figures(rows: Sequence[EquityRow]) -> EquityFigures:
    """Statistics of the equity curve, given oldest first."""
    if not rows:
        return EquityFigures(first=None, last=None, total_return=None, days=0, sharpe=None, sortino=None, max_drawdown=None,
                             current_drawdown=None, calmar=None)  # fmt: skip
    values = [float(row.equity) for row in rows]
    below = drawdowns(values)
    closes = np.array(daily_closes(rows))
    returns = closes[1:] / closes[:-1] - 1
    worst = float(below.max())
    growth = (closes[-1] / closes[0]) ** (DAYS_A_YEAR / len(returns)) - 1 if len(returns) >= 2 else None
    return EquityFigures(
        first=rows[0].equity, last=rows[-1].equity, total_return=values[-1] / values[0] - 1, days=len(returns),
        sharpe=_annual(returns, float(np.std(returns, ddof=1)) if len(returns) >= 2 else 0.0),
        sortino=_annual(returns, float(np.sqrt(np.mean(np.minimum(returns, 0) ** 2))) if len(returns) >= 2 else 0.0),
        max_drawdown=worst, current_drawdown=float(below[-1]), calmar=float(growth) / worst if growth is not None and worst > 0 else None,
    )  # fmt: skip


def _annual(returns: np.ndarray[tuple[int], np.dtype[np.float64]], risk: float) -> float | None:
    return float(np.mean(returns)) / risk * math.sqrt(DAYS_A_YEAR) if risk > 0 else None
