"""A short in the ledger: its cash is the venue's, it cannot be closed beyond what is held, and the independent checker agrees."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, ack, entry, fill_of, lease_of, reducing

from trader.data.audit import audit
from trader.data.ledger import SqlLedger
from trader.data.reader import LedgerReader
from trader.domain.market import MINUTE
from trader.domain.orders import Intent, Side
from trader.errors import BeginRefused, FatalError
from trader.ports import Lease

PAIR = "BTC/USD:USD"


def opened(folder: Path) -> tuple[SqlLedger, Lease]:
    ledger = SqlLedger(folder / "ledger.sqlite", account=ACCOUNT)
    ledger.set_opening_cash({"USD": D(1_000)}, T0)
    return ledger, lease_of(ledger)


def traded(ledger: SqlLedger, intent: Intent, quantity: str, price: str) -> None:
    ack(ledger, intent, intent.created_us)
    ledger.apply_fills([fill_of(intent, f"F-{intent.cl_ord_id}", quantity, price, fee="0.5")], intent.created_us + 1, source="stream")


def short(ledger: SqlLedger, lease: Lease, quantity: str = "3") -> Intent:
    made, position = entry(PAIR, quantity=quantity)
    intent = replace(made, side=Side.SELL, close_trigger=None)
    ledger.begin(intent, lease, T0, position=replace(position, side=Side.SELL))
    traded(ledger, intent, quantity, "100")
    return intent


def cover(parent: Intent, quantity: str, attempt: int = 0) -> Intent:
    return replace(reducing(parent, quantity, attempt=attempt), side=Side.BUY)


def test_a_short_settles_its_profit_leg_by_leg_and_the_checker_agrees(tmp_path: Path) -> None:
    ledger, lease = opened(tmp_path)
    parent = short(ledger, lease)
    assert ledger.cash() == {"USD": D("999.5")}  # nothing was bought: the fee alone is gone
    for attempt, (quantity, price, cash) in enumerate([("1", "90", "1009"), ("2", "103", "1002.5")]):
        exit_ = cover(parent, quantity, attempt)
        ledger.begin(exit_, lease, exit_.created_us)
        traded(ledger, exit_, quantity, price)
        assert ledger.cash() == {"USD": D(cash)}
        assert audit(tmp_path / "ledger.sqlite").sound
    assert [(leg.line().split()[1], leg.net) for leg in ledger.trade_legs()] == [("short", D("9.33333333")), ("short", D("-6.83333333"))]
    assert D(1_000) + sum(leg.net for leg in ledger.trade_legs()) == D("1002.5")


def test_a_short_cannot_be_closed_beyond_what_is_held_nor_added_to_by_an_exit(tmp_path: Path) -> None:
    ledger, lease = opened(tmp_path)
    parent = short(ledger, lease)
    ledger.begin(cover(parent, "2"), lease, T0)
    for wrong in (cover(parent, "2", 1), replace(cover(parent, "1", 2), side=Side.SELL)):
        with pytest.raises(BeginRefused, match=r"exceed the 3 held|that a sell reduces"):
            ledger.begin(wrong, lease, T0)


def test_funding_is_cash_of_its_own_booked_once(tmp_path: Path) -> None:
    ledger, _ = opened(tmp_path)
    for _ in range(2):
        for hour, amount in enumerate(("-0.25", "0.1")):
            ledger.external_move("USD", D(amount), f"funding {PAIR}", T0 + hour * 60 * MINUTE)
    assert ledger.cash() == {"USD": D("999.85")}
    reader = LedgerReader(tmp_path / "ledger.sqlite")
    assert [(one.pair, one.amount) for one in reader.funding()] == [(PAIR, D("-0.25")), (PAIR, D("0.1"))]
    reader.close()
    assert audit(tmp_path / "ledger.sqlite").sound


def test_the_checker_sees_cash_that_a_short_does_not_give(tmp_path: Path) -> None:
    ledger, lease = opened(tmp_path)
    short(ledger, lease)
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        file.execute("UPDATE cash SET quantity = '1299.5'")  # as if the coins had been sold
    (problem,) = audit(tmp_path / "ledger.sqlite").problems
    assert problem.check == "cash vs fills" and "999.5" in problem.detail


def test_an_inverse_contract_has_no_cash_here(tmp_path: Path) -> None:
    ledger, lease = opened(tmp_path)
    made, position = entry("BTC/USD:BTC")
    ledger.begin(replace(made, close_trigger=None), lease, T0, position=position)
    with pytest.raises(FatalError, match="neither BASE/QUOTE nor BASE/QUOTE:QUOTE"):
        traded(ledger, made, "0.5", "100")
