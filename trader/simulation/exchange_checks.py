"""What the matching engine refuses, in Kraken's own strings (KRAKEN.md section 7). All functions raise Refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from trader.domain.money import ZERO, mul
from trader.simulation.exchange_orders import (
    COST_MINIMUM,
    DEADLINE,
    DUPLICATE_ID,
    LIMIT,
    MARKET,
    ORDER_MINIMUM,
    SELL,
    STOP_LOSS,
    TICK_SIZE,
    OrderRequest,
    PairRules,
    Refused,
    TwinOrder,
    invalid,
)

_CLIENT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[!-~]{1,18}")


def request(order: OrderRequest, rules: PairRules, now_us: int, live: Sequence[TwinOrder]) -> None:
    """Everything about a new order that needs neither prices nor balances."""
    if order.deadline_us is not None and now_us > order.deadline_us:
        raise Refused(DEADLINE)
    if rules.status in ("cancel_only", "post_only", "limit_only"):
        if rules.status == "cancel_only" or (rules.status == "post_only" and not order.post_only) or order.ordertype != LIMIT:
            raise Refused(f"EService:Market in {rules.status} mode")
    elif rules.status != "online":
        raise Refused("EService:Unavailable")
    _shape(order, now_us)
    volume(order.volume, rules)
    for value in (order.price, order.trigger, order.close_trigger):
        if value is not None:
            price(value, rules)
    level = order.price if order.price is not None else order.trigger
    if level is not None:
        cost(order.volume, level, rules)
    if order.cl_ord_id is not None:
        if not _CLIENT_ID.fullmatch(order.cl_ord_id):
            raise invalid("cl_ord_id")
        if any(other.cl_ord_id == order.cl_ord_id for other in live):
            raise Refused(DUPLICATE_ID)


def _shape(order: OrderRequest, now_us: int) -> None:
    if order.ordertype not in (MARKET, LIMIT, STOP_LOSS):
        raise invalid("ordertype")
    if (order.price is not None) != (order.ordertype == LIMIT) or (order.trigger is not None) != (order.ordertype == STOP_LOSS):
        raise invalid("price")
    if order.timeinforce not in ("GTC", "IOC", "GTD") or (order.timeinforce != "GTC" and order.ordertype != LIMIT):
        raise invalid("timeinforce")
    if (order.timeinforce == "GTD") != (order.expire_us > 0) or (order.expire_us and order.expire_us <= now_us):
        raise invalid("expiretm")
    if order.post_only and (order.ordertype != LIMIT or order.timeinforce == "IOC"):
        raise invalid("oflags")


def volume(quantity: Decimal, rules: PairRules) -> None:
    """A finite positive whole number of lots, at least the order minimum."""
    if not quantity.is_finite() or quantity <= ZERO or quantity % rules.lot:
        raise invalid("volume")
    if quantity < rules.ordermin:
        raise Refused(ORDER_MINIMUM)


def price(value: Decimal, rules: PairRules) -> None:
    """A finite positive price with the pair's digits, on the tick."""
    if not value.is_finite() or value <= ZERO:
        raise invalid("price")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > rules.pair_decimals:
        raise Refused(f"EOrder:Invalid price:{rules.altname} price can only be specified up to {rules.pair_decimals} decimals.")
    if value % rules.tick:
        raise Refused(TICK_SIZE)


def cost(quantity: Decimal, level: Decimal, rules: PairRules) -> None:
    """Quantity times price reaches the cost minimum."""
    if mul(quantity, level) < rules.costmin:
        raise Refused(COST_MINIMUM)


def amendment(order: TwinOrder, rules: PairRules, *, volume: Decimal | None, price: Decimal | None, trigger: Decimal | None) -> None:
    """New values of a live order; a limit price needs a limit order, a trigger price a stop order."""
    if price is not None and order.ordertype != LIMIT:
        raise invalid("limit_price")
    if trigger is not None and order.ordertype != STOP_LOSS:
        raise invalid("trigger_price")
    _amended_price(price, trigger, rules)
    if volume is not None and volume > order.executed:
        _amended_volume(volume, rules)
    level = price or trigger or order.level
    quantity = order.volume if volume is None else volume
    if quantity > order.executed:
        cost(quantity, level, rules)


def _amended_price(limit: Decimal | None, trigger: Decimal | None, rules: PairRules) -> None:
    for value in (limit, trigger):
        if value is not None:
            price(value, rules)


def _amended_volume(quantity: Decimal, rules: PairRules) -> None:
    volume(quantity, rules)


def passed(side: str, trigger: Decimal | None, last: Decimal) -> bool:
    """Whether the last price is already beyond a stop's trigger."""
    if trigger is None:
        raise invalid("price")
    return last <= trigger if side == SELL else last >= trigger
