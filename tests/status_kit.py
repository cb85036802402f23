"""A small ledger with a life: two trades closed, one position open, decisions, a halt, a blocked pair, beats and equity."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ledger_kit import ACCOUNT, T0, ack, buy, lease_of, open_ledger, reducing, sell

from trader.data.ledger import SqlLedger
from trader.domain.market import MINUTE
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import Leg, Side
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.ports import DecisionRow, EquityRow, Halt

BARS = 40


def lively(folder: Path, *, end: bool = False) -> Path:
    """The state directory; `end`: the session has stopped and released its lease."""
    ledger = open_ledger(folder)
    lease = lease_of(ledger)
    ledger.note("system.started", {"strategy": "viable/mitraillette/AGGRESSIVE", "ai": "veto", "environment": "demo"}, T0)
    won = buy(ledger, lease, "BTC/EUR", close_us=T0 + MINUTE)
    sell(ledger, lease, won, "0.5", price="110", reason="TP1")
    lost = buy(ledger, lease, "ETH/EUR", close_us=T0 + 16 * MINUTE)
    sell(ledger, lease, lost, "0.5", price="95", reason="STOP_LOSS")
    held = buy(ledger, lease, "SOL/EUR", close_us=T0 + 5 * MINUTE)
    stop = reducing(held, "0.5", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.begin(stop, lease, stop.created_us)
    ack(ledger, stop, stop.created_us)
    _decide(ledger)
    _beat(ledger)
    ledger.note("data.blocked", {"pair": "ADA/EUR", "expectation": "no_gap", "detail": "3 candles are missing"}, T0 + 20 * MINUTE)
    ledger.set_halt(Halt(cause="DAILY_LOSS", level="REDUCING", since_us=T0 + 21 * MINUTE, reason="3.90% against limit 3.82%"))
    if end:
        ledger.note("system.stopped", {"ended": "its time is over"}, T0 + BARS * MINUTE)
        ledger.release_lease(lease, T0 + BARS * MINUTE)
    ledger.close()
    return folder / "state"


def _decide(ledger: SqlLedger) -> None:
    points = (Point(name="base", value=50.0), Point(name="rsi_depth", value=13.0))
    entered = Decision(pair="SOL/EUR", close_us=T0 + 5 * MINUTE, side=Side.BUY, action=Action.ENTER, score=63.0, points=points)
    ruling = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT, p_loss=0.19, age_ms=3000.0, verdict_id="v1", is_twin=True)
    refused = Decision(
        pair="XRP/EUR",
        close_us=T0 + 6 * MINUTE,
        side=Side.BUY,
        action=Action.HOLD,
        score=52.0,
        points=points[:1],
        refusal=Refusal.SCORE_LOW,
    )
    ledger.record_decisions(
        [
            DecisionRow(decision=entered, final="ENTER", stake=Decimal(50), ruling=ruling, ai_mode="veto"),
            DecisionRow(decision=refused, final="SCORE_LOW", detail="52 below 58 <b>", ai_mode="veto"),
        ],
        T0 + 6 * MINUTE,
    )


def _beat(ledger: SqlLedger) -> None:
    for number in range(1, BARS):
        equity = Decimal(10_000) + Decimal(number) / 4 - (Decimal(3) if number > 20 else Decimal(0))
        now = T0 + number * MINUTE
        row = EquityRow(
            time_us=now, cash=equity - 50, marked=Decimal(50), equity=equity, realised=Decimal(2), fees=Decimal(1), drawdown=0.0003
        )
        ledger.note("beat", {"number": number, "lag_s": 0.0, "pairs": 12}, now, equity=row)


__all__ = ["ACCOUNT", "BARS", "T0", "lively"]
