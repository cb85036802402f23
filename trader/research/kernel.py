"""The kernel: jump to the next signal, enter at the next open, run THE exit step bar by bar until the position is closed.

There is no other exit logic here: `execution/exits.step` decides, compiled into these loops. Prices are float64 (no tick) or
int64 ticks; a short is walked on the mirrored market (PERFORMANCE.md section 4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trader.domain.costs import floor_like, slip_units, slipped
from trader.execution.exits import NONE, SIGNAL, STOP_LOSS, ExitState, Terms, step, with_due
from trader.indicators.compiled import compiled
from trader.strategy.strategies import Strategy

END = 90  # the data ends while the position is open: valued at the last close
LOTS = 1_000_000  # a position of the sweep, so that legs are shares of it
ENTRY, EXIT, REASON, SOLD = 0, 1, 2, 3  # columns of the integer table of legs
Prices = np.ndarray[Any, np.dtype[Any]]
Ticks = tuple[Any, Any, Any, Any]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
NO_FLAGS: Flags = np.zeros(0, np.bool_)


class Rule(NamedTuple):
    """The numbers of a strategy that the walk reads, each of one type so that nothing compiles twice. Distances are per unit."""

    sign: int
    stop: float
    target: float
    target2: float
    leg1: int
    leg2: int
    ratchet: float
    breakeven: float
    stagnation_bars: int
    stagnation_low: float
    stagnation_high: float
    max_hold_bars: int
    slippage: int
    gap_at_open: int
    cooldown_bars: int
    cooldown_stop_bars: int


def rule_of(strategy: Strategy) -> Rule:
    """A strategy's exits and costs for the walk; a leg without a distance is none."""
    e, sign = strategy.exits, strategy.side.sign
    legs = [round(share * LOTS) if distance > 0 else 0 for share, distance in zip(e.legs, (e.target, e.target2), strict=True)]
    return Rule(
        sign, float(e.stop), float(e.target), float(e.target2), legs[0], min(legs[1], LOTS - legs[0]), float(e.ratchet), float(e.breakeven),
        e.stagnation_bars, float(e.stagnation_low), float(e.stagnation_high), e.max_hold_bars, sign * slip_units(strategy.costs.slippage),
        int(e.gap_at_open), e.cooldown_bars, e.cooldown_stop_bars,
    )  # fmt: skip


@compiled
def unfit(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats, time: Ints) -> int:  # noqa: PLR0917 - compiled
    """0 where all prices are finite numbers above 0, all volumes from 0, and times ascend, of which there may be none.

    Without branches and over all columns at once: one pass at the speed of memory, which fetches several columns faster than one.
    """
    bad = 0
    for i in range(len(close)):
        bad += 4 - _positive(open_[i]) - _positive(high[i]) - _positive(low[i]) - _positive(close[i])
        bad += 1 - int((volume[i] >= 0) & (volume[i] < np.inf))
    for i in range(1, len(time)):
        bad += int(time[i] <= time[i - 1])
    return bad


@compiled
def _positive(value: float) -> int:
    return int((value > 0) & (value < np.inf))


@compiled
def _ceil_like(value: float, like: Any) -> Any:
    """`value` rounded up to a whole tick where `like` counts ticks, else unchanged."""
    return -floor_like(-value, like)


@compiled
def bought_at(rule: Rule, open_: Any) -> Any:
    """Entry price, times sign, of an order due at this open: slipped against us."""
    return -slipped(-rule.sign * open_, -rule.slippage)


@compiled
def opened(rule: Rule, entry: Any, unit: float) -> ExitState:
    """The state of a position just entered at `entry` (times sign); levels a tick toward entry (stop) and away (targets)."""
    price, sign = float(entry), rule.sign
    terms = Terms(
        sign, price, _ceil_like(price * (1.0 + sign * (rule.target * unit)), entry),
        _ceil_like(price * (1.0 + sign * (rule.target2 * unit)), entry), rule.leg1, rule.leg2, rule.ratchet * unit, rule.breakeven,
        rule.stagnation_bars, rule.stagnation_low * unit, rule.stagnation_high * unit, rule.max_hold_bars, rule.slippage,
        rule.gap_at_open, 0.0, 0.0,
    )  # fmt: skip
    return ExitState(terms, _ceil_like(price * (1.0 - sign * (rule.stop * unit)), entry), entry, 0, LOTS, 0, 0, NONE)


@compiled
def follow(  # noqa: PLR0917 - compiled functions take positions
    state: ExitState, open_: Prices, high: Prices, low: Prices, close: Prices, leave: Flags, first: int, legs: Ints, prices: Prices, k: int
) -> tuple[int, int, ExitState]:
    """Run one position from bar `first`, its entry bar, to its end: (bar it ended in, rows written so far, state).

    Each leg becomes row k of `legs` (columns EXIT, REASON, SOLD; ENTRY is the caller's) and of `prices`. `leave` (shape (n,)
    or empty): an exit for SIGNAL is due at the open after. A state with lots left means that the data ended: bar n - 1.
    """
    n, signals = len(close), len(leave) > 0
    for t in range(first, n):
        while True:
            held = state.lots
            reason, price, state = step(state, open_[t], high[t], low[t], close[t], True)
            if reason == NONE:
                break
            legs[k, EXIT], legs[k, REASON], legs[k, SOLD] = t, reason, held - state.lots
            prices[k] = price
            k += 1
            if state.lots == 0:
                return t, k, state
        if signals and leave[t] and state.due == NONE:
            state = with_due(state, SIGNAL)
    return n - 1, k, state


@compiled
def follow_finely(  # noqa: PLR0917 - compiled functions take positions
    state: ExitState, fine: Ticks, starts: Ints, bars: Ticks, first: int, legs: Ints, prices: Prices
) -> tuple[int, int, int]:
    """`follow` where the bars are made of shorter candles, in the order in which the session sees them: (bar the position ended
    in, rows written, candles in which both its stop and an open target were touched).

    `fine`, `bars`: open, high, low, close of each; bar t covers the candles `starts[t]` to `starts[t + 1]` - 1. Each candle is
    touched in turn, the bar's own close moves ratchet and age. A bar without shorter candles is touched as it is.
    """
    n, k, both = len(starts) - 1, 0, 0
    open_, high, low, close = bars
    for t in range(first, n):
        for j in range(starts[t], starts[t + 1] + 1):
            whole = j == starts[t + 1]
            if whole:
                o, h, lo, c = open_[t], high[t], low[t], close[t]
            else:
                o, h, lo, c = fine[0][j], fine[1][j], fine[2][j], fine[3][j]
            if not whole or starts[t] == j:
                both += meets(state, h, lo)
            while True:
                held = state.lots
                reason, price, state = step(state, o, h, lo, c, whole)
                if reason == NONE:
                    break
                legs[k, EXIT], legs[k, REASON], legs[k, SOLD] = t, reason, held - state.lots
                prices[k] = price
                k += 1
                if state.lots == 0:
                    return t, k, both
    return n - 1, k, both


@compiled
def meets(state: ExitState, high: Any, low: Any) -> int:
    """1 where a candle touches both the stop and a target that is still open."""
    t = state.terms
    if t.sign < 0:
        high, low = -low, -high
    first = t.leg1 > 0 and state.legs & 1 == 0 and high >= t.tp1
    second = t.leg2 > 0 and state.legs & 2 == 0 and high >= t.tp2
    return int(low <= state.stop and (first or second))


@compiled
def walk(  # noqa: PLR0917 - compiled functions take positions
    rule: Rule, open_: Prices, high: Prices, low: Prices, close: Prices, leave: Flags, signals: Ints, units: Floats, caps: Floats,
    legs: Ints, prices: Prices, entries: Prices,
) -> tuple[int, int]:  # fmt: skip
    """All trades of one pair that takes every signal it is flat for: (legs written, entries missed).

    `signals`: bars that may be entered after, ascending, shape (m,); `units` and `caps` belong to them, shape (m,); an entry
    worse than its cap is missed. `legs` (3 m, 4), `prices` and `entries` (3 m,) are written; positive prices, as the bars have.
    A position still open at the last close is valued there, reason END.
    """
    n, k, free, missed = len(close), 0, 0, 0
    for j in range(len(signals)):
        i = signals[j]
        if i < free or i + 1 >= n:
            continue
        entry = bought_at(rule, open_[i + 1])
        if entry > rule.sign * caps[j]:
            missed += 1
            continue
        begun = k
        bar, k, state = follow(opened(rule, entry, units[j]), open_, high, low, close, leave, i + 1, legs, prices, k)
        if state.lots > 0:
            legs[k, EXIT], legs[k, REASON], legs[k, SOLD] = n - 1, END, state.lots
            prices[k] = close[n - 1]
            k += 1
        for row in range(begun, k):
            legs[row, ENTRY], entries[row] = i + 1, rule.sign * entry
        wait = rule.cooldown_stop_bars if legs[k - 1, REASON] == STOP_LOSS else rule.cooldown_bars
        free = bar + wait
    return k, missed
