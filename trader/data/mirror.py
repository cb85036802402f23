"""A ledger on a server, mirrored in this process: what a session goes on from when the server is gone in the middle of it.

A file that takes no writes can still be read, and is copied then; a server that is gone cannot. So with an emergency journal
everything that is committed there is done here too, on a copy of what the session's questions need. Rows that others write (a
person's controls and halts) reach only the server: without it entries are halted anyway, and exits ask for none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select

from trader.data.engine import MEMORY, open_ledger, reading, translated, writing
from trader.data.journal import Tx, transaction
from trader.data.tables import beat, decision, decision_bar, journal, metadata
from trader.errors import TraderError

log = logging.getLogger(__name__)
BATCH = 1000  # rows of one insert
UNASKED = (decision, decision_bar, beat)  # most of a ledger; no session reads them


class Mirror:
    """A copy in memory of the ledger at `place`, kept equal by doing there what was done here."""

    def __init__(self, place: Connection, account: str) -> None:
        self.account = account
        self.connection = _copy(place)

    def follow(self, place: Connection, now_us: int, work: Callable[[Tx], Any]) -> None:
        """Do again what was just committed at the place; where another's row makes that impossible, copy the place anew."""
        try:
            with transaction(self.connection, self.account, now_us) as tx:
                work(tx)
        except TraderError as error:
            log.info("the mirror of the ledger is made anew: %s", error)
            self.connection.close()
            self.connection = _copy(place)

    def close(self) -> None:
        """Give the memory back."""
        self.connection.close()


def transaction_id(connection: Connection) -> str:
    """The server's number of the open transaction, by which it can be asked later whether that was committed."""
    return str(connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one())


def was_committed(connection: Connection, number: str) -> bool | None:
    """Whether a transaction that ended without an answer took effect; None while the server still works on it."""
    told = connection.exec_driver_sql("SELECT pg_xact_status(%s::xid8)", (number,)).scalar()
    return None if told == "in progress" else told == "committed"


def _copy(place: Connection) -> Connection:
    copy = open_ledger(MEMORY)
    with translated("ledger"), reading(place), writing(copy):
        for table in metadata.sorted_tables:
            if table in UNASKED:
                continue
            rows = select(table) if table is not journal else select(journal).order_by(journal.c.seq.desc()).limit(1)
            for part in place.execute(rows, execution_options={"yield_per": BATCH}).mappings().partitions(BATCH):
                copy.execute(insert(table), [dict(row) for row in part])
    return copy
