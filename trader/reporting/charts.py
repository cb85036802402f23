"""Charts as Vega-Lite specs with their data inside: one spec for the page, the artifact and Slack; and their PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import altair
import vl_convert

from trader.ports import EquityRow
from trader.reporting.analytics import drawdowns

T = TypeVar("T")
POINTS = 2_000
BLUE, ORANGE = "#1f5f99", "#c2570c"  # told apart without red and green, 4.5:1 on white
WIDTH = 640


def equity(rows: Sequence[EquityRow], quote: str, *, points: int = POINTS) -> dict[str, Any]:
    """Vega-Lite spec: marked equity above, drawdown below, over time. At most `points` rows, the last one always among them."""
    below = drawdowns([float(row.equity) for row in rows])
    values = [
        {"time": row.time_us // 1_000, "equity": float(row.equity), "drawdown": -float(fall)}
        for row, fall in thinned(list(zip(rows, below, strict=True)), points)
    ]
    base = altair.Chart(altair.InlineData(values=values)).encode(
        x=altair.X("time:T", title=None, scale=altair.Scale(type="utc"), axis=altair.Axis(labelOverlap=True))
    )
    upper = base.mark_line(color=BLUE, strokeWidth=1.5, interpolate="step-after").encode(
        y=altair.Y("equity:Q", title=f"equity ({quote})", scale=altair.Scale(zero=False)), tooltip=["time:T", "equity:Q"]
    )
    lower = base.mark_area(color=ORANGE, opacity=0.35, line={"color": ORANGE}, interpolate="step-after").encode(
        y=altair.Y("drawdown:Q", title="drawdown", axis=altair.Axis(format=".1%")), tooltip=["time:T", "drawdown:Q"]
    )
    chart = altair.vconcat(upper.properties(width=WIDTH, height=220), lower.properties(width=WIDTH, height=90), spacing=8)
    return _spec(chart, equity_words(rows, quote))


def equity_words(rows: Sequence[EquityRow], quote: str) -> str:
    """What the equity chart shows, in numbers, for those who can't see it."""
    if not rows:
        return "Equity chart: no row yet."
    worst = max(drawdowns([float(row.equity) for row in rows]))
    return f"Equity from {rows[0].equity:.2f} to {rows[-1].equity:.2f} {quote}; greatest drawdown {worst:.2%}."


def thinned(items: Sequence[T], points: int) -> list[T]:
    """Every k-th item, and the last."""
    if len(items) <= points:
        return list(items)
    step = -(-(len(items) - 1) // (points - 1))
    return [*items[:-1:step], items[-1]]


def _spec(chart: Any, words: str) -> dict[str, Any]:
    made: dict[str, Any] = chart.properties(description=words).configure_view(stroke=None).to_dict()
    return made


def png(spec: dict[str, Any], *, scale: float = 2.0) -> bytes:
    """A spec as PNG; nothing is fetched. Raises ValueError for a spec that can't be drawn."""
    made: bytes = vl_convert.vegalite_to_png(spec, scale=scale)
    return made
