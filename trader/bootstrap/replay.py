"""Session replay: the very session that trades, event by event on the stepped clock, straight on the matching engine.

No HTTP, no signatures, no wire; of the AI nothing, or what a cassette holds. The candles, the ticks, the fills and every line of the
session are the demo's; what lacks is the way between session and venue, so `verify` can say that the way changes nothing: same
candles, same trades.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.cassettes import Tape, from_store
from trader.bootstrap.demo import play
from trader.bootstrap.market_history import MarketHistory, left_out
from trader.bootstrap.paths import Paths, tag_of
from trader.bootstrap.playback import STEPPED, Doors, Played, Progress, play_session
from trader.bootstrap.stand_ins import Plans, read_plans
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.reader import ALL, LedgerReader
from trader.data.reader_activity import DecisionView
from trader.domain.futures import FundingPayment, MarketKind
from trader.domain.market import MINUTE
from trader.domain.messages import TradeLeg
from trader.domain.money import from_float
from trader.errors import ConfigError
from trader.gemini.cassette import Cassette
from trader.ports import EquityRow, Exchange, MarketData, SessionSummary
from trader.research.parity import Comparison, Heard, compare, first_diverging
from trader.simulation.clock import LoopClock
from trader.simulation.fills import FillRules
from trader.simulation.futures.account import FuturesCosts
from trader.simulation.futures_venue import FuturesVenue, FuturesVenueExchange
from trader.simulation.futures_venue_feed import FuturesVenueMarketData
from trader.simulation.loops import run_stepped
from trader.simulation.market import Market
from trader.simulation.venue import Venue, VenueExchange
from trader.simulation.venue_feed import VenueMarketData

MEMORY_FILES, ROOM = Path("/dev/shm"), 1 << 30  # noqa: S108 - only private directories are made there; a month needs far less
UNWATCHED = replace(STEPPED, control_poll_s=3600.0)  # nobody is there to send a control


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A session that was played: its trades as lines (SIMULATION.md section 5) in one order, funding, what it saw at each decision that
    got as far as a score, its counts, the digest of its journal, and the seconds the machine took (CPU of this process).

    `equity`, `positions`: the account's curve, and position -> pair of what is still held; `halts`: those in force at the end;
    `tape`: the cassette that answered, or the one recorded of an AI that was asked."""

    lines: tuple[str, ...]
    funding: tuple[FundingPayment, ...]
    heard: tuple[Heard, ...]
    summary: SessionSummary
    journal: str
    first_ready_us: int
    ended_us: int
    cpu_s: float
    legs: tuple[TradeLeg, ...] = ()
    equity: tuple[EquityRow, ...] = ()
    positions: Mapping[str, str] = field(default_factory=dict)
    halts: Mapping[str, int] = field(default_factory=dict)
    tape: Cassette | None = None


def replay_session(
    settings: Settings, world: World, *, minutes: int, short: bool = False, market: Market | None = None, progress: Progress | None = None,
    kind: MarketKind = MarketKind.SPOT, fills: FillRules | None = None, tape: Tape | None = None,
) -> Replayed:  # fmt: skip
    """Play `minutes` from the world's epoch in process, over all pairs with the candles for it; the ledger is thrown away.

    `short`: the warm-up of three periods; `market`: the world's own, where it was built before. On futures (`kind`) its pairs are
    linear perpetuals (`BTC/USD:USD`), walked against shorts where one is held. `fills`: what the spot venue charges. `tape`: who
    answers for the AI.
    """
    _check(settings, tape, asks=False)

    async def main(paths: Paths) -> Played:
        clock, source = LoopClock(world.epoch_us), market or world.market()
        venue, exchange, data = _venue(settings, world, source, clock, kind, fills)
        shown = venue.market
        async with AsyncExitStack() as stack:
            stack.callback(venue.close)
            await venue.run_market(clock.now_us())
            trading = asyncio.create_task(venue.run_market(), name="market")
            stack.callback(trading.cancel)
            end_us = world.epoch_us + minutes * MINUTE
            rest = left_out(shown, settings, short=short, start_us=world.epoch_us, end_us=end_us)
            history = MarketHistory(shown, clock, [pair for pair in shown.pairs if pair not in rest])
            ledger = wire.open_ledger(paths, account=settings.account)
            stack.callback(ledger.close)
            verdicts = wire.NoVerdicts() if tape is None else tape.link(settings, clock, stack)
            doors = Doors(
                exchange=exchange, market=data, ledger=ledger, store=None, verdicts=verdicts, base=shown.base, quote=shown.quote,
                history=history, short_warmup=short, kind=kind,
            )  # fmt: skip
            return await play_session(settings, world, clock, doors, minutes=minutes, timing=UNWATCHED, progress=progress)

    begin = time.process_time()
    with tempfile.TemporaryDirectory(prefix="trader-replay-", dir=scratch_room()) as folder:
        paths = Paths(Path(folder)).make()
        played = run_stepped(lambda: main(paths))
        return _read(paths, played, time.process_time() - begin, tape.cassette if tape else None)


def _venue(  # noqa: PLR0917 - what a venue is made of
    settings: Settings, world: World, market: Market, clock: LoopClock, kind: MarketKind, fills: FillRules | None
) -> tuple[Venue, Exchange, MarketData]:
    """The venue of this kind in process, with its two sides."""
    cash, tag = Decimal(world.cash), tag_of(world.seed)
    if kind is MarketKind.SPOT:
        spot = Venue(market, clock, seed=world.seed, tag=tag, starting_cash=cash, fills=fills)
        return spot, VenueExchange(spot), VenueMarketData(spot)
    futures = FuturesVenue(
        market, clock, seed=world.seed, tag=tag, starting_cash=cash, leverage=Decimal(settings.futures.leverage),
        costs=FuturesCosts(taker=from_float(settings.futures.taker_fraction)),
    )  # fmt: skip
    return futures, FuturesVenueExchange(futures), FuturesVenueMarketData(futures)


def demo_session(
    settings: Settings, world: World, *, minutes: int, progress: Progress | None = None, tape: Tape | None = None,
    plans: Plans | None = None,
) -> Replayed:  # fmt: skip
    """The same over the twin: HTTP, WebSocket, signatures and rate limits; nothing is kept. Without a `tape`, an AI that is not off is
    the Gemini twin, and what it said comes back as the cassette. `plans`: the twins' faults."""
    _check(settings, tape, asks=True)
    begin = time.process_time()
    with tempfile.TemporaryDirectory(prefix="trader-demo-", dir=scratch_room()) as folder:
        paths = Paths(Path(folder)).make()
        faults = plans or read_plans(None, world.seed)
        outcome = run_stepped(lambda: play(settings, world, paths, faults, minutes=minutes, progress=progress, tape=tape))
        played = Played(summary=outcome.summary, journal=outcome.journal, first_ready_us=outcome.first_ready_us, ended_us=outcome.ended_us)
        told = tape.cassette if tape else None if settings.ai.mode == "off" else from_store(paths.ai)[0]
        return _read(paths, played, time.process_time() - begin, told)


def verify(
    settings: Settings, world: World, *, minutes: int, progress: Progress | None = None, tape: Tape | None = None
) -> tuple[Replayed, Replayed, Comparison]:  # fmt: skip
    """Replay and demo of the same candles, and how their trades compare; the first difference names its first diverging input."""
    replayed = replay_session(settings, world, minutes=minutes, progress=progress, tape=tape)
    demo = demo_session(settings, world, minutes=minutes, progress=progress, tape=tape)
    compared = compare(replayed.lines, demo.lines)
    return replayed, demo, compared if compared.equal else compared.because(first_diverging(replayed.heard, demo.heard))


def scratch_room() -> Path | None:
    """Where files go that end with the run: into memory where there is room, since none of them must outlive a power cut."""
    usable = os.access(MEMORY_FILES, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY_FILES).free >= ROOM
    return MEMORY_FILES if usable else None


def heard(decisions: Sequence[DecisionView], *, ruled: bool = False) -> tuple[Heard, ...]:
    """What each candidate was judged by, and the word on it; `ruled`: what the AI said of it, too."""
    values = [
        Heard(time_us=d.close_us, pair=d.pair, values={"final": d.final, "score": d.score, **d.evidence, **(_ruled(d) if ruled else {})})
        for d in decisions
    ]
    return tuple(sorted(values, key=lambda one: (one.time_us, one.pair)))


def _check(settings: Settings, tape: Tape | None, *, asks: bool) -> None:
    """A cassette needs somebody who listens; without one nobody answers, unless the AI itself is there to be asked (`asks`)."""
    mode = settings.ai.mode
    if tape is not None and mode == "off":
        raise ConfigError("ai.mode 'off' with a cassette: nobody would listen to it; set ai.mode to veto or shadow")
    if tape is None and mode != "off" and not asks:
        raise ConfigError(f"ai.mode {mode!r}: a replay asks no AI; give it a cassette, or set ai.mode to off")


def _read(paths: Paths, played: Played, cpu_s: float, tape: Cassette | None = None) -> Replayed:
    with closing(LedgerReader(paths.ledger_at)) as reader:
        legs: Sequence[TradeLeg] = reader.trades(limit=ALL)
        funding, decisions = tuple(reader.funding()), reader.decisions(limit=ALL)
        equity, held, halts = tuple(reader.equity()), reader.positions(), Counter(halt.cause for halt in reader.halts())
    return Replayed(
        lines=tuple(sorted(leg.line() for leg in legs)), funding=funding, heard=heard(decisions, ruled=True), summary=played.summary,
        journal=played.journal, first_ready_us=played.first_ready_us, ended_us=played.ended_us, cpu_s=round(cpu_s, 2),
        legs=tuple(sorted(legs, key=lambda leg: (leg.exit_us, leg.pair, leg.entry_us))), equity=equity,
        positions={one.position.position_id: one.position.pair for one in held}, halts=dict(halts), tape=tape,
    )  # fmt: skip


def _ruled(decision: DecisionView) -> dict[str, Any]:
    """What the AI said to a candidate it was asked about."""
    if decision.ruling is None:
        return {}
    return {"ruling": decision.ruling, "lookup": decision.lookup, "p_loss": decision.p_loss, "verdict_id": decision.verdict_id}
