"""Hand-worked bars: stops, targets, gaps, ratchet, time rules; and the plan behind them."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest

from trader.domain.account import ExitPlan
from trader.domain.costs import Costs, bought, slip_units, slipped
from trader.domain.market import Instrument
from trader.domain.messages import Action, Decision
from trader.domain.orders import Side
from trader.execution import exits
from trader.execution.exit_plan import begin, conditional_stop, leg_quantities, levels, plan_for
from trader.execution.exits import ExitState
from trader.strategy.modes import parameters

INSTRUMENT = Instrument(pair="A/EUR", base="A", quote="EUR", tick=D("0.01"), lot=D("0.001"), order_min=D("0.01"), cost_min=D("0.5"))
HYBRID = ExitPlan(
    kind="hybrid", stop=0.03, tp1=0.05, tp2=0.08, legs=(0.382, 0.382), ratchet_base=0.03, breakeven=0.009, stagnation_bars=4,
    stagnation_low=-0.03, stagnation_high=0.03, max_hold_bars=6, cooldown_bars=4, cooldown_stop_bars=13,
)  # fmt: skip
Bar = tuple[float, float, float, float]


def changed(**values: object) -> ExitPlan:
    return ExitPlan(**{name: values.get(name, getattr(HYBRID, name)) for name in HYBRID.__slots__})  # type: ignore[arg-type]


def opened(plan: ExitPlan = HYBRID, side: Side = Side.BUY, entry: str = "100", quantity: str = "10") -> ExitState:
    return begin(plan, entry=D(entry), quantity=D(quantity), instrument=INSTRUMENT, slippage=0.0005, side=side)


def play(state: ExitState, bars: list[Bar], *, closed: bool = True) -> tuple[list[tuple[int, str, float, int]], ExitState]:
    """Exits as (bar, reason, price, lots) and the last state."""
    done = []
    for n, bar in enumerate(bars):
        ticks = [round(price * 100) for price in bar]
        while state.lots:
            reason, price, after = exits.step(state, *ticks, closed)
            sold, state = state.lots - after.lots, after
            if reason == exits.NONE:
                break
            done.append((n, exits.text_reason(reason), price / 100, sold))
    return done, state


CALM: Bar = (100, 101, 99, 100)


@pytest.mark.parametrize(
    ("name", "bars", "expected"),
    [
        ("stop in the entry bar", [(100, 101, 96.9, 98)], [(0, "STOP_LOSS", 96.95, 10_000)]),
        ("stop exactly touched", [(100, 101, 97, 98)], [(0, "STOP_LOSS", 96.95, 10_000)]),
        ("one tick above the stop", [(100, 101, 97.01, 98)], []),
        ("gap through the stop", [CALM, (95, 99, 94, 96)], [(1, "STOP_LOSS", 94.95, 10_000)]),
        ("stop before target in one bar", [(100, 106, 96, 105)], [(0, "STOP_LOSS", 96.95, 10_000)]),
        ("tp1 at its level", [(100, 105, 99, 104)], [(0, "TP1", 105, 3820)]),
        ("tp1 then tp2 in one bar", [(100, 109, 99, 108)], [(0, "TP1", 105, 3820), (0, "TP2", 108, 3820)]),
        ("tp1, tp2 bars apart, rest at the ratchet", [(100, 105.5, 99, 104), (104, 108.2, 103.9, 108), (108, 108, 104, 104)],
         [(0, "TP1", 105, 3820), (1, "TP2", 108, 3820), (2, "RATCHET_L2", 104.79, 2360)]),
        ("gap over tp1: its level, not better", [CALM, (106, 107, 105.5, 106)], [(1, "TP1", 105, 3820)]),
        ("gap over both targets", [CALM, (110, 111, 109, 110)], [(1, "TP1", 105, 3820), (1, "TP2", 108, 3820)]),
        ("gap over tp1, then down to the stop", [CALM, (106, 107, 96, 97)], [(1, "TP1", 105, 3820), (1, "STOP_LOSS", 96.95, 6180)]),
        ("ratchet 1 is break-even", [(100, 104.9, 99, 104), (104, 104, 100.5, 100.6)], [(1, "RATCHET_L1", 100.84, 10_000)]),
        ("ratchet holds from the next bar on", [(100, 104.9, 97.1, 104), (104, 104.5, 101, 104)], []),
        ("a ratchet level at or above the close leaves at the next open",
         [(100, 104.9, 99, 100.9), (102, 103, 101, 102)], [(1, "RATCHET_L1", 101.94, 10_000)]),
        ("stagnation", [CALM] * 5, [(4, "STAGNATION", 99.95, 10_000)]),
        ("max hold", [*[CALM] * 3, *[(103.1, 103.2, 103.05, 103.1)] * 3, CALM], [(6, "MAX_HOLD", 99.95, 10_000)]),
        ("a due exit comes before the gap through the stop", [*[CALM] * 4, (90, 91, 89, 90)], [(4, "STAGNATION", 89.95, 10_000)]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_bars_and_the_trades_they_make(name: str, bars: list[Bar], expected: list[tuple[int, str, float, int]]) -> None:
    assert play(opened(), bars)[0] == expected


def test_max_hold_comes_before_stagnation() -> None:
    both = changed(stagnation_bars=6)
    assert play(opened(both), [CALM] * 7)[0] == [(6, "MAX_HOLD", 99.95, 10_000)]


def test_ratchet_levels_follow_the_golden_steps_and_never_fall() -> None:
    """b = 0.03: level n from a gain of 3 % x phi^n on; n = 1 is entry + costs, n = 2, 3 are 4.854 % and 7.854 %."""
    state, seen = opened(changed(kind="ratchet", legs=(0.0, 0.0), max_hold_bars=0, stagnation_bars=0)), []
    for high in (103.0, 104.85, 104.86, 107.85, 107.86, 112.7, 112.71, 109.0):
        done, state = play(state, [(high - 0.5, high, high - 0.6, high - 0.1)])
        assert done == []
        seen.append((state.level, state.stop / 100))
    assert seen == [(0, 97.0), (0, 97.0), (1, 100.9), (1, 100.9), (2, 104.85), (2, 104.85), (3, 107.85), (3, 107.85)]


def test_ratchet_is_off_in_the_targets_plan_and_targets_in_the_ratchet_plan() -> None:
    targets = opened(changed(kind="targets", legs=(0.618, 0.382), ratchet_base=0.0))
    assert play(targets, [(100, 109, 99, 108)])[0] == [(0, "TP1", 105, 6180), (0, "TP2", 108, 3820)]
    assert play(targets, [(100, 104.9, 99, 104)])[1].stop == 9700
    assert play(opened(changed(kind="ratchet", legs=(0.0, 0.0))), [(100, 109, 99, 108)])[0] == []


def test_ticks_touch_but_move_neither_ratchet_nor_age() -> None:
    state = opened()
    done, after = play(state, [(104.9,) * 4, (100,) * 4], closed=False)
    assert done == [] and after == state
    assert play(state, [(105,) * 4, (97,) * 4], closed=False)[0] == [(0, "TP1", 105, 3820), (1, "STOP_LOSS", 96.95, 6180)]


@pytest.mark.parametrize(("price", "expected"), [(100, []), (50, [])])
def test_a_whole_position_above_the_minimum_is_no_dust(price: float, expected: list[object]) -> None:
    assert play(opened(changed(stop=0.9, stagnation_bars=0)), [(price,) * 4])[0] == expected


def test_dust_leaves_at_the_next_open() -> None:
    tiny = opened(changed(legs=(0.0, 0.0), stagnation_bars=0), quantity="0.011")._replace(lots=10)
    tiny = tiny._replace(terms=tiny.terms._replace(cost_min=9_500.0 * 10, order_min=0.0))
    assert play(tiny, [CALM, CALM])[0] == [(1, "DUST_ESCAPE", 99.95, 10)]
    safe = tiny._replace(terms=tiny.terms._replace(cost_min=9_000.0 * 10))
    assert play(safe, [CALM, CALM])[0] == []


def test_shorts_mirror_the_bars() -> None:
    short = opened(side=Side.SELL)
    assert exits.stop_level(short) == 10_300
    assert play(short, [(100, 103, 99, 101)])[0] == [(0, "STOP_LOSS", 103.06, 10_000)]  # bought back dearer, rounded up
    assert play(short, [(100, 101, 92, 93)])[0] == [(0, "TP1", 95, 3820), (0, "TP2", 92, 3820)]
    state = play(short, [(100, 101, 95.1, 96)])[1]
    assert (state.level, exits.stop_level(state)) == (1, 9910)
    assert play(opened(side=Side.SELL), [CALM] * 5)[0] == [(4, "STAGNATION", 100.05, 10_000)]


def test_the_state_survives_json() -> None:
    state = play(opened(), [(100, 105.5, 99, 104)])[1]
    assert exits.from_json(json.loads(json.dumps(exits.to_json(state)))) == state
    with pytest.raises(ValueError, match="missing or unknown: held"):
        exits.from_json({k: v for k, v in exits.to_json(state).items() if k != "held"})
    with pytest.raises(ValueError, match="no terms"):
        exits.from_json({})


def test_reasons_have_one_text_each() -> None:
    for code in (*range(1, 8), exits.RATCHET + 1, exits.RATCHET + 50):
        assert exits.code_of(exits.text_reason(code)) == code
    assert exits.text_reason(102) == "RATCHET_L2"
    for bad in (0, 99, -1):
        with pytest.raises(ValueError, match="no exit reason"):
            exits.text_reason(bad)
    with pytest.raises(ValueError, match="no exit reason"):
        exits.code_of("LUCK")


def test_start_refuses_legs_beyond_the_position_and_mixed_prices() -> None:
    common = {"entry": 100.0, "tp1": 105, "tp2": 108, "slippage": 0.0}
    with pytest.raises(ValueError, match="do not fit"):
        exits.start(HYBRID, stop=97, lots=10, leg1=8, leg2=4, **common)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all be int"):
        exits.start(HYBRID, stop=97.0, lots=10, leg1=1, leg2=1, **common)  # type: ignore[arg-type]


# --- plan --------------------------------------------------------------------------------------------------------------
def decision(strategy: str = "viable/mitraillette/DEFAULT", stop: float = 0.03, tp1: float = 0.05, tp2: float = 0.08) -> Decision:
    return Decision(
        pair="A/EUR",
        close_us=0,
        side=Side.BUY,
        action=Action.ENTER,
        score=70.0,
        close=100.0,
        atr_fraction=0.01,
        stop=stop,
        tp1=tp1,
        tp2=tp2,
        strategy=strategy,
    )


def test_viable_plan() -> None:
    plan = plan_for(parameters("viable", "mitraillette", "DEFAULT"), decision(), Costs())
    assert (plan.kind, plan.legs, plan.max_hold_bars, plan.stagnation_bars) == ("hybrid", (0.382, 0.382), 96, 55)
    assert plan.breakeven == pytest.approx(0.009)
    assert plan.ratchet_base == pytest.approx(0.05 / 1.618033988749895)
    assert (plan.stagnation_low, plan.stagnation_high) == (-plan.ratchet_base, plan.ratchet_base)


def test_seed_plan() -> None:
    plan = plan_for(parameters("seed", "sniper", "DEFAULT"), decision(), Costs())
    assert (plan.kind, plan.ratchet_base, plan.stagnation_low, plan.stagnation_high, plan.max_hold_bars) == ("ratchet", 0.01, 0.0, 0.013, 0)


def test_plan_kind_can_be_set_and_must_be_known() -> None:
    p = parameters("viable", "sniper", "DEFAULT")
    assert plan_for(p, decision(), Costs(), "targets").ratchet_base == 0.0
    with pytest.raises(ValueError, match="'hope' is not one of"):
        plan_for(p, decision(), Costs(), "hope")
    with pytest.raises(ValueError, match="make no plan"):
        plan_for(p, decision(stop=0.0), Costs())


def test_stops_round_toward_entry_and_targets_away() -> None:
    assert levels(HYBRID, D("99.99"), INSTRUMENT) == (D("97.00"), D("104.99"), D("107.99"))  # 96.9903, 104.9895, 107.9892
    assert levels(HYBRID, D("99.99"), INSTRUMENT, Side.SELL) == (D("102.98"), D("94.99"), D("91.99"))  # 102.9897, 94.9905, 91.9908
    assert conditional_stop(HYBRID, D("100.37"), INSTRUMENT) == D("97.36")


@pytest.mark.parametrize(
    ("legs", "quantity", "expected"),
    [
        ((0.382, 0.382), "10", ("3.820", "3.820")),
        ((0.382, 0.382), "0.04", ("0.015", "0.025")),  # a rest worth 1.0 is below 1.10 x 1
        ((0.382, 0.382), "0.02", ("0", "0.020")),
        ((0.618, 0.382), "10", ("6.180", "3.820")),
        ((0.618, 0.382), "0.02", ("0.020", "0")),
        ((0.618, 0.382), "7.777", ("4.806", "2.971")),
        ((0.0, 0.0), "10", ("0", "0")),
    ],
)
def test_small_legs_and_rests_merge(legs: tuple[float, float], quantity: str, expected: tuple[str, str]) -> None:
    made = leg_quantities(changed(legs=legs), D(quantity), D(100), INSTRUMENT)
    assert made == tuple(D(v) for v in expected)


def test_slippage_on_ticks_equals_decimal_arithmetic() -> None:
    units = slip_units(0.0005)
    for ticks in (1, 3, 1999, 2000, 10_000, 9_999_999_999):
        exact = D(ticks) * (1 - D("0.0005"))
        assert slipped(ticks, units) == int(exact.to_integral_value("ROUND_FLOOR"))
        assert bought(ticks, units) == int((D(ticks) * (1 + D("0.0005"))).to_integral_value("ROUND_CEILING"))
    assert slipped(100.0, 0) == 100.0 and bought(100.0, units) == pytest.approx(100.05)
