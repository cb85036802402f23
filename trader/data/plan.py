"""What an ingestion would do, as a value: every step with its source, its calls and how long Kraken's call limit makes them take.

Order (DATA.md section 6): what the strategies decide on, the other timeframes, archive files, then back-fill from trades, which
yields to everything else. Making a plan costs no call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from trader.data.archive_files import Contents
from trader.data.backfill import holes
from trader.data.history import HistoryStore
from trader.data.ingest import CALL_S, FIRST, IngestPlan
from trader.domain.market import DAY, MINUTE, Timeframe

PAGE_TRADES: Final = 1_000
FILE_ROWS_S: Final = 100_000  # archive rows read, judged and stored a second on one slow core
ROW_BYTES: Final = 55
SEEN_US: Final = 2 * 60 * MINUTE  # of candles, before their counts say anything about a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One source for some pairs. `calls` to the exchange; `seconds` at Kraken's public limit, or of reading files."""

    source: str
    what: str
    pairs: int
    calls: int
    seconds: float
    estimated: bool = False  # the number of trades in the past is a guess from the newest candles


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order in which they are taken."""

    steps: tuple[Step, ...]

    @property
    def calls(self) -> int:
        return sum(step.calls for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def plan_of(
    store: HistoryStore, fetching: IngestPlan, *, archive: Contents | None = None, pairs: Sequence[str] = (), days: int = 0, now_us: int
) -> Plan:
    """The whole plan: REST calls, the files of an archive, and `days` of back-fill for `pairs`."""
    steps = []
    for timeframe in FIRST:
        count = sum(request.timeframe is timeframe for request in fetching.requests)
        if count:
            steps.append(Step(source="rest", what=str(timeframe), pairs=count, calls=count, seconds=count * CALL_S))
    if archive is not None:
        steps += _files(archive)
    if days and (step := _trades(store, pairs, days, now_us)) is not None:
        steps.append(step)
    return Plan(steps=tuple(steps))


def _files(archive: Contents) -> list[Step]:
    out = []
    for timeframe in Timeframe:
        files = [file for file in archive.files if file.timeframe is timeframe]
        if files:
            seconds = sum(file.size for file in files) / ROW_BYTES / FILE_ROWS_S
            count = len({file.pair for file in files})
            out.append(Step(source="archive", what=f"{timeframe}, {len(files)} files", pairs=count, calls=0, seconds=seconds))
    return out


def _trades(store: HistoryStore, pairs: Sequence[str], days: int, now_us: int) -> Step | None:
    """Pages of 1,000 trades; how many a day has is taken from the newest stored day, of minutes or else of 15m candles."""
    end = Timeframe.M1.floor(now_us)
    trades: dict[str, float] = {}
    for timeframe in (Timeframe.M15, Timeframe.M1):
        rows = store.snapshot(tf=timeframe, since=end - DAY, provisional=True).scan()
        counted = (
            rows.group_by("pair")
            .agg(pl.col("count").sum(), rows=pl.len().cast(pl.Int64))
            .filter(pl.col("rows") * timeframe.us >= SEEN_US)
            .collect()
        )
        trades |= {pair: count * DAY / (bars * timeframe.us) for pair, count, bars in counted.iter_rows()}
    calls = busy = 0
    for pair in pairs:
        for low, high in holes(store, pair, end - days * DAY, end):
            calls += max(1, math.ceil(trades.get(pair, 0) / PAGE_TRADES * (high - low) / DAY))
        busy += bool(holes(store, pair, end - days * DAY, end))
    if not calls:
        return None
    return Step(source="trades", what=f"1m, {days} days", pairs=busy, calls=calls, seconds=calls * CALL_S, estimated=True)


def shown(plan: Plan) -> str:
    """The plan as a table of at most 100 columns, with its totals."""
    rows = [("source", "what", "pairs", "calls", "time")]
    rows += [(s.source, s.what, str(s.pairs), f"{'about ' if s.estimated else ''}{s.calls:,}", duration(s.seconds)) for s in plan.steps]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    total = f"{plan.calls:,} calls, {duration(plan.seconds)} at Kraken's public limit of one call in {CALL_S} s"
    return f"{text}\n{total}" if plan.steps else "nothing is missing"


def duration(seconds: float) -> str:
    """`45 s`, `5.8 min`, `1.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds * 1_000_000 / MINUTE
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
