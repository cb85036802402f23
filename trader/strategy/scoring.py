"""Scores: the rule of SPEC section 5 over rows, and the same rule point by point for one pair.

`score_rows` is row-wise: result i depends on row i only, so rows may be bars of one pair or pairs at one bar. Anything
that looks back arrives as a column (`rsi_previous`). NaN in a rule makes the rule false.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from trader.domain.costs import Costs
from trader.domain.messages import Point
from trader.domain.money import PHI
from trader.indicators.compiled import compiled
from trader.indicators.patterns import Places, places
from trader.indicators.series import Features, Row
from trader.indicators.technical import Column
from trader.strategy.modes import COMPOSITE_BAND, ENTRY_BAND_ATR, ENTRY_BAND_LEAST, SEED_FEE_BUFFER, Parameters

NONE, RSI_ENTRY, COMPOSITE = 0, 1, 2
SPIKE = 2.618
Codes = np.ndarray[Any, np.dtype[np.int8]]
Market = TypeVar("Market", Row, Features)


class Rule(NamedTuple):
    """The numbers of a strategy that the compiled score reads, each of one type so that nothing compiles twice."""

    seed: bool
    sniper: bool
    oversold: float
    composite_limit: float
    base_score: float


def rule_of(parameters: Parameters) -> Rule:
    return Rule(parameters.seed, parameters.sniper, parameters.rsi_oversold, parameters.composite_limit, parameters.base_score)


@compiled
def _score(  # noqa: PLR0912, PLR0917 - compiled, and the rule in its written order
    rule: Rule, close: float, rsi: float, rsi_previous: float, hist: float, hist_previous: float, bb_lower: float, bb_position: float,
    ema_trend: float, fib_zone: bool, volume_ratio: float, bullish: bool, bearish: bool, h4_close: float, h4_ema: float, h4_hist: float,
) -> tuple[int, float]:  # fmt: skip
    """(trigger, score); score 0 without a trigger."""
    if rsi < rule.oversold:
        trigger, score = RSI_ENTRY, rule.base_score
        if not (rule.seed and rule.sniper):
            score += (rule.oversold - rsi) * PHI
    elif not rule.sniper and rsi < rule.composite_limit and rsi > rsi_previous and bb_position < COMPOSITE_BAND:
        trigger, score = COMPOSITE, rule.base_score
    else:
        return NONE, 0.0
    extras = not rule.seed or (not rule.sniper and trigger == RSI_ENTRY)  # the seed rewards only RSI entries of M
    if extras and close < bb_lower:
        score += 8.0
    if extras and (close > ema_trend if rule.seed else h4_close > h4_ema):
        score += 5.0
    if extras and not rule.sniper and fib_zone:
        score += 5.0
    if rule.sniper and hist > hist_previous and hist > 0:
        score += 5.0
    if rule.sniper and hist > 0 and hist_previous <= 0:
        score += 8.0
    if volume_ratio > SPIKE:
        score += 8.0
    if bearish:
        score -= 10.0
    if bullish:
        score += 5.0
    if rule.seed and not rule.sniper and h4_close < h4_ema and h4_hist <= 0:
        score -= 15.0
    return trigger, _settle(score)


@compiled
def _settle(score: float) -> float:
    """Clamped to 0-100 and rounded half-even to 6 decimals."""
    score = 0.0 if score < 0.0 else (100.0 if score > 100.0 else score)
    return float(np.rint(score * 1e6) / 1e6)


@compiled
def score_rows(  # noqa: PLR0917 - compiled functions take positions
    rule: Rule, close: Column, rsi: Column, rsi_previous: Column, hist: Column, hist_previous: Column, bb_lower: Column,
    bb_position: Column, ema_trend: Column, fib_zone: Any, volume_ratio: Column, bullish: Any, bearish: Any, h4_close: Column,
    h4_ema: Column, h4_hist: Column,
) -> tuple[Codes, Column]:  # fmt: skip
    """Trigger codes (int8) and scores (float64), shape (n,) as the inputs."""
    n = len(close)
    triggers, scores = np.zeros(n, np.int8), np.zeros(n)
    reach = max(rule.oversold, 0.0 if rule.sniper else rule.composite_limit)
    for i in range(n):
        if not rsi[i] < reach:  # no trigger; NaN neither
            continue
        triggers[i], scores[i] = _score(
            rule, close[i], rsi[i], rsi_previous[i], hist[i], hist_previous[i], bb_lower[i], bb_position[i], ema_trend[i],
            fib_zone[i], volume_ratio[i], bullish[i], bearish[i], h4_close[i], h4_ema[i], h4_hist[i],
        )  # fmt: skip
    return triggers, scores


def score_features(columns: Features, parameters: Parameters) -> tuple[Codes, Column]:
    """`score_rows` over the columns of a series, or over a table of pairs."""
    f = columns
    return score_rows(
        rule_of(parameters), f.close, f.rsi, f.rsi_previous, f.macd_hist, f.macd_hist_previous, f.bb_lower, f.bb_position,
        f.ema_trend, f.fib_zone, f.volume_ratio, f.bullish_divergence, f.bearish_divergence, f.h4_close, f.h4_ema, f.h4_hist,
    )  # fmt: skip


@compiled
def enter_rows(  # noqa: PLR0917 - compiled functions take positions
    ready: Any, triggers: Codes, scores: Column, rsi: Column, rsi_previous: Column, h4_close: Column, h4_ema: Column,
    h4_hist: Column, atr_fraction: Column, min_score: float, refuses_h4_bearish: bool, k1: float, least: float, guard: float,
) -> tuple[Any, Column]:  # fmt: skip
    """The rest of step A, row by row: (enter, unit), shape (n,). `least` = 3c / k1 and `guard` = 3c, both 0 for the seed,
    which has no unit."""
    n = len(scores)
    enter, unit = np.zeros(n, np.bool_), np.zeros(n)
    for i in range(n):
        if triggers[i] == NONE or not scores[i] >= min_score:
            continue
        wide = _unit(
            ready[i], rsi[i], rsi_previous[i], refuses_h4_bearish, h4_close[i], h4_ema[i], h4_hist[i], atr_fraction[i], k1, least, guard
        )
        if wide >= 0:
            enter[i], unit[i] = True, wide
    return enter, unit


@compiled
def _unit(  # noqa: PLR0917 - compiled functions take positions
    ready: bool, rsi: float, rsi_previous: float, refuses_h4_bearish: bool, h4_close: float, h4_ema: float, h4_hist: float,
    atr_fraction: float, k1: float, least: float, guard: float,
) -> float:  # fmt: skip
    """The unit of a row whose score is high enough (0 for the seed), -1 where the rest of step A refuses it."""
    if not ready or not rsi > rsi_previous or (refuses_h4_bearish and h4_close < h4_ema and h4_hist <= 0):
        return -1.0
    if least <= 0:
        return 0.0
    wide = atr_fraction if atr_fraction > least else least
    return wide if least <= 2 * atr_fraction and k1 * wide >= guard else -1.0


@compiled
def rising_below(rsi: Column, reach: float) -> Places:
    """Rows that step A does not refuse for their RSI alone, ascending."""
    rising = np.zeros(len(rsi), np.bool_)
    for i in range(1, len(rsi)):
        rising[i] = (rsi[i] < reach) & (rsi[i] > rsi[i - 1])
    return places(rising)


@compiled
def entering(  # noqa: PLR0917 - compiled functions take positions
    rule: Rule, close: Column, rsi: Column, rsi_previous: Column, hist: Column, hist_previous: Column, bb_lower: Column,
    bb_position: Column, ema_trend: Column, fib_zone: Any, volume_ratio: Column, bullish: Any, bearish: Any, h4_close: Column,
    h4_ema: Column, h4_hist: Column, ready: Any, atr_fraction: Column, min_score: float, refuses_h4_bearish: bool, k1: float,
    least: float, guard: float, sign: int,
) -> tuple[Any, Column, Column, Column]:  # fmt: skip
    """The rows that `score_rows` and `enter_rows` would let enter, with their scores, units and caps (times `sign` of the side: SPEC's
    entry band); cheap refusals come before the score."""
    n, k = len(close), 0
    rows, scores, units, caps = np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n)
    reach = max(rule.oversold, 0.0 if rule.sniper else rule.composite_limit)
    for i in range(n):
        if not rsi[i] < reach:
            continue
        wide = _unit(
            ready[i], rsi[i], rsi_previous[i], refuses_h4_bearish, h4_close[i], h4_ema[i], h4_hist[i], atr_fraction[i], k1, least, guard
        )
        if not wide >= 0:
            continue
        trigger, score = _score(
            rule, close[i], rsi[i], rsi_previous[i], hist[i], hist_previous[i], bb_lower[i], bb_position[i], ema_trend[i],
            fib_zone[i], volume_ratio[i], bullish[i], bearish[i], h4_close[i], h4_ema[i], h4_hist[i],
        )  # fmt: skip
        if trigger != NONE and score >= min_score:
            band = ENTRY_BAND_ATR * atr_fraction[i]
            band = band if band > ENTRY_BAND_LEAST else ENTRY_BAND_LEAST
            rows[k], scores[k], units[k], caps[k] = i, score, wide, sign * close[i] * (1 + sign * band)
            k += 1
    return rows[:k].copy(), scores[:k].copy(), units[:k].copy(), caps[:k].copy()


# --- one pair, point by point ------------------------------------------------------------------------------------------
class Values(Protocol):
    """What the point rules read of a pair; `Row` and `BrainContext` both are."""

    @property
    def close(self) -> float: ...
    @property
    def rsi(self) -> float: ...
    @property
    def rsi_previous(self) -> float: ...
    @property
    def macd_hist(self) -> float: ...
    @property
    def macd_hist_previous(self) -> float: ...
    @property
    def bb_lower(self) -> float: ...
    @property
    def bb_position(self) -> float: ...
    @property
    def ema_trend(self) -> float: ...
    @property
    def fib_zone(self) -> bool: ...
    @property
    def volume_ratio(self) -> float: ...
    @property
    def bullish_divergence(self) -> bool: ...
    @property
    def bearish_divergence(self) -> bool: ...
    @property
    def h4_close(self) -> float: ...
    @property
    def h4_ema(self) -> float: ...
    @property
    def h4_bearish(self) -> bool: ...


def trigger_of(at: Values, parameters: Parameters, oversold: float) -> int:
    """NONE, RSI_ENTRY or COMPOSITE."""
    if at.rsi < oversold:
        return RSI_ENTRY
    if not parameters.sniper and at.rsi < parameters.composite_limit and at.rsi > at.rsi_previous and at.bb_position < COMPOSITE_BAND:
        return COMPOSITE
    return NONE


def points_of(at: Values, parameters: Parameters, trigger: int, oversold: float) -> tuple[Point, ...]:
    """The reasons of a triggered score in the order they are added; each value is read only when its rule asks for it."""
    made = [Point(name="base", value=parameters.base_score)]

    def add(name: str, value: float, holds: bool) -> None:
        if holds:
            made.append(Point(name=name, value=value))

    seed, sniper = parameters.seed, parameters.sniper
    extras = not seed or (not sniper and trigger == RSI_ENTRY)
    add("rsi_depth", (oversold - at.rsi) * PHI, trigger == RSI_ENTRY and not (seed and sniper))
    add("below_lower_band", 8.0, extras and at.close < at.bb_lower)
    add("uptrend", 5.0, extras and (at.close > at.ema_trend if seed else at.h4_close > at.h4_ema))
    add("fibonacci_zone", 5.0, extras and not sniper and at.fib_zone)
    add("macd_strong", 5.0, sniper and at.macd_hist > at.macd_hist_previous and at.macd_hist > 0)
    add("macd_crossover", 8.0, sniper and at.macd_hist > 0 and at.macd_hist_previous <= 0)
    add("volume_spike", 8.0, at.volume_ratio > SPIKE)
    add("bearish_divergence", -10.0, at.bearish_divergence)
    add("bullish_divergence", 5.0, at.bullish_divergence)
    add("h4_bearish", -15.0, seed and not sniper and at.h4_bearish)
    return tuple(made)


def total(points: tuple[Point, ...]) -> float:
    """The score of these points: added in their order, clamped, rounded."""
    score = 0.0
    for point in points:
        score += point.value
    score = 0.0 if score < 0.0 else (100.0 if score > 100.0 else score)
    return float(np.rint(score * 1e6) / 1e6)


# --- levels ------------------------------------------------------------------------------------------------------------
class Levels(NamedTuple):
    """Fractions of the entry price; `quiet` where the target is out of the market's reach (viable)."""

    unit: float
    stop: float
    tp1: float
    tp2: float
    quiet: bool


def levels_of(parameters: Parameters, atr_fraction: float, costs: Costs) -> Levels:
    """Distances of a plan. viable: u = max(ATR / close, 3c / k1), tp1 = k1 u, stop = (k1 / phi) u, tp2 = phi tp1.
    seed: the table's, moved by the fee buffer; its unit is 0."""
    if parameters.seed:
        stop = max(parameters.stop_loss - SEED_FEE_BUFFER, 0.382 * parameters.stop_loss)
        return Levels(0.0, stop, parameters.tp1 + SEED_FEE_BUFFER, parameters.tp2 + SEED_FEE_BUFFER, False)
    least = 3 * costs.round_trip / parameters.k1
    unit = max(atr_fraction, least)
    tp1 = parameters.k1 * unit
    return Levels(unit, parameters.k1 / PHI * unit, tp1, PHI * tp1, not least <= 2 * atr_fraction)


def mirrored(row: Market) -> Market:
    """The row, or the columns, of the mirrored market, for shorts: prices negated, RSI' = 100 - RSI, bands, divergences and
    histograms swapped."""
    return row._replace(
        close=-row.close, rsi=100 - row.rsi, rsi_previous=100 - row.rsi_previous, macd_hist=-row.macd_hist,
        macd_hist_previous=-row.macd_hist_previous, bb_lower=-row.bb_upper, bb_upper=-row.bb_lower, bb_position=1 - row.bb_position,
        ema_trend=-row.ema_trend, bullish_divergence=row.bearish_divergence, bearish_divergence=row.bullish_divergence,
        h4_close=-row.h4_close, h4_ema=-row.h4_ema, h4_hist=-row.h4_hist,
    )  # fmt: skip
