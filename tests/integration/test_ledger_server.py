"""The ledger's server goes away in the middle of a session: as with a full disk, entries halt, and exits go on from memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from desk_kit import House, in_house
from ledger_kit import ACCOUNT, T0, buy, goes_on_selling, lease_of, reducing
from postgres_kit import needs_postgres, postgres_ledger
from sqlalchemy import event
from sqlalchemy.engine import make_url

from trader.data.audit import audit
from trader.data.emergency import EmergencyJournal
from trader.data.ledger import SqlLedger
from trader.data.ledger_control import submit_control
from trader.data.ledger_copy import as_file
from trader.data.postgres import hasty
from trader.domain.halts import LEDGER
from trader.domain.market import SECOND
from trader.domain.orders import ExchangeStatus
from trader.errors import RetryableError

pytestmark = needs_postgres
LATER = T0 + 60 * SECOND
PASSWORD = "a"  # of a role that lives as long as its test


@dataclass
class Server:
    """A schema whose ledger connects as a role of its own, which can be kept out."""

    url: str
    role: str
    admin: psycopg.Connection[Any]

    def cut(self) -> None:
        """End the role's connections; new ones are not taken."""
        self.admin.execute(f"ALTER ROLE {self.role} NOLOGIN")
        self.admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (self.role,))

    def mend(self) -> None:
        self.admin.execute(f"ALTER ROLE {self.role} LOGIN")

    @contextmanager
    def gone(self) -> Iterator[None]:
        self.cut()
        yield
        self.mend()


@pytest.fixture
def server() -> Iterator[Server]:
    with postgres_ledger() as text:
        url = make_url(text)
        schema = str(url.query["options"]).rpartition("=")[2]
        role = f"role_{schema}"
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            admin.execute(f"GRANT ALL ON SCHEMA {schema} TO {role}")
            try:
                yield Server(url.set(username=role, password=PASSWORD).render_as_string(hide_password=False), role, admin)
            finally:
                admin.execute(f"DROP OWNED BY {role}")
                admin.execute(f"DROP ROLE {role}")


def opened(server: Server, folder: Path) -> SqlLedger:
    ledger = SqlLedger(server.url, account=ACCOUNT, emergency=folder / "emergency.journal")
    if not ledger.cash():
        ledger.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    return ledger


def sound(server: Server) -> bool:
    with as_file(server.url) as file:
        return audit(file).problems == ()


def test_entries_halt_exits_go_on_and_all_of_it_is_on_the_server_once_it_is_back(server: Server, tmp_path: Path) -> None:
    with closing(opened(server, tmp_path)) as ledger:
        lease = lease_of(ledger)
        bought = buy(ledger, lease)
        submit_control(server.url, "pause", "", "ada", T0 + 1)  # a row of another process, which the mirror has not got
        sale = reducing(bought, "0.5")
        with server.gone():
            assert [position.position_id for position in ledger.positions()] == [bought.position_id]
            goes_on_selling(ledger, lease, bought, sale, journal=tmp_path / "emergency.journal", now_us=LATER)
            assert not ledger.came_back(LATER), "not while the server is away"
        assert ledger.came_back(LATER) and not ledger.came_back(LATER)
        assert ledger.positions() == [] and [halt.cause for halt in ledger.halts()] == ["operator"]
        (control,) = ledger.pending_controls()
        ledger.answer_control(control.control_id, "DONE", "so", LATER)  # the mirror is made anew for this one
        with server.gone():  # and serves a second time
            assert ledger.positions() == [] and ledger.halts() != []
            ledger.note("later", {}, LATER)
        assert ledger.came_back(LATER)
        assert (tmp_path / "emergency.journal").read_text().strip() == ""
    assert sound(server)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_without_an_answer_is_done_once_whether_it_took_effect_or_not(moment: str, server: Server, tmp_path: Path) -> None:
    with closing(opened(server, tmp_path)) as ledger:
        lease = lease_of(ledger)
        sale = reducing(buy(ledger, lease), "0.5")

        def lost(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement == "COMMIT":
                server.cut()
                if moment == "after":
                    cursor.execute("SELECT 1")

        event.listen(ledger._place.engine, f"{moment}_cursor_execute", lost)
        ledger.begin(sale, lease, LATER)
        server.mend()
        assert {halt.cause for halt in ledger.halts()} == {LEDGER}
        assert ledger.came_back(LATER)
        assert [i.cl_ord_id for i in ledger.intents(live_only=True) if i.leg.reducing] == [sale.cl_ord_id]
        kinds = [
            row[0] for row in ledger._connection.exec_driver_sql("SELECT type FROM journal WHERE key = %s", (f"intent:{sale.cl_ord_id}",))
        ]
        assert kinds == ["intent"]
    assert sound(server)


def test_what_a_session_began_and_died_with_is_looked_up_by_the_next(server: Server, tmp_path: Path) -> None:
    ledger = opened(server, tmp_path)
    lease = lease_of(ledger)
    sale = reducing(buy(ledger, lease), "0.5")
    with server.gone():
        ledger.begin(sale, lease, LATER)
        ledger.close()
        with pytest.raises(RetryableError, match="does not answer"):
            opened(server, tmp_path)
    assert EmergencyJournal(tmp_path / "emergency.journal").read() != []
    with closing(opened(server, tmp_path)) as heir:
        assert [i.cl_ord_id for i in heir.intents(live_only=True) if i.leg.reducing] == [sale.cl_ord_id]


def test_a_position_is_left_at_market_while_the_server_is_gone(server: Server, tmp_path: Path) -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        with server.gone():
            await house.keeper.leave(house.keeper.held[position.position_id], "MAX_HOLD")
            await house.quiet()
            assert {halt.cause for halt in house.ledger.halts()} == {LEDGER}
        assert [order.volume for order in house.orders(side="sell", ordertype="market", status="closed")] == [position.quantity]
        assert not house.orders(status="open")
        assert house.ledger.came_back(house.world.clock.now_us()) and house.ledger.positions() == []
        assert [i.status for i in house.ledger.intents() if i.leg.reducing][-1] is ExchangeStatus.CLOSED

    in_house(test, emergency=tmp_path / "emergency.journal", place=server.url)


def test_a_lost_server_is_asked_again_with_little_patience() -> None:
    assert "connect_timeout=2" in hasty("postgresql://u:p@h/d") and "p@h" in hasty("postgresql://u:p@h/d")
    assert "connect_timeout=7" in hasty("postgresql://u:p@h/d?connect_timeout=7")
