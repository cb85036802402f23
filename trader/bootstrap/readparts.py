"""Stored rows -> the values of `views`: plain conversions, each from one snapshot of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from trader.bootstrap import views as v
from trader.bootstrap.nights import Night
from trader.data.outbox import Message
from trader.data.reader import ALL, LedgerReader
from trader.data.reader_activity import Blocked, ControlView, DecisionView, PairState
from trader.data.reader_positions import OpenPosition, Totals
from trader.data.suggestions import Suggestions
from trader.domain.market import DAY, SECOND
from trader.domain.messages import stamp
from trader.domain.money import ZERO, add, divide, mul, plain, sub
from trader.domain.suggestions import SuggestionState
from trader.errors import TraderError
from trader.ports import EquityRow, Halt
from trader.reporting import leaderboard, words
from trader.reporting.analytics import Trade, trades_of, wilson
from trader.simulation.clock import PacedClock
from trader.slack.phrases import phrase

QUOTES = ("EUR", "USD", "USDT", "USDC", "GBP")
CENT = Decimal("0.00000001")


def text(value: Decimal | None) -> str | None:
    """A number as the API shows it."""
    return None if value is None else plain(value)


def _level(value: Decimal | None) -> str | None:
    """A level of the plan, which is not on the tick."""
    return None if value is None else plain(value.quantize(CENT))


# --- money -------------------------------------------------------------------------------------------------------------
def money(rows: Sequence[EquityRow], cash: Mapping[str, Decimal], totals: Totals, held: Sequence[OpenPosition]) -> v.MoneyView:
    """Totals of the account; what has no equity row yet is None."""
    quote = next((name for name in QUOTES if name in cash), next(iter(sorted(cash)), "EUR"))
    low, high = wilson(totals.wins, totals.trades) or (None, None)
    last = rows[-1] if rows else None
    total = sub(last.equity, rows[0].equity) if last else None
    return v.MoneyView(
        quote=quote, equity=text(last.equity if last else cash.get(quote)), cash=text(cash.get(quote)),
        held=text(last.marked if last else None),
        paid_for_held=plain(add(*(_paid(p) for p in held))), today=text(today(rows)), total=text(total),
        total_fraction=float(total / rows[0].equity) if last and total is not None and rows[0].equity > ZERO else None,
        realised=plain(totals.realised), fees=plain(totals.fees), drawdown=last.drawdown if last else None,
        max_drawdown=max((row.drawdown for row in rows), default=None), trades=totals.trades, wins=totals.wins, open=totals.open,
        win_rate=totals.win_rate, win_low=low, win_high=high,
    )  # fmt: skip


def _paid(held: OpenPosition) -> Decimal:
    """What was paid for the part that is still held, without fees."""
    position = held.position
    if position.entry_quantity == ZERO:
        return ZERO
    return divide(mul(position.entry_cost, held.quantity), position.entry_quantity, CENT)


def today(rows: Sequence[EquityRow]) -> Decimal | None:
    """Change of equity since 00:00 UTC, from the last row before it, else from the first there is."""
    if not rows:
        return None
    start = rows[-1].time_us // DAY * DAY
    begun = rows[0]
    for row in reversed(rows):
        if row.time_us <= start:
            begun = row
            break
    return sub(rows[-1].equity, begun.equity)


# --- positions and trades ----------------------------------------------------------------------------------------------
def position(held: OpenPosition, now_us: int) -> v.PositionView:
    """One row of the table of what is held."""
    p, legs = held.position, held.exit_state.get("legs", 0)
    return v.PositionView(
        id=p.position_id, pair=p.pair, side=p.side.value, state=p.state.value, quantity=plain(held.quantity),
        entry=text(held.entry_price),
        cost=plain(_paid(held)), stop=text(held.live_stop), stop_state=held.stop_state, stop_reason=held.live_stop_reason,
        first_stop=_level(held.stop), tp1=_level(held.tp1), tp2=_level(held.tp2),
        targets_reached=legs.bit_count() if isinstance(legs, int) else 0,
        opened=stamp(p.opened_us), age_s=max(0.0, (now_us - p.opened_us) / SECOND),
    )  # fmt: skip


def trades(ledger: LedgerReader, limit: int) -> list[v.TradeView]:
    """Closed positions, newest first."""
    still = {held.position.position_id for held in ledger.positions()}
    return [_trade(one) for one in trades_of(ledger.trades(ALL), still)[::-1][:limit]]


def _trade(one: Trade) -> v.TradeView:
    return v.TradeView(
        id=one.position_id, pair=one.pair, opened=stamp(one.entry_us), closed=stamp(one.exit_us),
        held_s=(one.exit_us - one.entry_us) / SECOND,
        stake=plain(one.stake), fees=plain(one.fees), net=plain(one.net), roi=float(one.net / one.stake) if one.stake > ZERO else None,
        reason=one.reason, words=words.exit_words(one.reason),
    )  # fmt: skip


# --- decisions ---------------------------------------------------------------------------------------------------------
def candidate(d: DecisionView) -> v.CandidateView:
    """A decision with its points in words."""
    return v.CandidateView(
        id=d.decision_id, time=stamp(d.close_us), pair=d.pair, final=d.final, words=words.decision_words(d.final), detail=d.detail,
        score=d.score, points=tuple(v.PointView(name=p.name, words=words.point_words(p.name), value=p.value) for p in d.points),
        stake=text(d.stake), ai_mode=d.ai_mode, lookup=d.lookup, ruling=d.ruling, p_loss=d.p_loss, age_ms=d.age_ms, is_twin=d.is_twin,
    )  # fmt: skip


def pair(state: PairState) -> v.PairView:
    """The newest word on one pair."""
    return v.PairView(
        pair=state.pair,
        since=stamp(state.since_us),
        code=state.code,
        words=words.decision_words(state.code),
        score=state.score,
        detail=state.detail,
    )


def counts(found: Mapping[str, int], said: Mapping[str, str] | None = None) -> tuple[v.CountView, ...]:
    """Most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(v.CountView(code=code, words=(said or {}).get(code) or words.decision_words(code), count=n) for code, n in ordered)


# --- people ------------------------------------------------------------------------------------------------------------
def halt(one: Halt) -> v.HaltView:
    what, then = words.halt_words(one.cause)
    return v.HaltView(
        cause=one.cause, level=one.level, since=stamp(one.since_us), reason=one.reason, who=one.who, words=what, next_step=then
    )


def blocked(found: Iterable[Blocked]) -> tuple[v.BlockedView, ...]:
    return tuple(
        v.BlockedView(
            pair=b.pair, since=stamp(b.since_us), expectation=b.expectation, detail=b.detail,
            next_step=words.gate_words(b.pair, b.expectation),
        )
        for b in found
    )  # fmt: skip


def control(one: ControlView) -> v.ControlView:
    c = one.control
    return v.ControlView(
        id=c.control_id, verb=c.verb, argument=c.argument, who=c.who, given=stamp(c.created_us), state=c.state, answer=c.answer
    )


def message(one: Message) -> v.MessageView:
    """As Slack would show it."""
    return v.MessageView(
        seq=one.seq, time=stamp(one.created_us), kind=one.kind, level=one.level, alarm=one.priority, thread=one.thread_key,
        text=phrase(one.kind, one.payload).text, delivery=one.state, error=one.last_error,
    )  # fmt: skip


def clock(paced: PacedClock | None, as_of_us: int | None, environment: str) -> v.ClockView:
    """The exchange's clock; without a paced one, the newest stored moment stands for now."""
    now = as_of_us if paced is None else max(paced.now_us(), as_of_us or 0)
    return v.ClockView(
        simulated=environment == "demo", now=None if now is None else stamp(now), speed=None if paced is None else paced.speed,
        origin=None if paced is None else stamp(paced.origin_us),
    )  # fmt: skip


def _signed(text: str) -> str:
    """A number of the leaderboard as the page writes numbers: a true minus, a space before the per cent sign."""
    return text.replace("-", "−").replace("%", " %")


def judgement(told: Mapping[str, Any], *, waiting: bool) -> v.OptimizerView:
    """A judgement as the optimizer kept it."""
    rivals = tuple(
        v.RivalView(
            strategy=row["strategy"],
            mean=_signed(row["mean a day"]),
            sharpe=_signed(row["Sharpe"]),
            trades=row["trades"],
            fails=row["fails"],
            in_use=row["strategy"] == told["current"],
        )
        for row in leaderboard.rows(told)
    )
    ai = told.get("ai")
    return v.OptimizerView(
        run=told["run"], at=told["at"], decision=told["decision"], sentence=told["sentence"], ai=leaderboard.ai_words(ai) if ai else "",
        leaderboard=rivals, waiting=waiting, flow_run=told.get("flow_run", ""), outcome=told.get("outcome", ""),
    )  # fmt: skip


def night(record: Night) -> v.NightView:
    """A night as its page told it; one under way says how far it is."""
    told, done = record.found("publish"), sum(record.done(name) for name in record.steps)
    at = max((step.at for step in record.steps.values()), default="")
    if not told:
        return v.NightView(day=record.day, at=at, headline=f"Night of {record.day}: under way, steps done: {done}", lines=(), sound=None)
    return v.NightView(
        day=record.day, at=at, headline=str(told["headline"]), lines=tuple(str(line) for line in told["lines"]),
        sound=bool(told["sound"]), page=str(told["page"]),
    )  # fmt: skip


def waiting(file: Path, now_us: int) -> tuple[v.SuggestionView, ...]:
    """Suggestions nobody answered yet, newest first; none where they cannot be read."""
    if not file.exists():
        return ()
    try:
        table = Suggestions(file)
        try:
            found = [one for one in reversed(table.all()) if one.state(now_us) is SuggestionState.PENDING]
        finally:
            table.close()
    except (TraderError, OSError):
        return ()
    return tuple(
        v.SuggestionView(
            id=one.suggestion_id, words=one.proposal.words, trial=str(one.trial.get("sentence", "")), twin=one.is_twin,
            expires=stamp(one.expires_us),
        )
        for one in found
    )  # fmt: skip
