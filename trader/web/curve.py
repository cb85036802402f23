"""The equity chart as SVG paths and axis labels: drawn on the server, so it needs no script and no second request.

The lines are stretched to the width of the page (`preserveAspectRatio="none"`); labels are HTML beside them, so they stay readable
at 320 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trader.ports import EquityRow
from trader.reporting import words
from trader.reporting.axes import TICKS, nice

WIDTH, HEIGHT, LOW_HEIGHT = 1000.0, 240.0, 70.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the template draws. Paths are in a box of WIDTH x HEIGHT (x LOW_HEIGHT below); labels run from top and from left."""

    line: str
    area: str
    start: float
    fall: str
    labels: tuple[str, ...]
    grid: tuple[float, ...]
    times: tuple[str, ...]
    worst: str
    words: str


def curve_of(rows: Sequence[EquityRow], quote: str) -> Curve | None:
    """None with fewer than two rows: there is no line to draw."""
    if len(rows) < 2 or rows[0].time_us == rows[-1].time_us:
        return None
    values = [float(row.equity) for row in rows]
    low, high, step = nice(min(values), max(values))
    xs = [WIDTH * (row.time_us - rows[0].time_us) / (rows[-1].time_us - rows[0].time_us) for row in rows]
    ys = [HEIGHT * (1 - (value - low) / (high - low)) for value in values]
    line = _path(xs, ys)
    falls = [row.drawdown for row in rows]
    deepest = max(falls)
    depth = [LOW_HEIGHT * fall / max(deepest, 1e-9) for fall in falls]
    count = round((high - low) / step)
    places = 0 if step >= 1 else 2
    return Curve(
        line=line, area=f"{line}V{HEIGHT:.0f}H0Z", start=ys[0], fall=f"{_path(xs, depth)}V0H0Z",
        labels=tuple(words.money(f"{high - step * i:.6f}", places) for i in range(count + 1)),
        grid=tuple(HEIGHT * i / count for i in range(count + 1)), times=_times(rows[0].time_us, rows[-1].time_us),
        worst=words.percent(-deepest), words=_words(rows, quote, deepest),
    )  # fmt: skip


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return f"M{xs[0]:.1f} {ys[0]:.1f}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in zip(xs[1:], ys[1:], strict=True))


def _times(first_us: int, last_us: int) -> tuple[str, ...]:
    """Five moments from left to right; within one day the date is told once."""
    made = [words.clock_time(first_us + (last_us - first_us) * i // TICKS) for i in range(TICKS + 1)]
    return tuple(made)


def _words(rows: Sequence[EquityRow], quote: str, deepest: float) -> str:
    return (
        f"Equity from {words.money(rows[0].equity)} to {words.money(rows[-1].equity)} {quote}, "
        f"{words.clock_time(rows[0].time_us)} to {words.clock_time(rows[-1].time_us)} UTC; greatest drawdown {words.percent(deepest)}."
    )
