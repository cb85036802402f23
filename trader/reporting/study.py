"""Statistics of a whole backtest beyond those of single trades: drawdown in depth and time, days and months, R, exposure, and
tables per pair and per reason. Pure; what is undefined is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from trader.domain.market import DAY
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, mul
from trader.ports import EquityRow
from trader.reporting.analytics import EquityFigures, Trade, daily_closes, equity_figures, wilson

TARGETS = frozenset({"TP1", "TP2", "target", "target2"})
"""Reasons of exits that fill at a level, without slippage; the latter two of strategies that run pair by pair."""


# --- the equity curve --------------------------------------------------------------------------------------------------
def whole_curve(rows: Sequence[EquityRow], cash: Decimal, start_us: int, end_us: int) -> list[EquityRow]:
    """The rows with what lacks between them: one at the start, one at each UTC day's end and one at the end, each as before it.

    A run has no row where nothing was held; statistics per day need those days, too."""
    first = EquityRow(time_us=start_us, cash=cash, marked=ZERO, equity=cash, realised=ZERO, fees=ZERO, drawdown=0.0)
    out, waiting = [first], list(rows)[::-1]
    moments = [*range(start_us - start_us % DAY + DAY, end_us, DAY), end_us]
    for moment in moments:
        while waiting and waiting[-1].time_us <= moment:
            out.append(waiting.pop())
        if out[-1].time_us < moment:
            out.append(replace(out[-1], time_us=moment))
    return out


def curve_figures(curve: Sequence[EquityRow]) -> EquityFigures:
    """Statistics of a whole curve; a row at 00:00 closes the day before it."""
    return equity_figures([replace(row, time_us=row.time_us - 1) for row in curve])


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall below an earlier peak, as a fraction, and its moments; `back_us` None: not recovered at the end.

    `longest_s`: the longest time below a peak, whichever fall it was, in seconds.
    """

    depth: float
    peak_us: int
    bottom_us: int
    back_us: int | None
    longest_s: float


def drawdown(rows: Sequence[EquityRow]) -> Drawdown:
    """Of a curve given oldest first; raises ValueError for an empty one."""
    if not rows:
        raise ValueError("no equity row")
    deepest = Drawdown(depth=0.0, peak_us=rows[0].time_us, bottom_us=rows[0].time_us, back_us=rows[0].time_us, longest_s=0.0)
    peak, longest = rows[0], 0
    for row in rows:
        if row.equity >= peak.equity:
            if deepest.back_us is None and deepest.peak_us == peak.time_us:
                deepest = replace(deepest, back_us=row.time_us)
            peak = row
        else:
            longest = max(longest, row.time_us - peak.time_us)
            depth = 1 - float(row.equity) / float(peak.equity)
            if depth > deepest.depth:
                deepest = Drawdown(depth=depth, peak_us=peak.time_us, bottom_us=row.time_us, back_us=None, longest_s=0.0)
    return replace(deepest, longest_s=longest / 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A UTC day or month: its label, the equity at its end, its return as a fraction, and the trades closed in it."""

    label: str
    equity: Decimal
    result: float
    trades: int
    net: Decimal


def days_of(curve: Sequence[EquityRow], trades: Sequence[Trade]) -> list[Period]:
    """Every UTC day of a whole curve; the moment 00:00 closes the day before it."""
    return _periods(curve, trades, "%Y-%m-%d")


def months_of(curve: Sequence[EquityRow], trades: Sequence[Trade]) -> list[Period]:
    """Every UTC month of a whole curve; the first and the last may be parts of one."""
    return _periods(curve, trades, "%Y-%m")


def _periods(curve: Sequence[EquityRow], trades: Sequence[Trade], pattern: str) -> list[Period]:
    last: dict[str, Decimal] = {_label(row.time_us - 1, pattern): row.equity for row in curve[1:]}
    closed: dict[str, list[Decimal]] = {}
    for trade in trades:
        closed.setdefault(_label(trade.exit_us, pattern), []).append(trade.net)
    out, before = [], curve[0].equity
    for label, equity in last.items():
        nets = closed.get(label, [])
        out.append(Period(label=label, equity=equity, result=float(equity / before) - 1, trades=len(nets), net=add(*nets)))
        before = equity
    return out


def _label(time_us: int, pattern: str) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).strftime(pattern)


# --- trades ------------------------------------------------------------------------------------------------------------
def r_multiple(trade: Trade, risk: float) -> float:
    """Net result over the planned risk: the stake times the stop's distance with the round trip's costs, both fractions."""
    return float(trade.net) / (float(trade.stake) * risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """How many values lie in [low, high)."""

    low: float
    high: float
    count: int


def histogram(values: Sequence[float], *, most: int = 40) -> list[Bin]:
    """Bins of one round width that hold all values, at most `most`; the last one holds its upper edge too."""
    if not values:
        return []
    low, high = min(values), max(values)
    width = _round_up((high - low) / most) if high > low else 0.1
    first = math.floor(low / width)
    edges = [width * place for place in range(first, max(math.ceil(high / width), first + 1) + 1)]
    counts = np.histogram(values, edges)[0].tolist()
    return [Bin(low=round(a, 10), high=round(b, 10), count=count) for a, b, count in zip(edges, edges[1:], counts, strict=False)]


def _round_up(width: float) -> float:
    """The next of 1, 2, 5 x 10^n."""
    unit = 10.0 ** math.floor(math.log10(width))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= width * (1 - 1e-9))


def exposure(legs: Sequence[TradeLeg], curve: Sequence[EquityRow]) -> tuple[float, float]:
    """(mean share of the equity that was invested, share of the time with something held), from closed legs, valued at entry."""
    span = curve[-1].time_us - curve[0].time_us
    days = daily_closes(curve)
    invested = math.fsum(float(leg.entry_price * leg.quantity) * (leg.exit_us - leg.entry_us) for leg in legs)
    held, until = 0, 0
    for entry, leave in sorted((leg.entry_us, leg.exit_us) for leg in legs):
        held += max(0, leave - max(entry, until))
        until = max(until, leave)
    return invested / (math.fsum(days) / len(days) * span), held / span


def slippage_paid(legs: Sequence[TradeLeg], slippage: float) -> Decimal:
    """What the modelled slippage took, in quote: of every entry, and of every exit that did not fill at a level."""
    part_in, part_out = Decimal(str(slippage / (1 + slippage))), Decimal(str(slippage / (1 - slippage)))
    paid = [mul(leg.entry_price, leg.quantity) * part_in for leg in legs]
    paid += [mul(leg.exit_price, leg.quantity) * part_out for leg in legs if leg.reason not in TARGETS]
    return sum(paid, ZERO).quantize(Decimal("1e-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Closed trades of a pair, or exit legs of a reason: how many, gains among them with Wilson's 95 % interval, net, fees."""

    name: str
    count: int
    wins: int
    win_rate: float
    win_low: float
    win_high: float
    net: Decimal
    fees: Decimal
    best: Decimal
    worst: Decimal


def by_pair(trades: Sequence[Trade]) -> list[Group]:
    """Most trades first."""
    return _groups([(trade.pair, trade.net, trade.fees) for trade in trades])


def by_reason(legs: Sequence[TradeLeg]) -> list[Group]:
    """Most legs first."""
    return _groups([(leg.reason, leg.net, leg.fee) for leg in legs])


def _groups(rows: Sequence[tuple[str, Decimal, Decimal]]) -> list[Group]:
    found: dict[str, list[tuple[Decimal, Decimal]]] = {}
    for name, net, fees in rows:
        found.setdefault(name, []).append((net, fees))
    return sorted((_group(name, values) for name, values in found.items()), key=lambda group: (-group.count, group.name))


def _group(name: str, values: Sequence[tuple[Decimal, Decimal]]) -> Group:
    nets = [net for net, _ in values]
    wins = sum(net > ZERO for net in nets)
    low, high = wilson(wins, len(nets)) or (0.0, 1.0)
    return Group(
        name=name, count=len(nets), wins=wins, win_rate=wins / len(nets), win_low=low, win_high=high, net=add(*nets),
        fees=add(*(fees for _, fees in values)), best=max(nets), worst=min(nets),
    )  # fmt: skip
