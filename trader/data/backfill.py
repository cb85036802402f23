"""One-minute candles from public trades: page by page, newest day first, each page committed with its coverage and cursor.

Only the open minute is kept in memory. The stored cursor is the nanosecond before that minute opens, so it never points inside a
candle and a killed run reads at most one minute twice. Inside a stretch that was read, minutes without a trade are filled; before
the first trade ever read nothing is known, and the stretch waits for the day before. Source: DATA.md section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import polars as pl

from trader.data import gate_book, parts, quality
from trader.data.catalog import Batch
from trader.data.coverage import Coverage, covered
from trader.data.history import CLIENT, HistoryStore, fingerprint
from trader.data.ingest import compared
from trader.data.parts import Source
from trader.domain.market import DAY, MINUTE, Candle, PublicTrade, Timeframe
from trader.domain.messages import stamp
from trader.errors import RejectedError, RetryableError
from trader.ports import Clock, TradeHistory

M1: Final = Timeframe.M1
Progress = Callable[[int, int, str], None]


@dataclass(slots=True, kw_only=True)
class BackfillReport:
    """What a back-fill did. `left`: minutes still not fetched inside the window; `stopped`: asked to end before all was read."""

    calls: int = 0
    trades: int = 0
    rows: int = 0
    added: int = 0
    revisions: int = 0
    left: int = 0
    stopped: bool = False
    quarantined: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """The candle of the minute that is still being read; sums are exact."""

    time_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quantity: Decimal = Decimal(0)
    turnover: Decimal = Decimal(0)
    count: int = 0

    def add(self, trade: PublicTrade) -> None:
        self.high, self.low, self.close = max(self.high, trade.price), min(self.low, trade.price), trade.price
        self.quantity += trade.quantity
        self.turnover += trade.price * trade.quantity
        self.count += 1

    def candle(self, pair: str) -> Candle:
        return Candle(
            pair=pair, timeframe=M1, time_us=self.time_us, open=float(self.open), high=float(self.high), low=float(self.low),
            close=float(self.close), volume=float(self.quantity), vwap=float(self.turnover / self.quantity), count=self.count,
        )  # fmt: skip


class Minutes:
    """Trades in order to closed candles of one pair."""

    def __init__(self, pair: str) -> None:
        self.pair = pair
        self.open: _Open | None = None

    def take(self, trades: Sequence[PublicTrade], end_us: int) -> tuple[list[Candle], bool]:
        """Candles that closed, and whether a trade at or after `end_us` was seen. Raises RetryableError for trades out of order."""
        closed: list[Candle] = []
        for trade in trades:
            if trade.time_us >= end_us:
                return closed + self.finish(), True
            minute = trade.time_us - trade.time_us % MINUTE
            if self.open is not None and minute < self.open.time_us:
                raise RetryableError(f"trades of {self.pair} came out of order: {trade.time_us} after {self.open.time_us}")
            if self.open is None or minute > self.open.time_us:
                closed += self.finish()
                self.open = _Open(minute, trade.price, trade.price, trade.price, trade.price)
            assert self.open is not None
            self.open.add(trade)
        return closed, False

    def finish(self) -> list[Candle]:
        """The open minute as a candle: nothing of it can follow."""
        done, self.open = self.open, None
        return [] if done is None else [done.candle(self.pair)]


def holes(store: HistoryStore, pair: str, start_us: int, end_us: int) -> list[tuple[int, int]]:
    """[start, end) of minutes that nobody fetched, oldest first; a first stretch before the first trade ever is none."""
    out: list[tuple[int, int]] = []
    at = start_us
    known = store.catalog.coverage("spot", M1, [pair]).get(pair, [])
    for item in known:
        settled = item.state == "fetched" and item.source != Source.STREAM.label
        beginning = item.state == "unavailable" and item.source == Source.TRADES.label and item.start_us <= start_us
        if not (settled or beginning) or item.end_us <= at or item.start_us >= end_us:
            continue
        if item.start_us > at:
            out.append((at, item.start_us))
        at = item.end_us
    if at < end_us:
        out.append((at, end_us))
    return out


class Backfill:
    """One run over some pairs. `stopping` is asked between pages."""

    def __init__(
        self, store: HistoryStore, market: TradeHistory, clock: Clock, *, progress: Progress | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self._store, self._market, self._clock = store, market, clock
        self._progress, self._stopping = progress or (lambda *_: None), stopping or (lambda: False)
        self._leads: dict[str, int] = {}  # pair -> first trade of the day after: nothing happened between midnight and it
        self.report = BackfillReport()

    async def run(self, pairs: Sequence[str], days: int) -> BackfillReport:
        """Fill the last `days` days, a pair that fails is named and the others go on. FatalError is let through."""
        end = M1.floor(self._clock.now_us())
        first = end - days * DAY
        starts = sorted({first, *range(first - first % DAY + DAY, end, DAY)}, reverse=True)
        total, left = sum(_length(self._store, pair, first, end) for pair in pairs), 0
        for start in starts:
            for pair in pairs:
                if pair in self.report.errors:
                    continue
                if self._stopping():
                    self.report.stopped = True
                    break
                left = total - sum(_length(self._store, p, first, end) for p in pairs) if pair == pairs[0] else left
                self._progress(left, total, f"{pair} {stamp(start)[:10]}")
                await self._day(pair, start, min(start - start % DAY + DAY, end))
        if not self.report.stopped:
            self._close(pairs, first)
        self.report.left = sum(_length(self._store, pair, first, end) for pair in pairs)
        return self.report

    async def _day(self, pair: str, start: int, end: int) -> None:
        try:
            for low, high in reversed(holes(self._store, pair, start, end)):
                beyond = self._leads.pop(pair, high) if high == end else high
                await self._hole(pair, low, max(high, beyond))
        except (RetryableError, RejectedError) as error:
            self.report.errors[pair] = f"{type(error).__name__}: {error}"

    async def _hole(self, pair: str, start: int, end: int) -> None:
        """Read [start, end) to its end, one commit a page."""
        minutes, cursor = Minutes(pair), str(start * 1000 - 1)
        close, at = self._close_before(pair, start), start
        while not self._stopping():
            page = await self._market.trades(pair, cursor)
            self.report.calls += 1
            self.report.trades += len(page.trades)
            closed, over = minutes.take(page.trades, end)
            ended = over or not page.trades or page.cursor == cursor
            if ended:
                closed += minutes.finish()
            until = end if ended else (minutes.open.time_us if minutes.open is not None else at)
            if closed and close is None:
                self._note(pair, closed[0].time_us, start)
                at = closed[0].time_us
            if until > at and (closed or close is not None):
                self._commit(pair, self._rows(pair, closed, close, span=(at, until)), until)
                close, at = (closed[-1].close if closed else close), until
            elif ended and close is None:
                self._leads[pair] = end  # not one trade: known once a day before has one
            if ended:
                return
            cursor = page.cursor
        self.report.stopped = True

    def _note(self, pair: str, first: int, start: int) -> None:
        if first > start and start % DAY == 0:
            self._leads[pair] = first

    def _close_before(self, pair: str, start: int) -> float | None:
        """Close of the stored minute that ends at `start`, where there is one."""
        rows = self._store.snapshot(tf=M1, since=start - MINUTE, until=start).scan().filter(pl.col("pair") == pair).collect()
        return float(rows["close"][0]) if len(rows) else None

    def _rows(self, pair: str, closed: Sequence[Candle], close: float | None, *, span: tuple[int, int]) -> pl.DataFrame:
        """Every minute of [start, end): the candles, and filled ones where nothing traded."""
        start, end = span
        made = list(closed)
        if close is not None and (not made or made[0].time_us > start):
            made.insert(0, _quiet(pair, start, close))
        if made[-1].time_us < end - MINUTE:
            made.append(_quiet(pair, end - MINUTE, made[-1].close))
        return parts.fill(parts.frame_of(made, Source.TRADES), M1)

    def _commit(self, pair: str, rows: pl.DataFrame, until: int) -> None:
        """Judged by the rules' Polars form: a process of the other engine a page would cost more than the page."""
        now = self._clock.now_us()
        result = quality.check(compared(rows, M1, self._store), M1, now)
        verdict = result.verdicts[0]
        low, high = int(rows["time"].to_physical().min()), until  # type: ignore[arg-type]
        digest = fingerprint(rows)
        batch = Batch(
            batch_id=f"trades-{pair}-{digest[:24]}", source=Source.TRADES.label, client=CLIENT, requested=(low, high), received=(low, high),
            rows=len(rows), sha256=digest, fetched_us=now, suite_version=result.suite_version,
            gate_json=gate_book.results_json(rows, M1, result),
        )  # fmt: skip
        if (worst := verdict.critical) is not None:
            self._store.quarantine(rows, [verdict], batch=batch, now_us=now)
            self.report.quarantined[pair] = f"{worst.expectation}: {worst.detail}"
            return
        cover, cursor = covered(rows, M1, batch.source, batch.batch_id), str(until * 1000 - 1)
        done = self._store.upsert(rows, M1, batch=batch, now_us=now, cover=cover, cursors=[(pair, cursor)])
        self.report.rows += len(rows)
        self.report.added += done.added
        self.report.revisions += done.revisions

    def _close(self, pairs: Sequence[str], first: int) -> None:
        """What lies before the first trade of the window cannot be had without an older price: nobody need ask again."""
        now = self._clock.now_us()
        ranges = []
        for pair in pairs:
            found = holes(self._store, pair, first, now)
            known = self._store.catalog.coverage("spot", M1, [pair]).get(pair, ())
            if pair not in self.report.errors and found and found[0][0] == first and any(c.start_us == found[0][1] for c in known):
                ranges.append(
                    Coverage(pair=pair, start_us=first, end_us=found[0][1], state="unavailable", source=Source.TRADES.label, batch_id="")
                )
        with self._store.catalog.write():
            self._store.catalog.cover("spot", M1, ranges)


def _quiet(pair: str, time_us: int, close: float) -> Candle:
    return Candle(pair=pair, timeframe=M1, time_us=time_us, open=close, high=close, low=close, close=close, volume=0.0, filled=True)


def _length(store: HistoryStore, pair: str, start: int, end: int) -> int:
    """Minutes nobody fetched."""
    return sum(high - low for low, high in holes(store, pair, start, end)) // MINUTE
