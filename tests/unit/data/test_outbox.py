"""The outbox: each message once, alarms never dropped, and a projector that neither loses nor doubles."""

from __future__ import annotations

import sqlite3
import stat
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import T0, ack, buy, entry, fill_of, lease_of, open_ledger, reducing, sell

from trader.data import projector as projector_module
from trader.data.ledger import SqlLedger
from trader.data.ledger_control import submit_control
from trader.data.outbox import CAP, Draft, Message, Outbox
from trader.data.projector import Projector
from trader.domain.messages import Action, Decision, Point
from trader.domain.orders import Leg, Outcome, Side
from trader.errors import FatalError
from trader.ports import DecisionRow, Halt, Notifier


def test_a_message_is_stored_once_with_its_level(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ops.sqlite", environment="paper")
    notifier: Notifier = outbox
    for _ in range(2):
        notifier.post("halt.set", {"cause": "drawdown", "limit": Decimal("0.10")}, dedupe_key="h1", now_us=T0)
    outbox.post("stop.moved", {"pair": "A/EUR"}, dedupe_key="s1", now_us=T0, thread_key="trade:x")
    first, second = outbox.pending(T0)
    assert (first.kind, first.level, first.priority, first.payload) == ("halt.set", "on", True, {"cause": "drawdown", "limit": "0.1"})
    assert (second.level, second.priority, second.thread_key, second.environment) == ("thread", False, "trade:x", "paper")
    assert stat.S_IMODE((tmp_path / "ops.sqlite").stat().st_mode) == 0o600
    outbox.close()


def test_alarms_come_first_and_delivery_is_written_down(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ops.sqlite")
    outbox.post("entry.filled", {}, dedupe_key="a", now_us=T0, thread_key="trade:1")
    outbox.post("data.blocked", {}, dedupe_key="b", now_us=T0)
    outbox.post("entry.refused", {}, dedupe_key="off", now_us=T0)
    alarm, root = outbox.pending(T0)
    assert (alarm.kind, root.kind) == ("data.blocked", "entry.filled")
    outbox.mark(root.seq, "SENDING")
    assert [(m.seq, m.state, m.attempts) for m in outbox.pending(T0)][1] == (root.seq, "SENDING", 1)
    outbox.mark(root.seq, "SENT", channel="C1", ts="1.5")
    outbox.mark(alarm.seq, "PENDING", error="429", next_try_us=T0 + 5)
    assert outbox.pending(T0 + 4) == [] and len(outbox.pending(T0 + 5)) == 1
    found = outbox.root("trade:1")
    assert found is not None and (found.ts, found.channel) == ("1.5", "C1")
    with pytest.raises(FatalError, match="allowed: PENDING"):
        outbox.mark(alarm.seq, "LOST")
    with pytest.raises(FatalError, match="no message 99"):
        outbox.mark(99, "SENT")
    outbox.close()


def test_above_the_cap_thread_messages_go_first_and_alarms_never(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ops.sqlite")
    from trader.data.engine import writing
    from trader.data.outbox import add

    drafts = [Draft(kind="halt.set", payload={}, dedupe_key=f"h{n}", created_us=T0) for n in range(5)]
    drafts += [Draft(kind="stop.moved", payload={}, dedupe_key=f"s{n}", created_us=T0) for n in range(10)]
    drafts += [Draft(kind="exit.filled", payload={}, dedupe_key=f"x{n}", created_us=T0) for n in range(CAP - 5)]
    with writing(outbox._connection) as connection:
        assert add(connection, drafts, "demo") == CAP + 10
    kinds = [message.kind for message in outbox.latest(3 * CAP)]
    assert (len(kinds), kinds.count("halt.set"), kinds.count("stop.moved"), kinds.count("exit.filled")) == (CAP, 5, 0, CAP - 5)
    outbox.close()


def test_a_store_that_fails_is_counted_and_does_not_stop_trading(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ops.sqlite")
    other = sqlite3.connect(tmp_path / "ops.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outbox.post("halt.set", {}, dedupe_key="h", now_us=T0)
    assert outbox.lost == 1
    other.execute("ROLLBACK")
    outbox.post("halt.set", {}, dedupe_key="h", now_us=T0)
    assert (outbox.lost, len(outbox.pending(T0))) == (1, 1)
    outbox.close()


# --- projector ----------------------------------------------------------------------------------------------------------
def lively(folder: Path) -> SqlLedger:
    """A ledger in which something of every projected kind happened."""
    ledger = open_ledger(folder)
    lease = lease_of(ledger)
    ledger.note("system.started", {"environment": "demo"}, T0)
    decision = Decision(
        pair="BTC/EUR", close_us=T0, side=Side.BUY, action=Action.ENTER, score=81.0, points=(Point(name="rsi", value=4.0),),
        strategy="core/mitraillette/BASE",
    )  # fmt: skip
    ledger.record_decisions([DecisionRow(decision=decision, final="ENTER")], T0)
    held = buy(ledger, lease)
    stop = reducing(held, "0.5", leg=Leg.STOP)
    ledger.begin(stop, lease, T0)
    ledger.set_terms(ack(ledger, stop), T0, trigger_price=Decimal(99))
    ledger.set_terms("T-" + stop.cl_ord_id, T0, quantity=Decimal("0.1"))
    sell(ledger, lease, held, "0.2", price="103", reason="TP1")
    sell(ledger, lease, held, "0.2", price="104", attempt=1, reason="TP2")
    ledger.apply_fills([fill_of(stop, "s", "0.1", "99")], T0, source="stream")
    late, position = entry("ETH/EUR")
    ledger.begin(late, lease, T0, position=position)
    ledger.resolve(late.cl_ord_id, Outcome.ABSENT, T0, proof={"passes": 2})
    ack(ledger, late)
    ledger.apply_fills([fill_of(late, "foreign", "1", txid="T-x")], T0, source="rest")
    for minute in range(3):
        ledger.note("data.blocked", {"pair": "ADA/EUR", "expectation": "gap"}, T0 + minute)
    ledger.note("order.unresolved", {"pair": "ETH/EUR"}, T0)
    ledger.note("reconcile", {"differences": 0}, T0)
    ledger.note("reconcile", {"differences": 2}, T0)
    ledger.note("beat", {"lag_s": 0.0}, T0)
    ledger.external_move("EUR", Decimal(5), "deposit", T0)
    ledger.set_halt(Halt(cause="drawdown", level="REDUCING", since_us=T0, reason="x"))
    ledger.clear_halt("drawdown", "ada", "looked at it", T0)
    ledger.note("system.stopped", {"ended": "done"}, T0)
    return ledger


KINDS = [
    "system.started", "entry.filled", "stop.moved", "exit.partial", "exit.partial", "exit.filled", "order.found_late",
    "exchange.foreign", "data.blocked", "order.unresolved", "reconcile.difference", "account.moved", "halt.set", "halt.cleared",
    "system.stopped",
]  # fmt: skip


def messages(folder: Path) -> list[Message]:
    outbox = Outbox(folder / "ops.sqlite")
    found = list(outbox.latest(500))[::-1]
    outbox.close()
    return found


def test_the_projector_tells_each_event_once_however_often_it_runs(tmp_path: Path) -> None:
    ledger = lively(tmp_path)
    for _ in range(3):
        projector = Projector(ledger.path, tmp_path / "ops.sqlite")
        projector.run()
        projector.close()
    found = messages(tmp_path)
    assert [message.kind for message in found] == KINDS
    submit_control(ledger.path, "pause", "", "ada", T0)
    projector = Projector(ledger.path, tmp_path / "ops.sqlite")
    assert (projector.run(), projector.run()) == (2, 0)
    projector.close()
    ledger.close()


def test_the_messages_carry_what_the_text_needs(tmp_path: Path) -> None:
    ledger = lively(tmp_path)
    Projector(ledger.path, tmp_path / "ops.sqlite").run()
    by_kind = {message.kind: message for message in messages(tmp_path)}
    bought, sold, moved = (by_kind[kind].payload for kind in ("entry.filled", "exit.filled", "stop.moved"))
    assert (bought["stake"], bought["stop"], bought["tp1"], bought["score"], bought["points"]) == ("50", "98", "102", 81.0, [["rsi", 4.0]])
    # 0.2 at 103 + 0.2 at 104 + 0.1 at 99 - 0.5 at 100, less four fees of 0.2
    assert (sold["net"], sold["fees"], sold["reason"]) == ("0.5", "0.8", "STAGNATION")
    assert (moved["old"], moved["new"]) == ("98", "99")
    assert by_kind["entry.filled"].thread_key == by_kind["exit.filled"].thread_key == f"trade:{bought['position_id']}"
    ledger.close()


def test_killed_between_any_two_batches_it_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = lively(tmp_path)
    monkeypatch.setattr(projector_module, "BATCH", 3)
    real_add, crashes = projector_module.add, 0

    def dies_after(connection: object, drafts: list[Draft], environment: str) -> int:
        nonlocal crashes
        count = real_add(connection, drafts, environment)  # type: ignore[arg-type]
        crashes += 1
        if crashes % 2:
            raise KeyboardInterrupt
        return count

    monkeypatch.setattr(projector_module, "add", dies_after)
    for _ in range(40):
        projector = Projector(ledger.path, tmp_path / "ops.sqlite")
        try:
            projector.run()
            break
        except KeyboardInterrupt:
            projector.close()
    assert crashes > 6
    assert [message.kind for message in messages(tmp_path)] == KINDS
    ledger.close()


def test_another_ledger_under_the_same_name_is_told_from_its_start(tmp_path: Path) -> None:
    ledger = lively(tmp_path)
    Projector(ledger.path, tmp_path / "ops.sqlite").run()
    ledger.close()
    for file in (tmp_path / "state").iterdir():
        file.unlink()
    fresh = open_ledger(tmp_path)
    fresh.note("system.started", {"again": True}, T0)
    Projector(fresh.path, tmp_path / "ops.sqlite").run()
    assert [message.kind for message in messages(tmp_path)] == [*KINDS, "system.started"]
    fresh.close()
