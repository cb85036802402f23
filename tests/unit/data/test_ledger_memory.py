"""What the ledger remembers between two reads is never older than the file: own changes, and those of other connections."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ledger_kit import ACCOUNT, T0, buy, lease_of, open_ledger, reducing
from sqlalchemy import event

from trader.data.ledger import SqlLedger
from trader.domain.orders import Outcome
from trader.ports import Halt


def statements(ledger: SqlLedger) -> list[str]:
    """Every statement from now on."""
    seen: list[str] = []
    event.listen(ledger._connection, "before_cursor_execute", lambda _c, _x, text, *_: seen.append(text))
    return seen


def everything(ledger: SqlLedger) -> tuple[object, ...]:
    orders = ledger.intents()
    return (
        ledger.intents(live_only=True), [ledger.intents(position_id=order.position_id) for order in orders], ledger.positions(),
        [ledger.position(order.position_id) for order in orders], [ledger.intent_by_txid(order.txid or "") for order in orders],
        ledger.cash(), ledger.halts(), ledger.last_exits(), ledger.trade_legs(),
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
    entry = buy(ledger, lease := lease_of(ledger))
    sell = reducing(entry, "0.2")
    changes = (
        lambda: ledger.begin(sell, lease, T0),
        lambda: ledger.resolve(sell.cl_ord_id, Outcome.ACKED, T0, txid="OSELL"),
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
