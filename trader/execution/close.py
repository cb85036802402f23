"""The close stage: what happens when a 15m candle ends. Decide, look up verdicts, review, write down, send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from trader.domain.market import SECOND, Candle, Ticker, Timeframe
from trader.domain.messages import Action, BarsClosed, Decision, Refusal
from trader.domain.verdicts import AiMode
from trader.errors import RejectedError, RetryableError
from trader.execution.accounting import Accounting
from trader.execution.asking import Asking, counted
from trader.execution.desk import OrderDesk
from trader.execution.engine import Engine
from trader.execution.entries import Entries
from trader.execution.keeper import Keeper
from trader.execution.risk import Approved, Candidate, Deferred, MarketGate, Refused, Reviewed, review
from trader.execution.scanner import Universe, depth_within
from trader.execution.sizing import regime
from trader.execution.venue_rules import VenueRules
from trader.execution.wiring import Wiring
from trader.indicators.likeness import Likeness
from trader.ports import DecisionRow, EquityRow, SessionSummary
from trader.strategy.modes import entry_band

DEFER_BEATS = 2
BOOK_LEVELS = 100
UNIVERSE = "universe"  # where the ledger keeps who is a member
UNSAVED = 100_000  # candles kept while history cannot be written: 11 hours of 150 pairs; older ones come by REST
Spawn = Callable[[Coroutine[Any, Any, None], str], None]


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A deferred entry and how many beats it may still be decided at."""

    decision: Decision
    beats: int = DEFER_BEATS


class CloseStage:
    """Owns the engine; everything here runs on the session's loop and awaits only the exchange."""

    def __init__(self, wiring: Wiring, desk: OrderDesk, keeper: Keeper, summary: SessionSummary, spawn: Spawn) -> None:
        self.w, self.keeper, self.summary, self.spawn = wiring, keeper, summary, spawn
        self.engine = Engine(
            parameters=wiring.parameters, costs=wiring.costs, reference=wiring.kind.pair("BTC", wiring.quote), sides=wiring.sides,
            short=wiring.short_warmup,
        )  # fmt: skip
        self.accounting = Accounting(wiring)
        self.asking = Asking(wiring, self.engine)
        self.rules = VenueRules(wiring)
        self.entries = Entries(wiring, desk, keeper, summary, self.rules, spawn)
        self.universe = self._known_universe()
        self.blocked: dict[str, str] = {}
        self.on_block: Callable[[str, str, str], None] = lambda _pair, _reason, _detail: None
        self.before_equity: Callable[[], Awaitable[None]] = _nothing
        self.entries_off = False
        self._waiting: dict[str, Waiting] = {}
        self._unsaved: list[Candle] = []
        self._saving = False
        self._close_us = 0
        self._approved_in_bar = 0

    # --- candles -------------------------------------------------------------------------------------------------------
    def absorb(self, event: BarsClosed) -> list[Candle]:
        """Base candles into the engine and, beside the loop, into history."""
        closed = self.engine.absorb(event.candles)
        self._unsaved.extend(event.candles)
        self._unsaved.extend(closed)
        if not self._saving:
            self._saving = True
            self.spawn(self._save(), "history")
        return closed

    async def _save(self) -> None:
        try:
            while self._unsaved:
                candles, self._unsaved = self._unsaved, []
                try:
                    gates = await self.w.history.append(candles)
                except RetryableError as error:  # kept, and handed over with the next ones
                    self._unsaved = [*candles, *self._unsaved][-UNSAVED:]
                    self.w.ledger.note("history.unknown", {"error": str(error)}, self.w.clock.now_us())
                    return
                for gate in gates:
                    self.on_block(gate.pair, gate.reason, gate.detail)
        finally:
            self._saving = False

    async def flush_history(self) -> None:
        """Hand over what is left, at the end of the session."""
        if self._unsaved:
            await self._save()

    # --- deciding ------------------------------------------------------------------------------------------------------
    async def decide(self, close_us: int, _candles: Sequence[Candle]) -> None:
        """Everything from equity to orders for the candle that ended at `close_us`."""
        self._close_us, self._approved_in_bar = close_us, 0
        self._waiting.clear()
        self.asking.take()
        await self.before_equity()
        row = self._equity()
        if row is not None:
            self.accounting.judge(row, close_us)
        if self.universe.lacks(self.engine.pairs):
            self._rank()
        change = self.engine.reference_change(close_us)
        self.asking.regime = "" if change is None else regime(change)[0]
        decisions = self.engine.decide(close_us, [*self.engine.pairs, *self.blocked], self.blocked)
        self.summary.decisions += len(decisions)
        signals = [d for d in decisions if d.action is Action.ENTER]
        self.summary.signals += len(signals)
        reviewed = await self._review(signals, row, {})
        self._record(decisions, reviewed)
        if close_us % Timeframe.H1.us == 0:
            self._rank()
        await self._send(reviewed)

    def _known_universe(self) -> Universe:
        """Membership as an earlier session left it, where it ranked for a universe of the same size."""
        size = self.w.parameters.universe
        stored, _, names = (self.w.ledger.meta(UNIVERSE) or "").partition(":")
        return Universe(size, names.split(",") if stored == str(size) and names else ())

    def _rank(self) -> None:
        """Membership from the turnover of the candles just closed; a change is journalled, since later decisions depend on it."""
        before = frozenset(self.universe.members)
        self.universe.rank({pair: self.engine.quote_volume(pair) for pair in self.engine.pairs})
        kept = f"{self.universe.size}:{','.join(self.universe.members)}"
        self.w.ledger.set_meta(UNIVERSE, kept)
        if before != frozenset(self.universe.members):
            self.w.ledger.note(UNIVERSE, {"kept": kept}, self.w.clock.now_us())

    def _equity(self) -> EquityRow | None:
        return self.accounting.equity_row(self.engine.marks, self.w.clock.now_us())

    async def _review(self, signals: Sequence[Decision], row: EquityRow | None, prices: dict[str, float]) -> tuple[Reviewed, ...]:
        """Step B. `prices`: where an entry would be bought now, for decisions taken anew at a beat."""
        if not signals or self.entries_off:
            return ()
        order = sorted(self.engine.pairs, key=lambda p: (-self.engine.quote_volume(p), p))
        rank = {pair: number for number, pair in enumerate(order, start=1)}
        outside = [Refused(decision=d, code=Refusal.UNIVERSE) for d in signals if d.pair not in self.universe]
        candidates = [
            Candidate(decision=d, rank=rank[d.pair], median_quote_volume=self.engine.pairs[d.pair].streams.median_quote_volume)
            for d in signals
            if d.pair in self.universe
        ]
        view = self.accounting.view(
            row, self.engine.marks, self.engine.reference_change(self._close_us), approved_in_bar=self._approved_in_bar,
            rules=self.rules,
        )  # fmt: skip
        rule = None if self.asking.mode is AiMode.OFF else lambda d: self.asking.ruling(d, prices.get(d.pair, d.close)).used
        reviewed = review(
            candidates, view, instruments=self.w.instruments, parameters=self.w.parameters, costs=self.w.costs,
            market=await self._gates([one.decision.pair for one in candidates]), rule=rule, exit_kind=self.w.exit_plan,
            margin=self.w.margin, alike=Likeness(partial(self.engine.closes, close_us=self._close_us)),
        )  # fmt: skip
        self._approved_in_bar += sum(isinstance(one, Approved | Deferred) for one in reviewed)
        return (*outside, *reviewed)

    async def _gates(self, pairs: Sequence[str]) -> dict[str, MarketGate]:
        """Spreads now, for sniper the depth too; none where the exchange does not answer, so entries are refused and nothing else is."""
        try:
            tickers = await self.w.market.tickers() if pairs else {}
            depths = {pair: await self._depth(pair) for pair in pairs} if self.w.parameters.sniper else {}
        except (RetryableError, RejectedError) as error:
            self.w.ledger.note("gates.unknown", {"error": str(error)}, self.w.clock.now_us())
            return {}
        known = self.w.instruments
        return {
            pair: MarketGate(spread=_spread(tickers[pair]), ask_depth=depths.get(pair), status=known[pair].status)
            for pair in pairs
            if pair in tickers and pair in known
        }

    async def _depth(self, pair: str) -> Decimal | None:
        """What is asked for within 0.5 % of mid, in quote; None where a side of the book is empty, or the pair has none any more."""
        try:
            book = await self.w.market.book(pair, BOOK_LEVELS)
        except RejectedError as error:
            self.w.ledger.note("gates.unknown", {"pair": pair, "error": str(error)}, self.w.clock.now_us())
            return None
        return depth_within(book.asks, (book.bids[0][0] + book.asks[0][0]) / 2) if book.bids and book.asks else None

    def _record(self, decisions: Sequence[Decision], reviewed: Sequence[Reviewed]) -> None:
        outcome = {one.decision.pair: one for one in reviewed}
        rows = []
        for decision in decisions:
            one = outcome.get(decision.pair)
            final = self._final(decision, one)
            if final not in ("ENTER", "DEFER"):
                self.summary.refusals[final] = self.summary.refusals.get(final, 0) + 1
            ruling = one.ruling if one is not None else None
            if (name := counted(ruling)) is not None:
                self.summary.verdicts[name] = self.summary.verdicts.get(name, 0) + 1
            stake = one.stake if isinstance(one, Approved) else None
            detail = one.detail if isinstance(one, Refused) else ""
            rows.append(DecisionRow(decision=decision, final=final, detail=detail, stake=stake, ruling=ruling, ai_mode=self.w.ai_mode))
        self.w.ledger.record_decisions(rows, self.w.clock.now_us())
        self.asking.write_down()

    def _final(self, decision: Decision, one: Reviewed | None) -> str:
        if one is None:
            return decision.refusal.value if decision.refusal is not None else Refusal.HALTED.value
        if isinstance(one, Approved):
            return "ENTER"
        return "DEFER" if isinstance(one, Deferred) else one.code.value

    async def _send(self, reviewed: Sequence[Reviewed]) -> None:
        for one in reviewed:
            if isinstance(one, Approved):
                await self.entries.enter(one)
            elif isinstance(one, Deferred):
                waiting = self._waiting.setdefault(one.decision.pair, Waiting(decision=one.decision))
                if waiting.beats > 0:
                    self.asking.ask_again(one.decision)

    # --- beats ---------------------------------------------------------------------------------------------------------
    async def redecide_deferred(self) -> None:
        """Each deferred entry is decided from scratch at the next two beats, inside its entry band, then dropped."""
        if not self._waiting:
            return
        self.asking.take()
        waiting, self._waiting = self._waiting, {}
        prices = {pair: self.engine.marks[pair] for pair in waiting if pair in self.engine.marks}
        again, missed = [], []
        for pair, deferred in waiting.items():
            old = deferred.decision
            sign = old.side.sign
            cap = sign * old.close * (1 + sign * entry_band(old.atr_fraction))
            fresh = next(iter(self.engine.decide(self._close_us, [pair], self.blocked)))
            within = pair in prices and sign * prices[pair] <= cap
            if within and fresh.action is Action.ENTER and fresh.side is old.side:
                again.append(fresh)
            else:
                missed.append(old)
        self._approved_in_bar = max(0, self._approved_in_bar - len(waiting))
        reviewed = tuple(self._still(one, waiting) for one in await self._review(again, self._equity(), prices))
        rows = [self._missed(decision) for decision in missed]
        self._record(again, reviewed)
        if rows:
            self.w.ledger.record_decisions(rows, self.w.clock.now_us())
        await self._send([one for one in reviewed if isinstance(one, Approved)])

    def _still(self, one: Reviewed, waiting: Mapping[str, Waiting]) -> Reviewed:
        """A deferral waits for one beat less each time; at the last one it is a refusal."""
        if not isinstance(one, Deferred):
            return one
        left = waiting[one.decision.pair].beats - 1
        if left <= 0:
            return Refused(decision=one.decision, code=one.code, detail="no verdict in time", ruling=one.ruling)
        self._waiting[one.decision.pair] = Waiting(decision=one.decision, beats=left)
        return one

    def _missed(self, decision: Decision) -> DecisionRow:
        code = Refusal.ENTRY_BAND.value
        self.summary.refusals[code] = self.summary.refusals.get(code, 0) + 1
        return DecisionRow(decision=decision, final=code, ai_mode=self.w.ai_mode)

    async def report(self, number: int, late_us: int) -> None:
        """Equity point and heartbeat of a beat, in one change: each costs the disk a sync."""
        now_us = self.w.clock.now_us()
        row = self.accounting.equity_row(self.engine.marks, now_us)
        payload = {"number": number, "lag_s": late_us / SECOND, "pairs": len(self.engine.pairs)}
        self.w.ledger.note("beat", payload, now_us, equity=row)

    # --- AI ------------------------------------------------------------------------------------------------------------
    def take_verdicts(self) -> None:
        self.asking.take()

    def prescan(self) -> None:
        """Buy verdicts for pairs near their trigger that could be entered at all."""
        held = frozenset(h.position.pair for h in self.keeper.held.values())
        self.asking.prescan(held, frozenset(self.blocked))


async def _nothing() -> None:
    """What has to be done before equity is read: nothing on spot."""


def _spread(ticker: Ticker) -> float | None:
    """(ask - bid) / mid; None where a side is empty."""
    if ticker.bid <= 0 or ticker.ask <= 0:
        return None
    return float((ticker.ask - ticker.bid) / ((ticker.ask + ticker.bid) / 2))
