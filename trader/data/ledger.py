"""The Ledger port on SQLite or Postgres: every call is one committed transaction with its journal rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from trader.data import lease as leases
from trader.data import ledger_account, ledger_control, ledger_decisions, ledger_fills, ledger_orders, ledger_positions
from trader.data.engine import open_ledger, place_of, reading, translated, writing
from trader.data.journal import Tx, journal_sha256, transaction
from trader.data.ledger_memory import Remembered
from trader.domain.account import Position
from trader.domain.messages import TradeLeg
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, Outcome
from trader.ports import Control, DecisionRow, EquityRow, Halt, KillPoints, Lease

T = TypeVar("T")


class _NoKill:
    def reach(self, name: str) -> None:
        """Go on."""


class SqlLedger:
    """Ledger of one account in a SQLite file (a path, a `sqlite:///` URL, or `:memory:`) or a Postgres database (its URL);
    made where it is missing.

    One instance belongs to one thread. Raises CorruptError at opening for a damaged or newer one; later RetryableError when
    another process holds the write lock for over 5 s, FatalError for a full disk or a contradiction.
    """

    def __init__(self, path_or_url: str | Path, *, account: str, kill: KillPoints | None = None) -> None:
        self.path = place_of(path_or_url)
        self.account = account
        self._kill: KillPoints = kill or _NoKill()
        self._connection: Connection = open_ledger(self.path)
        self._memory = Remembered(self._connection)
        self._states = ledger_decisions.PairStates.load(self._connection)

    @contextmanager
    def _change(self, now_us: int) -> Iterator[Tx]:
        try:
            with self._jot(now_us) as tx:
                yield tx
        finally:
            self._memory.forget()

    @contextmanager
    def _jot(self, now_us: int) -> Iterator[Tx]:
        """A change that touches no order, position, cash or halt."""
        with transaction(self._connection, self.account, now_us) as tx:
            yield tx

    def _recall(self, question: Hashable, query: Callable[[Connection], T]) -> T:
        """`_read` for what only `_change` changes; the answer is shared, so it is given out as a copy."""
        with translated(self.path):
            return self._memory.answer(question, lambda: query(self._connection))

    def _read(self, query: Callable[[Connection], T]) -> T:
        with translated(self.path):
            return query(self._connection)

    # --- lease -------------------------------------------------------------------------------------------------------
    def acquire_lease(self, account: str, holder: str, now_us: int, ttl_us: int) -> Lease:
        with self._jot(now_us) as tx:
            return leases.acquire(tx, account, holder, ttl_us)

    def renew_lease(self, lease: Lease, now_us: int, ttl_us: int) -> Lease:
        with self._jot(now_us) as tx:
            return leases.renew(tx, lease, ttl_us)

    def release_lease(self, lease: Lease, now_us: int) -> None:
        with self._jot(now_us) as tx:
            leases.release(tx, lease)

    # --- orders ------------------------------------------------------------------------------------------------------
    def begin(self, intent: Intent, lease: Lease, now_us: int, *, position: Position | None = None) -> None:
        with self._change(now_us) as tx:
            ledger_orders.begin(tx, intent, lease, position)

    def adopt(self, intent: Intent, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_orders.adopt(tx, intent)

    def resolve(
        self,
        cl_ord_id: str,
        outcome: Outcome,
        now_us: int,
        *,
        txid: str | None = None,
        reason: str = "",
        proof: Mapping[str, Any] | None = None,
    ) -> None:
        with self._change(now_us) as tx:
            ledger_orders.resolve(tx, cl_ord_id, ledger_orders.Proved(outcome=outcome, txid=txid, reason=reason, proof=proof))

    def set_status(self, txid: str, status: ExchangeStatus, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_orders.set_status(tx, txid, status)

    def set_terms(
        self, txid: str, now_us: int, *, quantity: Decimal | None = None, trigger_price: Decimal | None = None, reason: str | None = None
    ) -> None:
        with self._change(now_us) as tx:
            ledger_orders.set_terms(tx, txid, quantity, trigger_price, reason)

    def apply_fills(self, fills: Sequence[Fill], now_us: int, *, source: str) -> Sequence[tuple[Fill, Intent | None]]:
        with self._change(now_us) as tx:
            news = ledger_fills.apply_fills(tx, fills, source)
            if news:
                self._kill.reach("before_fill_commit")
        if news:
            self._kill.reach("after_fill_commit")
        return news

    def next_attempt(self, key: str, leg: Leg) -> int:
        return self._read(lambda c: ledger_orders.next_attempt(c, self.account, key, leg))

    def intents(self, *, live_only: bool = False, position_id: str | None = None) -> Sequence[Intent]:
        question = ("intents", live_only, position_id)
        return list(self._recall(question, lambda c: ledger_orders.intents(c, self.account, live_only, position_id)))

    def intent_by_txid(self, txid: str) -> Intent | None:
        return self._recall(("txid", txid), lambda c: ledger_orders.by_txid(c, self.account, txid))

    # --- positions ---------------------------------------------------------------------------------------------------
    def positions(self, *, open_only: bool = True) -> Sequence[Position]:
        return list(self._recall(("positions", open_only), lambda c: ledger_positions.positions(c, self.account, open_only)))

    def position(self, position_id: str) -> Position | None:
        return self._recall(("position", position_id), lambda c: ledger_positions.position(c, self.account, position_id))

    def drop_opening(self, position_id: str, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_positions.drop_opening(tx, position_id)

    def mark_dust(self, position_id: str, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_positions.mark_dust(tx, position_id)

    def save_exit_state(self, position_id: str, state: Mapping[str, Any], now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_positions.save_exit_state(tx, position_id, state)

    def exit_states(self) -> Mapping[str, Mapping[str, Any]]:
        return self._read(lambda c: ledger_positions.exit_states(c, self.account))

    def trade_legs(self, since_us: int = 0) -> Sequence[TradeLeg]:
        def read(connection: Connection) -> list[TradeLeg]:
            with reading(connection, self.path):
                return ledger_positions.trade_legs(connection, self.account, since_us)

        return list(self._recall(("legs", since_us), read))

    # --- cash --------------------------------------------------------------------------------------------------------
    def cash(self) -> Mapping[str, Decimal]:
        return dict(self._recall("cash", lambda c: ledger_account.cash(c, self.account)))

    def set_opening_cash(self, cash: Mapping[str, Decimal], now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_account.set_opening_cash(tx, cash)

    def external_move(self, asset: str, amount: Decimal, kind: str, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_account.external_move_of(tx, asset, amount, kind)

    # --- decisions, equity, halts, controls --------------------------------------------------------------------------
    def record_decisions(self, rows: Sequence[DecisionRow], now_us: int) -> None:
        if not rows:
            return
        with self._jot(now_us) as tx:
            moved = ledger_decisions.record(tx, rows, self._states)
        self._states.known.update(moved)

    def record_equity(self, row: EquityRow) -> None:
        with self._jot(row.time_us) as tx:
            ledger_account.record_equity(tx, row)

    def equity(self, since_us: int = 0) -> Sequence[EquityRow]:
        return self._read(lambda c: ledger_account.equity(c, since_us))

    def halts(self) -> Sequence[Halt]:
        return list(self._recall("halts", ledger_control.halts))

    def set_halt(self, halt: Halt) -> None:
        with self._change(halt.since_us) as tx:
            ledger_control.set_halt(tx, halt)

    def clear_halt(self, cause: str, who: str, reason: str, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_control.clear_halt(tx, cause, who, reason)

    def pending_controls(self) -> Sequence[Control]:
        return self._read(ledger_control.pending)

    def answer_control(self, control_id: str, state: str, answer: str, now_us: int) -> None:
        with self._change(now_us) as tx:
            ledger_control.answer(tx, control_id, state, answer)

    def note(self, kind: str, payload: Mapping[str, Any], now_us: int) -> None:
        with self._jot(now_us) as tx:
            ledger_account.note(tx, kind, payload)

    def last_exits(self) -> Mapping[str, tuple[int, str]]:
        return dict(self._recall("last_exits", lambda c: ledger_positions.last_exits(c, self.account)))

    def meta(self, name: str) -> str | None:
        return self._read(lambda c: ledger_account.get_meta(c, name))

    def set_meta(self, name: str, value: str) -> None:
        with writing(self._connection, self.path) as connection:
            ledger_account.set_meta(connection, name, value)

    def journal_hash(self) -> str:
        return self._read(journal_sha256)

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        self._connection.close()
