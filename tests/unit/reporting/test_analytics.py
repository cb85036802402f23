"""Trading statistics against figures worked out by hand; what is undefined is None."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from trader.domain.market import DAY
from trader.domain.messages import TradeLeg
from trader.domain.orders import Side
from trader.ports import EquityRow
from trader.reporting.analytics import drawdowns, equity_figures, trade_figures, trades_of, wilson

D = Decimal


def leg(position: str, net: str, *, exit_us: int, quantity: str = "1", fee: str = "1") -> TradeLeg:
    return TradeLeg(
        position_id=position, pair="BTC/EUR", side=Side.BUY, entry_us=0, exit_us=exit_us, entry_price=D(100),
        exit_price=D(100) + D(net) + D(fee), quantity=D(quantity), fee=D(fee), net=D(net), reason="TP1",
    )  # fmt: skip


def row(day: int, equity: str) -> EquityRow:
    return EquityRow(time_us=day * DAY, cash=D(0), marked=D(equity), equity=D(equity), realised=D(0), fees=D(0), drawdown=0.0)


def test_legs_of_one_position_are_one_trade_and_open_positions_are_none() -> None:
    legs = [leg("a", "5", exit_us=3), leg("b", "-2", exit_us=2), leg("a", "-1", exit_us=9), leg("c", "7", exit_us=1)]
    trades = trades_of(legs, still_open={"c"})
    assert [(t.position_id, t.net, t.fees, t.stake, t.exit_us) for t in trades] == [
        ("b", D(-2), D(1), D(100), 2),
        ("a", D(4), D(2), D(200), 9),
    ]


def test_figures_of_four_trades() -> None:
    legs = [leg(name, net, exit_us=n) for n, (name, net) in enumerate([("a", "6"), ("b", "-2"), ("c", "-1"), ("d", "3")])]
    found = trade_figures(trades_of(legs))
    assert (found.trades, found.wins, found.losses, found.net, found.fees) == (4, 2, 2, D(6), D(4))
    assert found.profit_factor == 3.0
    assert found.expectancy == 1.5
    assert (found.average_win, found.average_loss) == (4.5, -1.5)
    assert (found.best_streak, found.worst_streak) == (1, 2)
    assert found.fee_share == pytest.approx(4 / 11)  # gains before fees: 7 and 4
    assert found.win_rate == 0.5


def test_undefined_figures_are_none() -> None:
    nothing = trade_figures([])
    assert nothing.trades == 0
    assert [nothing.win_rate, nothing.win_low, nothing.profit_factor, nothing.expectancy, nothing.fee_share] == [None] * 5
    assert trade_figures(trades_of([leg("a", "5", exit_us=1)])).profit_factor is None
    short = equity_figures([row(0, "100"), row(1, "110")])
    assert (short.sharpe, short.sortino, short.calmar) == (None, None, None)
    assert equity_figures([]).max_drawdown is None


def test_wilson_interval_equals_the_published_example() -> None:
    low, high = wilson(15, 148) or (0.0, 0.0)  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.0624, 0.1605)
    assert wilson(0, 0) is None
    assert (wilson(0, 20) or (1.0,))[0] == 0.0
    with pytest.raises(ValueError, match="wins 3 of 2"):
        wilson(3, 2)


def test_drawdown_is_measured_from_the_peak_so_far() -> None:
    assert drawdowns([100, 120, 90, 130, 104]).tolist() == pytest.approx([0, 0, 0.25, 0, 0.2])
    with pytest.raises(ValueError, match="above 0"):
        drawdowns([1.0, 0.0])


def test_sharpe_and_sortino_use_daily_closes_and_365_days() -> None:
    rows = [row(0, "100"), row(1, "110"), row(2, "99"), row(3, "108.9")]
    found = equity_figures(rows)
    returns = [0.1, -0.1, 0.1]
    mean = sum(returns) / 3
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / 2)
    assert found.days == 3
    assert found.sharpe == pytest.approx(mean / deviation * math.sqrt(365))
    assert found.sortino == pytest.approx(mean / math.sqrt(0.01 / 3) * math.sqrt(365))
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.total_return == pytest.approx(0.089)
