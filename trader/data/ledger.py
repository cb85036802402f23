"""The Ledger port on SQLite or Postgres: every call is one committed transaction with its journal rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from trader.data import lease as leases
from trader.data import ledger_account, ledger_control, ledger_decisions, ledger_fills, ledger_orders, ledger_positions
from trader.data.birth import Birthmark, birth_of
from trader.data.emergency import Begun, EmergencyJournal, Refuge, copy_of, stand_in
from trader.data.engine import DATABASE_ERRORS, exists, in_our_words, is_blank, is_url, open_ledger, place_of, translated
from trader.data.journal import Tx, journal_sha256, transaction
from trader.data.ledger_memory import Remembered
from trader.data.mirror import Mirror, transaction_id, was_committed
from trader.data.postgres import hasty
from trader.domain.account import Position
from trader.domain.halts import LEDGER
from trader.domain.messages import TradeLeg
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, Outcome
from trader.errors import RetryableError, TraderError, UnwritableError
from trader.ports import Control, DecisionRow, EquityRow, Halt, KillPoints, Lease

T = TypeVar("T")
P = ParamSpec("P")
log = logging.getLogger(__name__)


class _NoKill:
    def reach(self, name: str) -> None:
        """Go on."""


class SqlLedger:
    """Ledger of one account in a SQLite file (a path, a `sqlite:///` URL, or `:memory:`) or a Postgres database (its URL);
    made where it is missing.

    One instance belongs to one thread. Raises CorruptError at opening for a damaged or newer one; later FatalError for a
    contradiction. Where a file takes no writes, another process holds the lock for over 5 s, or the server is gone, a ledger with an
    `emergency` journal goes on in memory until it `came_back`; one without raises UnwritableError or RetryableError. With a `birth`
    file, one that is not the ledger of that file raises CorruptError at opening.
    """

    def __init__(
        self, path_or_url: str | Path, *, account: str, kill: KillPoints | None = None, emergency: Path | None = None,
        birth: Path | None = None,
    ) -> None:  # fmt: skip
        self.path = place_of(path_or_url)
        self.account = account
        self._kill: KillPoints = kill or _NoKill()
        self._birth = None if birth is None else Birthmark(birth)
        self._emergency = None if emergency is None else EmergencyJournal(emergency)
        self._refuge: Refuge | None = None
        self._unopened: UnwritableError | None = None  # why the place is a copy of itself, which can only be read
        self._place: Connection = self._open()
        self._mirror = Mirror(self._place, account) if is_url(self.path) and self._emergency is not None else None
        self._number = ""  # of the server's transaction under way
        self._seen_us = 0
        self._use(self._place)
        self._states = ledger_decisions.PairStates.load(self._connection)
        self._take_in()

    def _open(self) -> Connection:
        """The place, or where it takes no writes what it holds; the first change then retreats."""
        if self._birth is not None and is_blank(self.path):
            self._birth.check(None, self.path)
        try:
            return open_ledger(self.path, self._is_ours)
        except UnwritableError as error:
            if self._emergency is None or is_url(self.path) or not exists(self.path):
                raise
            log.critical("%s; the session begins with a copy of it", error)
            self._unopened = error
            return stand_in(self.path, self._is_ours)

    def _is_ours(self, connection: Connection) -> None:
        if self._birth is not None:
            self._birth.check(birth_of(connection), self.path)

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._memory = Remembered(connection, self.account)

    # --- while the place takes no writes -----------------------------------------------------------------------------
    def _take_in(self) -> None:
        """Orders that a session began in the emergency journal and died."""
        if self._emergency is None:
            return
        for begun in self._emergency.read():
            self._changed(begun.intent.created_us, partial(ledger_orders.recall, intent=begun.intent, token=begun.token))
        if self._refuge is None:
            self._emergency.clear()

    def _retreat(self, why: TraderError, now_us: int) -> bool:
        """Go on in memory, entries halted; False where that is not possible, or done already."""
        if self._emergency is None or self._refuge is not None:
            return False
        why = self._unopened or why
        log.critical("%s; entries are off, exits and stops go on from memory and %s", why, self._emergency.path)
        try:
            self._refuge = Refuge(copy_of(self._place) if self._mirror is None else self._mirror.connection)
        except TraderError as error:
            log.critical("nor can it be copied: %s", error)
            return False
        self._use(self._refuge.connection)
        self.set_halt(Halt(cause=LEDGER, level="HALTED", since_us=now_us, reason=str(why)))
        return True

    def came_back(self, now_us: int) -> bool:
        refuge = self._refuge
        if refuge is None:
            return False
        try:
            self._open_again()
            done = self._left_to_do(refuge)
            if done is None:
                return False
            with transaction(self._place, self.account, now_us) as tx:
                for tx.now_us, work in done:
                    work(tx)
                tx.now_us = now_us
                _halt_ends(tx)
        except (UnwritableError, RetryableError):
            return False
        self._refuge = None
        self._use(self._place)
        if self._mirror is None:
            refuge.connection.close()
        else:
            self._mirror.follow(self._place, now_us, _halt_ends)
        if self._emergency is not None:
            self._emergency.clear()
        return True

    def _open_again(self) -> None:
        """A new connection where the old one cannot be used any more: to a server, and to a file that could not be opened."""
        if self._mirror is None and self._unopened is None:
            return
        opened = open_ledger(self.path if self._mirror is None else hasty(self.path), self._is_ours)
        self._place.close()
        self._place, self._unopened = opened, None

    def _left_to_do(self, refuge: Refuge) -> list[tuple[int, Callable[[Tx], Any]]] | None:
        """What the place has not got yet of what was done in memory; None where the server cannot say so far."""
        if refuge.doubt is None:
            return refuge.done
        index, number = refuge.doubt
        with translated(self.path):
            committed = was_committed(self._place, number)
        if committed is None:
            return None
        return [*refuge.done[:index], *refuge.done[index + 1 :]] if committed else refuge.done

    def _once(self, now_us: int, work: Callable[[Tx], T], open_: Callable[[int], AbstractContextManager[Tx]]) -> T:
        self._number, self._seen_us = "", now_us
        with open_(now_us) as tx:
            result = work(tx)
            if self._mirror is not None and self._refuge is None:
                self._number = transaction_id(tx.connection)
        if self._refuge is not None:
            self._refuge.done.append((now_us, work))
        elif self._mirror is not None:
            self._mirror.follow(self._place, now_us, work)
        return result

    def _either(self, now_us: int, work: Callable[[Tx], T], open_: Callable[[int], AbstractContextManager[Tx]]) -> T:
        """Make a change at the place, or in memory where it takes none: full, read-only, failing, gone, or locked for too long."""
        try:
            return self._once(now_us, work, open_)
        except (UnwritableError, RetryableError) as error:
            number = self._number
            if not self._retreat(error, now_us):
                raise
        if number and self._refuge is not None:
            self._refuge.doubt = (len(self._refuge.done), number)
        return self._once(now_us, work, open_)

    def _changed(self, now_us: int, work: Callable[[Tx], T]) -> T:
        """One committed change of what is remembered."""
        return self._either(now_us, work, self._change)

    def _jotted(self, now_us: int, work: Callable[[Tx], T]) -> T:
        """One committed change of anything else."""
        return self._either(now_us, work, self._jot)

    @contextmanager
    def _change(self, now_us: int) -> Iterator[Tx]:
        with self._jot(now_us) as tx:
            yield tx
        self._memory.changed(tx)

    @contextmanager
    def _jot(self, now_us: int) -> Iterator[Tx]:
        """A change that touches no order, position, cash or halt."""
        try:
            with transaction(self._connection, self.account, now_us, tip=self._memory.tip) as tx:
                yield tx
        except BaseException:
            self._memory.forget()
            raise
        self._memory.ended(tx)

    def _recall(self, question: Hashable, query: Callable[[Connection], T]) -> T:
        """`_read` for what only `_change` changes; the answer is shared, so it is given out as a copy."""
        return self._known(Remembered.answer, question, query)

    def _read(self, query: Callable[[Connection], T]) -> T:
        return self._known(Remembered.read, query)

    def _known(self, ask: Callable[Concatenate[Remembered, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is remembered, else what the place says, or where its server is gone the mirror; a file can always be read."""
        try:
            try:
                return ask(self._memory, *args, **kwargs)
            except DATABASE_ERRORS as error:
                raise in_our_words(self.path, error) from error
        except RetryableError as error:
            if self._mirror is None or not self._retreat(error, self._seen_us):
                raise
        return ask(self._memory, *args, **kwargs)

    # --- lease -------------------------------------------------------------------------------------------------------
    def acquire_lease(self, account: str, holder: str, now_us: int, ttl_us: int) -> Lease:
        lease = self._jotted(now_us, lambda tx: leases.acquire(tx, account, holder, ttl_us))
        if self._birth is not None and self._refuge is None:
            self._birth.keep(birth_of(self._connection))
        return lease

    def renew_lease(self, lease: Lease, now_us: int, ttl_us: int) -> Lease:
        return self._jotted(now_us, lambda tx: leases.renew(tx, lease, ttl_us))

    def check_lease(self, lease: Lease, now_us: int) -> None:
        self._read(lambda c: leases.check(c, lease, now_us))

    def release_lease(self, lease: Lease, now_us: int) -> None:
        self._jotted(now_us, lambda tx: leases.release(tx, lease))

    # --- orders ------------------------------------------------------------------------------------------------------
    def begin(self, intent: Intent, lease: Lease, now_us: int, *, position: Position | None = None) -> None:
        def commit(tx: Tx) -> None:
            ledger_orders.begin(tx, intent, lease, position)
            if self._refuge is not None and tx.connection is self._refuge.connection and self._emergency is not None:
                self._emergency.append(Begun(intent=intent, token=lease.token))

        self._changed(now_us, commit)

    def recall(self, intent: Intent, lease: Lease, now_us: int, *, position: Position | None = None) -> None:
        def take_in(tx: Tx) -> None:
            leases.check(tx.connection, lease, tx.now_us)
            ledger_orders.recall(tx, intent, lease.token, position)

        self._changed(now_us, take_in)

    def adopt(self, intent: Intent, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_orders.adopt(tx, intent))

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
        proved = ledger_orders.Proved(outcome=outcome, txid=txid, reason=reason, proof=proof)
        self._changed(now_us, lambda tx: ledger_orders.resolve(tx, cl_ord_id, proved))

    def set_status(self, txid: str, status: ExchangeStatus, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_orders.set_status(tx, txid, status))

    def set_terms(
        self, txid: str, now_us: int, *, quantity: Decimal | None = None, trigger_price: Decimal | None = None, reason: str | None = None
    ) -> None:
        self._changed(now_us, lambda tx: ledger_orders.set_terms(tx, txid, quantity, trigger_price, reason))

    def apply_fills(self, fills: Sequence[Fill], now_us: int, *, source: str) -> Sequence[tuple[Fill, Intent | None]]:
        def book(tx: Tx) -> Sequence[tuple[Fill, Intent | None]]:
            news = ledger_fills.apply_fills(tx, fills, source)
            if news and tx.connection is self._connection:
                self._kill.reach("before_fill_commit")
            return news

        news = self._changed(now_us, book)
        if news:
            self._kill.reach("after_fill_commit")
        return news

    def next_attempt(self, key: str, leg: Leg) -> int:
        return self._read(lambda c: ledger_orders.next_attempt(c, self.account, key, leg))

    def intents(self, *, live_only: bool = False, position_id: str | None = None) -> Sequence[Intent]:
        return list(self._known(Remembered.orders, live_only, position_id))

    def intent_by_txid(self, txid: str) -> Intent | None:
        return self._known(Remembered.order_by_txid, txid)

    # --- positions ---------------------------------------------------------------------------------------------------
    def positions(self, *, open_only: bool = True) -> Sequence[Position]:
        return self._known(Remembered.positions, open_only)

    def position(self, position_id: str) -> Position | None:
        return self._known(Remembered.position, position_id)

    def drop_opening(self, position_id: str, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_positions.drop_opening(tx, position_id))

    def mark_dust(self, position_id: str, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_positions.mark_dust(tx, position_id))

    def save_exit_state(self, position_id: str, state: Mapping[str, Any], now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_positions.save_exit_state(tx, position_id, state))

    def exit_states(self) -> Mapping[str, Mapping[str, Any]]:
        return self._read(lambda c: ledger_positions.exit_states(c, self.account))

    def trade_legs(self, since_us: int = 0) -> Sequence[TradeLeg]:
        return [leg for last_us, _, leg in self._known(Remembered.legs) if last_us >= since_us]

    # --- cash --------------------------------------------------------------------------------------------------------
    def cash(self) -> Mapping[str, Decimal]:
        return dict(self._recall("cash", lambda c: ledger_account.cash(c, self.account)))

    def set_opening_cash(self, cash: Mapping[str, Decimal], now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_account.set_opening_cash(tx, cash))

    def external_move(self, asset: str, amount: Decimal, kind: str, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_account.external_move_of(tx, asset, amount, kind))

    # --- decisions, equity, halts, controls --------------------------------------------------------------------------
    def record_decisions(self, rows: Sequence[DecisionRow], now_us: int) -> None:
        if not rows:
            return
        before = ledger_decisions.PairStates(known=dict(self._states.known))
        self._states.known.update(self._jotted(now_us, lambda tx: ledger_decisions.record(tx, rows, before)))

    def equity(self, since_us: int = 0) -> Sequence[EquityRow]:
        return self._read(lambda c: ledger_account.equity(c, since_us))

    def halts(self) -> Sequence[Halt]:
        return list(self._recall("halts", ledger_control.halts))

    def set_halt(self, halt: Halt) -> None:
        self._changed(halt.since_us, lambda tx: ledger_control.set_halt(tx, halt))

    def clear_halt(self, cause: str, who: str, reason: str, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_control.clear_halt(tx, cause, who, reason))

    def told(self) -> tuple[Sequence[Control], Mapping[str, str]]:
        pending, leaving = self._known(Remembered.told)
        return list(pending), dict(leaving)

    def pending_controls(self) -> Sequence[Control]:
        return self.told()[0]

    def leaving(self) -> Mapping[str, str]:
        return dict(self._known(Remembered.leaving))

    def answer_control(self, control_id: str, state: str, answer: str, now_us: int) -> None:
        self._changed(now_us, lambda tx: ledger_control.answer(tx, control_id, state, answer))
        self._memory.answered()

    def note(self, kind: str, payload: Mapping[str, Any], now_us: int, *, equity: EquityRow | None = None) -> None:
        self._jotted(now_us, lambda tx: ledger_account.note(tx, kind, payload, equity))

    def last_exits(self) -> Mapping[str, tuple[int, str]]:
        return dict(self._recall("last_exits", lambda c: ledger_positions.last_exits(c, self.account)))

    def meta(self, name: str) -> str | None:
        return self._read(lambda c: ledger_account.get_meta(c, name))

    def set_meta(self, name: str, value: str) -> None:
        self._jotted(0, lambda tx: ledger_account.set_meta(tx.connection, name, value))

    def journal_hash(self) -> str:
        return self._read(journal_sha256)

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        self._connection.close()
        self._place.close()
        if self._mirror is not None:
            self._mirror.close()


def _halt_ends(tx: Tx) -> None:
    ledger_control.clear_halt(tx, LEDGER, "system", "the ledger takes writes again")
