"""A short is the long on the mirrored market: same legs on a reflected path, a stop above the entry that only comes down, and
orders that reduce it can never turn it into a long.
"""

from __future__ import annotations

import contextlib
import itertools
from decimal import Decimal as D
from typing import Any

import numpy as np
import pytest
from futures_kit import BTC, Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.domain.account import ExitPlan
from trader.execution import exits
from trader.execution.exits import ExitState
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.orders import Unplaced

ENTRY = 10_000
PLANS = [
    ExitPlan(kind=kind, stop=0.02, tp1=0.03, tp2=0.05, legs=legs, ratchet_base=base, breakeven=0.00503, stagnation_bars=12,
             stagnation_low=-0.01003, stagnation_high=0.01003, max_hold_bars=40, cooldown_bars=4, cooldown_stop_bars=13)
    for kind, legs, base in (("hybrid", (0.382, 0.382), 0.0185), ("targets", (0.618, 0.382), 0.0), ("ratchet", (0.0, 0.0), 0.01))
]  # fmt: skip
"""Windows lie off the grid of ticks: p / e - 1 and 1 - p / e round differently in their last bit."""


def path(seed: int, n: int = 60) -> Any:
    """(n, 4) int64 ticks: open, high, low, close, with gaps."""
    rng = np.random.default_rng(seed)
    close = ENTRY * np.exp(np.cumsum(rng.standard_normal(n) * 0.008))
    open_ = np.r_[ENTRY, close[:-1]] * np.exp(rng.standard_normal(n) * 0.006 * (rng.random(n) < 0.3))
    high = np.maximum(open_, close) * (1 + np.abs(rng.standard_normal(n)) * 0.004)
    low = np.minimum(open_, close) * (1 - np.abs(rng.standard_normal(n)) * 0.004)
    return np.rint(np.stack([open_, high, low, close], axis=1)).astype(np.int64)


def reflected(rows: Any) -> Any:
    """The path mirrored at the entry price: its highs are lows."""
    return 2 * ENTRY - rows[:, [0, 2, 1, 3]]


def opened(plan: ExitPlan, sign: int) -> ExitState:
    level = lambda fraction: ENTRY + sign * round(ENTRY * fraction)  # noqa: E731
    legs = [int(1_000 * share) for share in plan.legs]
    return exits.start(
        plan, entry=ENTRY, stop=level(-plan.stop), tp1=level(plan.tp1), tp2=level(plan.tp2), lots=1_000, leg1=legs[0], leg2=legs[1],
        slippage=0.0, sign=sign,
    )  # fmt: skip


def walk(state: ExitState, rows: Any) -> tuple[list[tuple[int, str, int, int]], list[int]]:
    """Legs as (bar, reason, price, lots), and the stop after each bar."""
    legs, stops = [], [int(exits.stop_level(state))]
    for bar, (open_, high, low, close) in enumerate(rows.tolist()):
        while True:
            held = state.lots
            reason, price, state = exits.step(state, open_, high, low, close, True)
            if reason == exits.NONE:
                break
            legs.append((bar, exits.text_reason(reason), int(price), held - state.lots))
            if state.lots == 0:
                return legs, stops
        stops.append(int(exits.stop_level(state)))
    return legs, stops


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), plan=st.sampled_from(PLANS))
def test_a_short_on_the_reflected_path_behaves_as_the_long(seed: int, plan: ExitPlan) -> None:
    rows = path(seed)
    longs, long_stops = walk(opened(plan, 1), rows)
    shorts, short_stops = walk(opened(plan, -1), reflected(rows))
    assert shorts == [(bar, reason, 2 * ENTRY - price, lots) for bar, reason, price, lots in longs]
    assert short_stops == [2 * ENTRY - stop for stop in long_stops]


def test_the_reflection_test_sees_every_kind_of_exit() -> None:
    seen = {reason for seed in range(60) for plan in PLANS for _, reason, _, _ in walk(opened(plan, -1), reflected(path(seed)))[0]}
    assert {"STOP_LOSS", "TP1", "TP2", "STAGNATION", "MAX_HOLD", "RATCHET_L1", "RATCHET_L2"} <= seen


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), plan=st.sampled_from(PLANS))
def test_a_shorts_stop_begins_above_its_entry_and_only_comes_down(seed: int, plan: ExitPlan) -> None:
    _, stops = walk(opened(plan, -1), path(seed))
    assert stops[0] > ENTRY
    assert all(after <= before for before, after in itertools.pairwise(stops))


ORDERS = st.tuples(
    st.sampled_from(["buy", "sell"]), st.sampled_from(["mkt", "ioc", "lmt", "stp"]), st.integers(1, 40), st.integers(90, 110)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(orders=st.lists(ORDERS, min_size=1, max_size=8), prices=st.lists(st.integers(85, 115), min_size=1, max_size=6))
def test_reducing_orders_never_turn_a_short_nor_add_to_it(orders: list[tuple[str, str, int, int]], prices: list[int]) -> None:
    bench = Bench()
    bench.send("sell", "2")
    least = bench.size()
    for (side, kind, tenths, price), to in zip(orders, prices * 8, strict=False):
        fields = {"stop_price": str(price)} if kind == "stp" else {} if kind == "mkt" else {"limit_price": str(price)}
        with contextlib.suppress(Unplaced, Refused):  # what would reduce nothing, or not trade
            bench.send(side, str(D(tenths) / 10), kind, reduce_only=True, **fields)
        bench.move(btc=float(to))
        assert least <= bench.size(BTC) <= 0
        least = bench.size()


def test_an_order_that_does_not_reduce_turns_it() -> None:
    """The control: without the mark the very same orders open the other side."""
    bench = Bench()
    bench.send("sell", "2")
    bench.send("buy", "4")
    assert bench.size() == D(2)
    with pytest.raises(Unplaced, match="wouldNotReducePosition"):
        bench.send("buy", "1", reduce_only=True)


def test_a_price_that_jumps_over_stop_and_liquidation_is_served_by_the_stop() -> None:
    """At leverage 3 a short at 100 is liquidated at 132; its stop at 105 comes first even where both are passed at once."""
    bench = Bench()
    bench.engine.prefer_leverage(BTC, D(3), bench.now)
    bench.send("sell", "2")
    stop = bench.send("buy", "2", "stp", stop_price="105", reduce_only=True)
    bench.move(btc=160.0, gap=True)
    (_, left) = bench.engine.state.fills.values()
    assert (left.order_id, left.price, left.fill_type, bench.size()) == (stop.order_id, D(160), "taker", D(0))
    alone = Bench()
    alone.engine.prefer_leverage(BTC, D(3), alone.now)
    alone.send("sell", "2")
    alone.move(btc=160.0, gap=True)
    assert [fill.fill_type for fill in alone.engine.state.fills.values()] == ["taker", "liquidation"]  # the control: bare
