"""Reads of the ledger that are asked again and again, kept until the ledger changes.

A session reads orders, positions and money many times between two changes of them. Only the process with the lease changes
them, yet nothing here rests on that: SQLite itself says when another connection has written, and in Postgres the journal
does, as every change of what is remembered has its row there. After a change of our own, orders and positions are read again
row by row, those that the transaction touched (`ledger_changes`), so that a read costs no more on the tenth day than on the first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from trader.data import ledger_control, ledger_orders, ledger_positions
from trader.data.journal import Tip, Tx
from trader.data.ledger_positions import DatedLeg
from trader.data.postgres import NAME as POSTGRES
from trader.domain.account import Position, PositionState
from trader.domain.orders import Intent
from trader.ports import Control

T = TypeVar("T")
V = TypeVar("V")


class Book(Generic[V]):
    """Values by id in the order of their rows, which never leave their place. `read`: those of the ids, of all for None; `wanted`:
    whether one is among the `current`, which few are as the days go by."""

    def __init__(self, read: Callable[[Iterable[str] | None], Mapping[str, V]], wanted: Callable[[V], bool] = lambda _: False) -> None:
        self._read, self._wanted = read, wanted
        self._values: dict[str, V] | None = None
        self._current: dict[str, V] = {}
        self._places: dict[str, int] = {}
        self._stale: dict[str, None] = {}
        self._views: dict[Hashable, Any] = {}

    def forget(self) -> None:
        """Nothing is known any more."""
        self._values = None
        self._stale.clear()
        self._views.clear()

    def touched(self, ids: Mapping[str, None]) -> None:
        """These rows are new or other than before."""
        if ids:
            self._stale |= ids
            self._views.clear()

    def values(self) -> Mapping[str, V]:
        """All of them, as they are now."""
        if self._values is None:
            self._values = dict(self._read(None))
            self._places = {name: place for place, name in enumerate(self._values)}
            self._current = {name: value for name, value in self._values.items() if self._wanted(value)}
        elif self._stale:
            self._renew(self._values)
        self._stale.clear()
        return self._values

    def _renew(self, values: dict[str, V]) -> None:
        fresh = self._read(self._stale)
        values |= fresh
        for name in fresh:
            self._places.setdefault(name, len(self._places))
        among = sorted({*self._current, *fresh}, key=self._places.__getitem__)
        self._current = {name: values[name] for name in among if self._wanted(values[name])}

    def current(self) -> Mapping[str, V]:
        """Those that are wanted."""
        self.values()
        return self._current

    def view(self, question: Hashable, make: Callable[[Book[V]], T]) -> T:
        """What follows from them, kept until one is touched; the caller must not change it."""
        if question not in self._views:
            self._views[question] = make(self)
        known: T = self._views[question]
        return known


class Remembered:
    """Answers by question. `changed` after each change made through `connection`; other writers show in the version."""

    def __init__(self, connection: Connection, account: str) -> None:
        self.connection, self.account = connection, account
        postgres = connection.dialect.name == POSTGRES
        self._version_now = _of_postgres(connection) if postgres else _of_sqlite(connection)
        self._keeps_tip = not postgres  # there the version is the tip
        self._version: object = None
        self._tip: Tip | None = None
        self._answers: dict[Hashable, Any] = {}
        self._controls: Sequence[Control] | None = None
        self._orders = Book[Intent](lambda ids: ledger_orders.intents(connection, account, ids), lambda order: order.live)
        self._positions = Book[Position](
            lambda ids: ledger_positions.positions(connection, account, ids), lambda position: position.state is not PositionState.CLOSED
        )
        self._legs = Book[Sequence[DatedLeg]](lambda ids: ledger_positions.dated_legs(connection, account, ids))

    # --- what changes it -----------------------------------------------------------------------------------------------
    def forget(self) -> None:
        """Nothing is known any more: a change failed, or somebody else made one."""
        self._answers.clear()
        self._tip = self._controls = None
        for book in (self._orders, self._positions, self._legs):
            book.forget()

    def changed(self, tx: Tx) -> None:
        """A transaction of ours was committed."""
        self._answers.clear()
        self._orders.touched(tx.intents)
        self._positions.touched(tx.positions)
        self._legs.touched(tx.positions)

    def ended(self, tx: Tx) -> None:
        """A transaction of ours was committed, whatever it wrote: the journal ends with its newest row."""
        if self._keeps_tip and tx.known_tip is not None:
            self._tip = tx.known_tip

    # --- what is known -------------------------------------------------------------------------------------------------
    def tip(self) -> Tip | None:
        """The journal's newest row, where it is known; asked within a transaction, so that nobody else adds one."""
        if self._tip is not None:
            self._look()
        return self._tip

    def read(self, query: Callable[[Connection], T]) -> T:
        """What is not remembered."""
        return query(self.connection)

    def answer(self, question: Hashable, ask: Callable[[Connection], T]) -> T:
        """The answer to `question`, from memory where nothing was written since; the caller must not change it.

        Asking SQLite for the version takes 4 microseconds, reading the orders of a few positions 300.
        """
        self._look()
        if question not in self._answers:
            self._answers[question] = ask(self.connection)
        known: T = self._answers[question]
        return known

    def leaving(self) -> Mapping[str, str]:
        """Positions that a person told to leave; the caller must not change it."""
        return self.answer("leaving", lambda connection: ledger_control.leaving(connection, self.account))

    def told(self) -> tuple[Sequence[Control], Mapping[str, str]]:
        """What persons told and nobody answered yet, and `leaving`: asked together each second, so looked after once.

        Our own changes add no control, so those outlive them; `answered` ends that.
        """
        leaving = self.leaving()  # looks
        if self._controls is None:
            self._controls = ledger_control.pending(self.connection)
        return self._controls, leaving

    def answered(self) -> None:
        """A control was."""
        self._controls = None

    def orders(self, live_only: bool, position_id: str | None) -> Sequence[Intent]:
        """Orders in the order they were begun; the caller must not change the list."""
        self._look()
        return self._orders.view((live_only, position_id), lambda book: _of(position_id, book.current() if live_only else book.values()))

    def order_by_txid(self, txid: str) -> Intent | None:
        """The order the exchange knows as `txid`."""
        self._look()
        return self._orders.view("txids", lambda book: {order.txid: order for order in book.values().values()}).get(txid)

    def positions(self, open_only: bool) -> Sequence[Position]:
        """Positions in the order they were opened."""
        self._look()
        return [*(self._positions.current() if open_only else self._positions.values()).values()]

    def position(self, position_id: str) -> Position | None:
        """One position by its id."""
        self._look()
        return self._positions.values().get(position_id)

    def legs(self) -> Sequence[DatedLeg]:
        """Every exit order with fills, oldest first; the caller must not change the list."""
        self._look()
        return self._legs.view("legs", lambda book: ledger_positions.in_order(book.values().values()))

    def _look(self) -> None:
        version = self._version_now()
        if version != self._version:
            self.forget()
            self._version = version


def _of(position_id: str | None, orders: Mapping[str, Intent]) -> list[Intent]:
    return [order for order in orders.values() if position_id is None or order.position_id == position_id]


def _of_sqlite(connection: Connection) -> Callable[[], object]:
    """Changes whenever another connection has committed."""
    raw: Any = connection.connection.dbapi_connection
    ask = raw.cursor().execute
    return lambda: ask("PRAGMA data_version").fetchone()


def _of_postgres(connection: Connection) -> Callable[[], object]:
    """The newest journal row, whoever wrote it."""
    return lambda: connection.exec_driver_sql("SELECT coalesce(max(seq), 0) FROM journal").scalar_one()
