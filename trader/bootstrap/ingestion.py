"""Ingestion of history, wired: rank the pairs, fetch what is missing, judge it in a process of its own, commit it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from trader.data import ingest
from trader.data.history import HistoryStore
from trader.data.ingest import IngestReport
from trader.domain.market import Instrument, Timeframe
from trader.errors import FatalError
from trader.ports import Clock, MarketData

FIRST = (Timeframe.M15, Timeframe.H4)
"""The timeframes the strategies decide on."""


async def universe_of(market: MarketData, instruments: Mapping[str, Instrument], *, quote: str, universe: int) -> list[str]:
    """Pairs by 24 h quote volume, the market's reference BTC first, online ones only."""
    tickers = await market.tickers()
    names = [p for p in tickers if p in instruments and instruments[p].quote == quote and instruments[p].status == "online"]
    ranked = sorted(names, key=lambda p: (-tickers[p].quote_volume, p))[:universe]
    reference = f"BTC/{quote}"
    return ([reference] if reference in instruments else []) + [p for p in ranked if p != reference]


async def bootstrap_history(
    store: HistoryStore,
    market: MarketData,
    instruments: Mapping[str, Instrument],
    clock: Clock,
    *,
    quote: str,
    universe: int,
    progress: Callable[[str], None] | None = None,
) -> IngestReport:
    """Everything the strategies need that the store lacks, gated and committed."""
    pairs = await universe_of(market, instruments, quote=quote, universe=universe)
    plan = ingest.plan(store, pairs, FIRST, clock.now_us())
    tell = (lambda done, total, what: progress(f"history: {done} of {total} ({what})") if done % 50 == 0 else None) if progress else None
    batch = await ingest.fetch(plan, market, progress=tell, concurrency=8)
    staged = store.directory / "staging" / "batch.parquet"
    ingest.stage(batch, staged)
    verdicts = gate(staged)
    report = ingest.commit(store, batch, verdicts, clock.now_us())
    staged.unlink(missing_ok=True)
    return report


def gate(staged: Path) -> dict[str, object]:
    """The Great Expectations verdict on a staged batch, from a process of its own (its import costs seconds)."""
    out = staged.with_suffix(".verdict.json")
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "tasks.quality_gate", "--batch", str(staged), "--out", str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not out.exists():
        raise FatalError(f"the quality gate failed: {done.stderr.strip()[-400:] or 'no output'}")
    verdict: dict[str, object] = json.loads(out.read_text())
    out.unlink()
    return verdict
