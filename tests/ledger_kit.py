"""Small builders for ledger tests: an account that buys and sells round numbers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from trader.data.ledger import SqlLedger
from trader.domain.account import ExitPlan, Position
from trader.domain.market import MINUTE
from trader.domain.orders import Fill, Intent, Leg, OrderType, Outcome, Side, client_order_id, entry_key
from trader.ports import Lease, Ledger

ACCOUNT = "demo"
T0 = 1_767_571_200_000_000  # 2026-01-05T00:00Z
TTL = 45_000_000
PLAN = ExitPlan(
    kind="ratchet", stop=0.02, tp1=0.02, tp2=0.04, legs=(0.618, 0.382), ratchet_base=0.01, breakeven=0.009, stagnation_bars=5,
    stagnation_low=-0.01, stagnation_high=0.01, max_hold_bars=0, cooldown_bars=3, cooldown_stop_bars=6,
)  # fmt: skip


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
