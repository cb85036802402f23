"""The ledger as a file: schema by migration, permissions, append-only rows, refusals of files it can't trust."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, buy, lease_of, open_ledger
from sqlalchemy import create_engine

from trader.data.engine import place_of, shown, upgrade
from trader.data.journal import canonical
from trader.data.ledger import SqlLedger
from trader.data.tables import HEAD, TRIGGERS, metadata
from trader.errors import ConfigError, CorruptError, RetryableError


def schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite%'"
    )
    return {name: " ".join(text.split()) for name, text in rows if text}


def test_the_migrations_make_exactly_the_declared_schema(tmp_path: Path) -> None:
    assert upgrade(tmp_path / "a.sqlite") == HEAD
    migrated = schema(sqlite3.connect(tmp_path / "a.sqlite"))
    declared = create_engine(f"sqlite:///{tmp_path / 'b.sqlite'}")
    metadata.create_all(declared)
    direct = sqlite3.connect(tmp_path / "b.sqlite")
    for text in TRIGGERS.values():
        direct.execute(text)
    expected = schema(direct)
    assert len([name for name in expected if name.startswith("table")]) == 15
    assert len([name for name in expected if name.startswith("trigger")]) == 6
    assert migrated == expected
    assert all("STRICT" in text for name, text in migrated.items() if name.startswith("table"))


def test_the_pragmas_are_those_of_a_durable_single_writer(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    found = {
        name: ledger._connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    ledger.close()


def test_an_existing_ledger_opens_without_alembic(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    upgrade(file)
    opening = f"from trader.data.ledger import SqlLedger; SqlLedger({str(file)!r}, account='x').close()"
    code = f"import sys; {opening}; print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_files_are_private(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    ledger.close()


def test_a_newer_a_foreign_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    newer, foreign, noise, torn = (tmp_path / name for name in ("newer", "foreign", "noise", "torn"))
    upgrade(newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    noise.write_bytes(b"noise" * 1000)
    full = open_ledger(tmp_path)
    full.close()
    torn.write_bytes(bytearray(Path(full.path).read_bytes()))
    with torn.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    for path, words in ((newer, "newer than"), (foreign, "not a ledger"), (noise, "not a database"), (torn, "damaged|malformed")):
        with pytest.raises(CorruptError, match=words):
            SqlLedger(path, account=ACCOUNT)


def test_a_place_is_a_file_or_a_database_of_postgres_and_messages_hide_its_password(tmp_path: Path) -> None:
    assert place_of("sqlite:////srv/x.sqlite") == "/srv/x.sqlite"
    assert place_of(tmp_path / "x") == str(tmp_path / "x")
    assert place_of("sqlite://") == ":memory:"
    for told in ("postgresql://u:secret@host/db", "postgres://u:secret@host/db", "postgresql+psycopg://u:secret@host/db"):
        assert place_of(told) == "postgresql+psycopg://u:secret@host/db"
    assert shown(place_of("postgresql://u:secret@host/db")) == "postgresql://u:***@host/db"
    with pytest.raises(ConfigError, match=r"mysql.*allowed: a path, sqlite:///path, postgresql"):
        SqlLedger("mysql://u:secret@host/db", account=ACCOUNT)
    with pytest.raises(ConfigError, match="names no database") as refused:
        SqlLedger("postgresql://u:secret@host", account=ACCOUNT)
    assert "secret" not in str(refused.value)
    with pytest.raises(RetryableError, match="does not answer") as away:
        SqlLedger("postgresql://u:secret@127.0.0.1:1/db", account=ACCOUNT)
    assert "secret" not in str(away.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET payload = '{}' WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 1",
        "INSERT OR REPLACE INTO journal SELECT seq, time_us, kind, type, key, '{}', hash FROM journal WHERE seq = 1",
        "UPDATE fill SET price = '1'",
        "UPDATE fill SET cl_ord_id = NULL",
        "DELETE FROM fill",
        "UPDATE external_move SET amount = '1'",
        "DELETE FROM external_move",
    ],
)
def test_journal_fills_and_moves_are_append_only(tmp_path: Path, statement: str) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, lease_of(ledger))
    before = ledger.journal_hash()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger._connection.connection.cursor().execute(statement)
    assert ledger.journal_hash() == before
    ledger.close()


def test_a_writer_that_waits_too_long_may_try_again(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger._connection.exec_driver_sql("PRAGMA busy_timeout=10")
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RetryableError, match="locked"):
        ledger.set_meta("a", "b")
    assert ledger.cash() == {"EUR": Decimal(10_000)}
    other.execute("ROLLBACK")
    ledger.set_meta("a", "b")
    assert ledger.meta("a") == "b"
    ledger.close()


def test_equal_calls_give_equal_bytes(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        ledger = open_ledger(tmp_path / name)
        buy(ledger, lease_of(ledger))
        ledger.note("odd", {"b": 1.5, "a": [Decimal("1E-7"), float("inf")]}, T0)
        hashes.add(ledger.journal_hash())
        ledger.close()
    assert len(hashes) == 1
    assert canonical({"b": Decimal("1E-7"), "a": float("nan")}) == '{"a":"nan","b":"0.0000001"}'
