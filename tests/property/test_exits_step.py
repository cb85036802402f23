"""The compiled step equals its Python original; lots are conserved; ticks and prices agree; the future does not matter."""

from __future__ import annotations

import types
from decimal import Decimal as D
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.domain.account import ExitPlan
from trader.execution import exits
from trader.execution.exits import ExitState
from trader.indicators.compiled import compiled

PLANS = [
    ExitPlan(kind=kind, stop=0.02, tp1=0.03, tp2=0.05, legs=legs, ratchet_base=base, breakeven=0.009, stagnation_bars=12,
             stagnation_low=-0.01, stagnation_high=0.01, max_hold_bars=40, cooldown_bars=4, cooldown_stop_bars=13)
    for kind, legs, base in (("hybrid", (0.382, 0.382), 0.0185), ("targets", (0.618, 0.382), 0.0), ("ratchet", (0.0, 0.0), 0.01))
]  # fmt: skip


def oracle() -> Any:
    """`step.py_func` with its helpers as plain Python too: nothing compiled takes part."""
    world = dict(vars(exits))
    for name in ("_after_close", "_time_rule", "_sold"):
        world[name] = types.FunctionType(getattr(exits, name).py_func.__code__, world)
    return types.FunctionType(exits.step.py_func.__code__, world)  # type: ignore[attr-defined]


PLAIN = oracle()


def bars(seed: int, n: int, scale: int = 10_000) -> np.ndarray:
    """(n, 4) int64 ticks: open, high, low, close, with gaps and bars of no width."""
    rng = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(rng.standard_normal(n) * 0.006))
    open_ = np.r_[scale, close[:-1]] * np.exp(rng.standard_normal(n) * 0.004 * (rng.random(n) < 0.3))
    high = np.maximum(open_, close) * (1 + np.abs(rng.standard_normal(n)) * 0.004)
    low = np.minimum(open_, close) * (1 - np.abs(rng.standard_normal(n)) * 0.004)
    made = np.rint(np.stack([open_, high, low, close], axis=1)).astype(np.int64)
    made[rng.random(n) < 0.05] = made[0, 0]
    return made


def first(plan: ExitPlan, entry: int, sign: int = 1, kind: type = int) -> ExitState:
    price = lambda fraction: kind(round(entry * (1 + sign * fraction)))  # noqa: E731
    leg1, leg2 = (int(1000 * share) for share in plan.legs)
    return exits.start(
        plan,
        entry=entry,
        stop=price(-plan.stop),
        tp1=price(plan.tp1),
        tp2=price(plan.tp2),
        lots=1000,
        leg1=leg1,
        leg2=leg2,
        slippage=0.0005,
        sign=sign,
    )


def walk(step: Any, state: ExitState, rows: list[list[Any]], closed: bool = True) -> list[tuple[Any, ...]]:
    seen = []
    for row in rows:
        while state.lots:
            reason, price, state = step(state, *row, closed)
            seen.append((int(reason), price, state))
            if reason == exits.NONE:
                break
    return seen


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: p.kind)
@pytest.mark.parametrize("sign", [1, -1])
def test_compiled_step_equals_plain_python(plan: ExitPlan, sign: int) -> None:
    reasons: dict[int, int] = {}
    for seed in range(60):
        rows = bars(seed, 60).tolist()
        state = first(plan, rows[0][0], sign)
        compiled = walk(exits.step, state, rows)
        assert compiled == walk(PLAIN, state, rows) == walk(exits.step.py_func, state, rows)  # type: ignore[attr-defined]
        for reason, _, _ in compiled:
            reasons[reason] = reasons.get(reason, 0) + 1
    assert reasons[exits.STOP_LOSS] > 5
    assert plan.kind == "ratchet" or reasons[exits.TP1] > 5
    assert plan.kind == "targets" or any(r > exits.RATCHET for r in reasons)


def test_two_price_types_are_two_compilations_and_no_more() -> None:
    rows = bars(1, 30).tolist()
    step = compiled(exits.step.py_func)  # type: ignore[attr-defined] # of its own: other tests of this process call it as they like
    for plan in PLANS:
        for sign in (1, -1):
            walk(step, first(plan, rows[0][0], sign), rows)
            walk(step, first(plan, rows[0][0], sign, float), [[float(v) for v in row] for row in rows])
    assert len(step.signatures) == 2


def test_float_prices_agree_with_ticks_but_for_rounding() -> None:
    compared = 0
    for seed in range(40):
        rows = bars(seed, 60, 10_000_000).tolist()
        in_ticks = walk(exits.step, first(PLANS[0], rows[0][0]), rows)
        plain = walk(exits.step, first(PLANS[0], rows[0][0], 1, float), [[float(v) for v in row] for row in rows])
        assert [(a[0], a[2].lots) for a in in_ticks] == [(b[0], b[2].lots) for b in plain]
        assert all(abs(a[1] - b[1]) <= 1 for a, b in zip(in_ticks, plain, strict=True))
        compared += len(plain)
    assert compared > 200


def test_the_golden_plain_float_trade_has_no_rounding() -> None:
    state = exits.start(PLANS[0], entry=100.0, stop=98.0, tp1=103.0, tp2=105.0, lots=1, leg1=1, leg2=0, slippage=0.0, gap_at_open=True)
    assert exits.step(state, 103.7, 104.0, 103.0, 103.5, True)[:2] == (exits.TP1, 103.7)
    assert exits.step(state, 97.3, 104.0, 97.0, 103.5, True)[:2] == (exits.STOP_LOSS, 97.3)


row = st.tuples(*[st.integers(9_000, 11_500)] * 4).map(lambda v: [v[0], max(v), min(v), v[3]])


@settings(max_examples=200, deadline=None)
@given(st.lists(row, min_size=1, max_size=60), st.sampled_from(PLANS), st.sampled_from([1, -1]), st.booleans())
def test_lots_are_conserved_stops_never_loosen_and_the_past_is_enough(
    rows: list[list[int]], plan: ExitPlan, sign: int, closed: bool
) -> None:
    state = first(plan, 10_000, sign)
    seen = walk(exits.step, state, rows, closed)
    lots, stop = state.lots, state.stop
    for reason, price, after in seen:
        assert 0 <= after.lots <= lots and (after.lots == lots) == (reason == exits.NONE)
        assert after.stop >= stop and price > 0
        lots, stop = after.lots, after.stop
    assert seen == walk(PLAIN, state, rows, closed)
    assert walk(exits.step, state, rows[: len(rows) // 2], closed) == seen[: len(walk(exits.step, state, rows[: len(rows) // 2], closed))]


def test_decimal_replay_of_simple_stops_and_targets_agrees() -> None:
    """An independent Decimal walk over the same bar order, without ratchet and time rules."""
    plan = ExitPlan(kind="targets", stop=0.02, tp1=0.03, tp2=0.05, legs=(1.0, 0.0), ratchet_base=0.0, breakeven=0.009, stagnation_bars=0,
                    stagnation_low=0.0, stagnation_high=0.0, max_hold_bars=0, cooldown_bars=0, cooldown_stop_bars=0)  # fmt: skip
    trades = 0
    for seed in range(80):
        rows = bars(seed, 200).tolist()
        state = first(plan, rows[0][0])
        got = [(r, p) for r, p, s in walk(exits.step, state, rows) if r != exits.NONE]
        assert got == _decimal_exit(rows, D(state.stop), D(state.terms.tp1))
        trades += len(got)
    assert trades > 60


def _decimal_exit(rows: list[list[int]], stop: D, target: D) -> list[tuple[int, int]]:
    for open_, high, low, _ in rows:
        for price in (D(open_), None):
            if (price if price is not None else D(low)) <= stop:
                at = price if price is not None else stop
                return [(exits.STOP_LOSS, int((at * D("0.9995")).to_integral_value("ROUND_FLOOR")))]
            if (price if price is not None else D(high)) >= target:
                return [(exits.TP1, int(target))]
    return []


@settings(max_examples=300, deadline=None)
@given(
    st.integers(9_000, 11_500), st.sampled_from(PLANS), st.sampled_from([1, -1]), st.integers(0, 3), st.sampled_from([0, 0, exits.MAX_HOLD])
)
def test_a_trade_that_touches_nothing_is_known_without_the_step(price: int, plan: ExitPlan, sign: int, legs: int, due: int) -> None:
    state = first(plan, 10_000, sign)._replace(legs=legs, due=due)
    reason, _, after = exits.step.py_func(state, *[price] * 4, False)  # type: ignore[attr-defined]
    assert exits.untouched(state, price) == (reason == exits.NONE)
    assert reason != exits.NONE or after == state
