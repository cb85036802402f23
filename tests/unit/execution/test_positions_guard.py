"""The guard of a position says what to do at a touch or a close; only fills move what is held."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest
from ledger_kit import PLAN, T0, entry

from trader.domain.account import Position, PositionState
from trader.domain.market import Candle, Instrument, Timeframe
from trader.execution.positions import ExitKind, Guard

RULES = Instrument(pair="BTC/EUR", base="BTC", quote="EUR", tick=D("0.1"), lot=D("0.001"), order_min=D("0.001"), cost_min=D("0.5"))


def held(quantity: str = "10", price: str = "100") -> Position:
    """A position bought at 100: stop at 98, targets at 102 (61.8 %) and 104 (38.2 %)."""
    _, opening = entry()
    amount = D(quantity)
    return replace(opening, plan=PLAN, state=PositionState.OPEN, entry_quantity=amount, entry_cost=amount * D(price))


def bar(open_: float, high: float, low: float, close: float, number: int = 1) -> Candle:
    """The bar of that number since the entry, which is in the first."""
    time_us = T0 + (number - 1) * Timeframe.M15.us
    return Candle(pair="BTC/EUR", timeframe=Timeframe.M15, time_us=time_us, open=open_, high=high, low=low, close=close, volume=1.0)


def test_the_stop_lies_at_the_plans_distance_from_the_average_fill() -> None:
    guard = Guard.begin(held(), RULES)
    assert guard.stop_price == D("98.0")
    assert guard.stop_reason == "STOP_LOSS"
    assert Guard.begin(held(price="100.05"), RULES).stop_price == D("98.1"), "rounded toward the entry"


def test_a_position_that_holds_nothing_has_no_guard() -> None:
    with pytest.raises(ValueError, match="lot"):
        Guard.begin(held(quantity="0.0001"), RULES)


@pytest.mark.parametrize("price", ["98.1", "100", "101.9"])
def test_prices_between_stop_and_target_ask_for_nothing(price: str) -> None:
    assert Guard.begin(held(), RULES).touched(D(price)) == []


@pytest.mark.parametrize("price", ["98.0", "97.5"])
def test_a_touched_stop_is_the_exchanges_fill_and_moves_no_state(price: str) -> None:
    guard = Guard.begin(held(), RULES)
    before = guard.state
    exits = guard.touched(D(price))
    assert [(exit.kind, exit.reason, exit.quantity) for exit in exits] == [(ExitKind.STOP, "STOP_LOSS", D("10.000"))]
    assert guard.state == before


def test_a_target_sells_its_leg_at_its_level_and_is_asked_for_until_it_filled() -> None:
    guard = Guard.begin(held(), RULES)
    first = guard.touched(D("102.3"))
    assert [(exit.kind, exit.reason, exit.price, exit.quantity) for exit in first] == [(ExitKind.TARGET, "TP1", D("102.0"), D("6.180"))]
    assert guard.touched(D("102.3")) == first, "not filled yet"
    guard.took(first[0])
    guard.hold(D("3.82"))
    assert guard.touched(D("102.3")) == []
    second = guard.touched(D("104"))
    assert [(exit.reason, exit.quantity) for exit in second] == [("TP2", D("3.820"))]


def test_a_jump_over_both_targets_asks_for_both_legs() -> None:
    exits = Guard.begin(held(), RULES).touched(D("105"))
    assert [exit.reason for exit in exits] == ["TP1", "TP2"]
    assert sum(exit.quantity for exit in exits) == D("10")


def test_legs_that_the_orders_show_as_sold_are_not_sold_again() -> None:
    guard = Guard.begin(held(), RULES)
    guard.sold(["TP1"])
    guard.hold(D("3.82"))
    assert guard.touched(D("103")) == []
    assert [exit.reason for exit in guard.touched(D("104"))] == ["TP2"]
    guard.sold(["STAGNATION", "something else"])
    assert [exit.reason for exit in guard.touched(D("104"))] == ["TP2"]


def test_a_close_raises_the_stop_and_never_lowers_it() -> None:
    guard = Guard.begin(held(), RULES)
    assert guard.closed(bar(100, 101.9, 99.5, 101.8)) == []
    raised = guard.stop_price
    assert raised > D("98.0")
    assert guard.stop_reason == "RATCHET_L1"
    guard.closed(bar(101.8, 101.8, 101.2, 101.3, number=2))
    assert guard.stop_price == raised


def test_stagnation_leaves_at_market_and_stays_due_until_it_is_done() -> None:
    guard = Guard.begin(held(), RULES)
    wanted = [guard.closed(bar(100, 100.2, 99.8, 100, number)) for number in range(1, PLAN.stagnation_bars + 1)]
    assert [len(exits) for exits in wanted] == [0] * (PLAN.stagnation_bars - 1) + [1]
    assert [(exit.kind, exit.reason) for exit in wanted[-1]] == [(ExitKind.MARKET, "STAGNATION")]
    again = guard.touched(D("100.1"))
    assert [(exit.kind, exit.reason, exit.quantity) for exit in again] == [(ExitKind.MARKET, "STAGNATION", D("10.000"))]


def test_a_stored_guard_comes_back_with_what_the_fills_say_is_held() -> None:
    guard = Guard.begin(held(), RULES)
    guard.closed(bar(100, 101.9, 99.5, 101.8))
    back = Guard.restore(held(quantity="4"), RULES, guard.to_json())
    assert back is not None
    assert back.stop_price == guard.stop_price
    assert back.state.lots == 4000
    assert Guard.restore(held(), RULES, None) is None


def test_nothing_held_asks_for_nothing() -> None:
    guard = Guard.begin(held(), RULES)
    guard.hold(D(0))
    assert guard.touched(D("90")) == []
    assert guard.closed(bar(100, 110, 90, 95)) == []
