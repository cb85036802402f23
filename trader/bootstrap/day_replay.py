"""A past UTC day of the session, played again from what was stored of it, and compared trade by trade with the ledger.

The replay starts a few minutes before the day with the ledger as it stood then, on the candles of the history store, with the
rulings of the AI as recorded; it is the session's own code on the matching engine (`bootstrap.replay`). A day that cannot be
replayed is said to be so, with the reason: unknown is not equal.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.playback import STEPPED, Doors, Progress, play_session
from trader.bootstrap.recorded import RecordedBook, RecordedLink
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data import parts
from trader.data.as_of import ledger_as_of
from trader.data.history import HistoryStore
from trader.data.ingest import judge_staged
from trader.data.reader import LedgerReader
from trader.data.reader_activity import DecisionView
from trader.domain.account import PositionState
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.domain.messages import TradeLeg, stamp
from trader.domain.money import ZERO, add
from trader.domain.orders import Leg
from trader.ports import Columns
from trader.research.parity import Comparison, Difference, Heard, compare, first_diverging
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.table import StoredMarket
from trader.simulation.venue import Carried, Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

LEAD_US = 10 * MINUTE  # before the day: time for all pairs to join before its first close
ALL = 1_000_000_000
WORDS = ("EQUAL", "DIFFERENT", "UNKNOWN")
WARMED = 1e-9  # SPEC section 4: to what indicators agree that were warmed up from different candles
SEED = 1  # of the replay's own order ids, which must not meet those in the ledger


class UnknownDayError(Exception):
    """A day that cannot be replayed, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReplay:
    """What came of it. `verdict` EQUAL, DIFFERENT or UNKNOWN with its `reason`; legs are those closed in [from, until).

    `differences`: leg, field, replay, ledger, and why as far as the ledger tells; `first_input`: the first judged value that was
    not the same; `candidates`: decisions with a score on either side; `caveats`: what of the day is not comparable.
    """

    day: str
    verdict: str
    reason: str = ""
    since: str = ""
    until: str = ""
    legs_replayed: int = 0
    legs_traded: int = 0
    legs_same: int = 0
    candidates_replayed: int = 0
    candidates_traded: int = 0
    differences: tuple[Mapping[str, str], ...] = ()
    first_input: str = ""
    caveats: tuple[str, ...] = ()
    digest: str = ""
    pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What the ledger says of a day. `deferred`: decision id -> when it was last put off; `closes`: at which it decided;
    `beats_from_us`: since when the session that entered the day had counted its beats."""

    legs: Sequence[TradeLeg]
    decisions: Sequence[DecisionView]
    deferred: Mapping[str, int]
    closes: frozenset[int]
    controls: Sequence[str]
    beats_from_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Candles of a day and of what warms up before it, and the digest of the files they came from."""

    minutes: Mapping[str, Columns]
    longer: Mapping[Timeframe, Mapping[str, Columns]]
    digest: str
    until_us: int
    lacking: int = 0


def day_name(day_us: int) -> str:
    """`2026-01-06` of the day that begins at `day_us`."""
    return datetime.fromtimestamp(day_us // 1_000_000, UTC).strftime("%Y-%m-%d")


def replay_day(settings: Settings, day_us: int, progress: Progress | None = None) -> DayReplay:
    """Play the UTC day that begins at `day_us` again and compare; never raises for a day that cannot be replayed."""
    paths, name = Paths(settings.state), day_name(day_us)
    try:
        check_settings(settings, paths, day_us)
        stored = read_candles(settings, paths, day_us)
        with tempfile.TemporaryDirectory(prefix="trader-night-") as folder:
            return _played(settings, paths, day_us, stored, Paths(Path(folder)).make(), progress)
    except UnknownDayError as error:
        return DayReplay(day=name, verdict="UNKNOWN", reason=str(error))


# --- what there is of the day ---------------------------------------------------------------------------------------------
def check_settings(settings: Settings, paths: Paths, day_us: int) -> None:
    """Raises UnknownDayError where no session ran, or one ran with other rules than those that hold now."""
    if not paths.ledger.exists() or not paths.world.exists():
        raise UnknownDayError("no session has run here")
    reader = LedgerReader(paths.ledger)
    try:
        started = reader.events_of(("system.started",), until_us=day_us + DAY)
    finally:
        reader.close()
    of_day = [event for event in started if event.time_us >= day_us]
    before = [event for event in started if event.time_us < day_us][-1:]
    if not before:
        began = stamp(started[0].time_us) if started else "never"
        raise UnknownDayError(f"the first session began {began}: a replay needs the books of the evening before")
    now = {"strategy": settings.strategy, "ai": settings.ai.mode, "settings": wire.rules_digest(settings)}
    for event in [*before, *of_day]:
        for key, value in now.items():
            if event.payload.get(key) != value:
                seen = event.payload.get(key, "not recorded")
                raise UnknownDayError(f"the session of {stamp(event.time_us)} ran with {key} {seen}, the settings now say {value}")


def read_candles(settings: Settings, paths: Paths, day_us: int) -> Stored:
    """The day's minutes and the longer candles before it; raises UnknownDayError where the store has none."""
    if not (paths.history / "catalog.sqlite").exists():
        raise UnknownDayError("there is no history store here")
    start_us = Timeframe.M15.floor(day_us - LEAD_US)
    store = HistoryStore(paths.history)
    try:
        minutes = _by_pair(store, Timeframe.M1, start_us, day_us + DAY, None)
        longer, digests = {}, [minutes[1]]
        for timeframe, need in lookbacks(settings).items():
            longer[timeframe], digest = _by_pair(store, timeframe, None, day_us + DAY, need + 400)
            digests.append(digest)
    finally:
        store.close()
    found = {pair: rows for pair, rows in minutes[0].items() if int(rows.time[0]) <= day_us - LEAD_US and pair in longer[Timeframe.M15]}
    if not found:
        raise UnknownDayError("the history store has no minutes of that day from its first on")
    end_us = min(day_us + DAY, Timeframe.M15.floor(max(int(rows.time[-1]) for rows in found.values()) + MINUTE))
    if end_us <= day_us:
        raise UnknownDayError(f"the stored minutes end at {stamp(end_us)}, before the day")
    want = (end_us - start_us) // MINUTE
    lacking = sum(max(0, want - int((rows.time < end_us).sum())) for rows in found.values())
    return Stored(minutes=found, longer=longer, digest="-".join(d[:12] for d in digests), until_us=end_us, lacking=lacking)


def _by_pair(
    store: HistoryStore, timeframe: Timeframe, since_us: int | None, until_us: int, periods: int | None
) -> tuple[dict[str, Columns], str]:
    snapshot = store.snapshot(tf=timeframe, since=since_us, until=until_us, provisional=True)
    frame = snapshot.window(None, periods or 2 * DAY // MINUTE)
    groups = frame.sort("pair", "time").group_by("pair", maintain_order=True)
    return {str(pair): parts.columns_of(rows) for (pair,), rows in groups}, snapshot.digest


def read_traded(paths: Paths, day_us: int, until_us: int) -> Traded:
    """The ledger's own account of the day."""
    reader = LedgerReader(paths.ledger)
    try:
        legs = [leg for leg in reader.trades(limit=ALL, since_us=day_us) if leg.exit_us < until_us]
        decisions = [d for d in reader.decisions(limit=ALL, since_us=day_us) if d.close_us < until_us]
        bars = reader.events_of(("decisions",), since_us=day_us, until_us=until_us)
        controls = reader.events_of(("control.submitted",), since_us=day_us, until_us=until_us)
        begun = reader.events_of(("system.started", "reconcile"), until_us=day_us)
    finally:
        reader.close()
    deferred = {name: bar.time_us for bar in bars for name, final, _ in bar.payload["kept"] if final == "DEFER"}
    start = max((place for place, event in enumerate(begun) if event.type == "system.started"), default=len(begun))
    return Traded(
        legs=legs, decisions=decisions, deferred=deferred, closes=frozenset(int(bar.payload["close_us"]) for bar in bars),
        controls=[f"{event.payload['verb']} by {event.payload['who']} at {stamp(event.time_us)}" for event in controls],
        beats_from_us=next((event.time_us for event in begun[start:] if event.type == "reconcile"), None),
    )  # fmt: skip


# --- playing --------------------------------------------------------------------------------------------------------------
def _played(
    settings: Settings, paths: Paths, day_us: int, stored: Stored, scratch: Paths, progress: Progress | None
) -> DayReplay:  # fmt: skip
    start_us = day_us - LEAD_US
    ledger_as_of(paths.ledger, scratch.ledger, start_us)
    world = World.load(paths.world)
    source, shape = world.market(), world.shape()
    pairs = [pair for pair in source.pairs if pair in stored.minutes]
    market = StoredMarket(
        {pair: stored.minutes[pair] for pair in pairs}, stored.longer, {pair: source.listing(pair) for pair in pairs}, base=Timeframe.M1,
        quote=shape.quote, seed=world.seed,
    )  # fmt: skip
    traded = read_traded(paths, day_us, stored.until_us)
    run_stepped(lambda: _session(settings, world, market, scratch, traded, (start_us, stored.until_us), progress))
    again = read_traded(scratch, day_us, stored.until_us)
    return judged(day_us, stored, again, traded)


async def _session(
    settings: Settings, world: World, market: StoredMarket, scratch: Paths, traded: Traded, span: tuple[int, int],
    progress: Progress | None,
) -> None:  # fmt: skip
    clock = LoopClock(span[0])
    async with AsyncExitStack() as stack:
        ledger = wire.open_ledger(scratch)
        stack.callback(ledger.close)
        venue = Venue(
            market, clock, seed=world.seed + SEED, tag=tag_of(world.seed), starting_cash=ZERO, carried=_carried(ledger, market.quote)
        )
        stack.callback(venue.close)
        await venue.run_market(clock.now_us())
        trading = asyncio.create_task(venue.run_market(), name="market")
        stack.callback(trading.cancel)
        store = HistoryStore(scratch.history)
        stack.callback(store.close)
        doors = Doors(
            exchange=VenueExchange(venue), market=VenueMarketData(venue), ledger=ledger, store=store, verdicts=RecordedLink(),
            base=market.base, quote=market.quote, judge=judge_staged, book=RecordedBook(traded.decisions, traded.deferred),
        )  # fmt: skip
        timing = replace(STEPPED, beats_from_us=traded.beats_from_us)
        await play_session(settings, world, clock, doors, minutes=(span[1] - span[0]) // MINUTE, timing=timing, progress=progress)


def _carried(ledger: Any, quote: str) -> Carried:
    """What the ledger says the account held and had resting. Raises UnknownDayError where an order was under way."""
    live = ledger.intents(live_only=True)
    if waiting := [intent for intent in live if intent.txid is None or intent.leg is Leg.ENTRY]:
        raise UnknownDayError(f"order {waiting[0].cl_ord_id} in {waiting[0].pair} was under way when the replay would begin")
    balances = dict(ledger.cash())
    for position in ledger.positions():
        if position.state is not PositionState.OPENING:
            base = position.pair.split("/")[0]
            balances[base] = add(balances.get(base, ZERO), position.quantity)
    balances.setdefault(quote, ZERO)
    return Carried(balances=balances, resting=live)


# --- judging --------------------------------------------------------------------------------------------------------------
def judged(day_us: int, stored: Stored, again: Traded, traded: Traded) -> DayReplay:
    """The comparison in words. A day on which neither side closed a trade nor had a candidate proves nothing: UNKNOWN."""
    found = compare([leg.line() for leg in again.legs], [leg.line() for leg in traded.legs])
    ours, theirs = heard(again.decisions), heard(traded.decisions)
    cause = first_diverging(ours, theirs, tolerance=WARMED)
    same_inputs = cause.startswith("none:")
    nothing = not (found.left or found.right or ours or theirs)
    verdict = "UNKNOWN" if nothing else "EQUAL" if found.equal and same_inputs else "DIFFERENT"
    return DayReplay(
        day=day_name(day_us), verdict=verdict, reason="no candidate and no trade on either side" if nothing else "",
        since=stamp(day_us), until=stamp(stored.until_us), legs_replayed=found.left, legs_traded=found.right, legs_same=found.same,
        candidates_replayed=len(ours), candidates_traded=len(theirs), differences=_named(found, again, traded),
        first_input="" if same_inputs else cause, caveats=caveats(day_us, stored, traded), digest=stored.digest, pairs=len(stored.minutes),
    )  # fmt: skip


def heard(decisions: Sequence[DecisionView]) -> list[Heard]:
    """What each candidate was judged by, and the word on it."""
    values = [Heard(time_us=d.close_us, pair=d.pair, values={"final": d.final, "score": d.score, **d.evidence}) for d in decisions]
    return sorted(values, key=lambda one: (one.time_us, one.pair))


def _named(found: Comparison, again: Traded, traded: Traded) -> tuple[Mapping[str, str], ...]:
    return tuple(
        {"leg": one.leg, "field": one.field, "replay": one.left, "ledger": one.right, "why": _why(one, again, traded)}
        for one in found.differences
    )


def _why(one: Difference, again: Traded, traded: Traded) -> str:
    """What the ledger knows of a difference; "" where it knows nothing."""
    pair, _, entry = one.leg.split(" ")[:3]
    for side, told in (("ledger", traded), ("replay", again)):
        if any(d.pair == pair and stamp(d.close_us) == entry and d.decision_id in told.deferred for d in told.decisions):
            return f"{side}: entered at a later beat, its verdict had been waited for"
    return ""


def caveats(day_us: int, stored: Stored, traded: Traded) -> tuple[str, ...]:
    """What of this day the replay cannot repeat."""
    out = []
    closes = range(day_us, stored.until_us, Timeframe.M15.us)
    if missed := [close for close in closes if close not in traded.closes]:
        out.append(f"the session decided at {len(closes) - len(missed)} of {len(closes)} candle closes; the first it missed: {stamp(missed[0])}")
    if stored.lacking:
        out.append(f"{stored.lacking} minutes of {len(stored.minutes)} pairs are not stored and count as minutes without a trade")
    if stored.until_us < day_us + DAY:
        out.append(f"the stored minutes end at {stamp(stored.until_us)}; what came later is not compared")
    out += [f"a person's order is not repeated: {control}" for control in traded.controls]
    return tuple(out)
