"""What the futures engine refuses before it looks at money, in Kraken's words (KRAKEN.md section 7). All raise Unplaced."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trader.domain.money import EXACT, ZERO
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.orders import (
    BUY,
    CLIENT_ID_LENGTH,
    FOK,
    IOC,
    LMT,
    ORDER_TYPES,
    POST,
    SELL,
    SIGNALS,
    STP,
    TAKE_PROFIT,
    TRAILING,
    UNITS,
    FuturesOrder,
    FuturesRequest,
    Unplaced,
)


def request(order: FuturesRequest, contract: Contract, known: Mapping[str, FuturesOrder]) -> None:
    """Everything about a new order that needs neither prices nor balances. Raises Refused for an argument that is missing or unreadable."""
    if order.order_type not in ORDER_TYPES:
        raise Unplaced("invalidOrderType")
    if order.side not in (BUY, SELL):
        raise Unplaced("invalidSide")
    _arguments(order)
    size(order.size, contract)
    for value in (order.limit_price, order.stop_price):
        if value is not None:
            price(value, contract)
    if order.cli_ord_id is not None:
        if len(order.cli_ord_id) > CLIENT_ID_LENGTH:
            raise Unplaced("clientOrderIdTooLong")
        if order.cli_ord_id in known:
            raise Unplaced("clientOrderIdAlreadyExist")


def _arguments(order: FuturesRequest) -> None:
    """Which fields an order type needs."""
    if order.limit_price is None and order.order_type in (LMT, POST, IOC, FOK):
        raise Refused("requiredArgumentMissing")
    if order.stop_price is None and order.order_type in (STP, TAKE_PROFIT):
        raise Refused("requiredArgumentMissing")
    if order.trigger_signal not in SIGNALS:
        raise Refused("invalidArgument: triggerSignal")
    if order.order_type == TRAILING:
        if order.deviation is None or order.unit is None:
            raise Refused("requiredArgumentMissing")
        if order.unit not in UNITS:
            raise Refused("invalidArgument: trailingStopDeviationUnit")
        if not order.deviation > ZERO or (order.unit == "PERCENT" and order.deviation >= 100):
            raise Refused("invalidArgument: trailingStopMaxDeviation")


def size(value: Decimal, contract: Contract) -> None:
    """A positive whole number of lots."""
    if not _whole(value, contract.lot):
        raise Unplaced("invalidSize")


def price(value: Decimal, contract: Contract) -> None:
    """A positive price on the tick."""
    if not _whole(value, contract.tick):
        raise Unplaced("invalidPrice")


def _whole(value: Decimal, step: Decimal) -> bool:
    """Whether it is a positive multiple of a step. Exact, also where the quotient has more digits than a plain `%` allows."""
    return value.is_finite() and value > ZERO and EXACT.remainder(value, step) == ZERO
