"""From a decision to the plan of a position, its levels on the tick, its legs in lots, and its first exit state."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from trader.domain.account import ExitPlan
from trader.domain.costs import Costs
from trader.domain.market import Instrument
from trader.domain.messages import Decision
from trader.domain.money import PHI, ZERO, divide, down, from_float, mul, up
from trader.domain.orders import Side
from trader.execution import exits
from trader.strategy.modes import LEGS, SEED_RATCHET_BASE, SEED_STAGNATION, Parameters

MARGIN = Decimal("1.10")  # of the exchange minimum: a leg or a rest below it cannot be sold safely
_FINE = Decimal("1e-12")


class LevelPrices(NamedTuple):
    """Stop and targets as prices on the tick."""

    stop: Decimal
    tp1: Decimal
    tp2: Decimal


class LegQuantities(NamedTuple):
    """What is sold at tp1 and at tp2, in base; the rest is left to stop, ratchet and time."""

    tp1: Decimal
    tp2: Decimal


def average_fill(cost: Decimal, quantity: Decimal) -> Decimal:
    """Price an entry was filled at on average, as the books know it: what was paid, rounded as the exchange does, over what came.
    An average need not be a tick."""
    return divide(cost, quantity, _FINE)


def plan_for(parameters: Parameters, decision: Decision, costs: Costs, kind: str = "") -> ExitPlan:
    """The exit plan of an entry on `decision`; `kind` overrides the profile's (ratchet | targets | hybrid).

    Raises ValueError for another word, or a decision without levels.
    """
    kind = kind or parameters.exit_plan
    if kind not in LEGS:
        raise ValueError(f"exit plan {kind!r} is not one of {', '.join(LEGS)}")
    if not 0 < decision.stop < 1 or not 0 < decision.tp1 <= decision.tp2:
        raise ValueError(f"{decision.pair}: stop {decision.stop} and targets {decision.tp1}, {decision.tp2} make no plan")
    base = SEED_RATCHET_BASE if parameters.seed else decision.tp1 / PHI
    low, high = SEED_STAGNATION if parameters.seed else (-base, base)
    return ExitPlan(
        kind=kind, stop=decision.stop, tp1=decision.tp1, tp2=decision.tp2, legs=LEGS[kind],
        ratchet_base=0.0 if kind == "targets" else base, breakeven=costs.round_trip, stagnation_bars=parameters.stagnation_bars,
        stagnation_low=low, stagnation_high=high, max_hold_bars=parameters.max_hold_bars,
        cooldown_bars=parameters.cooldown_bars, cooldown_stop_bars=parameters.cooldown_stop_bars,
    )  # fmt: skip


def levels(plan: ExitPlan, entry: Decimal, instrument: Instrument, side: Side = Side.BUY) -> LevelPrices:
    """Prices of the plan around the average fill `entry`: the stop rounds toward entry, targets away from it."""
    sign = side.sign
    toward, away = (up, up) if sign > 0 else (down, down)  # a long's stop lies below the entry, its targets above
    return LevelPrices(
        stop=toward(_moved(entry, -sign * plan.stop), instrument.tick),
        tp1=away(_moved(entry, sign * plan.tp1), instrument.tick),
        tp2=away(_moved(entry, sign * plan.tp2), instrument.tick),
    )


def _moved(price: Decimal, fraction: float) -> Decimal:
    return mul(price, 1 + from_float(fraction))


def conditional_stop(plan: ExitPlan, cap_price: Decimal, instrument: Instrument, side: Side = Side.BUY) -> Decimal:
    """Trigger of the stop that rides on an entry: the level of a fill at the cap, amended once to the real fill's."""
    return levels(plan, cap_price, instrument, side).stop


def least_value(price: Decimal, instrument: Instrument) -> Decimal:
    """The exchange's minimum order at `price`, in quote."""
    return max(instrument.cost_min, mul(instrument.order_min, price))


def leg_quantities(plan: ExitPlan, quantity: Decimal, price: Decimal, instrument: Instrument) -> LegQuantities:
    """Legs rounded down to the lot; one below 1.10 x the minimum merges into the next, a rest that small into the previous."""
    least = mul(MARGIN, least_value(price, instrument))
    first, second = (instrument.quantity_down(mul(quantity, from_float(share))) for share in plan.legs)
    if not first and not second:
        return LegQuantities(ZERO, ZERO)
    if first and mul(first, price) < least:
        first, second = ZERO, first + second
    rest = quantity - first - second
    if second and mul(second, price) < least:
        second, rest = ZERO, rest + second
    if rest and mul(rest, price) < least and (first or second):
        first, second = (first, second + rest) if second else (first + rest, ZERO)
    return LegQuantities(first, second)


def begin(
    plan: ExitPlan, *, entry: Decimal, quantity: Decimal, instrument: Instrument, slippage: float, side: Side = Side.BUY
) -> exits.ExitState:
    """The exit state, in ticks and lots, of a position filled at average price `entry`; raises ValueError below one lot."""
    at = levels(plan, entry, instrument, side)
    legs = leg_quantities(plan, quantity, entry, instrument)
    return exits.start(
        plan, entry=float(divide(entry, instrument.tick, _FINE)), stop=instrument.to_ticks(at.stop), tp1=instrument.to_ticks(at.tp1),
        tp2=instrument.to_ticks(at.tp2), lots=instrument.to_lots(quantity), leg1=instrument.to_lots(legs.tp1),
        leg2=instrument.to_lots(legs.tp2), slippage=slippage, sign=side.sign,
        cost_min=float(divide(instrument.cost_min, mul(instrument.tick, instrument.lot), _FINE)),
        order_min=float(divide(instrument.order_min, instrument.lot, _FINE)),
    )  # fmt: skip
