"""What web, status and reports read of the ledger: frozen values from a connection that can't write.

Every method is one snapshot and works while a session writes. Times are UTC microseconds, money Decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection

from trader.data import ledger_control, reader_activity, reader_positions
from trader.data.engine import place_of, reader_engine, reading, schema_version, shown, translated
from trader.data.ledger_account import cash as read_cash
from trader.data.ledger_account import equity as read_equity
from trader.data.ledger_account import funding as read_funding
from trader.data.ledger_positions import trade_legs
from trader.data.reader_activity import Beat, Blocked, ControlView, DecisionView, Event, LeaseView, PairState
from trader.data.reader_positions import FillView, OpenPosition, OrderView, Totals
from trader.data.tables import HEAD
from trader.domain.futures import FundingPayment
from trader.domain.messages import TradeLeg
from trader.errors import CorruptError
from trader.ports import EquityRow, Halt

T = TypeVar("T")
ALL: Final = 1_000_000_000  # as a limit: more rows than any ledger has


class LedgerReader:
    """Read model of one ledger. CorruptError where there is none, or one of another program version."""

    def __init__(self, path_or_url: str | Path, *, account: str | None = None) -> None:
        self.path = place_of(path_or_url)
        with translated(self.path):
            self._connection = reader_engine(self.path).connect()
        with reading(self._connection, self.path) as connection:
            version = schema_version(connection, self.path)
            if version != HEAD:
                raise CorruptError(
                    f"{shown(self.path)}: its schema is {version}, this program reads {HEAD}; a session upgrades it when it starts"
                )
            self.account = account if account is not None else reader_activity.account_of(connection)

    def _read(self, query: Callable[[Connection], T]) -> T:
        with reading(self._connection, self.path) as connection:
            return query(connection)

    # --- money -------------------------------------------------------------------------------------------------------
    def equity(self, since_us: int = 0) -> Sequence[EquityRow]:
        """The equity curve, oldest first."""
        return self._read(lambda c: read_equity(c, since_us))

    def cash(self) -> Mapping[str, Decimal]:
        """What is held outside positions, by asset."""
        return self._read(lambda c: read_cash(c, self.account))

    def funding(self) -> Sequence[FundingPayment]:
        """What futures positions paid (below 0) and received, oldest first."""
        return self._read(lambda c: read_funding(c, self.account))

    def totals(self) -> Totals:
        """Realised PnL, fees, number of trades and wins over the whole ledger."""
        return self._read(lambda c: reader_positions.totals(c, self.account))

    # --- positions and trades ----------------------------------------------------------------------------------------
    def positions(self) -> Sequence[OpenPosition]:
        """What is held or being opened, with plan levels and the resting stop; oldest first."""
        return self._read(lambda c: reader_positions.open_positions(c, self.account))

    def entry_keys(self) -> Mapping[str, str]:
        """Position id -> id of the decision that opened it."""
        return self._read(lambda c: reader_positions.entry_keys(c, self.account))

    def trades(self, limit: int = 50, since_us: int = 0) -> Sequence[TradeLeg]:
        """Exit legs, newest first."""
        return self._read(lambda c: trade_legs(c, self.account, since_us))[::-1][:limit]

    def fills(self, limit: int = 50) -> Sequence[FillView]:
        """Newest first; `leg` empty for EXTERNAL ones."""
        return self._read(lambda c: reader_positions.fills(c, self.account, limit))

    def orders(self, limit: int = 50, *, live_only: bool = False) -> Sequence[OrderView]:
        """Newest first."""
        return self._read(lambda c: reader_positions.orders(c, self.account, limit, live_only))

    # --- decisions ---------------------------------------------------------------------------------------------------
    def decisions(self, limit: int = 50, *, pair: str | None = None, since_us: int = 0) -> Sequence[DecisionView]:
        """Candidates (entered, deferred, or refused after a signal) with their points and evidence; newest first."""
        return self._read(lambda c: reader_activity.decisions(c, limit, pair, since_us))

    def decision(self, decision_id: str) -> DecisionView | None:
        """One decision by id, which is the entry key of the order it may have led to."""
        return self._read(lambda c: reader_activity.decision_of(c, decision_id))

    def pair_states(self) -> Sequence[PairState]:
        """The newest word on every pair, by name."""
        return self._read(reader_activity.pair_states)

    def refusals(self, since_us: int = 0) -> Mapping[str, int]:
        """Decisions per code (ENTER, DEFER and every refusal), by name."""
        return self._read(lambda c: reader_activity.refusals(c, since_us))

    def verdicts(self, since_us: int = 0) -> Mapping[str, int]:
        """Candidates per AI ruling, by name."""
        return self._read(lambda c: reader_activity.verdicts(c, since_us))

    # --- state of the session ----------------------------------------------------------------------------------------
    def halts(self) -> Sequence[Halt]:
        """What stops entries now."""
        return self._read(ledger_control.halts)

    def controls(self, limit: int = 50) -> Sequence[ControlView]:
        """Controls with their answers, newest first."""
        return self._read(lambda c: reader_activity.controls(c, limit))

    def control(self, control_id: str) -> ControlView | None:
        """One control by id."""
        return self._read(lambda c: reader_activity.control_of(c, control_id))

    def blocked(self) -> Sequence[Blocked]:
        """Pairs the data gate has blocked and not cleared since, by name."""
        return self._read(reader_activity.blocked)

    def beats(self, limit: int = 20) -> Sequence[Beat]:
        """Newest first."""
        return self._read(lambda c: reader_activity.beats(c, limit))

    def lease(self) -> LeaseView | None:
        """Who trades this account."""
        return self._read(lambda c: reader_activity.lease(c, self.account))

    def events(self, after_seq: int = 0, limit: int = 500) -> Sequence[Event]:
        """Journal rows after a number, oldest first: what a live page follows."""
        return self._read(lambda c: reader_activity.events(c, after_seq, limit))

    def newest_event(self, type_: str) -> Event | None:
        """The last journal row of a type, for example system.started."""
        return self._read(lambda c: reader_activity.newest_event(c, type_))

    def events_of(self, types: Sequence[str], *, since_us: int = 0, until_us: int) -> Sequence[Event]:
        """Journal rows of these types with a time in [since, until), oldest first."""
        return self._read(lambda c: reader_activity.events_of(c, types, since_us, until_us))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
