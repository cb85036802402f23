"""The ledger as it stood at a moment: its journal told again to an empty file, up to that moment and by the same functions.

What a replay of a past day starts from. Decisions, beats, notes and controls are left out: no later order depends on them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from trader.data import lease as leases
from trader.data import ledger_account, ledger_control, ledger_fills, ledger_orders, ledger_positions
from trader.data.engine import open_ledger, reader_engine, reading, shown, writing
from trader.data.journal import Tx
from trader.data.ledger_orders import Proved
from trader.data.ledger_rows import to_plan
from trader.data.reader_activity import account_of
from trader.data.tables import journal, meta
from trader.domain.account import Position
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, Side
from trader.errors import ConfigError
from trader.ports import EquityRow, Halt, Lease

HOLDER = "as of"
FOREVER_US = 10**17
OPENING = "position.opening"
UNIVERSE = "universe"  # who was a member: kept as a setting, journalled when it changes

Body = Mapping[str, Any]


def ledger_as_of(source: str | Path, target: Path, moment_us: int) -> int:
    """Write to the new file `target` what the ledger at the place `source` said at `moment_us` (UTC us); how many journal rows were told.

    Raises ConfigError where `target` exists, CorruptError for a damaged source.
    """
    if target.exists():
        raise ConfigError(f"{target}: exists already; a ledger is written anew")
    old = reader_engine(source).connect()
    new = open_ledger(str(target))
    try:
        with reading(old, shown(source)):
            account = account_of(old)
            rows = old.execute(select(journal).where(journal.c.time_us <= moment_us).order_by(journal.c.seq)).all()
            names = old.execute(select(meta)).all()
        with writing(new, str(target)):
            told = _Telling(new, account, rows).run()
            for name, value in names:
                if name != UNIVERSE and not (value.isdigit() and int(value) > moment_us):  # watermarks of later are not known yet
                    ledger_account.set_meta(new, name, value)
        return told
    finally:
        old.close()
        new.close()


class _Telling:
    """One pass over the rows; every change goes through the function that made it the first time."""

    def __init__(self, connection: Connection, account: str, rows: Sequence[Row[Any]]) -> None:
        self._connection, self._account, self._rows = connection, account, rows
        self._bodies: list[Body] = [json.loads(row.payload) for row in rows]
        self._lease: Lease | None = None
        self._opened = False
        self._positions = {b["position_id"]: b for row, b in zip(rows, self._bodies, strict=True) if row.type == OPENING}
        self._do: dict[str, Callable[[Tx, Body], None]] = {
            "intent": self._begin, "adopted": _adopt, "resolved": _resolve, "status": _status, "terms": _terms, "fill": _fill,
            "fill.external": _fill, "position.dropped": _dropped, "position.dust": _dust, "exit_state": _exit_state,
            "external_move": self._move, "equity": _equity, UNIVERSE: _universe, "halt.set": _halt_set, "halt.cleared": _halt_cleared,
        }  # fmt: skip

    def run(self) -> int:
        """How many rows changed something."""
        told = 0
        for row, body in zip(self._rows, self._bodies, strict=True):
            if (do := self._do.get(row.type)) is not None:
                do(self._at(row.time_us), body)
                told += 1
        if self._lease is not None:
            leases.release(self._at(self._rows[-1].time_us), self._lease)
        return told

    def _at(self, time_us: int) -> Tx:
        return Tx(connection=self._connection, account=self._account, now_us=time_us)

    def _begin(self, tx: Tx, body: Body) -> None:
        if self._lease is None:
            self._lease = leases.acquire(tx, self._account, HOLDER, FOREVER_US)
        opening = self._positions.get(body["position_id"]) if body["leg"] == Leg.ENTRY.value else None
        position = None if opening is None else _opening(opening)
        if body.get("recalled"):  # no rule was asked when it was taken in
            ledger_orders.recall(tx, _intent(body), self._lease.token, position)
        else:
            ledger_orders.begin(tx, _intent(body), self._lease, position)

    def _move(self, tx: Tx, body: Body) -> None:
        if body["kind"] != ledger_account.OPENING:
            ledger_account.external_move_of(tx, body["asset"], Decimal(body["amount"]), body["kind"])
        elif not self._opened:
            self._opened = True
            first = (b for row, b in zip(self._rows, self._bodies, strict=True) if row.type == "external_move")
            amounts = {b["asset"]: Decimal(b["amount"]) for b in first if b["kind"] == ledger_account.OPENING}
            ledger_account.set_opening_cash(tx, amounts)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _intent(body: Body) -> Intent:
    status = body.get("status")
    return Intent(
        cl_ord_id=body["cl_ord_id"], key=body["key"], leg=Leg(body["leg"]), attempt=body["attempt"], position_id=body["position_id"],
        pair=body["pair"], side=Side(body["side"]), order_type=OrderType(body["order_type"]),
        quantity=Decimal(body["quantity"]),
        limit_price=_number(body["limit_price"]), trigger_price=_number(body["trigger_price"]),
        close_trigger=_number(body["close_trigger"]),
        immediate=body["immediate"], deadline_us=body["deadline_us"], created_us=body["created_us"], reason=body["reason"],
        outcome=Outcome.ACKED if body.get("txid") else Outcome.SENT, txid=body.get("txid"),
        status=None if status is None else ExchangeStatus(status),
    )  # fmt: skip


def _opening(body: Body) -> Position:
    return Position(
        position_id=body["position_id"], pair=body["pair"], side=Side(body["side"]), strategy=body["strategy"],
        entry_key=body["entry_key"], plan=to_plan(body["plan_json"]), opened_us=body["opened_us"],
    )  # fmt: skip


def _adopt(tx: Tx, body: Body) -> None:
    ledger_orders.adopt(tx, _intent(body))


def _resolve(tx: Tx, body: Body) -> None:
    proved = Proved(outcome=Outcome(body["outcome"]), txid=body["txid"], reason=body["answer"], proof=body["proof"])
    ledger_orders.resolve(tx, body["cl_ord_id"], proved)


def _status(tx: Tx, body: Body) -> None:
    ledger_orders.set_status(tx, body["txid"], ExchangeStatus(body["status"]))


def _terms(tx: Tx, body: Body) -> None:
    now = body["now"]
    ledger_orders.set_terms(tx, body["txid"], _number(now.get("quantity")), _number(now.get("trigger_price")), now.get("reason"))


def _fill(tx: Tx, body: Body) -> None:
    fill = Fill(
        trade_id=body["trade_id"], txid=body["txid"], pair=body["pair"], side=Side(body["side"]), price=Decimal(body["price"]),
        quantity=Decimal(body["quantity"]), cost=Decimal(body["cost"]), fee=Decimal(body["fee"]), time_us=body["time_us"],
        maker=body["maker"],
    )  # fmt: skip
    ledger_fills.apply_fills(tx, [fill], body["source"])


def _dropped(tx: Tx, body: Body) -> None:
    ledger_positions.drop_opening(tx, body["position_id"])


def _dust(tx: Tx, body: Body) -> None:
    ledger_positions.mark_dust(tx, body["position_id"])


def _exit_state(tx: Tx, body: Body) -> None:
    ledger_positions.save_exit_state(tx, body["position_id"], body["state"])


def _equity(tx: Tx, body: Body) -> None:
    money = {name: Decimal(body[name]) for name in ("cash", "marked", "equity", "realised", "fees")}
    ledger_account.record_equity(tx, EquityRow(time_us=body["time_us"], drawdown=body["drawdown"], **money))


def _universe(tx: Tx, body: Body) -> None:
    ledger_account.set_meta(tx.connection, UNIVERSE, body["kept"])


def _halt_set(tx: Tx, body: Body) -> None:
    ledger_control.set_halt(
        tx, Halt(cause=body["cause"], level=body["level"], since_us=body["since_us"], reason=body["reason"], who=body["who"])
    )


def _halt_cleared(tx: Tx, body: Body) -> None:
    ledger_control.clear_halt(tx, body["cause"], body["who"], body["reason"])
