"""What Kraken charges for a call, as data (KRAKEN.md section 8); `limits` counts with it.

Where the documentation leaves a charge open (batches, CancelAll), the row holds the most it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a spot call is charged as."""

    PUBLIC = "public"
    CANDLES = "candles"  # OHLC and Trades: the venue counts them by pair, apart from all others
    STATUS = "status"  # what orders wait for: time and state of the venue
    READ = "read"
    HISTORY = "history"  # TradesHistory, Ledgers
    ADD = "add"  # a batch: once per order
    AMEND = "amend"
    EDIT = "edit"  # cancel and new
    CANCEL = "cancel"  # a batch or CancelAll: once per order


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Maximum and decay per second of the key's REST counter and of each pair's engine counter."""

    rest_max: float
    rest_decay: float
    engine_max: float
    engine_decay: float


TIERS = {
    "starter": Tier(rest_max=15, rest_decay=0.33, engine_max=60, engine_decay=1.0),
    "intermediate": Tier(rest_max=20, rest_decay=0.5, engine_max=125, engine_decay=2.34),
    "pro": Tier(rest_max=20, rest_decay=1.0, engine_max=180, engine_decay=3.75),
    "unlimited": Tier(rest_max=1e9, rest_decay=1e9, engine_max=1e9, engine_decay=1e9),  # a twin that counts nothing
}
PUBLIC_KINDS = {"OHLC": Kind.CANDLES, "Trades": Kind.CANDLES, "Time": Kind.STATUS, "SystemStatus": Kind.STATUS}  # others: PUBLIC
REST_COST = {Kind.READ: 1.0, Kind.HISTORY: 2.0}


@dataclass(frozen=True, slots=True)
class EngineCharge:
    """`fixed` for every call, and more the younger the order: the first (age below seconds, charge) that applies."""

    fixed: float
    ages: tuple[tuple[float, float], ...] = ()

    def at(self, age_s: float) -> float:
        """The charge for an order that was placed or last amended `age_s` seconds ago."""
        return self.fixed + next((charge for below, charge in self.ages if age_s < below), 0.0)


ENGINE_COST = {
    Kind.ADD: EngineCharge(1.0),
    Kind.AMEND: EngineCharge(1.0, ((5.0, 3.0), (10.0, 2.0), (15.0, 1.0))),
    Kind.EDIT: EngineCharge(1.0, ((5.0, 6.0), (10.0, 5.0), (15.0, 4.0), (45.0, 2.0), (90.0, 1.0))),
    Kind.CANCEL: EngineCharge(0.0, ((5.0, 8.0), (10.0, 6.0), (15.0, 5.0), (45.0, 4.0), (90.0, 2.0), (300.0, 1.0))),
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many units in any stretch of so many seconds."""

    units: float
    seconds: float


FUTURES_ALLOWANCE = Allowance(500.0, 10.0)
FUTURES_COST = {
    "sendorder": 10.0, "editorder": 10.0, "cancelorder": 10.0, "cancelallorders": 25.0, "cancelallordersafter": 25.0,
    "accounts": 2.0, "openpositions": 2.0, "openorders": 2.0, "fills": 2.0, "orders/status": 1.0, "leveragepreferences": 10.0,
}  # fmt: skip
FUTURES_FILLS_SINCE = 25.0  # fills with lastFillTime
FUTURES_HISTORY_ALLOWANCE = Allowance(100.0, 600.0)
FUTURES_HISTORY_COST = {"orders": 1.0, "executions": 1.0, "triggers": 1.0, "account-log": 10.0}  # account-log: 1 to 10 by rows
