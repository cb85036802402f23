"""A ledger whose place takes no writes: entries halt, reducing orders are on disk all the same, nothing is lost when it comes back."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from desk_kit import House, in_house
from ledger_kit import ACCOUNT, T0, buy, goes_on_selling, lease_of, reducing, unsynced

from trader.data.audit import audit
from trader.data.lease import TAKEOVER_GRACE_US
from trader.data.ledger import SqlLedger
from trader.data.reader import LedgerReader
from trader.domain.halts import LEDGER
from trader.domain.market import SECOND
from trader.domain.orders import ExchangeStatus, Outcome
from trader.errors import BeginRefused, UnwritableError
from trader.ports import EquityRow

LATER = T0 + 60 * SECOND


@contextmanager
def full(ledger: SqlLedger) -> Iterator[None]:
    """The file may not grow by a page, and its last page is taken."""
    ledger.note("filler", {"text": "x" * 3000}, T0)
    yield from _while(ledger, "max_page_count=1", "max_page_count=1073741823")


@contextmanager
def read_only(ledger: SqlLedger) -> Iterator[None]:
    yield from _while(ledger, "query_only=ON", "query_only=OFF")


@contextmanager
def locked(ledger: SqlLedger) -> Iterator[None]:
    """Another process writes for longer than we wait."""
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield from _while(ledger, "busy_timeout=1", "busy_timeout=5000")
    finally:
        other.close()


@contextmanager
def no_sync(ledger: SqlLedger) -> Iterator[None]:
    with unsynced(ledger._place):
        yield


def _while(ledger: SqlLedger, wrong: str, right: str) -> Iterator[None]:
    ledger._place.exec_driver_sql(f"PRAGMA {wrong}")
    yield
    ledger._place.exec_driver_sql(f"PRAGMA {right}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    made = opened(tmp_path)
    made.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    yield made
    made.close()


def opened(folder: Path) -> SqlLedger:
    return SqlLedger(folder / "ledger.sqlite", account=ACCOUNT, emergency=folder / "emergency.journal")


@pytest.mark.parametrize("trouble", [full, read_only, locked, no_sync])
def test_entries_halt_exits_go_on_and_all_of_it_is_in_the_ledger_once_it_takes_writes(ledger: SqlLedger, tmp_path: Path, trouble) -> None:  # type: ignore[no-untyped-def]
    lease = lease_of(ledger)
    bought = buy(ledger, lease)
    sale = reducing(bought, "0.5")
    with trouble(ledger):
        goes_on_selling(ledger, lease, bought, sale, journal=tmp_path / "emergency.journal", now_us=LATER)
        assert not ledger.came_back(LATER), "not while the trouble lasts"
        with closing(LedgerReader(ledger.path)) as reader:
            assert all(view.intent.cl_ord_id != sale.cl_ord_id for view in reader.orders(limit=10)), "the file was not written"
    assert ledger.came_back(LATER)
    assert not ledger.came_back(LATER), "once"
    assert ledger.halts() == [] and ledger.positions() == []
    assert (tmp_path / "emergency.journal").read_text().strip() == ""
    fresh = opened(tmp_path)
    assert [i.filled for i in fresh.intents() if i.cl_ord_id == sale.cl_ord_id] == [Decimal("0.5")]
    fresh.close()
    assert not audit(ledger.path).problems


def test_a_beats_equity_and_heartbeat_are_kept_or_lost_together_and_once_after_a_failed_sync(ledger: SqlLedger) -> None:
    lease_of(ledger)
    rows = [equity_row(LATER + beat) for beat in range(3)]
    ledger.note("beat", {"number": 0}, rows[0].time_us, equity=rows[0])
    with unsynced(ledger._place):
        ledger.note("beat", {"number": 1}, rows[1].time_us, equity=rows[1])
        with closing(LedgerReader(ledger.path)) as reader:
            assert (reader.equity(), len(reader.beats())) == (rows[:1], 1), "neither of a beat whose commit failed"
    assert ledger.came_back(LATER + 2)
    ledger.note("beat", {"number": 2}, rows[2].time_us, equity=rows[2])
    with closing(LedgerReader(ledger.path)) as reader:
        assert (reader.equity(), sorted(beat.time_us for beat in reader.beats())) == (rows, [row.time_us for row in rows])


def equity_row(time_us: int) -> EquityRow:
    return EquityRow(
        time_us=time_us, cash=Decimal(1), marked=Decimal(2), equity=Decimal(3), realised=Decimal(0), fees=Decimal(0), drawdown=0.0
    )


def test_what_a_session_began_in_the__and_died_with_is_looked_up_by_the_next(ledger: SqlLedger, tmp_path: Path) -> None:
    lease = lease_of(ledger)
    bought = buy(ledger, lease)
    sale = reducing(bought, "0.5")
    with read_only(ledger):
        ledger.begin(sale, lease, LATER)
    ledger.close()
    journal = tmp_path / "emergency.journal"
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    with journal.open("r+b") as file:  # a second order's line that the power cut off
        file.seek(len(journal.read_bytes().rstrip(b"\n")) + 1)
        file.write(b'0011223344556677 {"cl_ord_id":"tabc')
    for _ in range(2):
        heir = opened(tmp_path)
        assert [(i.outcome, i.quantity) for i in heir.intents(live_only=True) if i.leg.reducing] == [(Outcome.SENT, Decimal("0.5"))]
        heir.close()
    assert journal.read_text().strip() == ""
    assert not audit(ledger.path).problems


def test_a_token_given_out_while_the_ledger_took_no_writes_is_given_to_nobody_else(ledger: SqlLedger, tmp_path: Path) -> None:
    bought = buy(ledger, lease_of(ledger))
    with read_only(ledger):
        for _ in range(3):  # lives that begin meanwhile; the file sees none of them
            lease = lease_of(ledger)
        ledger.begin(reducing(bought, "0.5"), lease, LATER)
    ledger.close()
    heir = opened(tmp_path)
    assert heir.acquire_lease(ACCOUNT, "heir", lease.expires_us + TAKEOVER_GRACE_US, 10**9).token > lease.token >= 4
    heir.close()
    assert not audit(ledger.path).problems


def test_where_neither_takes_the_order_no_byte_may_leave(ledger: SqlLedger, tmp_path: Path) -> None:
    lease = lease_of(ledger)
    bought = buy(ledger, lease)
    (tmp_path / "emergency.journal").unlink()
    with read_only(ledger), pytest.raises(BeginRefused, match="neither ledger nor"):
        ledger.begin(reducing(bought, "0.5"), lease, LATER)
    assert [i for i in ledger.intents(live_only=True) if i.leg.reducing] == []


def test_a_ledger_without_an__says_that_it_takes_no_writes(tmp_path: Path) -> None:
    bare = SqlLedger(tmp_path / "ledger.sqlite", account=ACCOUNT)
    with full(bare), pytest.raises(UnwritableError, match="full"):
        bare.note("more", {"text": "x" * 9000}, T0)
    bare.close()


def test_a_position_is_left_at_market_and_stopped_again_while_the_disk_is_full(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        with read_only(house.ledger):
            await house.keeper.leave(house.keeper.held[position.position_id], "MAX_HOLD")
            await house.quiet()
            assert {halt.cause for halt in house.ledger.halts()} == {LEDGER}
        sold = house.orders(side="sell", ordertype="market")
        assert [(order.volume, str(order.status)) for order in sold] == [(position.quantity, "closed")]
        assert not house.orders(status="open")
        assert house.ledger.came_back(house.world.clock.now_us())
        assert house.ledger.positions() == []
        assert [i.status for i in house.ledger.intents() if i.leg.reducing][-1] is ExchangeStatus.CLOSED

    in_house(test, emergency=tmp_path / "emergency.journal")
