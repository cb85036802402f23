"""Values of the matching engine: pair rules, order requests, orders, trades, events, refusals and content ids.

Prices are quote per base, quantities base, all Decimal; times are UTC microseconds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO, quantum

BUY, SELL = "buy", "sell"
MARKET, LIMIT, STOP_LOSS = "market", "limit", "stop-loss"
OPEN, CLOSED, CANCELED, EXPIRED = "open", "closed", "canceled", "expired"

INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
ORDER_MINIMUM = "EOrder:Order minimum not met"
COST_MINIMUM = "EOrder:Cost minimum not met"
TICK_SIZE = "EOrder:Tick size check failed"
INVALID_PRICE = "EOrder:Invalid price"
POST_ONLY = "EOrder:Post only order"
UNKNOWN_ORDER = "EOrder:Unknown order"
UNKNOWN_PAIR = "EQuery:Unknown asset pair"
DEADLINE = "EService:Deadline elapsed"
DUPLICATE_ID = "EOrder:Duplicate client order id"  # Kraken's wording is not known; clients must treat any wording alike


class Refused(Exception):
    """The exchange refuses a request; `error` is Kraken's own string."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def invalid(name: str) -> Refused:
    """The refusal of an unusable argument."""
    return Refused(f"EGeneral:Invalid arguments:{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRules:
    """Trading rules and the four names of a pair (KRAKEN.md section 9). `index`: its place in the price arrays."""

    index: int
    symbol: str
    pair_id: str
    altname: str
    wsname: str
    base: str
    quote: str
    base_id: str
    quote_id: str
    tick: Decimal
    pair_decimals: int
    lot_decimals: int
    cost_decimals: int
    quote_decimals: int
    ordermin: Decimal
    costmin: Decimal
    status: str = "online"

    @property
    def lot(self) -> Decimal:
        return quantum(self.lot_decimals)

    @property
    def quote_step(self) -> Decimal:
        """Smallest amount of quote currency the books hold."""
        return quantum(self.quote_decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What AddOrder asks for, parsed but not yet judged. `price` is a limit, `trigger` a stop level."""

    pair: str
    side: str
    ordertype: str
    volume: Decimal
    price: Decimal | None = None
    trigger: Decimal | None = None
    timeinforce: str = "GTC"
    expire_us: int = 0
    post_only: bool = False
    oflags: tuple[str, ...] = ()
    cl_ord_id: str | None = None
    userref: int = 0
    close_trigger: Decimal | None = None
    deadline_us: int | None = None


@dataclass(slots=True, kw_only=True)
class TwinOrder:
    """An order in the books. `held`: what it reserves of `held_asset`; `refid`: txid of the entry a closing order belongs to."""

    txid: str
    number: int
    pair: str
    side: str
    ordertype: str
    volume: Decimal
    opened_us: int
    price: Decimal | None = None
    trigger: Decimal | None = None
    timeinforce: str = "GTC"
    expire_us: int = 0
    post_only: bool = False
    oflags: tuple[str, ...] = ()
    cl_ord_id: str | None = None
    userref: int = 0
    refid: str | None = None
    close_trigger: Decimal | None = None
    close_txid: str | None = None
    close_swallowed: bool = False
    status: str = OPEN
    reason: str | None = None
    closed_us: int = 0
    executed: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    trades: list[str] = field(default_factory=list)
    held: Decimal = ZERO
    amends: int = 0
    ours: bool = False

    @property
    def live(self) -> bool:
        return self.status == OPEN

    @property
    def remaining(self) -> Decimal:
        return self.volume - self.executed

    @property
    def level(self) -> Decimal:
        """The price at which a resting order acts: its trigger or its limit."""
        level = self.trigger if self.ordertype == STOP_LOSS else self.price
        if level is None:
            raise ValueError(f"order {self.txid} of type {self.ordertype!r} has no level to rest at")
        return level


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinTrade:
    """One fill. `cost` and `fee` in quote; where `fee_asset` is the base, `fee_base` was taken in base instead."""

    trade_id: str
    number: int
    txid: str
    pair: str
    side: str
    ordertype: str
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    fee_base: Decimal
    time_us: int
    maker: bool
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to an order, for the executions channel. `kind` is Kraken's exec_type; `trade` only for "trade"."""

    kind: str
    order: TwinOrder
    time_us: int
    trade: TwinTrade | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceChange:
    """A movement on an asset's balance, for the balances channel. `amount` is signed and includes `fee`."""

    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    kind: str
    ref_id: str
    ledger_id: str
    time_us: int


def content_id(prefix: str, *parts: str | int) -> str:
    """An id of 6-5-6 characters made of its content: same content, same id."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=10).digest()
    text = prefix + base64.b32encode(digest).decode()[: 17 - len(prefix)]
    return f"{text[:6]}-{text[6:11]}-{text[11:17].ljust(6, 'A')}"


def unit_hash(*parts: str | int) -> float:
    """A number in [0, 1) made of its arguments: seeded chance that does not depend on call order."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def to_json(value: TwinOrder | TwinTrade) -> dict[str, Any]:
    """Fields of an order or trade as JSON values; decimals become strings."""
    return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}


def order_from_json(row: Mapping[str, Any]) -> TwinOrder:
    """The order `to_json` wrote."""
    return TwinOrder(**_typed(row, TwinOrder))


def trade_from_json(row: Mapping[str, Any]) -> TwinTrade:
    """The trade `to_json` wrote."""
    return TwinTrade(**_typed(row, TwinTrade))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return list(value) if isinstance(value, (tuple, list)) else value


def _typed(row: Mapping[str, Any], kind: type[TwinOrder | TwinTrade]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for item in fields(kind):
        value = row[item.name]
        if "Decimal" in str(item.type) and value is not None:
            value = Decimal(value)
        elif str(item.type).startswith("tuple"):
            value = tuple(value)
        result[item.name] = value
    return result
