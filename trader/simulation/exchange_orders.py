"""Values of the matching engine: pair rules, order requests, orders, trades, events, refusals and content ids.

Prices are quote per base, quantities base, all Decimal; times are UTC microseconds.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from decimal import Decimal

from trader.domain.money import ZERO, quantum
from trader.simulation.exchange_terms import LIMITED, TRAILING, TRIGGERED, Close, Offset

PENDING, OPEN, CLOSED, CANCELED, EXPIRED = "pending", "open", "closed", "canceled", "expired"

INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
ORDER_MINIMUM = "EOrder:Order minimum not met"
COST_MINIMUM = "EOrder:Cost minimum not met"
TICK_SIZE = "EOrder:Tick size check failed"
INVALID_PRICE = "EOrder:Invalid price"
POST_ONLY = "EOrder:Post only order"
UNKNOWN_ORDER = "EOrder:Unknown order"
UNKNOWN_PAIR = "EQuery:Unknown asset pair"
DEADLINE = "EService:Deadline elapsed"
UNAVAILABLE = "EService:Unavailable"
ORDER_LIMIT = "EOrder:Orders limit exceeded"
NO_POSITION = "EOrder:Reduce only:No position exists"
MARGIN = "EOrder:Margin allowance exceeded"
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
    """What AddOrder asks for, parsed but not yet judged. `price` is a limit, `trigger` a stop level; `_by`: the same, relative.

    `cash`: what a market buy may cost (oflags viqc), `volume` is then zero; `display`: what an iceberg shows; `start_us`,
    `expire_us`: 0 for none; `leverage`: None without margin.
    """

    pair: str
    side: str
    ordertype: str
    volume: Decimal
    price: Decimal | None = None
    price_by: Offset | None = None
    trigger: Decimal | None = None
    trigger_by: Offset | None = None
    timeinforce: str = "GTC"
    start_us: int = 0
    expire_us: int = 0
    post_only: bool = False
    reduce_only: bool = False
    leverage: str | None = None
    oflags: tuple[str, ...] = ()
    cl_ord_id: str | None = None
    userref: int = 0
    cash: Decimal | None = None
    display: Decimal | None = None
    close: Close | None = None
    deadline_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which order is meant: by one of its ids. A `userref` may mean several."""

    txid: str | None = None
    cl_ord_id: str | None = None
    userref: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """New terms of a live order; None leaves a term as it is. Meanings as in OrderRequest."""

    volume: Decimal | None = None
    price: Decimal | None = None
    price_by: Offset | None = None
    trigger: Decimal | None = None
    trigger_by: Offset | None = None
    display: Decimal | None = None
    post_only: bool | None = None
    deadline_us: int | None = None


@dataclass(slots=True, kw_only=True)
class TwinOrder:
    """An order in the books. `held`: what it reserves; `refid`: txid of the entry a closing order belongs to.

    `triggered`: a triggered order whose trigger was reached; `peak`: best price a trailing stop has seen; `closes`: closing
    orders its fills opened; `changed_us`: creation or last amend.
    """

    txid: str
    number: int
    pair: str
    side: str
    ordertype: str
    volume: Decimal
    opened_us: int
    changed_us: int = 0
    price: Decimal | None = None
    price_by: Offset | None = None
    trigger: Decimal | None = None
    trigger_by: Offset | None = None
    peak: Decimal | None = None
    triggered: bool = False
    timeinforce: str = "GTC"
    start_us: int = 0
    expire_us: int = 0
    post_only: bool = False
    oflags: tuple[str, ...] = ()
    cl_ord_id: str | None = None
    userref: int = 0
    refid: str | None = None
    cash: Decimal | None = None
    display: Decimal | None = None
    close: Close | None = None
    closes: list[str] = field(default_factory=list)
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
        return self.status in (OPEN, PENDING)

    @property
    def remaining(self) -> Decimal:
        return self.volume - self.executed

    @property
    def waiting(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.ordertype in TRIGGERED and not self.triggered

    @property
    def limited(self) -> bool:
        """Whether it has a limit price, be it only once triggered."""
        return self.ordertype in LIMITED

    @property
    def trailing(self) -> bool:
        """Whether its trigger follows the market."""
        return self.ordertype in TRAILING

    @property
    def level(self) -> Decimal:
        """The price at which a resting order acts: its trigger while it waits, else its limit."""
        level = self.trigger if self.waiting else self.price
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
class Amend:
    """One line of an order's history of terms. `kind`: original, user or restated."""

    amend_id: str
    txid: str
    kind: str
    volume: Decimal
    remaining: Decimal
    time_us: int
    price: Decimal | None = None
    trigger: Decimal | None = None
    display: Decimal | None = None
    post_only: bool = False


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
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=10).digest()
    text = prefix + base64.b32encode(digest).decode()[: 17 - len(prefix)]
    return f"{text[:6]}-{text[6:11]}-{text[11:17].ljust(6, 'A')}"


def unit_hash(*parts: str | int) -> float:
    """A number in [0, 1) made of its arguments: seeded chance that does not depend on call order."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
