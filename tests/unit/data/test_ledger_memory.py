"""What the ledger remembers between two reads is never older than the file: own changes, and those of other connections."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import ACCOUNT, T0, ack, buy, entry, fill_of, lease_of, open_ledger, reducing

from trader.data.audit import audit
from trader.data.ledger import SqlLedger
from trader.data.ledger_control import submit_control
from trader.domain.market import MINUTE
from trader.domain.orders import ExchangeStatus, Leg, Outcome
from trader.errors import FatalError
from trader.ports import Halt


def statements(ledger: SqlLedger) -> list[str]:
    """Every statement from now on."""
    seen: list[str] = []
    driver: Any = ledger._connection.connection.dbapi_connection
    driver.set_trace_callback(lambda text: seen.append(text) if not text.startswith("PRAGMA data_version") else None)
    return seen


def everything(ledger: SqlLedger) -> tuple[object, ...]:
    orders = ledger.intents()
    return (
        ledger.intents(live_only=True), [ledger.intents(position_id=order.position_id) for order in orders], ledger.positions(),
        [ledger.position(order.position_id) for order in orders], [ledger.intent_by_txid(order.txid or "") for order in orders],
        [ledger.intents(position_id=order.position_id, live_only=True) for order in orders], ledger.positions(open_only=False),
        ledger.cash(), ledger.halts(), ledger.last_exits(), ledger.trade_legs(), ledger.told(),
    )  # fmt: skip


def test_a_second_read_asks_nothing_of_the_file_and_a_note_changes_nothing(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, lease_of(ledger))
    first = everything(ledger)
    seen = statements(ledger)
    assert everything(ledger) == first and seen == []
    ledger.note("beat", {}, T0)
    seen.clear()
    assert everything(ledger) == first and seen == []


def test_every_change_is_seen_by_the_next_read_as_by_a_fresh_connection(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    held = buy(ledger, lease := lease_of(ledger))
    sell = reducing(held, "0.2")
    stop = replace(reducing(held, "0.3", leg=Leg.STOP), outcome=Outcome.ACKED, txid="OSTOP", status=ExchangeStatus.OPEN)
    empty, opening = entry("ETH/EUR")
    small, tiny = entry("ADA/EUR", quantity="0.001")
    changes = (
        lambda: ledger.begin(sell, lease, T0),
        lambda: ledger.resolve(sell.cl_ord_id, Outcome.ACKED, T0, txid="OSELL"),
        lambda: ledger.apply_fills([fill_of(sell, "f1", "0.1", "101", txid="OSELL")], T0, source="rest"),
        lambda: ledger.apply_fills([fill_of(sell, "f2", "0.1", "102", txid="OSELL")], T0, source="rest"),
        lambda: ledger.set_status("OSELL", ExchangeStatus.CLOSED, T0),
        lambda: ledger.adopt(stop, T0),
        lambda: ledger.set_terms("OSTOP", T0, trigger_price=Decimal(99), reason="RATCHET_L1"),
        lambda: ledger.begin(empty, lease, T0, position=opening),
        lambda: ledger.resolve(empty.cl_ord_id, Outcome.ABSENT, T0, proof={"passes_us": [1]}),
        lambda: ledger.drop_opening(empty.position_id, T0),
        lambda: ledger.recall(small, lease, T0, position=tiny),
        lambda: ack(ledger, small),
        lambda: ledger.apply_fills([fill_of(small, "f3", "0.001")], T0, source="stream"),
        lambda: ledger.mark_dust(small.position_id, T0),
        lambda: ledger.resolve(empty.cl_ord_id, Outcome.ACKED, T0, txid="OLATE"),  # found after all: live again, in its old place
        lambda: ledger.apply_fills([fill_of(empty, "f4", "0.5", txid="OLATE")], T0, source="rest"),  # and its position open again
        lambda: ledger.external_move("EUR", Decimal(5), "deposit", T0),
        lambda: ledger.set_halt(Halt(cause="MANUAL", level="REDUCING", since_us=T0, reason="asked")),
        lambda: ledger.clear_halt("MANUAL", "me", "over", T0),
    )
    for number, change in enumerate(changes):
        before = everything(ledger)
        change()
        fresh = SqlLedger(ledger.path, account=ACCOUNT)
        assert everything(ledger) == everything(fresh) != before, number
        fresh.close()


def test_a_refused_change_leaves_what_is_known(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    held = buy(ledger, lease_of(ledger))
    before = everything(ledger)
    with pytest.raises(FatalError, match="does not fit"):
        ledger.apply_fills(
            [fill_of(held, "f1", "0.1"), fill_of(reducing(held, "9"), "f2", "9", txid="T-" + held.cl_ord_id)], T0, source="rest"
        )
    ledger.note("beat", {}, T0)  # the journal goes on where the last committed row is
    assert everything(ledger) == before
    assert list(audit(ledger.path).problems) == []


def test_orders_are_read_again_row_by_row(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    for number in range(20):
        held = buy(ledger, lease, close_us=T0 + number, trade_id=str(number))
    everything(ledger)
    ledger.set_status("T-" + held.cl_ord_id, ExchangeStatus.CANCELED, T0)
    seen = statements(ledger)
    assert len(ledger.intents()) == 20 and len(seen) == 1 and seen[0].endswith(f"intent.cl_ord_id = '{held.cl_ord_id}'")


def test_controls_are_remembered_until_somebody_gives_or_answers_one(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease_of(ledger)
    assert ledger.pending_controls() == []
    given = submit_control(ledger.path, "pause", "", "me", T0)
    assert [control.control_id for control in ledger.pending_controls()] == [given.control_id]
    seen = statements(ledger)
    assert len(ledger.pending_controls()) == 1 and seen == []
    ledger.answer_control(given.control_id, "DONE", "no entries", T0)
    assert ledger.pending_controls() == []


def test_what_a_person_told_to_leave_is_known_until_it_is_gone_and_nothing_that_came_later(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    first = buy(ledger, lease, close_us=T0, trade_id="1")
    assert ledger.leaving() == {}
    given = submit_control(ledger.path, "exit", first.pair, "me", T0)
    assert ledger.leaving() == {}, "nobody has answered it"
    ledger.answer_control(given.control_id, "DONE", "closing 1", T0 + 5)
    later = buy(ledger, lease, close_us=T0 + MINUTE, trade_id="2")
    assert later.pair == first.pair and ledger.leaving() == {first.position_id: "exit"}
    ledger.mark_dust(first.position_id, T0 + MINUTE)
    assert ledger.leaving() == {}


def test_what_another_connection_writes_is_seen(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    other = SqlLedger(ledger.path, account=ACCOUNT)
    assert ledger.halts() == [] and ledger.cash() == {"EUR": Decimal(10_000)}
    other.set_halt(Halt(cause="MANUAL", level="REDUCING", since_us=T0, reason="asked"))
    other.external_move("EUR", Decimal(5), "deposit", T0)
    assert [halt.cause for halt in ledger.halts()] == ["MANUAL"] and ledger.cash() == {"EUR": Decimal(10_005)}


def test_a_reader_who_changes_an_answer_changes_no_other_reader_s(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, lease_of(ledger))
    list(ledger.intents())
    ledger.intents().clear()  # type: ignore[attr-defined]
    ledger.cash().clear()  # type: ignore[attr-defined]
    assert len(ledger.intents()) == 1 and ledger.cash()
