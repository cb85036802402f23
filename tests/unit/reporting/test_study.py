"""Statistics of a whole run against figures worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trader.domain.market import DAY
from trader.domain.messages import TradeLeg
from trader.domain.orders import Side
from trader.ports import EquityRow
from trader.reporting import study
from trader.reporting.analytics import trades_of

D = Decimal
HOUR = DAY // 24


def row(hours: float, equity: str) -> EquityRow:
    at = round(hours * HOUR)
    return EquityRow(time_us=at, cash=D(equity), marked=D(0), equity=D(equity), realised=D(0), fees=D(0), drawdown=0.0)


def leg(pair: str, *, entry_h: int, exit_h: int, net: str, reason: str = "STOP_LOSS") -> TradeLeg:
    return TradeLeg(
        position_id=f"{pair}@{entry_h}", pair=pair, side=Side.BUY, entry_us=entry_h * HOUR, exit_us=exit_h * HOUR, entry_price=D(100),
        exit_price=D(90), quantity=D(2), fee=D(1), net=D(net), reason=reason,
    )  # fmt: skip


def test_a_curve_with_holes_gets_a_row_at_every_days_end() -> None:
    curve = study.whole_curve([row(30, "90"), row(31, "95")], D(100), 12 * HOUR, 3 * DAY)
    assert [(r.time_us / HOUR, r.equity) for r in curve] == [
        (12, D(100)), (24, D(100)), (30, D(90)), (31, D(95)), (48, D(95)), (72, D(95)),
    ]  # fmt: skip
    assert [(day.label, round(day.result, 6)) for day in study.days_of(curve, [])] == [
        ("1970-01-01", 0.0), ("1970-01-02", -0.05), ("1970-01-03", 0.0),
    ]  # fmt: skip
    assert study.curve_figures(curve).days == 2  # the first day is not whole
    assert study.curve_figures(study.whole_curve([], D(100), 0, 3 * DAY)).days == 3
    assert study.curve_figures(curve).total_return == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("values", "depth", "places", "longest"),
    [
        ("100 110 120", 0.0, (0, 0, 0), 0),
        ("100 90 95 100 80 90", 0.2, (3, 4, None), 2),
        ("100 75 100 99 98 97 96 101", 0.25, (0, 1, 2), 4),
    ],
)
def test_drawdown_in_depth_and_time(values: str, depth: float, places: tuple[int, int, int | None], longest: int) -> None:
    found = study.drawdown([row(hour, value) for hour, value in enumerate(values.split())])
    assert found.depth == pytest.approx(depth)
    assert (found.peak_us, found.bottom_us, found.back_us) == tuple(None if place is None else place * HOUR for place in places)
    assert found.longest_s == longest * 3600


def test_a_stop_that_loses_what_was_planned_is_minus_one_r() -> None:
    (trade,) = trades_of([leg("A/EUR", entry_h=0, exit_h=1, net="-9")])
    assert study.r_multiple(trade, 0.045) == -1.0  # a stake of 200 with 4.5 % at risk


def test_bins_are_round_hold_every_value_and_none_twice() -> None:
    values = [-1.04, -1.0, -0.2, 0.0, 0.31, 2.79]
    bins = study.histogram(values, most=40)
    assert sum(one.count for one in bins) == len(values)
    assert (bins[0].low, bins[-1].high) == (-1.1, 2.8)
    assert {round(one.high - one.low, 9) for one in bins} == {0.1}
    assert study.histogram([]) == []
    assert sum(one.count for one in study.histogram([0.5, 0.5])) == 2


def test_time_in_the_market_counts_overlapping_positions_once_and_exposure_each() -> None:
    curve = study.whole_curve([], D(1000), 0, DAY)
    legs = [leg("A/EUR", entry_h=0, exit_h=6, net="1"), leg("B/EUR", entry_h=3, exit_h=9, net="1")]
    invested, held = study.exposure(legs, curve)
    assert held == 9 / 24
    assert invested == pytest.approx(200 * 12 / 24 / 1000)
    assert study.exposure([], curve) == (0.0, 0.0)


def test_a_target_fills_at_its_level_and_pays_no_slippage_on_the_way_out() -> None:
    stop, target = leg("A/EUR", entry_h=0, exit_h=1, net="-1"), leg("A/EUR", entry_h=0, exit_h=1, net="1", reason="TP1")
    paid_in = D("200") * D(str(0.0005 / 1.0005))
    assert study.slippage_paid([target], 0.0005) == paid_in.quantize(D("1e-8"))
    assert study.slippage_paid([stop], 0.0005) > study.slippage_paid([target], 0.0005)


def test_groups_count_gains_and_keep_the_sums() -> None:
    legs = [
        leg("A/EUR", entry_h=0, exit_h=1, net="3", reason="TP1"), leg("A/EUR", entry_h=2, exit_h=3, net="-1"),
        leg("B/EUR", entry_h=0, exit_h=1, net="-2"),
    ]  # fmt: skip
    pairs = study.by_pair(trades_of(legs))
    assert [(one.name, one.count, one.wins, one.net) for one in pairs] == [("A/EUR", 2, 1, D(2)), ("B/EUR", 1, 0, D(-2))]
    reasons = study.by_reason(legs)
    assert [(one.name, one.count, one.best, one.worst) for one in reasons] == [("STOP_LOSS", 2, D(-1), D(-2)), ("TP1", 1, D(3), D(3))]
