"""One ingestion against peers that run in other processes: what the flow `ingest_history` and `trader ingest` start."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from trader.bootstrap import archives, wire
from trader.bootstrap.grounds import clock_of
from trader.bootstrap.ingestion import EVERY, gate, judge_tails, lookbacks, universe_of
from trader.bootstrap.installation import claim
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data import ingest
from trader.data.archive import ArchiveReport
from trader.data.compaction import CompactReport
from trader.data.history import HistoryStore
from trader.data.ingest import DECIDING, IngestPlan, IngestReport, StagedBatch
from trader.data.judged import GateResult
from trader.domain.market import Instrument, Timeframe
from trader.errors import ConfigError, RetryableError
from trader.ports import Clock, MarketData

CALLS = 300
"""Calls a chunk against the demo's exchange, which answers as fast as it can: 15m and 4h of 150 pairs."""

Report = IngestReport
Deep = ArchiveReport
Folded = CompactReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of the plan."""

    number: int
    of: int
    plan: IngestPlan

    def __str__(self) -> str:
        return f"{self.number} of {self.of}, {len(self.plan.requests)} calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A chunk with what came of it."""

    chunk: Chunk
    batch: StagedBatch

    def __str__(self) -> str:
        return f"{self.chunk.number} of {self.chunk.of}, {sum(len(f.rows) for f in self.batch.fetched)} rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A fetched chunk with the gate's verdicts."""

    fetched: Fetched
    result: GateResult

    def __str__(self) -> str:
        return str(self.fetched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive to import; `source`: path or URL."""

    number: int
    of: int
    pairs: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        return f"{self.number} of {self.of}, {len(self.pairs)} pairs"


class Ingestion:
    """Plan, fetch, gate, commit, judge: the steps of one ingestion, each callable on its own and repeatable."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: HistoryStore,
        market: MarketData,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        quote: str,
        timeframes: Sequence[Timeframe] = EVERY,
        pairs: Sequence[str] = (),
        url: str = "",
    ) -> None:
        self.settings, self.store, self.market, self.instruments = settings, store, market, instruments
        self.clock, self.quote, self.timeframes, self.pairs = clock, quote, tuple(timeframes), list(pairs)
        self.url = url

    async def plan(self) -> list[Chunk]:
        """The calls that history lacks, most urgent first, in chunks. Raises ConfigError for a pair the market does not list."""
        return self.chunked(await self.calls())

    @staticmethod
    def chunked(calls: IngestPlan) -> list[Chunk]:
        """Calls in pieces that are fetched, judged and committed one after the other."""
        found = calls.chunks(CALLS)
        return [Chunk(number=number, of=len(found), plan=piece) for number, piece in enumerate(found, start=1)]

    async def calls(self) -> IngestPlan:
        """All calls in one piece."""
        if unknown := [pair for pair in self.pairs if pair not in self.instruments]:
            raise ConfigError(f"pairs: {unknown[0]!r} is not listed; known: {', '.join(sorted(self.instruments)[:5])}, ...")
        if not self.pairs:
            self.pairs = await universe_of(self.market, self.instruments, quote=self.quote, universe=self.settings.universe)
        return ingest.plan(self.store, self.pairs, self.timeframes, self.clock.now_us())

    async def fetch(self, chunk: Chunk, progress: ingest.Progress | None = None) -> Fetched:
        """Make a chunk's calls. Raises RetryableError when not one of them was answered."""
        batch = await ingest.fetch(chunk.plan, self.market, concurrency=8, clock=self.clock, progress=progress)
        if batch.errors and not batch.fetched:
            name, why = next(iter(batch.errors.items()))
            raise RetryableError(f"none of {batch.calls} calls was answered; {name}: {why}")
        return Fetched(chunk=chunk, batch=batch)

    def gate(self, fetched: Fetched) -> Judged:
        """Great Expectations' verdicts, from a process of its own; blocks for seconds. Raises FatalError where that process fails."""
        store = HistoryStore(self.store.directory)  # a connection belongs to its thread, and this is called from any
        try:
            return Judged(fetched=fetched, result=gate(store.directory, lambda path: ingest.stage(fetched.batch, path, store)))
        finally:
            store.close()

    def commit(self, judged: Judged) -> Report:
        """Store what passed. Raises RejectedError for a batch refused as a whole, RetryableError while another writer is at it."""
        return ingest.commit(self.store, judged.fetched.batch, judged.result, self.clock.now_us())

    def judge(self) -> dict[str, Any]:
        """Judge the newest candles of every pair for the next two hours; how many pairs may trade, and the reasons of the others."""
        judge_tails(self.store, self.pairs, lookbacks(self.settings), self.clock.now_us())
        return readiness(self.store, self.clock.now_us(), lookbacks(self.settings))

    def archives(self) -> list[Archive]:
        """What the demo's exchange offers of pairs of which no archive was imported yet, some pairs at a time."""
        days = self.settings.history.archive_days if self.url else 0  # Kraken's own is one file, taken by hand: `ingest --archive`
        lacking = [p for p in self.pairs if days and not all(self.store.catalog.cursor("spot", tf, p, "archive") for tf in DECIDING)]
        groups = [tuple(lacking[at : at + archives.GROUP]) for at in range(0, len(lacking), archives.GROUP)]
        return [
            Archive(number=number, of=len(groups), pairs=group, source=archives.demo_archive(self.url, group, days))
            for number, group in enumerate(groups, start=1)
        ]

    async def take(self, archive: Archive) -> ArchiveReport:
        """Fetch and import one archive. Raises RetryableError, or RejectedError where the server or the gate refuses."""
        async with archives.at_hand(archive.source, self.store.directory) as path:
            found = archives.look(path, self.instruments)
            return await archives.take(self.store.directory, found, now_us=self.clock.now_us())

    def compact(self) -> CompactReport:
        """Fold finished days and months, and sweep files nobody reads; with a connection of its own, for any thread."""
        store = HistoryStore(self.store.directory)
        try:
            return store.compact(self.clock.now_us())
        finally:
            store.close()


def readiness(store: HistoryStore, now_us: int, needs: Mapping[Timeframe, int]) -> dict[str, Any]:
    """How many pairs the gate lets trade, and how many it does not for each reason."""
    from trader.data.intake import gates

    words = gates(store, list(needs), now_us)
    reasons = Counter(word.reason for word in words.values() if word.reason)
    return {"ready": sum(not word.reason for word in words.values()), "blocked": dict(sorted(reasons.items()))}


@asynccontextmanager
async def ingesting(
    settings: Settings, *, timeframes: Sequence[str] | None = None, pairs: Sequence[str] | None = None
) -> AsyncIterator[Ingestion]:
    """Store, market and clock of the environment, open for one ingestion. Raises ConfigError for an unknown timeframe."""
    chosen = _timeframes(timeframes) if timeframes else EVERY
    paths = Paths(settings.state)
    clock, demo = clock_of(settings, paths), settings.environment == "demo"  # first: where no demo runs, nothing is left behind
    paths.make()
    if not demo:
        claim(settings, paths)
    endpoints = wire.Endpoints.loopback(settings) if demo else wire.Endpoints.chosen(settings)
    async with AsyncExitStack() as stack:
        market = wire.public_market(endpoints, clock, stack=stack)
        store = HistoryStore(paths.history)
        stack.callback(store.close)
        yield Ingestion(
            settings=settings, store=store, market=market, instruments=await market.instruments(), clock=clock,
            quote=World.load(paths.world).shape().quote if demo else settings.quote, timeframes=chosen, pairs=pairs or (),
            url=(endpoints.kraken or "") if demo else "",
        )  # fmt: skip


def _timeframes(names: Sequence[str]) -> list[Timeframe]:
    known = [str(timeframe) for timeframe in Timeframe]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"timeframes: {unknown[0]!r} is unknown; allowed: {', '.join(known)}")
    return [Timeframe(name) for name in names]
