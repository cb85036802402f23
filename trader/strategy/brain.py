"""The brain: one pure decision per pair and closed bar (SPEC section 5, trigger, points, step A).

`decide` gives a Decision with its evidence; `candidates` gives the same verdict for whole columns at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trader.domain.costs import Costs
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import Side
from trader.indicators.series import Features, Row
from trader.indicators.technical import Column
from trader.strategy import scoring
from trader.strategy.context import BrainContext
from trader.strategy.modes import Parameters
from trader.strategy.scoring import NONE, Levels, enter_rows, levels_of, points_of, score_features, total, trigger_of

_GUARD = 1 - 1e-12  # tp1 = k1 * (3c / k1) may lose its last bit


def decide(context: BrainContext, costs: Costs) -> Decision:
    """Step A on one pair: ENTER, or HOLD with the first refusal that applies. Reads no more of the context than it needs."""
    parameters = context.parameters
    if context.not_ready:
        return _hold(context, Refusal.NOT_READY, detail=context.not_ready)
    trigger = trigger_of(context, parameters, context.oversold)
    if trigger == NONE:
        return _hold(context, Refusal.NO_SIGNAL)
    if parameters.refuses_h4_bearish and context.h4_bearish:
        return _hold(context, Refusal.H4_BEARISH)
    points = points_of(context, parameters, trigger, context.oversold)
    score = total(points)
    if not score >= parameters.min_score:
        return _hold(context, Refusal.SCORE_LOW, score, points, f"{score:g} below {parameters.min_score:g}")
    if not context.rsi > context.rsi_previous:
        return _hold(context, Refusal.FALLING_KNIFE, score, points)
    levels = levels_of(parameters, context.atr_fraction, costs)
    if levels.quiet:
        return _hold(context, Refusal.QUIET_MARKET, score, points, f"ATR is {context.atr_fraction:.5f} of the price")
    if not parameters.seed and levels.tp1 < 3 * costs.round_trip * _GUARD:
        return _hold(context, Refusal.TARGET_BELOW_COST, score, points)
    return _enter(context, score, points, levels)


def decide_sides(pair: str, row: Row, parameters: Parameters, costs: Costs, sides: Sequence[Side]) -> Decision:
    """Step A on a row for each side that may be traded: the entry, else the side that got beyond its trigger, else the first.

    An RSI is low or high, so hardly ever do two sides have a signal; the earlier one of `sides` wins then.
    """
    made = [decide(BrainContext.of_row(pair, row, parameters, side=side), costs) for side in sides]
    entries = [decision for decision in made if decision.action is Action.ENTER]
    triggered = [decision for decision in made if decision.refusal not in (Refusal.NOT_READY, Refusal.NO_SIGNAL)]
    return (entries or triggered or made)[0]


def _enter(context: BrainContext, score: float, points: tuple[Point, ...], levels: Levels) -> Decision:
    return Decision(
        pair=context.pair, close_us=context.close_us, side=context.side, action=Action.ENTER, score=score, points=points,
        close=abs(context.close), atr_fraction=context.atr_fraction, unit=levels.unit, stop=levels.stop, tp1=levels.tp1, tp2=levels.tp2,
        strategy=context.parameters.strategy, evidence=context.full(),
    )  # fmt: skip


def _hold(context: BrainContext, refusal: Refusal, score: float = 0.0, points: tuple[Point, ...] = (), detail: str = "") -> Decision:
    return Decision(
        pair=context.pair, close_us=context.close_us, side=context.side, action=Action.HOLD, score=score, points=points,
        refusal=refusal, detail=detail, strategy=context.parameters.strategy, evidence=context.snapshot(),
    )  # fmt: skip


def near_zone(row: Row, parameters: Parameters, width: float, side: Side = Side.BUY, *, h4_ends: bool = False) -> bool:
    """Whether a (forming) bar's RSI is past its trigger or within `width` points of it: worth asking the AI ahead.

    Mitraillette's composite rebound triggers below its own RSI limit, so that limit counts; 4h bearish pairs are left out
    where the strategy refuses them, unless a 4h candle ends with this bar (`h4_ends`) and may turn; pairs that are not ready always.
    """
    if row.reason or (parameters.refuses_h4_bearish and side is Side.BUY and row.h4_bearish and not h4_ends):
        return False
    rsi = row.rsi if side is Side.BUY else 100 - row.rsi
    oversold = parameters.rsi_oversold if side is Side.BUY else 100 - parameters.rsi_overbought
    if rsi < oversold + width:
        return True
    position = row.bb_position if side is Side.BUY else 1 - row.bb_position
    return not parameters.sniper and rsi < parameters.composite_limit + width and position < 0.1 + width / 100


class Candidates(NamedTuple):
    """Step A over whole columns, shape (n,): `enter`; score and trigger (0 without one); unit where it enters, else 0."""

    enter: np.ndarray[Any, np.dtype[np.bool_]]
    score: Column
    trigger: np.ndarray[Any, np.dtype[np.int8]]
    unit: Column


class Entering(NamedTuple):
    """The rows that enter, ascending, with score, unit and the worst price to enter at of each, shape (k,)."""

    rows: np.ndarray[Any, np.dtype[np.int64]]
    score: Column
    unit: Column
    cap: Column


def entering(columns: Features, parameters: Parameters, costs: Costs, sign: int = 1) -> Entering:
    """`candidates` where only the rows that enter matter: several times faster, and without a column each. `sign` -1: a short, whose
    columns and parameters are mirrored; its caps are prices as the market has them."""
    c, p = columns, parameters
    least, guard = _floors(p, costs)
    return Entering(
        *scoring.entering(
            scoring.rule_of(p), c.close, c.rsi, c.rsi_previous, c.macd_hist, c.macd_hist_previous, c.bb_lower, c.bb_position, c.ema_trend,
            c.fib_zone, c.volume_ratio, c.bullish_divergence, c.bearish_divergence, c.h4_close, c.h4_ema, c.h4_hist, c.ready,
            c.atr_fraction, p.min_score, p.refuses_h4_bearish, p.k1, least, guard, sign,
        )
    )  # fmt: skip


def _floors(parameters: Parameters, costs: Costs) -> tuple[float, float]:
    """The least unit that pays, and the least first target; both 0 for the seed."""
    if parameters.seed:
        return 0.0, 0.0
    return 3 * costs.round_trip / parameters.k1, 3 * costs.round_trip * _GUARD


def candidates(columns: Features, parameters: Parameters, costs: Costs) -> Candidates:
    """`decide(...).action is ENTER` for every row at once (longs)."""
    c = columns
    trigger, score = score_features(columns, parameters)
    least, guard = _floors(parameters, costs)
    enter, unit = enter_rows(
        c.ready, trigger, score, c.rsi, c.rsi_previous, c.h4_close, c.h4_ema, c.h4_hist, c.atr_fraction, parameters.min_score,
        parameters.refuses_h4_bearish, parameters.k1, least, guard,
    )  # fmt: skip
    return Candidates(enter, score, trigger, unit)
