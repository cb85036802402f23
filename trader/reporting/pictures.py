"""Charts of a backtest as SVG paths and labels: pure geometry, no script, no request, no library.

Boxes are WIDTH wide and stretched to the page; strokes keep their width, and a dot is a stroke of length nothing, so neither is
deformed. Labels are HTML beside them, with their place from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trader.ports import Columns
from trader.reporting import words
from trader.reporting.axes import inside, moments, nice
from trader.reporting.study import Bin

WIDTH = 1000.0
POINTS = 400  # buckets of a curve; each keeps its lowest and its highest value
Label = tuple[float, str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values on an axis of `height`, the highest on top; `ticks`: places from the top and their words."""

    low: float
    high: float
    height: float
    ticks: tuple[Label, ...]

    def y(self, value: float) -> float:
        return self.height * (1 - (value - self.low) / (self.high - self.low))


def scale(values: Sequence[float], height: float, shown: Callable[[float, float], str]) -> Scale:
    """An axis with round ends that holds all values; `shown` words a tick, given its value and the step."""
    low, high, step = nice(min(values), max(values))
    count = round((high - low) / step)
    return Scale(low=low, high=high, height=height, ticks=tuple((i / count, shown(high - step * i, step)) for i in range(count + 1)))


def close_scale(values: Sequence[float], height: float, shown: Callable[[float, float], str]) -> Scale:
    """An axis that ends a little beyond the values, with round ticks in between."""
    least, most = min(values), max(values)
    room = (most - least) * 0.06 or abs(most) * 0.01 or 1.0
    low, high = least - room, most + room
    ticks, step = inside(low, high)
    return Scale(low=low, high=high, height=height, ticks=tuple(((high - one) / (high - low), shown(one, step)) for one in ticks))


def _money(value: float, step: float) -> str:
    return words.money(f"{value:.6f}", 0 if step >= 1 else 2)


def _price(value: float, step: float) -> str:
    return words.money(f"{value:.12f}", max(0, -math.floor(math.log10(step) + 1e-9) + (step < 1 and f"{step:e}"[2] == "5")))


def _percent(value: float, step: float) -> str:
    return words.percent(value, 0 if step >= 0.01 else 1 if step >= 0.001 else 2)


def _multiple(value: float, step: float) -> str:
    return (f"{value:.0f} R" if step >= 1 else f"{value:.1f} R").replace("-", "−")


# --- equity and drawdown -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPicture:
    """Equity with its area, holding beside it, the fall below the peak beneath."""

    line: str
    area: str
    hold: str
    fall: str
    start: float
    equity: Scale
    drawdown: Scale
    times: tuple[Label, ...]


def equity_picture(curve: Sequence[tuple[int, float]], hold: Sequence[tuple[int, float]]) -> EquityPicture:
    """`curve`, `hold`: (microseconds, value in quote), ascending from one moment to another."""
    first, last = curve[0][0], curve[-1][0]
    values = np.array([value for _, value in curve])
    falls = values / np.maximum.accumulate(values) - 1
    equity = close_scale([*values.tolist(), *(value for _, value in hold)], 260.0, _money)
    below = scale([float(falls.min()), 0.0], 90.0, _percent)

    def x(time_us: int) -> float:
        return WIDTH * (time_us - first) / (last - first)

    line = _line([(x(at), equity.y(value)) for at, value in thinned(curve)])
    fall = _line([(x(at), below.y(value)) for at, value in thinned(list(zip((at for at, _ in curve), falls.tolist(), strict=True)))])
    return EquityPicture(
        line=line, area=f"{line}V{equity.height:.0f}H0Z", hold=_line([(x(at), equity.y(value)) for at, value in hold]),
        fall=f"{fall}V{below.y(0):.1f}H0Z", start=equity.y(values[0]), equity=equity, drawdown=below, times=tuple(moments(first, last)),
    )  # fmt: skip


def thinned(curve: Sequence[tuple[int, float]], buckets: int = POINTS) -> list[tuple[int, float]]:
    """First and last point and, of every bucket between, its lowest and its highest: no peak and no trough is lost."""
    if len(curve) <= 2 * buckets:
        return list(curve)
    edges = np.linspace(0, len(curve), buckets + 1).astype(int).tolist()
    kept = {0, len(curve) - 1}
    for low, high in pairwise(edges):
        kept |= {min(range(low, high), key=lambda i: curve[i][1]), max(range(low, high), key=lambda i: curve[i][1])}
    return [curve[i] for i in sorted(kept)]


def _line(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


# --- bars --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class BarPicture:
    """Bars from a zero line: `gains` and `losses` as paths, `mark` a vertical line or -1, `band` from and to or none."""

    gains: str
    losses: str
    zero: float
    values: Scale
    labels: tuple[Label, ...]
    mark: float = -1.0
    band: tuple[float, float] = (0.0, 0.0)


def daily_picture(days: Sequence[tuple[int, float]]) -> BarPicture:
    """Returns of days, (open of the day in microseconds, fraction)."""
    values = scale([0.0, *(value for _, value in days)], 250.0, _percent)
    step = WIDTH / len(days)
    bars = [(step * (place + 0.1), step * 0.8, value) for place, (_, value) in enumerate(days)]
    day = days[1][0] - days[0][0] if len(days) > 1 else 1
    return BarPicture(
        gains=_bars(bars, values, gain=True), losses=_bars(bars, values, gain=False), zero=values.y(0), values=values,
        labels=tuple(moments(days[0][0], days[-1][0] + day)),
    )  # fmt: skip


def histogram_picture(
    bins: Sequence[Bin], *, percent: bool, mark: float | None = None, band: tuple[float, float] = (0.0, 0.0)
) -> BarPicture:  # fmt: skip
    """Counts per bin; bins that end at or below zero are losses. `mark`: a value to point at, `band`: an interval to shade."""
    low, high = bins[0].low, bins[-1].high
    if mark is not None:
        low, high = min(low, mark), max(high, mark)
    ticks, step = inside(low, high)
    values = scale([0.0, float(max(one.count for one in bins))], 200.0, lambda value, _: f"{value:,.0f}")

    def x(value: float) -> float:
        return WIDTH * (value - low) / (high - low)

    bars = [(x(one.low) + 0.6, x(one.high) - x(one.low) - 1.2, one) for one in bins]
    word = _percent if percent else _multiple
    return BarPicture(
        gains=_bars([(at, wide, one.count) for at, wide, one in bars if one.high > 1e-12], values, gain=True),
        losses=_bars([(at, wide, one.count) for at, wide, one in bars if one.high <= 1e-12], values, gain=True), zero=values.height,
        values=values, labels=tuple(((one - low) / (high - low), word(one, step)) for one in ticks),
        mark=-1.0 if mark is None else x(mark), band=(x(band[0]), x(band[1])) if band[1] > band[0] else (0.0, 0.0),
    )  # fmt: skip


def _bars(bars: Sequence[tuple[float, float, float]], values: Scale, *, gain: bool) -> str:
    zero = values.y(0)
    chosen = [(x, wide, values.y(value)) for x, wide, value in bars if value and (value > 0) is gain]
    return "".join(f"M{x:.1f} {zero:.1f}V{y:.1f}h{wide:.1f}V{zero:.1f}Z" for x, wide, y in chosen)


# --- candles with trades -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A trade to draw: where and at what it was entered and left (each leg), whether it gained, and its words."""

    entry_us: int
    entry: float
    exits: tuple[tuple[int, float], ...]
    gained: bool
    words: str
    stop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnTrade:
    """Paths of a trade: a line from entry to each exit, a dot where it was entered, squares where it was left."""

    line: str
    entry: str
    exits: str
    stop: str
    gained: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePicture:
    """Candles as two paths each (wicks, bodies), those that rose and those that fell; trades over them."""

    rose: str
    fell: str
    wicks: str
    prices: Scale
    times: tuple[Label, ...]
    trades: tuple[DrawnTrade, ...]


def candle_picture(columns: Columns, length_us: int, marks: Sequence[Mark], *, bar_us: int) -> CandlePicture:
    """`length_us`: of a candle; `bar_us`: of the bars that were traded, in whose middle a trade is drawn."""
    first, last = int(columns.time[0]), int(columns.time[-1]) + length_us
    levels = [mark.stop for mark in marks if mark.stop is not None]
    prices = close_scale([float(columns.low.min()), float(columns.high.max()), *levels], 240.0, _price)

    def x(time_us: int) -> float:
        return WIDTH * (time_us - first) / (last - first)

    half = WIDTH * length_us / (last - first) / 2
    wicks, bodies = [], {True: list[str](), False: list[str]()}
    rows = zip(columns.time.tolist(), *(getattr(columns, name).tolist() for name in ("open", "high", "low", "close")), strict=True)
    for time_us, open_, high, low, close in rows:
        middle = x(time_us) + half
        wicks.append(f"M{middle:.1f} {prices.y(high):.1f}V{prices.y(low):.1f}")
        top, bottom = prices.y(max(open_, close)), prices.y(min(open_, close))
        bodies[close >= open_].append(f"M{middle - half * 0.7:.1f} {top:.1f}h{half * 1.4:.1f}V{bottom:.1f}h{-half * 1.4:.1f}Z")
    drawn = tuple(_drawn(mark, x, prices, half * bar_us / length_us) for mark in marks)
    return CandlePicture(
        rose="".join(bodies[True]), fell="".join(bodies[False]), wicks="".join(wicks), prices=prices, times=tuple(moments(first, last)),
        trades=drawn,
    )  # fmt: skip


def _drawn(mark: Mark, x: Callable[[int], float], prices: Scale, half: float) -> DrawnTrade:
    begin = (x(mark.entry_us) + half, prices.y(mark.entry))
    ends = [(x(at) + half, prices.y(price)) for at, price in mark.exits]
    stop = "" if mark.stop is None else f"M{begin[0]:.1f} {prices.y(mark.stop):.1f}H{max(end[0] for end in ends):.1f}"
    return DrawnTrade(
        line="".join(_line([begin, end]) for end in ends), entry=f"M{begin[0]:.1f} {begin[1]:.1f}h0",
        exits="".join(f"M{end[0]:.1f} {end[1]:.1f}h0" for end in ends), stop=stop, gained=mark.gained, words=mark.words,
    )  # fmt: skip
