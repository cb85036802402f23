"""The status report: what a person wants to know of the account now, as markdown and as tables (SPEC section 13, periodic)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.domain.market import DAY, SECOND
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, mul, plain
from trader.ports import EquityRow, Halt, PairGate
from trader.reporting.analytics import EquityFigures, Trade, TradeFigures, equity_figures, trade_figures, trades_of
from trader.reporting.words import money, number, percent

UNKNOWN = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An open position as the report shows it; prices in quote, None where there is none yet."""

    position_id: str
    pair: str
    side: str
    quantity: Decimal
    entry_price: Decimal | None
    mark: Decimal | None
    stop: Decimal | None
    stop_state: str
    opened_us: int

    @property
    def gain(self) -> float | None:
        """Unrealised return before fees, as a fraction."""
        if not self.entry_price or self.mark is None:
            return None
        move = float(self.mark) / float(self.entry_price) - 1
        return move if self.side == "buy" else -move


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketView:
    """The market over the last 24 h: return of the reference pair, share of pairs that rose, pairs looked at, and their `mood`, 0 to 100
    (None before there is a week of candles)."""

    reference: str
    change: float | None
    breadth: float | None
    pairs: int
    mood: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusData:
    """Everything the report is made from; times in UTC microseconds of exchange time."""

    environment: str
    strategy: str
    ai_mode: str
    quote: str
    as_of_us: int
    daily_limit: float
    drawdown_limit: float
    market: MarketView
    equity: Sequence[EquityRow] = ()
    cash: Mapping[str, Decimal] = field(default_factory=dict)
    holdings: Sequence[Holding] = ()
    legs: Sequence[TradeLeg] = ()
    halts: Sequence[Halt] = ()
    blocked: Sequence[PairGate] = ()
    decisions: Mapping[str, int] = field(default_factory=dict)
    rulings: Mapping[str, int] = field(default_factory=dict)
    pairs_ready: int = 0
    beat_lags_s: Sequence[float] = ()
    last_beat_us: int | None = None
    warnings: Sequence[str] = ()

    @property
    def trades(self) -> list[Trade]:
        """Closed trades, oldest first."""
        return trades_of(self.legs, {held.position_id for held in self.holdings})


def markdown(data: StatusData, picture: str = "") -> str:
    """The report; `picture` is put where the equity chart belongs."""
    title = f"# {data.environment.upper()} status {_time(data.as_of_us)} UTC"
    if not data.equity:
        return f"{title}\n\nNo session has run yet. `trader up --env demo` starts one.\n"
    figures = equity_figures(data.equity)
    parts = [title, _headline(data, figures), picture, "## Portfolio", _portfolio(data), "## Results", results_table(data),
             "## Risk", _risk(data, figures), "## Strategy and AI", _strategy(data), "## Market and data", _market(data),
             "## Health", _health(data)]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def content_hash(data: StatusData) -> str:
    """Equal for reports that say the same but for their time, so that the second one need not be sent."""
    lines = markdown(data).splitlines()[1:]
    return hashlib.sha256("\n".join(line for line in lines if not line.startswith("Last beat")).encode()).hexdigest()[:24]


def summary(data: StatusData) -> dict[str, Any]:
    """The figures of the headline as plain values: money as text, undefined as None."""
    figures, trades = equity_figures(data.equity), trade_figures(data.trades)
    return {
        "as_of": _time(data.as_of_us), "environment": data.environment, "strategy": data.strategy, "quote": data.quote,
        "equity": None if figures.last is None else f"{figures.last:.2f}", "return": figures.total_return,
        "drawdown": figures.current_drawdown, "max_drawdown": figures.max_drawdown, "open": len(data.holdings),
        "trades": trades.trades, "wins": trades.wins, "net": f"{trades.net:.2f}", "fees": f"{trades.fees:.2f}",
        "halts": [halt.cause for halt in data.halts],
    }  # fmt: skip


def position_rows(data: StatusData) -> list[dict[str, str]]:
    """The table of open positions."""
    return [
        {
            "pair": held.pair, "side": held.side, "quantity": plain(held.quantity), "entry": _price(held.entry_price),
            "mark": _price(held.mark), "gain": _percent(held.gain, signed=True), "stop": _price(held.stop), "stop is": held.stop_state,
            "age": _age(data.as_of_us - held.opened_us),
        }
        for held in data.holdings
    ]  # fmt: skip


def trade_rows(data: StatusData, limit: int = 20) -> list[dict[str, str]]:
    """The table of the newest closed trades, newest first."""
    return [
        {
            "closed": _time(trade.exit_us), "pair": trade.pair, "stake": money(trade.stake), "net": money(trade.net, sign=True),
            "return": _percent(float(trade.net / trade.stake) if trade.stake else None, signed=True), "fees": money(trade.fees),
            "reason": trade.reason, "held": _age(trade.exit_us - trade.entry_us),
        }
        for trade in reversed(data.trades[-limit:])
    ]  # fmt: skip


def results_table(data: StatusData) -> str:
    """Today (UTC), seven days, all: as a markdown table."""
    today = data.as_of_us // DAY * DAY
    spans = (("today", today), ("7 days", data.as_of_us - 7 * DAY), ("all", 0))
    rows = [_result_row(name, trade_figures([t for t in data.trades if t.exit_us >= since])) for name, since in spans]
    return table(rows)


def _result_row(name: str, found: TradeFigures) -> dict[str, str]:
    interval = UNKNOWN if found.win_low is None else f"{_percent(found.win_low)} to {_percent(found.win_high)}"
    return {
        "closed": name, "trades": str(found.trades), "net": money(found.net, sign=True), "win rate": _percent(found.win_rate),
        "95 %": interval, "profit factor": _number(found.profit_factor), "expectancy": _number(found.expectancy),
        "fees": money(found.fees), "fees of gains": _percent(found.fee_share),
    }  # fmt: skip


def _headline(data: StatusData, figures: EquityFigures) -> str:
    equity, cash = money(figures.last or ZERO), money(data.cash.get(data.quote, ZERO))
    return (
        f"**{equity} {data.quote}** ({_percent(figures.total_return, signed=True)} since the start), cash {cash}, "
        f"{len(data.holdings)} open positions, drawdown {_percent(figures.current_drawdown)} (greatest {_percent(figures.max_drawdown)})"
    )


def _portfolio(data: StatusData) -> str:
    return table(position_rows(data)) if data.holdings else "No open position."


def _risk(data: StatusData, figures: EquityFigures) -> str:
    exposure = add(*(mul(held.quantity, held.mark or held.entry_price or ZERO) for held in data.holdings))
    today = [t for t in data.trades if t.exit_us >= data.as_of_us // DAY * DAY]
    day = float(add(*(t.net for t in today))) / float(figures.last) if figures.last else None
    halts = "; ".join(f"**{halt.level} {halt.cause}** since {_time(halt.since_us)}: {halt.reason}" for halt in data.halts)
    share = float(exposure / figures.last) if figures.last else None
    return (
        f"Exposure {_percent(share)}; realised today {_percent(day, signed=True)} (halt at −{_percent(data.daily_limit)}); "
        f"drawdown halt at {_percent(data.drawdown_limit)}. Halts: {halts or 'none'}."
    )


def _strategy(data: StatusData) -> str:
    final = ", ".join(f"{code} {count}" for code, count in data.decisions.items()) or "none"
    rulings = ", ".join(f"{name} {count}" for name, count in data.rulings.items()) or "none"
    told = f"{data.strategy}, AI {data.ai_mode}. Decisions of the last 24 h: {final}. AI rulings on them: {rulings}."
    return "\n\n".join([told, *(f"**Warning:** {warning}" for warning in data.warnings)])


def _market(data: StatusData) -> str:
    view = data.market
    blocked = "; ".join(f"{gate.pair} ({gate.reason}: {gate.detail})" for gate in data.blocked[:10]) or "none"
    felt = "" if view.mood is None else f" Mood {view.mood:.0f} of 100, by what rose, {view.reference} and turnover."
    return (
        f"{view.reference} {_percent(view.change, signed=True)} in 24 h; {_percent(view.breadth)} of {view.pairs} pairs rose.{felt} "
        f"{data.pairs_ready} pairs ready. Blocked for their data: {blocked}."
    )


def _health(data: StatusData) -> str:
    if data.last_beat_us is None:
        return "No beat yet."
    worst = max(data.beat_lags_s, default=0.0)
    return f"Last beat {_time(data.last_beat_us)}; worst lag of the last {len(data.beat_lags_s)} beats {worst:.2f} s."


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with equal keys as a markdown table."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return "\n".join(lines + [f"| {' | '.join(row[name].replace('|', '/') for name in names)} |" for row in rows])


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // SECOND, UTC).strftime("%Y-%m-%d %H:%M")


def _age(span_us: int) -> str:
    minutes = span_us // (60 * SECOND)
    return f"{minutes // 1440} d {minutes // 60 % 24} h" if minutes >= 1440 else f"{minutes // 60} h {minutes % 60:02d} min"


def _percent(value: float | None, *, signed: bool = False) -> str:
    return UNKNOWN if value is None else percent(value, sign=signed)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else number(value)


def _price(value: Decimal | None) -> str:
    return UNKNOWN if value is None else plain(value)
