"""Ingestion: what is missing, fetching it, staging it for the gate, committing what passed. Source: DATA.md section 6.

Every step takes and returns values; a run that is cut short is continued by planning again, because coverage is committed
together with the rows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from trader.data import agreement, gate_book, parts, quality, rules, tails
from trader.data.catalog import Batch
from trader.data.coverage import Coverage, covered, uncovered
from trader.data.history import CLIENT, HistoryStore, fingerprint
from trader.data.judged import GateResult, Verdict
from trader.data.parts import Source
from trader.domain.market import Timeframe
from trader.errors import AmbiguousError, RejectedError, RetryableError
from trader.ports import Clock, MarketData

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""
FIRST: Final = (Timeframe.M15, Timeframe.H4, Timeframe.H1, Timeframe.M1, Timeframe.M5, Timeframe.D1)
DECIDING: Final = FIRST[:2]
REST_ROWS: Final = 719  # closed candles one REST call returns
CALL_S: Final = 1.2  # what Kraken's public limit leaves per call
PAUSES_S: Final = (1.0, 3.0)  # before the second and third try of a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call: candles of a pair from `since_us` up to `until_us` (open of the running candle)."""

    pair: str
    timeframe: Timeframe
    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan:
    """Calls to make, most urgent first."""

    requests: tuple[Request, ...]
    made_us: int

    @property
    def seconds(self) -> float:
        """How long Kraken's call limit makes this take."""
        return len(self.requests) * CALL_S

    def chunks(self, calls: int) -> list[IngestPlan]:
        """The same calls in pieces, so that finished pairs are judged and committed while others are still fetched.

        The timeframes decided on come first and together, some pairs at a time: each piece makes its pairs ready.
        """
        rank = {pair: place for place, pair in enumerate(dict.fromkeys(r.pair for r in self.requests))}
        size = max(1, calls // len(DECIDING))
        ordered = sorted(self.requests, key=lambda r: (0, rank[r.pair] // size) if r.timeframe in DECIDING else (1, 0))
        return [IngestPlan(requests=tuple(ordered[at : at + calls]), made_us=self.made_us) for at in range(0, len(ordered), calls)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one call returned, as served: order, repeats and bad values untouched."""

    request: Request
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedBatch:
    """Everything one fetch brought; `errors`: pair and timeframe to the reason nothing came."""

    source: Source
    fetched: tuple[Fetched, ...]
    errors: Mapping[str, str]
    calls: int
    fetched_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingestion did; `quarantined` and `errors` name the pair and why. `eta_s`: what the plan still needs."""

    rows: int = 0
    added: int = 0
    filled: int = 0
    revisions: int = 0
    quarantined: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    gaps: int = 0
    calls: int = 0
    eta_s: float = 0.0

    def __add__(self, other: IngestReport) -> IngestReport:
        """Both together, as one report of consecutive chunks."""
        return IngestReport(
            rows=self.rows + other.rows, added=self.added + other.added, filled=self.filled + other.filled,
            revisions=self.revisions + other.revisions, quarantined={**self.quarantined, **other.quarantined},
            errors={**self.errors, **other.errors}, gaps=self.gaps + other.gaps, calls=self.calls + other.calls, eta_s=other.eta_s,
        )  # fmt: skip


def plan(store: HistoryStore, pairs: Sequence[str], timeframes: Sequence[Timeframe], now_us: int, *, rows: int = REST_ROWS) -> IngestPlan:
    """The calls that bring each pair's newest `rows` candles, and confirm what so far only the stream said.

    Pairs keep the order given (quote volume); 15m and 4h come first for all. Timeframes blocked by the gate are asked again, as
    are ranges that a warning asks to repair and a call still reaches.
    """
    mending: dict[tuple[str, str], int] = {}
    for repair in store.repairs():
        if repair.start_us >= repair.tf.floor(now_us) - rows * repair.tf.us:
            key = (repair.pair, str(repair.tf))
            mending[key] = min(mending.get(key, repair.start_us), repair.start_us)
    blocked = {(b.pair, b.tf) for b in store.catalog.blocks("spot")}
    requests: list[Request] = []
    for timeframe in FIRST:
        again = [pair for pair in pairs if (pair, timeframe) in blocked or (pair, str(timeframe)) in mending]
        asked = list(pairs) if timeframe in timeframes else again
        known = store.catalog.coverage("spot", timeframe, asked) if asked else {}
        until = timeframe.floor(now_us)
        for pair in asked:
            since = _missing_from(known.get(pair, ()), until - rows * timeframe.us, until)
            if (pair, timeframe) in blocked:
                since = until - rows * timeframe.us
            elif (mend := mending.get((pair, str(timeframe)))) is not None:
                since = mend if since is None else min(since, mend)
            if since is not None:
                requests.append(Request(pair=pair, timeframe=timeframe, since_us=since, until_us=until))
    return IngestPlan(requests=tuple(requests), made_us=now_us)


def _missing_from(known: Sequence[Coverage], start_us: int, end_us: int) -> int | None:
    """The first time in [start, end) that nobody fetched, or that only the stream saw; None where all is there."""
    at = start_us
    for item in known:
        settled = item.state == "unavailable" or (item.state == "fetched" and item.source != Source.STREAM.label)
        if item.start_us <= at < item.end_us and settled:
            at = item.end_us
    return at if at < end_us else None


async def fetch(
    chosen: IngestPlan, market: MarketData, *, progress: Progress | None = None, concurrency: int = 4, clock: Clock | None = None
) -> StagedBatch:
    """Make the calls, at most `concurrency` at a time; a call that keeps failing is named in `errors`, others continue.

    FatalError is let through: it concerns all calls. The batch is judged as of `clock` after the last call; without a clock as
    of the plan, and candles that closed since then are left to the next plan.
    """
    gate, done = asyncio.Semaphore(concurrency), 0
    total = len(chosen.requests)

    async def one(request: Request) -> Fetched | str:
        nonlocal done
        async with gate:
            try:
                rows = await _call(market, request)
                if clock is None:
                    rows = rows.filter(pl.col("time").to_physical() < request.until_us)
                return Fetched(request=request, rows=rows)
            except (RetryableError, RejectedError, AmbiguousError) as error:
                return f"{type(error).__name__}: {error}"
            finally:
                done += 1
                if progress is not None:
                    progress(done, total, f"{request.pair} {request.timeframe}")

    answers = await asyncio.gather(*(one(request) for request in chosen.requests))
    pairs = list(zip(chosen.requests, answers, strict=True))
    return StagedBatch(
        source=Source.REST,
        fetched=tuple(answer for answer in answers if isinstance(answer, Fetched)),
        errors={f"{request.pair} {request.timeframe}": answer for request, answer in pairs if isinstance(answer, str)},
        calls=total,
        fetched_us=chosen.made_us if clock is None else clock.now_us(),
    )


async def _call(market: MarketData, request: Request) -> pl.DataFrame:
    """One call with two more tries, spaced by what the peer asked for or a fixed pause."""
    for pause in (*PAUSES_S, None):
        try:
            candles = await market.history(request.pair, request.timeframe, request.since_us)
            return parts.frame_of(candles, Source.REST)
        except RetryableError as error:
            if pause is None:
                raise
            await asyncio.sleep(error.retry_after_s or pause)
    raise AssertionError("unreachable: the last try returns or raises")


def stage(batch: StagedBatch, path: Path, store: HistoryStore | None = None) -> Path:
    """Write the batch for the gate: the rows as served, their timeframe, the time they are judged at, and with `store` what it
    says about them."""
    pieces = [
        compared(rows, timeframe, store).with_columns(tf=pl.lit(str(timeframe)), judged_us=pl.lit(batch.fetched_us))
        for timeframe, rows in _by_timeframe(batch)
    ]
    empty = compared(parts.empty(), Timeframe.M1, None).with_columns(tf=pl.lit("", pl.String), judged_us=pl.lit(0, pl.Int64))
    pl.concat(pieces or [empty]).write_parquet(path)
    path.chmod(0o600)
    return path


def compared(rows: pl.DataFrame, timeframe: Timeframe, store: HistoryStore | None) -> pl.DataFrame:
    """Rows as the gate judges them: with what the store says about them, or with nothing said."""
    if store is not None:
        return agreement.compare(store, rows, timeframe)
    return rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in rules.COMPARED)


def judge_staged(batch: StagedBatch, store: HistoryStore | None = None) -> GateResult:
    """The Polars engine's verdicts on a batch, where Great Expectations is not at hand; equal to the gate's."""
    verdicts: list[Verdict] = []
    for timeframe, rows in _by_timeframe(batch):
        verdicts.extend(quality.check(compared(rows, timeframe, store), timeframe, batch.fetched_us).verdicts)
    return GateResult(engine="polars", suite_version=rules.suite_version(), verdicts=tuple(verdicts))


def _by_timeframe(batch: StagedBatch) -> list[tuple[Timeframe, pl.DataFrame]]:
    return [
        (timeframe, pl.concat(rows))
        for timeframe in FIRST
        if (rows := [f.rows for f in batch.fetched if f.request.timeframe is timeframe and len(f.rows)])
    ]


def commit(store: HistoryStore, batch: StagedBatch, verdicts: GateResult, now_us: int) -> IngestReport:
    """Store what passed, set aside what did not and block those pairs; one transaction a timeframe.

    Raises RejectedError where the gate refused the batch as a whole, or did not judge a pair that is in it.
    """
    if verdicts.refused:
        raise RejectedError(f"the gate refused the batch: {verdicts.refused}")
    report = IngestReport(errors=batch.errors, calls=batch.calls)
    for timeframe, rows in _by_timeframe(batch):
        report = report + _commit_one(store, batch, timeframe, rows, gate=verdicts, now_us=now_us)
    return report


def _commit_one(
    store: HistoryStore, batch: StagedBatch, timeframe: Timeframe, rows: pl.DataFrame, *, gate: GateResult, now_us: int
) -> IngestReport:
    words = gate.of(timeframe)
    named = rows["pair"].unique(maintain_order=True).to_list()
    if unjudged := [pair for pair in named if (pair or "") not in words]:
        raise RejectedError(f"pair {unjudged[0]} {timeframe}: in the batch, but the gate did not judge it")
    known = gate_book.accepted(store.catalog, "spot", timeframe)
    words = {pair: gate_book.less(verdict, known) for pair, verdict in words.items()}
    refused = [words[pair or ""] for pair in named if words[pair or ""].critical is not None]
    out = pl.col("pair").is_in([v.pair for v in refused]) | pl.col("pair").is_null()
    good = parts.mark_filled(rows.filter(~out))
    if batch.source.omits_empty:
        good = parts.fill(good, timeframe)
    requests = [f.request for f in batch.fetched if f.request.timeframe is timeframe]
    record = _provenance(batch, timeframe, rows, requests, gate)
    if refused:
        store.quarantine(rows.filter(out), refused, batch=record, now_us=now_us)
    passed = [pair for pair in named if pair and words[pair].critical is None]
    absent = uncovered(_unavailable(good, requests, record), store.catalog.coverage("spot", timeframe, passed))
    ranges = absent + covered(good, timeframe, record.source, record.batch_id)
    ends = {pair: str(end + timeframe.us) for pair, end in good.group_by("pair").agg(pl.col("time").max().to_physical()).iter_rows()}
    warned = [words[pair] for pair in passed if words[pair].warnings]
    seen = compared(rows.filter(pl.col("pair").is_in([v.pair for v in warned])), timeframe, store)  # before the new rows are in it
    spoken = gate_book.wanted(seen, timeframe, warned, now_us, holes=not batch.source.omits_empty)
    done = store.upsert(
        good, timeframe, batch=record, now_us=now_us, cover=ranges, clear=passed, cursors=[(pair, ends[pair]) for pair in passed]
    )  # fmt: skip
    store.put_repairs(timeframe, {r.pair: (r.since_us, r.until_us) for r in requests if r.pair in passed}, spoken, now_us)
    return IngestReport(
        rows=done.rows, added=done.added, filled=int(good["filled"].sum()), revisions=done.revisions,
        gaps=sum(v.gaps for v in words.values()),
        quarantined={f"{v.pair} {timeframe}": f"{worst.expectation}: {worst.detail}" for v in refused if (worst := v.critical)},
    )  # fmt: skip


def _provenance(batch: StagedBatch, timeframe: Timeframe, rows: pl.DataFrame, requests: Sequence[Request], gate: GateResult) -> Batch:
    digest = fingerprint(rows)
    identity = hashlib.sha256(f"{batch.source.label}|{timeframe}|{batch.fetched_us}|{digest}".encode()).hexdigest()[:32]
    time = rows["time"].drop_nulls().to_physical()
    return Batch(
        batch_id=identity, source=batch.source.label, client=CLIENT,
        requested=(min(r.since_us for r in requests), max(r.until_us for r in requests)),
        received=(int(time.min()), int(time.max()) + timeframe.us) if len(time) else None,  # type: ignore[arg-type]
        rows=len(rows), sha256=digest, fetched_us=batch.fetched_us, suite_version=gate.suite_version,
        gate_json=gate_book.results_json(rows, timeframe, gate),
    )  # fmt: skip


def _unavailable(good: pl.DataFrame, requests: Sequence[Request], record: Batch) -> list[Coverage]:
    """What lies before the first row received: the source cannot reach it, and nobody need ask again."""
    first = dict(good.group_by("pair").agg(pl.col("time").min().to_physical()).iter_rows())
    return [
        Coverage(
            pair=r.pair, start_us=r.since_us, end_us=first[r.pair], state="unavailable", source=record.source, batch_id=record.batch_id
        )
        for r in requests
        if r.pair in first and r.since_us < first[r.pair]
    ]


def tails_of(store: HistoryStore, pairs: Sequence[str], lookbacks: Mapping[Timeframe, int], now_us: int) -> pl.DataFrame:
    """The tail frame of the pairs, for either engine; write the verdicts with `HistoryStore.put_tails`."""
    found = [tail for timeframe, lookback in lookbacks.items() for tail in store.tails(pairs, timeframe, lookback)]
    return tails.tail_frame(found, lookbacks, now_us)
