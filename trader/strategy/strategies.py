"""The one strategy type. S1, the six of each profile and a reader's own are values of it: columns of signals, exit levels
as fractions, costs. The same kernel and the same exit step run them all (docs/how-to/your-own-strategy.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from trader.domain.costs import Costs
from trader.domain.money import PHI
from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.indicators import spots
from trader.indicators.series import Features
from trader.strategy import modes, scoring
from trader.strategy.brain import entering
from trader.strategy.columns import Bars, Entries, Places, Signals
from trader.strategy.modes import (
    COMPOSITE_BAND,
    LEGS,
    SEED_FEE_BUFFER,
    SEED_RATCHET_BASE,
    SEED_STAGNATION,
    STRATEGIES,
    Parameters,
)

DEFAULT_COSTS = Costs()
EDGE = 3  # round trips that a first target should be worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """How a position is left. Distances are fractions of the entry price, or multiples of the signal's `unit` where the
    strategy gives one; `breakeven` is always a fraction. 0 means "not in use", except for the stop, which every position has.

    `legs`: shares sold at `target` and `target2`; `ratchet`: base of the step trailing stop; `stagnation_*`: bars, and the
    window of the gain; bars are those of the series. `gap_at_open`: a target passed by the open fills there, not at its level.
    """

    stop: float
    target: float = 0.0
    target2: float = 0.0
    legs: tuple[float, float] = (1.0, 0.0)
    ratchet: float = 0.0
    breakeven: float = 0.0
    stagnation_bars: int = 0
    stagnation_low: float = 0.0
    stagnation_high: float = 0.0
    max_hold_bars: int = 0
    cooldown_bars: int = 0
    cooldown_stop_bars: int = 0
    gap_at_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A strategy as a value. `columns` maps the bars of a pair to its signals, `costs` are a side's fee and slippage,
    `stake` is what a trade pays in quote, `parameters` the table column of one of the six (None: none of them).

    Raises ConfigError for levels that make no trade, or a target that cannot pay for the round trip.
    """

    name: str
    columns: Callable[[Bars, Costs], Signals | Entries]
    exits: Exits
    costs: Costs = DEFAULT_COSTS
    side: Side = Side.BUY
    stake: float = 1_000.0
    parameters: Parameters | None = None

    def __post_init__(self) -> None:
        e, c = self.exits, self.costs
        in_units = self.parameters is not None and not self.parameters.seed
        self._want("costs", c.taker, 0 <= c.taker < 0.5 and 0 <= c.slippage < 0.5, "fee and slippage from 0 to below 0.5")
        self._want("stake", self.stake, 0 < self.stake < 1e15, "an amount of quote above 0")
        self._want("stop", e.stop, e.stop > 0 and (in_units or e.stop < 1), "a fraction above 0 and below 1")
        self._want("legs", e.legs, min(e.legs) >= 0 and sum(e.legs) <= 1 + 1e-12, "two shares from 0, 1 at most in all")
        bars = (e.stagnation_bars, e.max_hold_bars, e.cooldown_bars, e.cooldown_stop_bars)
        self._want("bars", bars, min(bars) >= 0, "counts from 0")
        for name, distance, share in (("target", e.target, e.legs[0]), ("target2", e.target2, e.legs[1])):
            least = 0.0 if in_units or self.parameters is not None else c.round_trip
            if share > 0 and distance > 0:
                self._want(name, distance, distance > least, f"above the round trip of {least:g}, which it has to pay for")
            self._want(name, distance, distance >= 0, "a fraction from 0")

    def entries(self, bars: Bars) -> Entries:
        """The bars of a pair that may be entered after."""
        said = self.columns(bars, self.costs)
        return said if isinstance(said, Entries) else Entries.of(said, self.side.sign)

    def _want(self, field: str, seen: object, holds: bool, allowed: str) -> None:
        if not holds:
            raise ConfigError(f"strategy {self.name}: {field} {seen} must be {allowed}")


# --- S1 ----------------------------------------------------------------------------------------------------------------
def _s1(bars: Bars, _costs: Costs) -> Signals:
    rsi = bars.rsi(14)
    return Signals(enter=(rsi < 30) & (bars.close > bars.ema(200)), leave=rsi > 70)


S1 = Strategy(
    name="S1", columns=_s1, costs=Costs(taker=0.0026, maker=0.0026, slippage=0.0),
    exits=Exits(stop=0.02, target=0.03, gap_at_open=True),
)  # fmt: skip
"""The strategy every engine is measured with: RSI14 < 30 above the EMA200, out at RSI14 > 70, stop 2 %, target 3 %."""


# --- the six -----------------------------------------------------------------------------------------------------------
def _of_table(parameters: Parameters, side: Side, reach: tuple[float, float], bars: Bars, costs: Costs) -> Entries:
    """Scores and step A at the bars that an RSI lets through; a short is the same rule on the mirrored market. `reach`:
    `modes.reach_beside` these parameters."""
    long = side is Side.BUY

    def near() -> tuple[Places, Features]:
        if not long:
            rows, columns = bars.ready_at(parameters, lambda rsi: scoring.rising_below(100 - rsi, max(reach)))
            return rows, scoring.mirrored(columns)
        least = spots.Least(reach[0], COMPOSITE_BAND, not parameters.refuses_h4_bearish)
        return bars.ready_at(parameters, lambda rsi: scoring.rising_below(rsi, max(reach)), least)

    p = parameters if long else parameters.mirrored
    rows, columns = bars.once(("near", side, reach, p.rsi_period, p.trend_ema, p.h4_ema, p.refuses_h4_bearish), near)
    found = entering(columns, p, costs, side.sign)
    unit = np.ones(len(found.rows)) if p.seed else found.unit
    return Entries(rows[found.rows], unit, found.cap, found.score)


def of_table(parameters: Parameters, costs: Costs = DEFAULT_COSTS, *, side: Side = Side.BUY, plan: str = "") -> Strategy:
    """One of the six as a strategy; `plan` overrides the profile's exit plan (ratchet | targets | hybrid)."""
    p, kind = parameters, plan or parameters.exit_plan
    if kind not in LEGS:
        raise ConfigError(f"exit plan {kind!r} is not one of {', '.join(LEGS)}")
    if p.seed:
        stop = max(p.stop_loss - SEED_FEE_BUFFER, 0.382 * p.stop_loss)
        target, target2, base = p.tp1 + SEED_FEE_BUFFER, p.tp2 + SEED_FEE_BUFFER, SEED_RATCHET_BASE
        low, high = SEED_STAGNATION
    else:
        stop, target, target2, base = p.k1 / PHI, p.k1, PHI * p.k1, p.k1 / PHI
        low, high = -base, base
    return Strategy(
        name=p.strategy, columns=partial(_of_table, p, side, modes.reach_beside(p, side)), costs=costs, side=side, parameters=p,
        exits=Exits(
            stop=stop, target=target, target2=target2, legs=LEGS[kind], ratchet=0.0 if kind == "targets" else base,
            breakeven=costs.round_trip, stagnation_bars=p.stagnation_bars, stagnation_low=low, stagnation_high=high,
            max_hold_bars=p.max_hold_bars, cooldown_bars=p.cooldown_bars, cooldown_stop_bars=p.cooldown_stop_bars,
        ),
    )  # fmt: skip


def warnings_of(strategy: Strategy) -> tuple[str, ...]:
    """What every report must say of a strategy, each one sentence (SPEC section 2, edge rule; section 5, base of the seed)."""
    p, target, trip = strategy.parameters, strategy.exits.target, strategy.costs.round_trip
    if p is None or not p.seed:
        return ()
    found = ["Profile seed starts every score at its own threshold, which therefore only filters penalties."]
    if target < EDGE * trip:
        found.insert(
            0, f"Profile seed keeps its historic numbers: a first target of {target:.2%} is less than {EDGE} round trips of {trip:.2%}."
        )
    return tuple(found)


def six(profile: str = "viable", costs: Costs = DEFAULT_COSTS) -> tuple[Strategy, ...]:
    """The six strategies of a profile, in the order of its table."""
    return tuple(of_table(modes.parameters(profile, mode, variation), costs) for mode, variation in STRATEGIES)


def named(text: str, profile: str = "viable", costs: Costs = DEFAULT_COSTS) -> Strategy:
    """`S1`, or MODE/VARIATION of a profile; raises ConfigError naming what there is."""
    if text == S1.name:
        return S1
    mode, _, variation = text.partition("/")
    if (mode, variation) not in STRATEGIES:
        known = ", ".join([S1.name, *("/".join(one) for one in STRATEGIES)])
        raise ConfigError(f"strategy {text!r} is not known; there is {known}")
    if profile not in modes.PROFILES:
        raise ConfigError(f"profile {profile!r} is not one of {', '.join(modes.PROFILES)}")
    return of_table(modes.parameters(profile, mode, variation), costs)
