"""One session played under the stepped clock, whatever stands behind its ports: what `trader demo` and the replay share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.ingestion import Judge, bootstrap_history, lookbacks, universe_of
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.history import HistoryStore
from trader.data.link import DirectHistoryLink
from trader.domain.futures import MarketKind
from trader.domain.market import MINUTE, Instrument, Timeframe
from trader.execution.session import Session
from trader.execution.verdict_book import VerdictBook
from trader.execution.wiring import Timing
from trader.ports import Exchange, HistoryLink, KillPoints, Ledger, MarketData, SessionSummary, VerdictLink
from trader.simulation.clock import LoopClock

STEPPED = Timing(lease_ttl_s=3600.0, lease_renew_s=600.0, control_poll_s=15.0)
"""Simulated seconds: nobody else can want the lease of a loop that owns time, so it is renewed rarely."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a session is played against: a venue's two sides, the account's ledger, the candles kept, and the AI.

    `base`, `quote`: the finest candles of the market and its currency; `judge`: the data gate (None: the usual process);
    `kind`: what the venue trades. `store` None: `history` has the past already, which is neither fetched nor kept; `book`:
    verdicts known beforehand (None: those that come over the link).
    """

    exchange: Exchange
    market: MarketData
    ledger: Ledger
    store: HistoryStore | None
    verdicts: VerdictLink
    base: Timeframe
    quote: str
    judge: Judge | None = None
    history: HistoryLink | None = None
    short_warmup: bool = False
    kind: MarketKind = MarketKind.SPOT
    book: VerdictBook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A session that ended: what it did, the digest of its journal, when its first pair was ready, when it was over (UTC us)."""

    summary: SessionSummary
    journal: str
    first_ready_us: int
    ended_us: int


async def play_session(
    settings: Settings,
    world: World,
    clock: LoopClock,
    doors: Doors,
    *,
    minutes: int,
    timing: Timing = STEPPED,
    progress: Progress | None = None,
    kill: KillPoints | None = None,
) -> Played:
    """History in, then one session at the intervals of the settings, until `minutes` after its first READY pair. Raises what ended it
    by failure."""
    instruments = await doors.exchange.instruments()
    history = doors.history or await _fetched(settings, clock, doors, instruments, progress)
    taker, _maker = await doors.exchange.fee_rates()
    session = Session(
        wire.wiring(
            settings, clock=clock, exchange=doors.exchange, market=doors.market, instruments=instruments, ledger=doors.ledger,
            history=history, verdicts=doors.verdicts, base=doors.base, quote=doors.quote,
            taker=float(taker), seed=world.seed, timing=wire.paced(timing, settings), kill=kill, holder="demo",
            short_warmup=doors.short_warmup, kind=doors.kind, book=doors.book,
        )
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(session.run(), name="session")
        stack.callback(running.cancel)
        await _until_ready(session, running)
        first = session.progress.first_ready_us or clock.now_us()
        await _watch(session, running, clock, span=(first, first + minutes * MINUTE), progress=progress)
        session.stop("minutes over")
        summary = await running
        if doors.store is not None:
            doors.store.flush(clock.now_us())
    return Played(summary=summary, journal=doors.ledger.journal_hash(), first_ready_us=first, ended_us=clock.now_us())


async def _fetched(
    settings: Settings, clock: LoopClock, doors: Doors, instruments: Mapping[str, Instrument], progress: Progress | None
) -> HistoryLink:
    """The store with what the strategies need in it."""
    assert doors.store is not None  # a history of its own stands in for the store
    needs = lookbacks(settings)
    reference = doors.kind.pair("BTC", doors.quote)
    pairs = await universe_of(doors.market, instruments, quote=doors.quote, universe=settings.universe, reference=reference)
    await bootstrap_history(doors.store, doors.market, clock, pairs, needs, progress=progress, judge=doors.judge)
    return DirectHistoryLink(doors.store, clock, needs=needs)


async def _until_ready(session: Session, running: asyncio.Task[Any]) -> None:
    ready = asyncio.create_task(session.progress.ready.wait())
    await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED, timeout=3600)
    if running.done():
        running.result()
    if not ready.done():
        ready.cancel()
        session.stop("no pair became ready within an hour")


async def _watch(
    session: Session, running: asyncio.Task[Any], clock: LoopClock, *, span: tuple[int, int], progress: Progress | None
) -> None:
    """Let time pass until the end, saying now and then how far it is; a session that ends by itself ends the wait."""
    first, end = span
    while clock.now_us() < end and not running.done() and not session.stopping.is_set():
        await clock.sleep_until(min(end, clock.now_us() + 60 * MINUTE))
        if progress is not None:
            share = (clock.now_us() - first) / max(1, end - first)
            progress(f"simulated past: {share:6.1%}, {session.summary.fills} fills, {len(session.keeper.held)} positions")
