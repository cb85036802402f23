"""Small builders for ledger tests: an account that buys and sells round numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.data.ledger import SqlLedger
from trader.data.ledger_control import submit_control
from trader.domain.account import ExitPlan, Position
from trader.domain.market import MINUTE
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, Side, client_order_id, entry_key
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.errors import BeginRefused
from trader.ports import DecisionRow, EquityRow, Halt, Lease, Ledger

ACCOUNT = "demo"
T0 = 1_767_571_200_000_000  # 2026-01-05T00:00Z
TTL = 45_000_000
PLAN = ExitPlan(
    kind="ratchet", stop=0.02, tp1=0.02, tp2=0.04, legs=(0.618, 0.382), ratchet_base=0.01, breakeven=0.009, stagnation_bars=5,
    stagnation_low=-0.01, stagnation_high=0.01, max_hold_bars=0, cooldown_bars=3, cooldown_stop_bars=6,
)  # fmt: skip


class Unsynced:
    """A driver's connection whose COMMIT fails as SQLite's does where the disk cannot sync. Nothing of the transaction is kept; what a
    kernel may keep or lose of pages that it could not write is not played."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, words: str, *values: Any) -> Any:
        if words != "COMMIT":
            return self._real.execute(words, *values)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
        raise error


@contextmanager
def unsynced(connection: Any) -> Iterator[None]:
    """No COMMIT on this connection succeeds."""
    pooled = connection.connection
    real = pooled.dbapi_connection
    pooled.dbapi_connection = Unsynced(real)
    try:
        yield
    finally:
        if not connection.closed:
            pooled.dbapi_connection = real


def open_ledger(folder: Path) -> SqlLedger:
    """A ledger with 10,000 EUR in it."""
    ledger = SqlLedger(folder / "state" / "ledger.sqlite", account=ACCOUNT)
    if not ledger.cash():
        ledger.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    return ledger


def lease_of(ledger: Ledger, now_us: int = T0, ttl_us: int = 10**15) -> Lease:
    return ledger.acquire_lease(ACCOUNT, "test", now_us, ttl_us)


def entry(pair: str = "BTC/EUR", close_us: int = T0, quantity: str = "0.5") -> tuple[Intent, Position]:
    """An entry order with its OPENING position."""
    key = entry_key(pair, "core/mitraillette/BASE", close_us, Side.BUY)
    name = client_order_id("abc", ACCOUNT, key, Leg.ENTRY, 0)
    intent = Intent(
        cl_ord_id=name, key=key, leg=Leg.ENTRY, attempt=0, position_id=name, pair=pair, side=Side.BUY, order_type=OrderType.LIMIT,
        quantity=Decimal(quantity), limit_price=Decimal("100.1"), close_trigger=Decimal(98), immediate=True, created_us=close_us,
        deadline_us=close_us + 5_000_000, reason=key,
    )  # fmt: skip
    position = Position(
        position_id=name, pair=pair, side=Side.BUY, strategy="core/mitraillette/BASE", entry_key=key, plan=PLAN, opened_us=close_us
    )
    return intent, position


def reducing(parent: Intent, quantity: str, *, leg: Leg = Leg.EXIT, attempt: int = 0, reason: str = "STAGNATION") -> Intent:
    """A sell of (part of) the position that `parent` opened."""
    return Intent(
        cl_ord_id=client_order_id("abc", ACCOUNT, parent.key, leg, attempt), key=parent.key, leg=leg, attempt=attempt,
        position_id=parent.position_id, pair=parent.pair, side=Side.SELL,
        order_type=OrderType.STOP_LOSS if leg is Leg.STOP else OrderType.MARKET, quantity=Decimal(quantity),
        trigger_price=Decimal(98) if leg is Leg.STOP else None, created_us=parent.created_us + MINUTE, reason=reason,
    )  # fmt: skip


def fill_of(intent: Intent, trade_id: str, quantity: str, price: str = "100", *, fee: str = "0.2", txid: str = "") -> Fill:
    """A fill of `intent`'s order, whose txid is `T-` and its id unless named."""
    cost = Decimal(quantity) * Decimal(price)
    return Fill(
        trade_id=trade_id, txid=txid or "T-" + intent.cl_ord_id, pair=intent.pair, side=intent.side, price=Decimal(price),
        quantity=Decimal(quantity), cost=cost, fee=Decimal(fee), time_us=intent.created_us + 1_000_000,
    )  # fmt: skip


def ack(ledger: Ledger, intent: Intent, now_us: int = T0) -> str:
    txid = "T-" + intent.cl_ord_id
    ledger.resolve(intent.cl_ord_id, Outcome.ACKED, now_us, txid=txid)
    return txid


def buy(ledger: Ledger, lease: Lease, pair: str = "BTC/EUR", *, close_us: int = T0, quantity: str = "0.5", trade_id: str = "") -> Intent:
    """Begin, acknowledge and fill an entry; returns its intent."""
    intent, position = entry(pair, close_us, quantity)
    ledger.begin(intent, lease, close_us, position=position)
    ack(ledger, intent, close_us)
    ledger.apply_fills([fill_of(intent, trade_id or f"F-{intent.cl_ord_id}", quantity)], close_us + 2_000_000, source="rest")
    return intent


def sell(
    ledger: Ledger, lease: Lease, parent: Intent, quantity: str, *, price: str = "101", attempt: int = 0, reason: str = "STAGNATION"
) -> Intent:
    """Begin, acknowledge and fill an exit."""
    intent = reducing(parent, quantity, attempt=attempt, reason=reason)
    ledger.begin(intent, lease, intent.created_us)
    ack(ledger, intent, intent.created_us)
    ledger.apply_fills([fill_of(intent, f"F-{intent.cl_ord_id}", quantity, price)], intent.created_us + 2_000_000, source="stream")
    return intent


def populated(folder: Path) -> Path:
    """A ledger with at least one row in every table, in every state the checker distinguishes."""
    ledger = open_ledger(folder)
    lease = lease_of(ledger)
    closed = buy(ledger, lease, "BTC/EUR", quantity="0.7")
    sell(ledger, lease, closed, "0.3", reason="TP1")
    sell(ledger, lease, closed, "0.4", attempt=1)
    held = buy(ledger, lease, "ETH/EUR", quantity="3")
    stop = reducing(held, "3", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.adopt(replace(stop, outcome=Outcome.ACKED, txid="T-close", status=ExchangeStatus.PENDING), T0)
    ledger.set_terms("T-close", T0, trigger_price=Decimal("98.5"), reason="RATCHET_L1")
    ledger.set_status("T-close", ExchangeStatus.OPEN, T0 + 3)
    ledger.save_exit_state(held.position_id, {"stop": 98.5, "bars": 2}, T0)
    dust = buy(ledger, lease, "ADA/EUR", quantity="0.001")
    ledger.mark_dust(dust.position_id, T0)
    gone, position = entry("SOL/EUR")
    ledger.begin(gone, lease, T0, position=position)
    ledger.resolve(gone.cl_ord_id, Outcome.ABSENT, T0, proof={"passes_us": [1, 2]})
    ledger.drop_opening(gone.position_id, T0 + 9)
    opening, position = entry("DOT/EUR")
    ledger.begin(opening, lease, T0, position=position)
    ledger.apply_fills([fill_of(opening, "stray", "1", txid="T-foreign")], T0, source="rest")
    early, position = entry("XRP/EUR")
    ledger.begin(early, lease, T0, position=position)
    ledger.apply_fills([fill_of(early, "early", "0.5")], T0, source="stream")
    ack(ledger, early)
    ledger.external_move("EUR", Decimal("12.5"), "deposit", T0 + 4)
    ruling = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT, p_loss=0.25, age_ms=8.5, verdict_id="v", is_twin=True)
    decision = Decision(
        pair="ETH/EUR", close_us=T0, side=Side.BUY, action=Action.ENTER, score=81.5, points=(Point(name="rsi", value=4.0),),
        close=float("nan"), strategy="s", evidence={"rsi": 31.0},
    )  # fmt: skip
    quiet = Decision(pair="ADA/EUR", close_us=T0, side=Side.BUY, action=Action.HOLD, score=3.0, refusal=Refusal.NO_SIGNAL)
    ledger.record_decisions(
        [
            DecisionRow(decision=decision, final="ENTER", stake=Decimal(300), ruling=ruling, ai_mode="veto"),
            DecisionRow(decision=quiet, final="HOLD"),
        ],
        T0,
    )
    row = EquityRow(time_us=T0, cash=Decimal(1), marked=Decimal(2), equity=Decimal(3), realised=Decimal(0), fees=Decimal(1), drawdown=0.5)
    ledger.set_halt(Halt(cause="drawdown", level="REDUCING", since_us=T0, reason="x"))
    ledger.set_halt(Halt(cause="drawdown", level="HALTED", since_us=T0 + 1, reason="worse"))
    ledger.note("beat", {"number": 1, "lag_s": 0.25}, T0, equity=row)
    ledger.close()
    control = submit_control(ledger.path, "pause", "", "ada", T0 + 5)
    again = open_ledger(folder)
    again.answer_control(control.control_id, "DONE", "paused", T0 + 6)
    again.close()
    return Path(ledger.path)


def goes_on_selling(ledger: SqlLedger, lease: Lease, bought: Position, sale: Intent, *, journal: Path, now_us: int) -> None:
    """While the ledger takes no writes, entries are halted, and `sale` of half of `bought` is begun and filled once."""
    another, position = entry("ETH/EUR")
    with pytest.raises(BeginRefused, match="halted by LEDGER"):
        ledger.begin(another, lease, now_us, position=position)
    ledger.begin(sale, lease, now_us)
    assert sale.cl_ord_id in journal.read_text(), "on disk before its bytes leave"
    with pytest.raises(BeginRefused, match="would exceed"):
        ledger.begin(reducing(bought, "0.5", attempt=1), lease, now_us)
    ack(ledger, sale, now_us)
    ledger.apply_fills([fill_of(sale, "99", "0.5")], now_us, source="stream")
