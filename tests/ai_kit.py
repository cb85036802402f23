"""A session straight on the matching engine whose AI is a double: verdicts that are known, missing, or break when they are looked up."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from trader.bootstrap import wire
from trader.bootstrap.market_history import MarketHistory
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.playback import Doors, play_session
from trader.bootstrap.recorded import RecordedLink
from trader.bootstrap.replay import UNWATCHED, scratch_room
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.reader import ALL, LedgerReader
from trader.domain.orders import Leg
from trader.domain.verdicts import Lookup, Ruling, RulingResult, VerdictKey
from trader.execution.verdict_book import VerdictBook
from trader.ports import SessionSummary
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.venue import Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

Said = Callable[[VerdictKey, int], RulingResult]
ALLOWED = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT, p_loss=0.1)


class SaidBook(VerdictBook):
    """Answers each look-up with what a function says of it, or raises what that raises."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said

    def look_up(self, key: VerdictKey, price: float, now_us: int) -> RulingResult:
        return self._said(key, now_us)


class StateLink(RecordedLink):
    """A link over which no answer ever comes, in one state."""

    def __init__(self, state: str = "ok") -> None:
        self._state = state

    def state(self) -> str:
        return self._state


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What a session did: its exit legs as lines, the pair of each entry that was sent, and its counts."""

    exits: tuple[str, ...]
    entered: tuple[str, ...]
    summary: SessionSummary


def live(settings: Settings, world: World, *, minutes: int, book: VerdictBook | None = None, state: str = "ok") -> Lived:
    """Play `minutes` of a world; with `book`, these are its verdicts. The ledger is thrown away."""

    async def main(paths: Paths) -> SessionSummary:
        clock, market = LoopClock(world.epoch_us), world.market()
        async with AsyncExitStack() as stack:
            venue = Venue(market, clock, seed=world.seed, tag=tag_of(world.seed), starting_cash=Decimal(world.cash))
            stack.callback(venue.close)
            await venue.run_market(clock.now_us())
            trading = asyncio.create_task(venue.run_market(), name="market")
            stack.callback(trading.cancel)
            ledger = wire.open_ledger(paths)
            stack.callback(ledger.close)
            doors = Doors(
                exchange=VenueExchange(venue), market=VenueMarketData(venue), ledger=ledger, store=None, base=market.base,
                quote=market.quote, history=MarketHistory(market, clock, market.pairs), verdicts=StateLink(state), book=book,
            )  # fmt: skip
            return (await play_session(settings, world, clock, doors, minutes=minutes, timing=UNWATCHED)).summary

    with tempfile.TemporaryDirectory(prefix="trader-ai-", dir=scratch_room()) as folder:
        paths = Paths(Path(folder)).make()
        summary = run_stepped(lambda: main(paths))
        with closing(LedgerReader(paths.ledger_at)) as reader:
            exits = tuple(sorted(leg.line() for leg in reader.trades(limit=ALL)))
            entered = tuple(sorted(view.intent.pair for view in reader.orders(ALL) if view.intent.leg is Leg.ENTRY))
    return Lived(exits=exits, entered=entered, summary=summary)
