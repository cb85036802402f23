"""Starting on a ledger that is not what it was: emptied, gone, cut off, exchanged, or on a disk that takes no writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, ack, buy, entry, fill_of, lease_of, reducing
from postgres_kit import postgres_ledger

from trader.bootstrap import wire
from trader.bootstrap.health import examine
from trader.bootstrap.paths import Paths
from trader.cli import run
from trader.config import load
from trader.data.audit import audit
from trader.data.birth import birth_at
from trader.data.ledger import SqlLedger
from trader.data.ledger_copy import back_up
from trader.domain.halts import LEDGER
from trader.domain.market import SECOND
from trader.domain.orders import Intent
from trader.errors import BeginRefused, CorruptError, UnwritableError
from trader.maintenance.reset import contents

LATER = T0 + 60 * SECOND


def used(root: Path, now_us: int = T0) -> tuple[Paths, Intent]:
    """A state directory with a position, as a session that ended leaves it."""
    paths = Paths(root).make()
    ledger = wire.open_ledger(paths, account=ACCOUNT)
    assert not paths.birth.exists(), "nothing is written yet"
    ledger.set_opening_cash({"EUR": Decimal(10_000)}, now_us)
    lease = lease_of(ledger, now_us)
    bought = buy(ledger, lease, close_us=now_us)
    ledger.release_lease(lease, now_us)
    ledger.close()
    return paths, bought


def emptied(paths: Paths) -> None:
    paths.ledger.write_bytes(b"")


def gone(paths: Paths) -> None:
    paths.ledger.unlink()


def cut_off(paths: Paths) -> None:
    paths.ledger.write_bytes(paths.ledger.read_bytes()[: 5 * 4096])


def made_anew(paths: Paths) -> None:
    gone(paths)
    SqlLedger(paths.ledger, account=ACCOUNT).close()


def exchanged(paths: Paths) -> None:
    shutil.copy(used(paths.root.with_name("other"), T0 + SECOND)[0].ledger, paths.ledger)


LOST: dict[Callable[[Paths], None], str] = {
    emptied: "empty or gone", gone: "empty or gone", made_anew: "empty or gone", cut_off: "malformed|damaged|disk image",
    exchanged: "this one began at 2026-01-05T00:00:01Z",
}  # fmt: skip


@pytest.mark.parametrize("how", LOST, ids=lambda how: how.__name__)
def test_a_lost_ledger_is_refused_unchanged_and_a_backup_mends_it(how: Callable[[Paths], None], tmp_path: Path) -> None:
    paths, _ = used(tmp_path / "state")
    back_up(str(paths.ledger), tmp_path / "copy.sqlite")
    told = birth_at(str(paths.ledger))
    how(paths)
    before = paths.ledger.read_bytes() if paths.ledger.exists() else None
    with pytest.raises(CorruptError, match=LOST[how]) as refused:
        wire.open_ledger(paths, account=ACCOUNT)
    assert "trader db restore FILE --yes" in str(refused.value)
    assert before == (paths.ledger.read_bytes() if paths.ledger.exists() else None)
    if how is not exchanged:  # which no backup may overwrite
        assert run(["db", "restore", str(tmp_path / "copy.sqlite"), "--yes", "--state", str(paths.root)]) == 0
        ledger = wire.open_ledger(paths, account=ACCOUNT)
        assert ledger.positions() and birth_at(str(paths.ledger)) == told
        ledger.close()


def test_no_verb_starts_on_an_emptied_ledger_or_makes_a_new_one_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, _ = used(tmp_path / "state")
    emptied(paths)
    for verb in ("db upgrade", "up --past 0", "db backup"):
        assert run([*verb.split(), "--state", str(paths.root)]) == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert "trader db restore FILE --yes" in said, verb
    assert run(["verify", "--state", str(paths.root)]) == run(["pause", "--state", str(paths.root)]) == 1
    (told,) = (check for check in examine(load({"state_dir": str(paths.root)}, environ={})) if check.code == "E-LED-001")
    assert told.level == "FAIL" and "empty or gone" in told.what
    assert paths.ledger.read_bytes() == b""


def test_an_older_state_of_the_same_ledger_opens_as_reconciliation_brings_it_forward(tmp_path: Path) -> None:
    paths, _ = used(tmp_path / "state")
    old = paths.ledger.read_bytes()
    ledger = wire.open_ledger(paths, account=ACCOUNT)
    buy(ledger, lease_of(ledger, LATER), "ETH/EUR", close_us=LATER)
    ledger.close()
    paths.ledger.write_bytes(old)
    ledger = wire.open_ledger(paths, account=ACCOUNT)
    assert len(ledger.positions()) == 1
    ledger.close()


def test_beginning_anew_is_deliberate_either_by_the_mark_or_by_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, _ = used(tmp_path / "state")
    gone(paths)
    paths.birth.unlink()
    ledger = wire.open_ledger(paths, account=ACCOUNT)
    assert ledger.positions() == [] and lease_of(ledger).token == 1
    ledger.close()
    paths.lock.touch()
    assert run(["reset", "--yes", "--state", str(paths.root)]) == 0
    assert "ledger.birth" in capsys.readouterr().out and not paths.root.exists()
    used(tmp_path / "state")


def test_reset_knows_everything_that_a_state_directory_holds(tmp_path: Path) -> None:
    paths, _ = used(tmp_path / "state")
    places = [getattr(paths, name) for name, value in vars(Paths).items() if isinstance(value, property) and name != "ledger_at"]
    mine = [place for place in places if place.parent == paths.root]
    for place in mine:
        place.touch()
    assert len(mine) > 15 and len(contents(paths.root)) == len(list(paths.root.iterdir()))


def test_a_backup_of_another_ledger_is_not_put_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, _ = used(tmp_path / "state")
    back_up(str(used(tmp_path / "other", T0 + SECOND)[0].ledger), tmp_path / "copy.sqlite")
    gone(paths)
    assert run(["db", "restore", str(tmp_path / "copy.sqlite"), "--yes", "--state", str(paths.root)]) == 3
    assert "another ledger than the one of this directory" in capsys.readouterr().err and not paths.ledger.exists()


def test_an_emptied_schema_of_postgres_is_refused_and_stays_empty(tmp_path: Path) -> None:
    mark = tmp_path / "ledger.birth"
    with postgres_ledger() as url, postgres_ledger() as other:
        ledger = SqlLedger(url, account=ACCOUNT, birth=mark)
        lease_of(ledger)
        ledger.close()
        SqlLedger(url, account=ACCOUNT, birth=mark).close()
        with pytest.raises(CorruptError, match="empty or gone"):
            SqlLedger(other, account=ACCOUNT, birth=mark)
        assert birth_at(other) is None


# --- a disk that takes no writes when the session starts ---------------------------------------------------------------------
def in_the_way(paths: Paths) -> Path:
    """A folder where SQLite wants to write its log: the file cannot be opened, as on a disk without a free page."""
    hindrance = paths.ledger.with_name("ledger.sqlite-wal")
    hindrance.unlink(missing_ok=True)
    hindrance.mkdir()
    return hindrance


def test_a_session_begins_with_a_copy_of_a_ledger_that_takes_no_writes_and_stores_all_of_it_once_it_does(tmp_path: Path) -> None:
    paths, bought = used(tmp_path / "state")
    hindrance = in_the_way(paths)
    ledger = wire.open_ledger(paths, account=ACCOUNT)
    lease = lease_of(ledger, LATER)
    assert [(halt.cause, "unable to open" in halt.reason) for halt in ledger.halts()] == [(LEDGER, True)]
    another, position = entry("ETH/EUR")
    with pytest.raises(BeginRefused, match="halted by LEDGER"):
        ledger.begin(another, lease, LATER, position=position)
    sale = reducing(bought, "0.5")
    ledger.begin(sale, lease, LATER)
    assert sale.cl_ord_id in paths.emergency.read_text()
    ack(ledger, sale, LATER)
    ledger.apply_fills([fill_of(sale, "99", "0.5")], LATER, source="stream")
    assert not ledger.came_back(LATER)
    hindrance.rmdir()
    assert ledger.came_back(LATER) and ledger.halts() == []
    ledger.close()
    heir = wire.open_ledger(paths, account=ACCOUNT)
    assert heir.positions() == [] and not audit(paths.ledger).problems
    heir.close()


def test_without_an_emergency_journal_such_a_ledger_does_not_open(tmp_path: Path) -> None:
    paths, _ = used(tmp_path / "state")
    in_the_way(paths)
    with pytest.raises(UnwritableError, match="unable to open"):
        SqlLedger(paths.ledger, account=ACCOUNT)


def test_a_new_ledger_on_a_disk_without_room_is_one_sentence_and_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Paths(tmp_path / "state").make()
    in_the_way(paths)
    assert run(["db", "upgrade", "--state", str(paths.root)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"trader: {paths.ledger}: disk I/O error") and not paths.ledger.exists()


@pytest.mark.parametrize("verb", [["db", "upgrade"], ["up"], ["demo"], ["db", "restore", __file__, "--yes"]], ids=" ".join)
def test_a_directory_that_cannot_be_made_is_one_sentence(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb, "--state", "/proc/nowhere"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("trader: state_dir /proc/nowhere: cannot be used (No such file or directory")
