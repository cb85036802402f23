"""A past UTC day of the session, played again from what was stored of it, and compared trade by trade with the ledger.

The replay starts a few minutes before the day with the ledger as it stood then, on the candles of the history store, with the rulings
of the AI as recorded, each held against the raw reply it came from; it is the session's own code on the matching engine
(`bootstrap.replay`). A day that cannot be replayed is said to be so, with the reason: unknown is not equal.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from trader.bootstrap import wire
from trader.bootstrap.held_rulings import Held, hold
from trader.bootstrap.market_history import MarketHistory
from trader.bootstrap.past_day import (
    LEAD_US,
    Stored,
    Traded,
    UnknownDayError,
    check_settings,
    day_name,
    read_candles,
    read_traded,
)
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.playback import Doors, Progress, play_session
from trader.bootstrap.recorded import RecordedBook, RecordedLink
from trader.bootstrap.replay import UNWATCHED, heard, scratch_room
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.as_of import ledger_as_of
from trader.data.ledger import SqlLedger
from trader.domain.account import PositionState
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.domain.messages import stamp
from trader.domain.money import ZERO, add
from trader.domain.orders import Leg
from trader.research.parity import Comparison, Difference, compare, first_diverging
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.table import StoredMarket
from trader.simulation.venue import Carried, Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

WARMED = 1e-9  # SPEC section 4: to what indicators agree that were warmed up from different candles
SEED = 1  # of the replay's own order ids, which must not meet those in the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReplay:
    """What came of it. `verdict` EQUAL, DIFFERENT or UNKNOWN with its `reason`; legs are those closed in [from, until).

    `differences`: leg, field, replay, ledger, and why as far as the ledger tells; `first_input`: the first judged value that was
    not the same; `candidates`: decisions with a score on either side; `rulings_checked`: rulings of the AI held against their raw
    replies; `caveats`: what of the day is not comparable.
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
    rulings_checked: int = 0
    differences: tuple[Mapping[str, str], ...] = ()
    first_input: str = ""
    caveats: tuple[str, ...] = ()
    digest: str = ""
    pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedDay:
    """A day that was played again: the candles it was played on, its account then, and the ledger's; and the AI's rulings beside the
    replies they came from."""

    day_us: int
    stored: Stored
    again: Traded
    traded: Traded
    held: Held = field(default_factory=Held)


def replay_day(settings: Settings, day_us: int, progress: Progress | None = None) -> DayReplay:
    """Play the UTC day that begins at `day_us` again and compare; a day that cannot be replayed comes back UNKNOWN."""
    try:
        return judged(play_day(settings, day_us, progress))
    except UnknownDayError as error:
        return DayReplay(day=day_name(day_us), verdict="UNKNOWN", reason=str(error))


def play_day(settings: Settings, day_us: int, progress: Progress | None = None) -> PlayedDay:
    """Play it, half a minute of CPU for 150 pairs. Raises UnknownDayError where the day cannot be replayed."""
    paths = Paths(settings.state)
    check_settings(settings, paths, day_us)
    stored = read_candles(settings, paths, day_us)
    traded, rulings = (read_traded(paths, since_us, stored.until_us) for since_us in (day_us, day_us - LEAD_US))
    with tempfile.TemporaryDirectory(prefix="trader-night-", dir=scratch_room()) as folder:
        scratch = Paths(Path(folder)).make()
        player = _Player(
            settings=settings, paths=paths, scratch=scratch, day_us=day_us, stored=stored, rulings=rulings, progress=progress
        )  # fmt: skip
        return PlayedDay(day_us=day_us, stored=stored, again=player.play(), traded=traded, held=hold(paths, traded.used))


# --- playing --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _Player:
    """One day's replay; ledger and history of it live in `scratch`."""

    settings: Settings
    paths: Paths
    scratch: Paths
    day_us: int
    stored: Stored
    rulings: Traded  # from the start of the replay on, not of the day
    progress: Progress | None

    def play(self) -> Traded:
        """The replay's account of the day."""
        ledger_as_of(self.paths.ledger_at, self.scratch.ledger, self.start_us)
        run_stepped(self._session)
        return read_traded(self.scratch, self.day_us, self.stored.until_us)

    @property
    def start_us(self) -> int:
        return self.day_us - LEAD_US

    def _market(self, world: World) -> StoredMarket:
        """The candles of the store, with the listings of the exchange they came from."""
        source, minutes = world.market(), self.stored.minutes
        pairs = [pair for pair in source.pairs if pair in minutes]
        listings = {pair: source.listing(pair) for pair in pairs}
        columns = {pair: minutes[pair] for pair in pairs}
        return StoredMarket(columns, self.stored.longer, listings, base=Timeframe.M1, quote=world.shape().quote, seed=world.seed)

    async def _session(self) -> None:
        world, clock = World.load(self.paths.world), LoopClock(self.start_us)
        market = self._market(world)
        async with AsyncExitStack() as stack:
            ledger = wire.open_ledger(self.scratch)
            stack.callback(ledger.close)
            carried, tag = _carried(ledger, market.quote), tag_of(world.seed)
            venue = Venue(market, clock, seed=world.seed + SEED, tag=tag, starting_cash=ZERO, carried=carried)
            stack.callback(venue.close)
            await venue.run_market(clock.now_us())
            trading = asyncio.create_task(venue.run_market(), name="market")
            stack.callback(trading.cancel)
            book = RecordedBook(self.rulings.decisions, self.rulings.deferred)
            doors = Doors(
                exchange=VenueExchange(venue), market=VenueMarketData(venue), ledger=ledger, store=None, verdicts=RecordedLink(),
                base=market.base, quote=market.quote, history=MarketHistory(market, clock, market.pairs), book=book,
            )  # fmt: skip
            minutes = (self.stored.until_us - self.start_us) // MINUTE
            timing = replace(UNWATCHED, beats_from_us=self.rulings.beats_from_us)
            await play_session(self.settings, world, clock, doors, minutes=minutes, timing=timing, progress=self.progress)


def _carried(ledger: SqlLedger, quote: str) -> Carried:
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
def judged(played: PlayedDay) -> DayReplay:
    """The comparison in words. A day on which neither side closed a trade nor had a candidate proves nothing: UNKNOWN."""
    day_us, stored, again, traded = played.day_us, played.stored, played.again, played.traded
    found = compare([leg.line() for leg in again.legs], [leg.line() for leg in traded.legs])
    ours, theirs = heard(again.decisions), heard(traded.decisions)
    cause = first_diverging(ours, theirs, tolerance=WARMED)
    same_inputs = cause.startswith("none:")
    nothing = not (found.left or found.right or ours or theirs)
    verdict = "UNKNOWN" if nothing else "EQUAL" if found.equal and same_inputs and not played.held.differences else "DIFFERENT"
    return DayReplay(
        day=day_name(day_us), verdict=verdict, reason="no candidate and no trade on either side" if nothing else "",
        since=stamp(day_us), until=stamp(stored.until_us), legs_replayed=found.left, legs_traded=found.right, legs_same=found.same,
        candidates_replayed=len(ours), candidates_traded=len(theirs), rulings_checked=played.held.checked,
        differences=(*_named(found, again, traded), *played.held.differences),
        first_input="" if same_inputs else cause, caveats=caveats(day_us, stored, traded, played.held),
        digest=stored.digest, pairs=len(stored.minutes),
    )  # fmt: skip


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


def caveats(day_us: int, stored: Stored, traded: Traded, held: Held) -> tuple[str, ...]:
    """What of this day the replay cannot repeat."""
    out = []
    closes = range(day_us, stored.until_us, Timeframe.M15.us)
    if missed := [close for close in closes if close not in traded.closes]:
        out.append(
            f"the session decided at {len(closes) - len(missed)} of {len(closes)} candle closes; the first it missed: {stamp(missed[0])}"
        )
    if stored.lacking:
        out.append(f"{stored.lacking} minutes of {len(stored.minutes)} pairs are not stored and count as minutes without a trade")
    if stored.until_us < day_us + DAY:
        out.append(f"the stored minutes end at {stamp(stored.until_us)}; what came later is not compared")
    if held.lost:
        out.append(f"the AI's replies behind {held.lost} rulings are not stored any more")
    out += [f"a person's order is not repeated: {control}" for control in traded.controls]
    return tuple(out)
