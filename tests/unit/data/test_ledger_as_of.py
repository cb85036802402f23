"""The ledger as it stood at a moment: everything as it was, nothing of what came later, and never over another file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from ledger_kit import T0, buy, lease_of, open_ledger, populated, sell

from trader.data.as_of import ledger_as_of
from trader.data.audit import audit
from trader.data.reader import LedgerReader
from trader.errors import ConfigError

LATE = 10**18
NOT_COMPARED = {"seq", "token"}  # numbers of rows and of leases, which are the new file's own
TABLES = ("intent", "fill", "position", "cash", "external_move", "equity", "halt")


def rows(file: Path, table: str) -> list[dict[str, object]]:
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in found]


@pytest.fixture
def traded(tmp_path: Path) -> Path:
    """Bought at T0, sold half at T0 + 1 min, the rest an hour later; something else bought in between."""
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    first = buy(ledger, lease, "BTC/EUR", quantity="0.5")
    sell(ledger, lease, first, "0.25", reason="TP1")
    ledger.save_exit_state(first.position_id, {"stop": 1}, T0 + 90_000_000)
    second = buy(ledger, lease, "ETH/EUR", close_us=T0 + 1_800_000_000, quantity="2")
    ledger.save_exit_state(first.position_id, {"stop": 2}, T0 + 3_000_000_000)
    ledger.set_meta("reconcile_watermark_us", str(T0 + 3_600_000_000))
    ledger.set_meta("note", "kept")
    ledger.note("universe", {"kept": "2:BTC/EUR"}, T0 + 100_000_000)
    ledger.note("universe", {"kept": "2:BTC/EUR,ETH/EUR"}, T0 + 3_000_000_000)
    ledger.set_meta("universe", "2:BTC/EUR,ETH/EUR")
    ledger.save_exit_state(second.position_id, {"stop": 9}, T0 + 3_000_000_000)
    ledger.close()
    return Path(ledger.path)


def test_a_ledger_told_again_to_its_end_is_the_same_in_every_table_and_sound(tmp_path: Path) -> None:
    source = populated(tmp_path / "old")
    target = tmp_path / "new.sqlite"
    assert ledger_as_of(source, target, LATE) > 25
    for table in TABLES:
        assert rows(source, table), table
        assert rows(target, table) == rows(source, table), table
    assert audit(target).problems == ()


def test_what_came_after_the_moment_is_not_there(traded: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.sqlite"
    ledger_as_of(traded, target, T0 + 120_000_000)
    reader = LedgerReader(target)
    (held,) = reader.positions()
    assert (held.position.pair, str(held.quantity)) == ("BTC/EUR", "0.25")
    assert held.exit_state == {"stop": 1}
    assert [leg.reason for leg in reader.trades()] == ["TP1"]
    assert str(reader.cash()["EUR"]) == "9974.85", "10,000 less 50 and 25.25 got back, less both fees"
    reader.close()


def test_a_watermark_of_later_is_left_out_and_the_universe_is_the_one_of_then(traded: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.sqlite"
    ledger_as_of(traded, target, T0 + 120_000_000)
    assert {row["name"]: row["value"] for row in rows(target, "meta")} == {"note": "kept", "universe": "2:BTC/EUR"}


def test_the_lease_is_free_for_whoever_goes_on(traded: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.sqlite"
    ledger_as_of(traded, target, LATE)
    reader = LedgerReader(target)
    lease = reader.lease()
    reader.close()
    assert lease is not None
    assert lease.released


def test_a_file_that_is_there_is_never_written_over(traded: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        ledger_as_of(traded, traded, LATE)
