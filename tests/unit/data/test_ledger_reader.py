"""The read model: what it says, that it can't write, and that it works while a session writes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, buy, lease_of, open_ledger, reducing, sell
from sqlalchemy.exc import OperationalError

from trader.data.ledger_control import submit_control
from trader.data.reader import LedgerReader
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import ExchangeStatus, Leg, Outcome, Side
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.errors import CorruptError, FatalError, RejectedError
from trader.ports import DecisionRow, EquityRow


def decided(pair: str, close_us: int, final: str, refusal: Refusal | None = None, score: float = 50.0) -> DecisionRow:
    decision = Decision(
        pair=pair, close_us=close_us, side=Side.BUY, action=Action.ENTER if final == "ENTER" else Action.HOLD, score=score,
        refusal=refusal, points=(Point(name="rsi", value=4.0),), evidence={"rsi": 30.5}, strategy="s", detail="because",
    )  # fmt: skip
    ruling = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT, p_loss=0.2) if final == "ENTER" else None
    return DecisionRow(decision=decision, final=final, ruling=ruling, ai_mode="shadow")


def test_positions_show_plan_levels_and_the_resting_stop(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    reader = LedgerReader(ledger.path)
    assert reader.account == ACCOUNT
    (bare,) = reader.positions()
    assert (bare.stop_state, bare.live_stop) == ("missing", None)
    stop = reducing(held, "0.5", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.adopt(replace(stop, outcome=Outcome.ACKED, txid="T-s", status=ExchangeStatus.OPEN), T0)
    ledger.set_terms("T-s", T0, trigger_price=Decimal("99.5"), reason="RATCHET_L1")
    ledger.save_exit_state(held.position_id, {"best": 101.5}, T0)
    (seen,) = reader.positions()
    assert (seen.quantity, seen.entry_price, seen.stop, seen.tp1, seen.tp2) == (Decimal("0.5"), 100, 98, 102, 104)
    assert (seen.live_stop, seen.live_stop_reason, seen.stop_state) == (Decimal("99.5"), "RATCHET_L1", "resting")
    assert seen.exit_state == {"best": 101.5}
    reader.close()
    ledger.close()


def test_trades_totals_and_reasons(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    winner, loser, _ = buy(ledger, lease), buy(ledger, lease, "ETH/EUR"), buy(ledger, lease, "ADA/EUR")
    sell(ledger, lease, winner, "0.25", price="110", reason="TP1")
    sell(ledger, lease, winner, "0.25", price="110", attempt=1, reason="TP2")
    sell(ledger, lease, loser, "0.5", price="98", reason="STOP_LOSS")
    reader = LedgerReader(ledger.path)
    totals = reader.totals()
    assert (totals.legs, totals.trades, totals.wins, totals.open, totals.win_rate) == (3, 2, 1, 1, 0.5)
    assert (totals.realised, totals.fees) == (Decimal("4.4") - Decimal("1.4"), Decimal("1.2"))
    assert [leg.reason for leg in reader.trades(2)] == ["STOP_LOSS", "TP2"]
    assert [view.leg for view in reader.fills(4)] == ["exit", "exit", "exit", "entry"]
    assert len(reader.orders(100)) == 6
    assert reader.cash() == ledger.cash()
    reader.close()
    ledger.close()


def test_decisions_states_counts_and_verdicts(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    quarter = 900_000_000
    for bar in range(4):
        rows = [decided(f"P{n}/EUR", T0 + bar * quarter, "HOLD", Refusal.NO_SIGNAL, score=n + bar * 0.1) for n in range(20)]
        rows += [decided("BTC/EUR", T0 + bar * quarter, "ENTER"), decided("ETH/EUR", T0 + bar * quarter, "HOLD", Refusal.COOLDOWN)]
        ledger.record_decisions(rows, T0 + bar * quarter + 2)
    reader = LedgerReader(ledger.path)
    assert reader.refusals() == {"COOLDOWN": 4, "ENTER": 4, "NO_SIGNAL": 80}
    assert reader.refusals(T0 + 3 * quarter) == {"COOLDOWN": 1, "ENTER": 1, "NO_SIGNAL": 20}
    assert reader.verdicts() == {"ALLOW": 4}
    assert len(reader.decisions(100)) == 8 and len(reader.decisions(100, pair="ETH/EUR")) == 4
    newest = reader.decisions(1)[0]
    assert (newest.close_us, newest.points, newest.evidence) == (T0 + 3 * quarter, (Point(name="rsi", value=4.0),), {"rsi": 30.5})
    assert reader.decision(newest.decision_id) == newest and reader.decision("none") is None
    states = {state.pair: state for state in reader.pair_states()}
    assert len(states) == 22 and (states["P3/EUR"].code, states["P3/EUR"].since_us) == ("NO_SIGNAL", T0)
    reader.close()
    ledger.close()


def test_a_deferred_decision_taken_again_replaces_its_row(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record_decisions([decided("BTC/EUR", T0, "DEFER")], T0)
    ledger.record_decisions([decided("BTC/EUR", T0, "ENTER")], T0 + 9)
    reader = LedgerReader(ledger.path)
    assert [d.final for d in reader.decisions()] == ["ENTER"]
    assert reader.refusals() == {"DEFER": 1, "ENTER": 1}
    reader.close()
    ledger.close()


def test_the_same_quiet_bar_again_writes_no_pair_state(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    rows = [decided(f"P{n}/EUR", T0, "HOLD", Refusal.NO_SIGNAL) for n in range(150)]
    ledger.record_decisions(rows, T0)
    before = ledger._connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    ledger.record_decisions([replace(row, decision=replace(row.decision, close_us=T0 + 1)) for row in rows], T0 + 1)
    assert ledger._connection.exec_driver_sql("SELECT total_changes()").scalar_one() - before == 2  # journal and bar
    ledger.close()


def test_session_state_is_visible(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease_of(ledger)
    ledger.note("system.started", {"environment": "demo"}, T0)
    for pair in ("ADA/EUR", "SOL/EUR"):
        ledger.note("data.blocked", {"pair": pair, "expectation": "gap", "detail": "3 bars"}, T0)
    ledger.note("data.repaired", {"pair": "SOL/EUR"}, T0 + 1)
    row = EquityRow(time_us=T0, cash=Decimal(1), marked=Decimal(2), equity=Decimal(3), realised=Decimal(0), fees=Decimal(0), drawdown=0.0)
    ledger.note("beat", {"lag_s": 0.25}, T0 + 2, equity=row)
    reader = LedgerReader(ledger.path)
    assert [(b.pair, b.expectation, b.detail) for b in reader.blocked()] == [("ADA/EUR", "gap", "3 bars")]
    assert [(b.time_us, b.lag_s) for b in reader.beats()] == [(T0 + 2, 0.25)]
    assert reader.equity() == [row]
    started, lease = reader.newest_event("system.started"), reader.lease()
    assert started is not None and started.payload == {"environment": "demo"}
    assert lease is not None and (lease.holder, lease.token, lease.released) == ("test", 1, False)
    events = reader.events(after_seq=started.seq)
    assert [event.type for event in events] == ["data.blocked", "data.blocked", "data.repaired", "equity", "beat"]
    reader.close()
    ledger.close()


def test_a_control_binds_the_next_order_and_is_answered_once(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease_of(ledger)
    reader = LedgerReader(ledger.path)
    pause = submit_control(ledger.path, "pause", "", "ada", T0, reason="lunch", key="k1")
    assert submit_control(ledger.path, "pause", "", "ada", T0 + 5, reason="lunch", key="k1") == pause
    assert [(h.cause, h.level, h.who, h.reason) for h in reader.halts()] == [("operator", "REDUCING", "ada", "lunch")]
    submit_control(ledger.path, "exit", "BTC/EUR", "bob", T0 + 6)
    submit_control(ledger.path, "stop", "", "bob", T0 + 7)
    assert [h.level for h in reader.halts()] == ["HALTED"]
    assert [(c.verb, c.argument) for c in ledger.pending_controls()] == [("pause", ""), ("exit", "BTC/EUR"), ("stop", "")]
    ledger.answer_control(pause.control_id, "DONE", "paused", T0 + 8)
    ledger.answer_control(pause.control_id, "REFUSED", "late", T0 + 9)
    view = reader.control(pause.control_id)
    assert view is not None and (view.control.state, view.control.answer, view.answered_us) == ("DONE", "paused", T0 + 8)
    assert len(ledger.pending_controls()) == 2 and len(reader.controls()) == 3
    with pytest.raises(RejectedError, match="allowed: pause"):
        submit_control(ledger.path, "buy", "", "ada", T0)
    with pytest.raises(RejectedError, match="no ledger"):
        submit_control(tmp_path / "none.sqlite", "pause", "", "ada", T0)
    with pytest.raises(FatalError, match="no control"):
        ledger.answer_control("none", "DONE", "", T0)
    assert not (tmp_path / "none.sqlite").exists()
    reader.close()
    ledger.close()


def test_the_reader_never_writes_and_never_creates(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="no such database"):
        LedgerReader(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    ledger = open_ledger(tmp_path)
    reader = LedgerReader(ledger.path)
    with pytest.raises(OperationalError, match="readonly"):
        reader._connection.exec_driver_sql("DELETE FROM cash")
    assert reader.cash() == {"EUR": Decimal(10_000)}
    reader.close()
    ledger.close()
