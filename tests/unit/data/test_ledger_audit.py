"""The independent checker: silent on a sound ledger with rows in every table, and naming any single altered value."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import populated

from trader.data.audit import KEYS, TRIGGERS, audit
from trader.errors import CorruptError

SKIP = {  # columns that carry no claim of their own
    ("intent", "account"), ("fill", "account"), ("position", "account"), ("external_move", "account"), ("cash", "account"),
    ("position", "origin"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copy(sound, tmp_path / "ledger.sqlite")
    yield tmp_path / "ledger.sqlite"


def altered(file: Path, statement: str, *values: object) -> None:
    """Change rows the way somebody with a database tool would: triggers out, change, triggers back."""
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("ignore_check_constraints=ON", "synchronous=OFF", "journal_mode=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(statement, values).rowcount == 1, statement
    for _, text in triggers:
        connection.execute(text)
    connection.close()


def test_a_sound_ledger_has_rows_everywhere_and_no_problem(sound: Path) -> None:
    facts = audit(sound)
    assert facts.problems == () and facts.sound
    assert {name for name, count in facts.counts.items() if count == 0} == set()
    assert facts.positions == {"ETH/EUR": Decimal(3), "ADA/EUR": Decimal("0.001"), "XRP/EUR": Decimal("0.5")}
    assert facts.coins["ETH"] == Decimal(3)
    assert facts.fills["stray"].ours is False and facts.fills["early"].ours is True
    assert facts.orders["T-close"].leg == "stop" and facts.orders["T-close"].origin == "adopted"
    assert len(facts.unresolved) == 1


def other(value: object, kind: str) -> object:
    """A value of the same column type that differs."""
    if kind == "TEXT":
        return f"{value}1"
    assert value is None or isinstance(value, (int, float))
    return (value or 0) + (70_000 if kind == "INTEGER" else 0.5)


def test_every_single_altered_value_is_named(sound: Path, tmp_path: Path) -> None:
    reader = sqlite3.connect(sound)
    tried, silent = 0, []
    for table in (*KEYS, "journal"):
        columns = [(name, kind) for _, name, kind, *_ in reader.execute(f"PRAGMA table_info({table})") if (table, name) not in SKIP]
        for name, kind in columns:
            rows = reader.execute(f"SELECT rowid, {name} FROM {table} ORDER BY rowid").fetchall()
            for row, value in rows if table in ("fill", "position", "cash") else rows[:2]:
                file = tmp_path / "altered.sqlite"
                shutil.copy(sound, file)
                altered(file, f"UPDATE {table} SET {name} = ? WHERE rowid = {row}", other(value, kind))
                tried += 1
                if audit(file).sound:
                    silent.append((table, row, name, value))
    assert tried > 250
    assert silent == []


@pytest.mark.parametrize("table", sorted(KEYS))
def test_a_deleted_row_is_named(copy: Path, table: str) -> None:
    altered(copy, f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    assert any(table in p.check or table in p.row or "fills" in p.check for p in audit(copy).problems)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE fill SET price = '1' WHERE trade_id = 'early'", "fill vs journal"),
        ("UPDATE fill SET quantity = '0.6' WHERE trade_id = 'early'", "position vs fills"),
        ("UPDATE position SET quantity = '4' WHERE pair = 'ETH/EUR'", "position vs fills"),
        ("UPDATE cash SET quantity = '10001' WHERE asset = 'EUR'", "cash vs fills"),
        ("UPDATE journal SET payload = replace(payload, '0.7', '0.8') WHERE type = 'fill' AND payload LIKE '%\"0.7\"%'", "journal chain"),
        ("UPDATE alembic_version SET version_num = '9999'", "schema"),
    ],
)
def test_the_named_check_is_the_right_one(copy: Path, statement: str, check: str) -> None:
    altered(copy, statement)
    assert check in {problem.check for problem in audit(copy).problems}


def test_an_invented_fill_and_a_missing_trigger_are_named(copy: Path) -> None:
    altered(
        copy,
        "INSERT INTO fill SELECT account, 'invented', seq + 1000, txid, cl_ord_id, position_id, reason, pair, side, price, quantity, "
        "cost, fee, fee_asset, maker, time_us, source FROM fill WHERE trade_id = 'early'",
    )
    connection = sqlite3.connect(copy)
    connection.execute("DROP TRIGGER journal_no_update")
    connection.commit()
    connection.close()
    checks = {(problem.check, problem.row) for problem in audit(copy).problems}
    assert ("fill vs journal", "fill invented") in checks and ("triggers", "journal_no_update") in checks
    assert len(TRIGGERS) == 6


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="no ledger"):
        audit(tmp_path / "absent.sqlite")
    (tmp_path / "noise.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptError, match="not readable"):
        audit(tmp_path / "noise.sqlite")
