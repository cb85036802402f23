"""Ingestion of history, wired: rank the pairs, fetch what is missing, judge it in a process of its own, commit it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trader.config import Settings
from trader.data import ingest, tails
from trader.data.history import HistoryStore
from trader.data.ingest import IngestReport, StagedBatch
from trader.data.judged import GateResult
from trader.domain.market import Instrument, Timeframe
from trader.errors import FatalError
from trader.ports import Clock, MarketData
from trader.strategy.modes import lookback_4h, lookback_15m, parameters

Judge = Callable[[StagedBatch, HistoryStore], GateResult]
EVERY = (*ingest.DECIDING, Timeframe.H1, Timeframe.M1, Timeframe.D1)
"""What is kept of every pair; 5m are built from 1m."""


async def universe_of(
    market: MarketData, instruments: Mapping[str, Instrument], *, quote: str, universe: int, reference: str | None = None
) -> list[str]:
    """Pairs by 24 h quote volume, the market's `reference` (BTC against the quote) first, online ones only."""
    tickers = await market.tickers()
    names = [p for p in tickers if p in instruments and instruments[p].quote == quote and instruments[p].status == "online"]
    ranked = sorted(names, key=lambda p: (-tickers[p].quote_volume, p))[:universe]
    reference = reference or f"BTC/{quote}"
    return ([reference] if reference in instruments else []) + [p for p in ranked if p != reference]


def lookbacks(settings: Settings, *, short: bool = False) -> dict[Timeframe, int]:
    """Candles a pair needs before the chosen strategy may judge it; `short`: with the warm-up of three periods."""
    chosen = parameters(settings.profile, settings.mode, settings.variation)
    return {Timeframe.M15: lookback_15m(chosen, short=short), Timeframe.H4: lookback_4h(chosen, short=short)}


async def bootstrap_history(
    store: HistoryStore,
    market: MarketData,
    clock: Clock,
    pairs: Sequence[str],
    needs: Mapping[Timeframe, int],
    *,
    progress: Callable[[str], None] | None = None,
    judge: Judge | None = None,
) -> IngestReport:
    """Everything the strategies need that the store lacks, fetched, gated and committed; then each pair's tail is judged.

    `judge`: the gate's verdict on what was fetched; Great Expectations where None.
    """

    def tell(done: int, total: int, what: str) -> None:
        if progress is not None and (done % 50 == 0 or done == total):
            progress(f"history: {done} of {total} calls ({what})")

    plan = ingest.plan(store, pairs, ingest.DECIDING, clock.now_us())
    batch = await ingest.fetch(plan, market, progress=tell, concurrency=8, clock=clock)
    verdict = judge(batch, store) if judge is not None else gate(store.directory, lambda path: ingest.stage(batch, path, store))
    report = ingest.commit(store, batch, verdict, clock.now_us())
    judge_tails(store, pairs, needs, clock.now_us())
    return report


def judge_tails(store: HistoryStore, pairs: Sequence[str], needs: Mapping[Timeframe, int], now_us: int) -> None:
    """Each pair's newest candles against the tail rules, by their Polars form; the gate's word for the next two hours."""
    store.flush(now_us)
    frame = ingest.tails_of(store, pairs, needs, now_us)
    store.put_tails(tails.check_tails(frame), now_us)


def gate(directory: Path, write: Callable[[Path], object]) -> GateResult:
    """The Great Expectations verdict on what `write` stages, from a process of its own: its import costs seconds.

    Raises FatalError with the process's words when it fails.
    """
    staged = directory / f"staged-{os.getpid()}.parquet"
    out = staged.with_suffix(".json")
    write(staged)
    command = [sys.executable, "-m", "tasks.quality_gate", "--batch", str(staged), "--out", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode != 0:
            raise FatalError(f"the quality gate failed: {done.stderr.strip()[-400:] or 'without a word'}")
        return GateResult.from_json(out.read_text())
    finally:
        staged.unlink(missing_ok=True)
        out.unlink(missing_ok=True)
