"""Values of the futures engine: requests, orders, fills, positions, log lines, what happened; and the words of a refusal.

Sizes are in the contract's own unit (base of a linear contract, USD of an inverse one); times are UTC microseconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.money import ZERO

BUY, SELL = "buy", "sell"
LMT, POST, MKT, IOC, FOK, STP, TAKE_PROFIT, TRAILING = "lmt", "post", "mkt", "ioc", "fok", "stp", "take_profit", "trailing_stop"
TRIGGERED_TYPES = (STP, TAKE_PROFIT, TRAILING)
ORDER_TYPES = (LMT, POST, MKT, IOC, FOK, *TRIGGERED_TYPES)
SIGNALS = ("mark", "index", "last")
UNITS = ("PERCENT", "QUOTE_CURRENCY")
LIVE, FILLED, CANCELLED = "live", "filled", "cancelled"
CLIENT_ID_LENGTH = 100

BY_USER, BY_SWITCH = "cancelled_by_user", "dead_man_switch"
LIQUIDATION, NO_MARGIN, NOT_REDUCING = "liquidation", "not_enough_margin", "would_not_reduce_position"
UNFILLED, POST_CROSSED = "ioc_order_failed_because_it_would_not_be_executed", "post_order_failed_because_it_would_filled"


class Unplaced(Exception):
    """An order is not placed, edited or cancelled; `status` is Kraken's word for it (KRAKEN.md section 7).

    `order`: the refused order where Kraken reports it as an event of its own.
    """

    def __init__(self, status: str, order: FuturesOrder | None = None) -> None:
        super().__init__(status)
        self.status, self.order = status, order


@dataclass(frozen=True, slots=True, kw_only=True)
class FuturesRequest:
    """What sendorder asks for, parsed but not yet judged. `deviation` and `unit` belong to a trailing stop."""

    symbol: str
    side: str
    order_type: str
    size: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trigger_signal: str = "last"
    reduce_only: bool = False
    cli_ord_id: str | None = None
    deviation: Decimal | None = None
    unit: str | None = None


@dataclass(slots=True, kw_only=True)
class FuturesOrder:
    """An order in the books. `stop_price` of a trailing stop moves with `peak`, the best signal price seen."""

    order_id: str
    number: int
    symbol: str
    side: str
    order_type: str
    size: Decimal
    received_us: int
    updated_us: int
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trigger_signal: str = "last"
    reduce_only: bool = False
    cli_ord_id: str | None = None
    deviation: Decimal | None = None
    unit: str | None = None
    peak: Decimal | None = None
    triggered: bool = False
    filled: Decimal = ZERO
    status: str = LIVE
    reason: str | None = None

    @property
    def live(self) -> bool:
        return self.status == LIVE

    @property
    def remaining(self) -> Decimal:
        return self.size - self.filled

    @property
    def waiting(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.order_type in TRIGGERED_TYPES and not self.triggered

    @property
    def sign(self) -> int:
        return 1 if self.side == BUY else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One trade and what it did to the position. `fee`, `realized_pnl`, `realized_funding` in `currency`."""

    fill_id: str
    number: int
    order_id: str
    cli_ord_id: str | None = None
    symbol: str
    side: str
    order_type: str
    size: Decimal
    price: Decimal
    fee: Decimal
    currency: str
    fill_type: str
    time_us: int
    remaining: Decimal
    limit_price: Decimal
    mark_price: Decimal
    realized_pnl: Decimal
    realized_funding: Decimal
    old_size: Decimal
    old_entry: Decimal
    new_size: Decimal
    new_entry: Decimal


@dataclass(slots=True, kw_only=True)
class Position:
    """An open position: signed `size`, `basis` = sum of its trades' values, so that profit = value at a price - basis.

    `funding_us`: until when funding is in `unrealized_funding`; `since_us`: last trade.
    """

    symbol: str
    size: Decimal = ZERO
    basis: Decimal = ZERO
    since_us: int = 0
    funding_us: int = 0
    unrealized_funding: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A movement on an account. `info` is Kraken's word for it; the amount is `new_balance - old_balance`."""

    number: int
    uid: str
    info: str
    time_us: int
    account: str
    asset: str
    old_balance: Decimal
    new_balance: Decimal
    contract: str | None = None
    execution: str | None = None
    fee: Decimal = ZERO
    liquidation_fee: Decimal = ZERO
    realized_pnl: Decimal | None = None
    realized_funding: Decimal | None = None
    funding_rate: Decimal | None = None
    mark_price: Decimal | None = None
    trade_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What happened to an order, as the event history keeps it.

    `kind`: placed, edited, cancelled, rejected, triggered, fill. `order`: after it; `before`: an edited order's old form.
    """

    number: int
    uid: str
    kind: str
    time_us: int
    order: FuturesOrder
    before: FuturesOrder | None = None
    fill: Fill | None = None
    reason: str | None = None


def content_uuid(*parts: str | int) -> str:
    """A UUID made of its content: same content, same id."""
    text = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
