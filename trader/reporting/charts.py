"""Charts as Vega-Lite specs with their data inside: one spec for the page, the artifact and Slack; and their PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import altair
import vl_convert

from trader.ports import EquityRow
from trader.reporting.analytics import drawdowns
from trader.reporting.words import exit_words, money, percent

T = TypeVar("T")
POINTS = 2_000
BLUE, ORANGE = "#1f5f99", "#c2570c"  # told apart without red and green, 4.5:1 on white
PALETTE = [BLUE, ORANGE, "#6b4fa0", "#2f7d6b", "#8a6d00", "#a03060", "#4a5a68"]
WIDTH = 640
UTC_LABEL = "utcFormat(datum.value, utcFormat(datum.value, '%H:%M') == '00:00' ? '%-d %b' : '%H:%M')"  # a day by its date
WIDEST_BAR = 32


def equity(rows: Sequence[EquityRow], quote: str, *, points: int = POINTS) -> dict[str, Any]:
    """Vega-Lite spec: marked equity above, drawdown below, over time. At most `points` rows, the last one always among them."""
    below = drawdowns([float(row.equity) for row in rows])
    values = [
        {"time": row.time_us // 1_000, "equity": float(row.equity), "drawdown": -float(fall)}
        for row, fall in thinned(list(zip(rows, below, strict=True)), points)
    ]
    axis = altair.Axis(labelOverlap=True, labelExpr=UTC_LABEL, tickCount=8)
    base = altair.Chart(altair.InlineData(values=values))
    upper_time, lower_time = (altair.X("time:T", title=title, scale=altair.Scale(type="utc"), axis=axis) for title in (None, "UTC"))
    upper = base.mark_line(color=BLUE, strokeWidth=1.5, interpolate="step-after").encode(
        x=upper_time, y=altair.Y("equity:Q", title=f"equity ({quote})", scale=altair.Scale(zero=False)), tooltip=["time:T", "equity:Q"]
    )
    lower = base.mark_area(color=ORANGE, opacity=0.35, line={"color": ORANGE}, interpolate="step-after").encode(
        x=lower_time, y=altair.Y("drawdown:Q", title="drawdown", axis=altair.Axis(format=".1%")), tooltip=["time:T", "drawdown:Q"]
    )
    chart = altair.vconcat(upper.properties(width=WIDTH, height=220), lower.properties(width=WIDTH, height=90), spacing=8)
    return _spec(chart, equity_words(rows, quote))


def equity_words(rows: Sequence[EquityRow], quote: str) -> str:
    """What the equity chart shows, in numbers, for those who can't see it."""
    if not rows:
        return "Equity chart: no row yet."
    worst = max(drawdowns([float(row.equity) for row in rows]))
    return f"Equity from {money(rows[0].equity)} to {money(rows[-1].equity)} {quote}; greatest drawdown {percent(worst)}."


def trades(rows: Sequence[Mapping[str, Any]], quote: str) -> dict[str, Any]:
    """Vega-Lite spec: net result of each closed trade in order of closing, by reason of exit; rows have net, pair, closed, reason."""
    values = [
        {"number": number, "net": float(row["net"]), "pair": row["pair"], "closed": row["closed"], "reason": exit_words(row["reason"])}
        for number, row in enumerate(rows, start=1)
    ]
    chart = (
        altair.Chart(altair.InlineData(values=values))
        .mark_bar(size=min(WIDEST_BAR, 0.9 * WIDTH / max(1, len(values))))
        .encode(
            x=altair.X("number:O", title="closed trades, in order", axis=altair.Axis(labels=False, ticks=False)),
            y=altair.Y("net:Q", title=f"net ({quote})"),
            color=altair.Color("reason:N", title="closed by", scale=altair.Scale(range=PALETTE)),
            tooltip=["pair:N", "closed:N", "net:Q", "reason:N"],
        )
        .properties(width=WIDTH, height=200)
    )
    return _spec(chart, trades_words(rows, quote))


def trades_words(rows: Sequence[Mapping[str, Any]], quote: str) -> str:
    """What the chart of trades shows, in numbers."""
    nets = [Decimal(row["net"]) for row in rows]
    if not nets:
        return "Chart of trades: none was closed."
    low, high = (money(net, sign=True) for net in (min(nets), max(nets)))
    return f"{len(nets)} closed trades, {sum(net > 0 for net in nets)} with a gain, from {low} to {high} {quote}."


def folds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Vega-Lite spec: mean daily net return of each test block, of the best of its train block and of the strategy in use."""
    series = (("best in train", "test_mean"), ("in use", "current_mean"))
    values = [{"fold": row["fold"], "who": who, "mean": float(row[name] or 0.0)} for row in rows for who, name in series]
    chart = (
        altair.Chart(altair.InlineData(values=values))
        .mark_bar()
        .encode(
            x=altair.X("fold:O", title="test block, oldest first", axis=altair.Axis(labelAngle=0)),
            xOffset="who:N",
            y=altair.Y("mean:Q", title="net return a day", axis=altair.Axis(format=".2%")),
            color=altair.Color("who:N", title=None, scale=altair.Scale(range=[BLUE, ORANGE])),
            tooltip=["fold:O", "who:N", "mean:Q"],
        )
        .properties(width=WIDTH, height=220)
    )
    return _spec(chart, folds_words(rows))


def folds_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the chart of folds shows, in numbers."""
    better = sum((row["test_mean"] or 0.0) > (row["current_mean"] or 0.0) for row in rows)
    return f"{len(rows)} test blocks; the best of the train block was ahead of the strategy in use in {better}."


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
