"""Prepared statements write and read what SQLAlchemy would, and refuse what it refuses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import buy, lease_of, open_ledger
from sqlalchemy.exc import StatementError

from trader.data import ledger_sql as sql
from trader.data.ledger import SqlLedger
from trader.data.prepared import Prepared


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    """A ledger with a position."""
    made = open_ledger(tmp_path)
    buy(made, lease_of(made))
    return made


@pytest.mark.parametrize(
    "name", ["HALTS", "JOURNAL_TIP", "INTENTS", "LIVE_INTENTS", "POSITIONS", "OPEN_POSITIONS", "FILLS", "CASH", "LEASE_OF"]
)
def test_rows_are_those_of_sqlalchemy_column_by_column(name: str, ledger: SqlLedger) -> None:
    prepared: Prepared = getattr(sql, name)
    values = {} if name in ("HALTS", "JOURNAL_TIP") else {"at_account": ledger.account}
    theirs = ledger._connection.execute(prepared.statement, values).all()
    ours = prepared.all(ledger._connection, values)
    assert [row._asdict() for row in ours] == [dict(row._mapping) for row in theirs]
    assert [list(map(type, row)) for row in ours] == [list(map(type, row)) for row in theirs]
    assert bool(ours) is (name != "HALTS")
    assert prepared.first(ledger._connection, values) == (ours[0] if ours else None)


@pytest.mark.parametrize(("quantity", "error"), [(0.1, TypeError), (Decimal("NaN"), TypeError), (Decimal("1e30"), ValueError)])
def test_a_value_that_its_column_refuses_is_not_written(quantity: Any, error: type[Exception], ledger: SqlLedger) -> None:
    with pytest.raises(StatementError) as caught:
        sql.CASH_ADD.run(ledger._connection, {"account": ledger.account, "asset": "XXX", "quantity": quantity})
    assert isinstance(caught.value.orig, error)
    assert "XXX" not in ledger.cash()


def test_a_condition_without_a_value_is_an_error(ledger: SqlLedger) -> None:
    with pytest.raises(KeyError, match="at_asset"):
        sql.CASH_OF.first(ledger._connection, {"at_account": ledger.account})
