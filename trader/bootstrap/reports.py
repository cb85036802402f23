"""The status report, wired: rows from the ledger and the history store, turned into figures, words and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.notices import clock_of, post_notice
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.engine import exists
from trader.data.history import HistoryStore
from trader.data.intake import gates
from trader.data.reader import LedgerReader
from trader.data.reader_positions import OpenPosition
from trader.domain.market import DAY, Timeframe
from trader.domain.money import from_float
from trader.execution.pulse import mood
from trader.ports import Columns, PairGate
from trader.reporting import charts, periodic
from trader.reporting.periodic import Holding, MarketView, StatusData

BEATS = 20
CANDLES_24H = 97  # 15m closes: now, and 24 h ago
DAYS_BEHIND = 7  # that a day's turnover is held against


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A report ready to be shown. `png` is None before the first session; `words` say what the picture shows."""

    data: StatusData
    png: bytes | None
    words: str

    def markdown(self, picture: str = "") -> str:
        """The page, with `picture` in the equity chart's place."""
        return periodic.markdown(self.data, picture)

    @property
    def tables(self) -> dict[str, list[dict[str, str]]]:
        """Rows of open positions and of closed trades; a table without rows is left out."""
        found = {"open-positions": periodic.position_rows(self.data), "closed-trades": periodic.trade_rows(self.data)}
        return {name: rows for name, rows in found.items() if rows}

    @property
    def summary(self) -> dict[str, Any]:
        """The headline's figures as plain values."""
        return periodic.summary(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Market:
    marks: dict[str, float]
    view: MarketView
    blocked: tuple[PairGate, ...]
    ready: int


def status_report(settings: Settings) -> StatusReport:
    """What the stores of this installation say now. Reads only; works beside a running session and after its end."""
    data = status_data(settings)
    words = charts.equity_words(data.equity, data.quote)
    png = charts.png(charts.equity(data.equity, data.quote, points=600), scale=1.5) if data.equity else None
    return StatusReport(data=data, png=png, words=words)


def post_report(settings: Settings, report: StatusReport) -> None:
    """Put the report into the outbox unless the last one said the same."""
    payload = {**report.summary, "markdown": report.markdown()}
    post_notice(settings, "report.periodic", payload, dedupe_key=f"report.periodic {periodic.content_hash(report.data)}")


def status_data(settings: Settings) -> StatusData:
    """The report's rows. A ledger or history that is not there yet is an empty one."""
    paths = Paths(settings.state)
    now = clock_of(settings, paths).now_us()
    quote = World.load(paths.world).shape().quote if paths.world.exists() else settings.quote
    market, limits = _market(settings, paths.history, quote, now), wire.limits_of(settings)
    empty = StatusData(
        environment=settings.environment, strategy=settings.strategy, ai_mode=settings.ai.mode, quote=quote, as_of_us=now,
        daily_limit=limits.daily_loss, drawdown_limit=limits.drawdown, market=market.view,
        blocked=market.blocked, pairs_ready=market.ready, warnings=_warnings(settings),
    )  # fmt: skip
    if not exists(paths.ledger_at):
        return empty
    with closing(LedgerReader(paths.ledger_at)) as reader:
        return _read(reader, empty, market)


def _read(reader: LedgerReader, empty: StatusData, market: _Market) -> StatusData:
    started = reader.newest_event("system.started")
    told = started.payload if started else {}
    beats = reader.beats(BEATS)
    day = empty.as_of_us - DAY
    return StatusData(
        environment=empty.environment, strategy=str(told.get("strategy", empty.strategy)), ai_mode=str(told.get("ai", empty.ai_mode)),
        quote=empty.quote, as_of_us=empty.as_of_us, daily_limit=empty.daily_limit, drawdown_limit=empty.drawdown_limit,
        market=empty.market, blocked=empty.blocked, pairs_ready=empty.pairs_ready, warnings=empty.warnings,
        equity=reader.equity(), cash=reader.cash(), holdings=[_holding(p, market.marks) for p in reader.positions()],
        legs=reader.trades(limit=1_000_000), halts=reader.halts(), decisions=reader.refusals(day), rulings=reader.verdicts(day),
        beat_lags_s=[beat.lag_s for beat in beats], last_beat_us=beats[0].time_us if beats else None,
    )  # fmt: skip


def _warnings(settings: Settings) -> tuple[str, ...]:
    """What must be said of the strategy that is set, at the worst published fees."""
    from trader.strategy.modes import parameters
    from trader.strategy.strategies import of_table, warnings_of  # lazy: it compiles, and the status page reads this module

    return warnings_of(of_table(parameters(settings.profile, settings.mode, settings.variation)))


def _holding(view: OpenPosition, marks: dict[str, float]) -> Holding:
    position = view.position
    mark = marks.get(position.pair)
    return Holding(
        position_id=position.position_id, pair=position.pair, side=str(position.side), quantity=view.quantity, entry_price=view.entry_price,
        mark=None if mark is None else from_float(mark), stop=view.live_stop, stop_state=view.stop_state, opened_us=position.opened_us,
    )  # fmt: skip


def _view(reference: str, series: Mapping[str, Columns]) -> MarketView:
    """What the newest 15m candles of all pairs say together; a pair counts from a day of them on, its turnover from seven."""
    changes = {pair: float(c.close[-1] / c.close[-CANDLES_24H] - 1) for pair, c in series.items() if len(c) >= CANDLES_24H}
    known, change = len(changes), changes.get(reference)
    rose, fell = (math.fsum(sign * one > 0 for one in changes.values()) for sign in (1, -1))
    day = CANDLES_24H - 1
    turnovers = [c.close * c.volume for c in series.values() if len(c) == DAYS_BEHIND * day]
    week = math.fsum(float(one.sum()) for one in turnovers)
    felt = None
    if change is not None and week > 0:
        felt = mood((rose - fell) / known, change, math.fsum(float(one[-day:].sum()) for one in turnovers) * DAYS_BEHIND / week)
    return MarketView(reference=reference, change=change, breadth=rose / known if known else None, pairs=known, mood=felt)


def _market(settings: Settings, directory: Path, quote: str, now_us: int) -> _Market:
    reference = f"BTC/{quote}"
    if not (directory / "catalog.sqlite").exists():
        return _Market(marks={}, view=_view(reference, {}), blocked=(), ready=0)
    store = HistoryStore(directory)
    try:
        series = store.series(store.pairs(), Timeframe.M15, DAYS_BEHIND * (CANDLES_24H - 1))
        words = gates(store, list(lookbacks(settings)), now_us).values()
    finally:
        store.close()
    return _Market(
        marks={pair: float(c.close[-1]) for pair, c in series.items()}, view=_view(reference, series),
        blocked=tuple(word for word in words if word.reason), ready=sum(not word.reason for word in words),
    )  # fmt: skip
