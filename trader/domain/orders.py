"""Orders: intents, what the exchange says of them, fills, ids and the transition table."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Leg(StrEnum):
    """What an order is for; all but ENTRY reduce a position."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    EXIT = "exit"

    @property
    def reducing(self) -> bool:
        return self is not Leg.ENTRY


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP_LOSS = "stop-loss"


class Outcome(StrEnum):
    """What we know of an intent. SENT: bytes may have left. Everything else is proved."""

    SENT = "SENT"
    ACKED = "ACKED"
    REJECTED = "REJECTED"
    ABSENT = "ABSENT"


class ExchangeStatus(StrEnum):
    """The venue's own word, but for `lost`; a canceled order can hold fills, so trades decide, never this."""

    PENDING = "pending"
    OPEN = "open"
    CLOSED = "closed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    LOST = "lost"  # our word for an acknowledged order that the venue does not know: any word of its own corrects it

    @property
    def live(self) -> bool:
        return self in (ExchangeStatus.PENDING, ExchangeStatus.OPEN)


OUTCOME_TRANSITIONS: dict[Outcome, frozenset[Outcome]] = {
    Outcome.SENT: frozenset({Outcome.ACKED, Outcome.REJECTED, Outcome.ABSENT}),
    Outcome.ABSENT: frozenset({Outcome.ACKED}),  # found after all: adopted, protected, alarmed
    Outcome.ACKED: frozenset(),
    Outcome.REJECTED: frozenset(),
}

STATUS_TRANSITIONS: dict[ExchangeStatus, frozenset[ExchangeStatus]] = {
    ExchangeStatus.PENDING: frozenset(ExchangeStatus) - {ExchangeStatus.PENDING},
    ExchangeStatus.OPEN: frozenset(ExchangeStatus) - {ExchangeStatus.PENDING, ExchangeStatus.OPEN},
    ExchangeStatus.LOST: frozenset(ExchangeStatus) - {ExchangeStatus.LOST},
    ExchangeStatus.CLOSED: frozenset(),
    ExchangeStatus.CANCELED: frozenset(),
    ExchangeStatus.EXPIRED: frozenset(),
}


def entry_key(pair: str, strategy: str, candle_close_us: int, side: Side) -> str:
    """One entry per (pair, strategy, candle close, side), for ever."""
    return f"{pair}|{strategy}|{candle_close_us}|{side}"


def client_order_id(tag: str, account: str, key: str, leg: Leg, attempt: int) -> str:
    """18 characters: `t`, the installation's 3-character tag, 14 of base32(BLAKE2b(account, key, leg, attempt)).

    Same content, same id: it finds an order again after a crash. Kraken's free-text ids hold at most 18 characters.
    Raises ValueError for a tag that is not three characters of a-z2-7.
    """
    if len(tag) != 3 or not set(tag) <= set("abcdefghijklmnopqrstuvwxyz234567"):
        raise ValueError(f"installation tag {tag!r} must be three characters of a-z and 2-7")
    digest = hashlib.blake2b("\x1f".join((account, key, leg, str(attempt))).encode(), digest_size=9).digest()
    return "t" + tag + base64.b32encode(digest).decode().lower()[:14]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An order we decided on, as it is committed before any byte leaves.

    `key`: entry key of the position this order belongs to; `trigger_price` only for STOP_LOSS; `limit_price` only for LIMIT.
    `close_trigger`: price of the conditional close that rides on an entry, or None.
    `txid` is set when the exchange is known to hold the order; `refid` is the entry's txid of an adopted conditional close.
    """

    cl_ord_id: str
    key: str
    leg: Leg
    attempt: int
    position_id: str
    pair: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    close_trigger: Decimal | None = None
    immediate: bool = False  # IOC: what does not fill at once is dropped
    deadline_us: int = 0
    created_us: int = 0
    reason: str = ""  # exit reason of a reducing order; a decision id of an entry
    outcome: Outcome = Outcome.SENT
    txid: str | None = None
    status: ExchangeStatus | None = None
    filled: Decimal = Decimal(0)

    @property
    def live(self) -> bool:
        """Whether it may still fill: unresolved, or acknowledged and not in a final status."""
        if self.outcome is Outcome.SENT:
            return True
        return self.outcome is Outcome.ACKED and (self.status is None or self.status.live)

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def misshapen(self) -> str | None:
        """Why no venue could take it, whatever its rules: a price its type needs is missing, or IOC on another type."""
        needed = {OrderType.LIMIT: self.limit_price, OrderType.STOP_LOSS: self.trigger_price}
        if self.order_type in needed and needed[self.order_type] is None:
            return f"a {self.order_type} order needs its price"
        if self.immediate and self.order_type is not OrderType.LIMIT:
            return f"immediate is for limit orders, not for {self.order_type}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One trade of ours on the exchange, unique by `trade_id`. `cost` = price x quantity and `fee`, both in quote."""

    trade_id: str
    txid: str
    pair: str
    side: Side
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    time_us: int
    maker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOrder:
    """An order as the exchange tells it. `cl_ord_id` None: not placed by us (or a conditional close: see `refid`)."""

    txid: str
    cl_ord_id: str | None
    refid: str | None
    pair: str
    side: Side
    order_type: str
    status: ExchangeStatus
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None
    trigger_price: Decimal | None
    opened_us: int
    closed_us: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """The exchange answered with an id of its own."""

    txid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The exchange refused, in words the classifier knows. `kind`: funds, size, style, limits, bug, later, pair, auth, nonce, gone."""

    kind: str
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Nothing is proved: timeout, reset, 5xx, unreadable answer or unknown words.

    `late`: the venue's own word that the request came after its deadline; what it did not do by then it never does.
    """

    message: str
    late: bool = False


Answer = Acked | Rejected | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Coins of one asset: all of them, and those held by resting orders."""

    asset: str
    total: Decimal
    held: Decimal
