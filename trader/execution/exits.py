"""The exit step: the state machine of one open position, compiled, shared by backtest and session (SPEC section 9).

One source, two price types: whole ticks (int64, trading) and plain prices (float64, no tick). A short runs on the mirrored
market: its prices are held negated (`sign` = -1), so every comparison is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trader.domain.account import ExitPlan
from trader.domain.costs import floor_like, slip_units, slipped
from trader.domain.money import PHI
from trader.indicators.compiled import compiled, flattened, inlined

# reasons; RATCHET_Ln is RATCHET + n
NONE, STOP_LOSS, TP1, TP2, STAGNATION, MAX_HOLD, DUST_ESCAPE, SIGNAL = 0, 1, 2, 3, 4, 5, 6, 7
RATCHET = 100
MAX_LEVEL = 50
_TEXT = {
    STOP_LOSS: "STOP_LOSS", TP1: "TP1", TP2: "TP2", STAGNATION: "STAGNATION", MAX_HOLD: "MAX_HOLD", DUST_ESCAPE: "DUST_ESCAPE",
    SIGNAL: "SIGNAL",
}  # fmt: skip
_CODE = {text: code for code, text in _TEXT.items()}


class Terms(NamedTuple):
    """What does not change while a position is open. Prices as in the bars, times `sign`; `entry` is the average fill.

    `leg1`, `leg2`: lots sold at tp1 and tp2 (0 = none). `ratchet_base` 0 = no ratchet. `slippage`: units of 1e-8, times sign.
    `gap_at_open` 1: a target passed by the open fills there, not at its level (S1 only). `cost_min` in price x lots and
    `order_min` in lots: exchange minimums of the dust rule, both 0 = none.
    """

    sign: int
    entry: float
    tp1: Any
    tp2: Any
    leg1: int
    leg2: int
    ratchet_base: float
    breakeven: float
    stagnation_bars: int
    stagnation_low: float
    stagnation_high: float
    max_hold_bars: int
    slippage: int
    gap_at_open: int
    cost_min: float
    order_min: float


class ExitState(NamedTuple):
    """What changes. `stop`, `best`: prices times sign; `level`: ratchet level in force (0: the first stop); `lots` held;
    `legs`: 1 after tp1, 3 after tp2; `held`: closed bars since the fill; `due`: reason of an exit at the next open."""

    terms: Terms
    stop: Any
    best: Any
    level: int
    lots: int
    legs: int
    held: int
    due: int


@flattened
def _after_close(state: ExitState, high: Any, close: Any) -> ExitState:
    """Best price, ratchet and time rules at the end of a bar (part 5 of the bar order)."""
    t = state.terms
    stop, best, level, held, due = state.stop, state.best, state.level, state.held + 1, state.due
    if high > best:  # noqa: PLR1730 - no max() in compiled code: it differs on NaN
        best = high
    if t.ratchet_base > 0:
        gain = t.sign * (best / t.entry - 1.0)
        n, under, reached = 0, 0.0, t.ratchet_base
        while n < MAX_LEVEL and gain >= reached * PHI:
            n, under, reached = n + 1, reached, reached * PHI
        if n > level:
            rise = t.breakeven if n == 1 else under
            wanted = floor_like(t.entry * (1.0 + t.sign * rise), best)
            if wanted > stop and wanted >= close:
                due = RATCHET + n
            elif wanted > stop:
                stop, level = wanted, n
    if due == NONE:
        due = _time_rule(t, state.lots, held, close)
    return ExitState(t, stop, best, level, state.lots, state.legs, held, due)


@flattened
def _time_rule(t: Terms, lots: int, held: int, close: Any) -> int:
    """DUST_ESCAPE before MAX_HOLD before STAGNATION, or NONE."""
    value = abs(close) * float(lots)
    least = t.order_min * abs(close)
    least = t.cost_min if t.cost_min > least else least
    if least > 0 and value > least and value < 1.10 * least:
        return DUST_ESCAPE
    if t.max_hold_bars > 0 and held >= t.max_hold_bars:
        return MAX_HOLD
    gain = t.sign * (close / t.entry - 1.0)
    if t.stagnation_bars > 0 and held >= t.stagnation_bars and gain > t.stagnation_low and gain < t.stagnation_high:
        return STAGNATION
    return NONE


@flattened
def _sold(state: ExitState, lots: int, legs: int) -> ExitState:
    """The state after `lots` were sold; the rest keeps its stop."""
    s = state
    return ExitState(s.terms, s.stop, s.best, s.level, s.lots - lots, s.legs | legs, s.held, NONE if lots == s.lots else s.due)


@inlined
def step(state: ExitState, open: Any, high: Any, low: Any, close: Any, closed: bool) -> tuple[int, Any, ExitState]:  # noqa: PLR0917
    """Advance a position by one bar: (reason, price, state). Call again with the same bar until the reason is NONE.

    Several legs may leave in one bar; each call returns one, and the state remembers it. Lots sold = lots before - lots
    after; at 0 the position is closed and the step must not be called again. Bar order: exit due at the open; open
    against stop, then targets; low against the stop; high against the targets; with `closed`, best price, ratchet, time
    rules (they set `due`, "at the next open"). A trade between closes is a bar of four equal prices with `closed` False:
    touches only. A stop fills slipped, a target at its level, both in the price type of the state.
    """
    t = state.terms
    if t.sign < 0:
        open, high, low, close = -open, -low, -high, -close
    if state.due != NONE:
        return state.due, t.sign * slipped(open, t.slippage), _sold(state, state.lots, 0)
    stop_reason = STOP_LOSS if state.level == 0 else RATCHET + state.level
    if open <= state.stop:
        return stop_reason, t.sign * slipped(open, t.slippage), _sold(state, state.lots, 0)
    first = t.leg1 > 0 and state.legs & 1 == 0
    second = t.leg2 > 0 and state.legs & 2 == 0
    if first and open >= t.tp1:
        return TP1, t.sign * (open if t.gap_at_open != 0 else t.tp1), _sold(state, t.leg1, 1)
    if second and open >= t.tp2:
        return TP2, t.sign * (open if t.gap_at_open != 0 else t.tp2), _sold(state, t.leg2, 2)
    if low <= state.stop:
        return stop_reason, t.sign * slipped(state.stop, t.slippage), _sold(state, state.lots, 0)
    if first and high >= t.tp1:
        return TP1, t.sign * t.tp1, _sold(state, t.leg1, 1)
    if second and high >= t.tp2:
        return TP2, t.sign * t.tp2, _sold(state, t.leg2, 2)
    return NONE, t.sign * close, _after_close(state, high, close) if closed else state


def untouched(state: ExitState, price: Any) -> bool:
    """Whether a trade at `price` between closes changes nothing, so that `step` need not be asked: nearly every trade. Handing a
    state over to compiled code and back takes thirty times as long as these comparisons."""
    t = state.terms
    own = price if t.sign > 0 else -price
    return bool(
        state.due == NONE
        and own > state.stop
        and (own < t.tp1 or t.leg1 <= 0 or state.legs & 1)
        and (own < t.tp2 or t.leg2 <= 0 or state.legs & 2)
    )


@compiled
def with_due(state: ExitState, reason: int) -> ExitState:
    """The same state, to be left at the next open for `reason`."""
    s = state
    return ExitState(s.terms, s.stop, s.best, s.level, s.lots, s.legs, s.held, reason)


def start(
    plan: ExitPlan, *, entry: float, stop: Any, tp1: Any, tp2: Any, lots: int, leg1: int, leg2: int, slippage: float,
    sign: int = 1, gap_at_open: bool = False, cost_min: float = 0.0, order_min: float = 0.0,
) -> ExitState:  # fmt: skip
    """The state of a position just filled. Prices are positive and all ticks (int) or all plain (float); `lots` > 0.

    `entry`: average fill in the same unit (a float even in ticks: an average need not be a tick). `slippage`: a fraction.
    Raises ValueError for legs beyond the lots or prices of two kinds.
    """
    if lots <= 0 or leg1 < 0 or leg2 < 0 or leg1 + leg2 > lots:
        raise ValueError(f"legs of {leg1} and {leg2} lots do not fit a position of {lots} lots")
    kinds = {type(price) for price in (stop, tp1, tp2)}
    if kinds not in ({int}, {float}):
        raise ValueError(f"stop, tp1 and tp2 must all be int ticks or all float prices, not {sorted(k.__name__ for k in kinds)}")
    terms = Terms(
        sign, float(entry), sign * tp1, sign * tp2, leg1, leg2, plan.ratchet_base, plan.breakeven, plan.stagnation_bars,
        plan.stagnation_low, plan.stagnation_high, plan.max_hold_bars, sign * slip_units(slippage), int(gap_at_open), float(cost_min),
        float(order_min),
    )  # fmt: skip
    first = float(sign * entry) if isinstance(stop, float) else int(sign * entry // 1)
    return ExitState(terms._replace(entry=sign * float(entry)), sign * stop, first, 0, lots, 0, 0, NONE)


# --- text --------------------------------------------------------------------------------------------------------------
def text_reason(reason: int) -> str:
    """The exit reason as records show it; raises ValueError for NONE and unknown codes."""
    if reason > RATCHET:
        return f"RATCHET_L{reason - RATCHET}"
    if reason not in _TEXT:
        raise ValueError(f"{reason} is no exit reason")
    return _TEXT[reason]


def code_of(text: str) -> int:
    """The inverse of `text_reason`; raises ValueError for a word it never returns."""
    if text.startswith("RATCHET_L") and text[9:].isdigit():
        return RATCHET + int(text[9:])
    if text not in _CODE:
        raise ValueError(f"{text!r} is no exit reason of the step")
    return _CODE[text]


def stop_reason(state: ExitState) -> str:
    """What a fill of the resting stop would be called now."""
    return text_reason(STOP_LOSS if state.level == 0 else RATCHET + state.level)


def stop_level(state: ExitState) -> Any:
    """The stop as a positive price (ticks or plain)."""
    return state.terms.sign * state.stop


def to_json(state: ExitState) -> dict[str, Any]:
    """Plain numbers by name; `from_json` gives the state back, ticks as int and prices as float."""
    return state._asdict() | {"terms": state.terms._asdict()}


def from_json(values: Mapping[str, Any]) -> ExitState:
    """The state that `to_json` wrote; raises ValueError naming fields that are missing or unknown."""
    terms = values.get("terms")
    if not isinstance(terms, Mapping):
        raise ValueError("exit state has no terms")
    for kind, given in ((ExitState, values), (Terms, terms)):
        if wrong := sorted(set(kind._fields) ^ set(given)):
            raise ValueError(f"exit state fields missing or unknown: {', '.join(wrong)}")
    return ExitState(**{**values, "terms": Terms(**terms)})
