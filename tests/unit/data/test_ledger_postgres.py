"""The ledger's database on a server: the declared schema, rows that cannot be altered, one writer at a time, a server that goes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from ledger_kit import ACCOUNT, T0, buy, lease_of
from postgres_kit import postgres_ledger
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url

from trader.data.engine import open_ledger, place_of, writing
from trader.data.ledger import SqlLedger
from trader.data.tables import metadata
from trader.errors import RetryableError


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_ledger() as place:
        yield place


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    made = SqlLedger(url, account=ACCOUNT)
    made.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    yield made
    made.close()


def raw(url: str) -> psycopg.Connection[Any]:
    """A connection beside the ledger's, as psycopg spells it."""
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def schema(url: str) -> dict[str, Any]:
    """Columns with type and default order, keys, checks and indexes of every table."""
    engine = create_engine(place_of(url))
    look = inspect(engine)
    found = {
        name: {
            "columns": [(c["name"], str(c["type"]), c["nullable"], getattr(c["type"], "collation", None)) for c in look.get_columns(name)],
            "key": look.get_pk_constraint(name),
            "checks": sorted((c["name"], c["sqltext"]) for c in look.get_check_constraints(name)),
            "indexes": sorted(
                (i["name"], tuple(i["column_names"]), i["unique"], str(i["dialect_options"])) for i in look.get_indexes(name)
            ),
        }
        for name in look.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return found


def test_the_migrations_make_exactly_the_declared_schema(url: str) -> None:
    open_ledger(place_of(url)).close()
    migrated = schema(url)
    with postgres_ledger() as other:
        declared = create_engine(place_of(other))
        metadata.create_all(declared)
        declared.dispose()
        assert migrated == schema(other) and len(migrated) == len(metadata.tables)
    kinds = {column[1] for table in migrated.values() for column in table["columns"]}
    assert {"NUMERIC(38, 18)", "BIGINT", "DOUBLE PRECISION", "BOOLEAN"} <= kinds and "REAL" not in kinds
    assert all(column[3] == "C" for table in migrated.values() for column in table["columns"] if column[1].startswith("TEXT"))


ALTERING = (
    "UPDATE journal SET payload = '{}' WHERE seq = 1",
    "DELETE FROM journal WHERE seq = 1",
    "TRUNCATE journal",
    "INSERT INTO journal SELECT * FROM journal WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET payload = '{}'",
    "UPDATE fill SET price = 1",
    "UPDATE fill SET cl_ord_id = NULL",
    "DELETE FROM fill",
    "TRUNCATE fill",
    "UPDATE external_move SET amount = 1",
    "DELETE FROM external_move",
    "TRUNCATE external_move",
)


def test_journal_fills_and_moves_are_append_only(ledger: SqlLedger, url: str) -> None:
    buy(ledger, lease_of(ledger))
    before = ledger.journal_hash()
    with raw(url) as other:
        for statement in ALTERING:
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                other.execute(statement)
    assert ledger.journal_hash() == before


def test_money_keeps_38_digits_and_a_value_that_does_not_fit_is_refused(ledger: SqlLedger) -> None:
    exact = Decimal("12345678901234567890.123456789012345678")
    ledger.external_move("XYZ", exact, "deposit", T0)
    assert ledger.cash()["XYZ"] == exact
    with pytest.raises(Exception, match=r"does not fit NUMERIC\(38, 18\)"):
        ledger.external_move("XYZ", Decimal("1e-19"), "deposit", T0)


def test_a_writer_that_waits_too_long_may_try_again_and_readers_never_wait(ledger: SqlLedger, url: str) -> None:
    ledger._connection.exec_driver_sql("SET lock_timeout = 50")
    other = open_ledger(place_of(url))
    with writing(other, "test"):
        with pytest.raises(RetryableError, match="another process is writing"):
            ledger.set_meta("a", "b")
        assert ledger.cash() == {"EUR": Decimal(10_000)}
    other.close()
    ledger.set_meta("a", "b")
    assert ledger.meta("a") == "b"


def test_a_server_that_ends_the_connection_is_said_so_and_nothing_half_done_stays(ledger: SqlLedger, url: str) -> None:
    pid = ledger._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    before = ledger.journal_hash()
    with raw(url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    with pytest.raises(RetryableError, match="does not answer"):
        ledger.note("test", {}, T0)
    again = SqlLedger(url, account=ACCOUNT)
    assert again.journal_hash() == before
    again.close()
