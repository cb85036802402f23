"""Backup and restore of the ledger, from a file and from Postgres: checked copies, and nothing newer is ever overwritten."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, TTL, buy, lease_of, sell
from postgres_kit import postgres_ledger

from trader.bootstrap.paths import Paths
from trader.bootstrap.trading import sole_trader
from trader.cli import run
from trader.data.audit import audit
from trader.data.ledger import SqlLedger
from trader.data.ledger_copy import as_file, back_up, restore
from trader.errors import CorruptError, LeaseLostError, UnsafeError

LATER = T0 + 3_600_000_000


@pytest.fixture(params=["file", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes empty places for ledgers, in one kind of database."""
    with ExitStack() as stack:
        yield lambda name: str(tmp_path / name) if request.param == "file" else stack.enter_context(postgres_ledger())


def traded(place: str, trades: int = 2) -> str:
    """A ledger with some history, its lease given back; returns its journal's hash."""
    ledger = SqlLedger(place, account=ACCOUNT)
    if not ledger.cash():
        ledger.set_opening_cash({"EUR": Decimal("10000.123456789012345678")}, T0)
    lease = lease_of(ledger)
    done = len(ledger.positions(open_only=False))
    for number in range(done, done + trades):
        held = buy(ledger, lease, close_us=T0 + number * 60_000_000, trade_id=f"F{number}")
    sell(ledger, lease, held, "0.2")
    ledger.release_lease(lease, T0)
    told = ledger.journal_hash()
    ledger.close()
    return told


def test_a_backup_holds_every_row_and_restores_into_an_empty_place(places: Callable[[str], str], tmp_path: Path) -> None:
    told = traded(places("old"), 3)
    source = places("again")
    assert traded(source, 3) == told  # both databases give the same bytes, also across kinds: the hash is of the journal
    copied = back_up(source, tmp_path / "copy.sqlite")
    assert copied.rows["fill"] == 4 and copied.rows["journal"] == copied.tip.seq > 10
    assert stat.S_IMODE((tmp_path / "copy.sqlite").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("copy")] == ["copy.sqlite"]
    target = places("new")
    assert restore(tmp_path / "copy.sqlite", target, now_us=LATER) == copied
    ledger = SqlLedger(target, account=ACCOUNT)
    assert ledger.journal_hash() == told
    before = SqlLedger(source, account=ACCOUNT)
    assert ledger.positions(open_only=False) == before.positions(open_only=False) and ledger.cash() == before.cash()
    before.close()
    buy(ledger, lease_of(ledger, LATER), close_us=LATER, trade_id="after")  # and it goes on from there
    ledger.close()
    with as_file(target) as file:
        assert audit(file).problems == ()


def test_a_backup_crosses_from_a_file_to_postgres_and_back(tmp_path: Path) -> None:
    told = traded(str(tmp_path / "old.sqlite"))
    first = back_up(str(tmp_path / "old.sqlite"), tmp_path / "one.sqlite")
    with postgres_ledger() as url:
        restore(tmp_path / "one.sqlite", url, now_us=LATER)
        assert back_up(url, tmp_path / "two.sqlite") == first
    restore(tmp_path / "two.sqlite", str(tmp_path / "new.sqlite"), now_us=LATER)
    ledger = SqlLedger(tmp_path / "new.sqlite", account=ACCOUNT)
    assert ledger.journal_hash() == told
    ledger.close()


def test_a_backup_taken_while_a_session_writes_is_one_moment(places: Callable[[str], str], tmp_path: Path) -> None:
    place = places("busy")
    traded(place)
    writing = SqlLedger(place, account=ACCOUNT)
    lease = lease_of(writing)
    copied = back_up(place, tmp_path / "copy.sqlite")
    buy(writing, lease, "ETH/EUR", trade_id="later")
    writing.close()
    assert audit(tmp_path / "copy.sqlite").problems == () and copied.rows["position"] == 2


def test_a_running_a_newer_and_another_ledger_are_never_overwritten(places: Callable[[str], str], tmp_path: Path) -> None:
    place = places("ours")
    traded(place)
    back_up(place, tmp_path / "copy.sqlite")
    held = SqlLedger(place, account=ACCOUNT)
    held.acquire_lease(ACCOUNT, "session", LATER, TTL)
    with pytest.raises(LeaseLostError, match="'session' trades on it"):
        restore(tmp_path / "copy.sqlite", place, now_us=LATER + TTL)
    held.close()
    with pytest.raises(UnsafeError, match=r"newer than the backup|never deleted"):
        restore(tmp_path / "copy.sqlite", place, now_us=LATER + 10 * TTL)
    other = places("other")
    made = SqlLedger(other, account=ACCOUNT)
    made.set_opening_cash({"EUR": Decimal(1)}, T0)
    made.close()
    with pytest.raises(UnsafeError, match=r"another ledger|never deleted"):
        restore(tmp_path / "copy.sqlite", other, now_us=LATER)
    with pytest.raises(UnsafeError, match="never overwrites"):
        back_up(place, tmp_path / "copy.sqlite")


def test_an_older_file_is_brought_up_to_the_backup_and_a_damaged_one_is_set_aside(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    traded(str(place))
    back_up(str(place), tmp_path / "old.sqlite")
    told = traded(str(place))
    back_up(str(place), tmp_path / "new.sqlite")
    restored = tmp_path / "restored.sqlite"
    restore(tmp_path / "old.sqlite", str(restored), now_us=LATER)
    restore(tmp_path / "new.sqlite", str(restored), now_us=LATER)
    assert audit(restored).counts["fill"] == 6
    restored.write_bytes(b"noise" * 1000)
    restore(tmp_path / "new.sqlite", str(restored), now_us=LATER)
    ledger = SqlLedger(restored, account=ACCOUNT)
    assert ledger.journal_hash() == told
    ledger.close()
    assert [p.name for p in tmp_path.iterdir() if "damaged" in p.name] == [f"restored.sqlite.damaged-{LATER}"]


def test_a_backup_with_an_altered_row_is_refused(tmp_path: Path) -> None:
    traded(str(tmp_path / "ledger.sqlite"))
    back_up(str(tmp_path / "ledger.sqlite"), tmp_path / "copy.sqlite")
    with sqlite3.connect(tmp_path / "copy.sqlite") as connection:
        connection.execute("UPDATE position SET quantity = '7'")
    with pytest.raises(CorruptError, match="rows are off; position vs fills"):
        restore(tmp_path / "copy.sqlite", str(tmp_path / "new.sqlite"), now_us=LATER)
    assert not (tmp_path / "new.sqlite").exists()


def test_the_verbs_answer_with_the_documented_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path / "state")]
    assert run(["db", "upgrade", *state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ledger": str(tmp_path / "state" / "ledger.sqlite"), "schema": "0001"}
    traded(str(tmp_path / "state" / "ledger.sqlite"))
    copy = str(tmp_path / "copy.sqlite")
    assert run(["db", "backup", copy, *state, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"]["fill"] == 3 and told["journal_rows"] > 10
    assert run(["db", "backup", copy, *state]) == 3
    assert run(["db", "restore", copy, *state]) == 3 and "--yes" in capsys.readouterr().err
    assert run(["db", "restore", copy, *state, "--yes"]) == 0
    with sole_trader(Paths(tmp_path / "state")):
        assert run(["db", "restore", copy, *state, "--yes"]) == 5
    traded(str(tmp_path / "state" / "ledger.sqlite"))
    assert run(["db", "restore", copy, *state, "--yes"]) == 3
    assert "newer than the backup" in capsys.readouterr().err
    assert run(["db", "backup", *state]) == 0
    assert len(list((tmp_path / "state" / "backups").iterdir())) == 1


def test_a_ledger_url_is_decided_once_for_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = ["--state", str(tmp_path / "state")]
    with postgres_ledger() as url, postgres_ledger() as another:
        monkeypatch.setenv("TRADER_LEDGER_URL", url)
        assert run(["db", "upgrade", *state]) == 0
        written = tmp_path / "state" / "ledger.url"
        assert stat.S_IMODE(written.stat().st_mode) == 0o600 and not (tmp_path / "state" / "ledger.sqlite").exists()
        monkeypatch.setenv("TRADER_LEDGER_URL", another)
        assert run(["db", "upgrade", *state]) == 2
        monkeypatch.delenv("TRADER_LEDGER_URL")
        traded(Paths(tmp_path / "state").ledger_at)
        assert run(["db", "backup", str(tmp_path / "copy.sqlite"), *state]) == 0
        assert run(["status", *state]) == 0


def test_a_ledger_url_that_no_server_answers_binds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRADER_LEDGER_URL", "postgresql://me:secret@127.0.0.1:1/ledger")
    assert run(["db", "upgrade", "--state", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert "the database server does not answer" in said and len(said.splitlines()) == 1 and "secret" not in said
    assert not Paths(tmp_path).ledger_url.exists()
