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
    INVALID_PRICE,
    MARGIN,
    NO_POSITION,
    ORDER_LIMIT,
    ORDER_MINIMUM,
    TICK_SIZE,
    UNAVAILABLE,
    UNKNOWN_PAIR,
    Amendment,
    OrderRequest,
    PairRules,
    Refused,
    TwinOrder,
    invalid,
)
from trader.simulation.exchange_terms import (
    BUY,
    CLOSING,
    ICEBERG,
    LIMIT,
    LIMITED,
    MARKET,
    TRAILING,
    TRIGGERED,
    TYPES,
    Close,
    sane,
    waits_below,
)

_CLIENT_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[ -~]{1,18}")
ONCE = ("IOC", "FOK")
SHOWN = 15  # an iceberg shows at least one part in so many


def request(order: OrderRequest, rules: PairRules, now_us: int, live: Sequence[TwinOrder], *, limit: int | None) -> None:
    """Everything about a new order that needs neither prices nor balances. `limit`: live orders a pair may have."""
    if order.deadline_us is not None and now_us > order.deadline_us:
        raise Refused(DEADLINE)
    mode(rules.status, ordertype=order.ordertype, post_only=order.post_only)
    _shape(order, now_us)
    if order.cash is None:
        volume(order.volume, rules)
    elif not sane(order.cash) or order.cash <= ZERO:
        raise invalid("volume")
    if order.cl_ord_id is not None:
        if not _CLIENT_ID.fullmatch(order.cl_ord_id):
            raise invalid("cl_ord_id")
        if any(other.cl_ord_id == order.cl_ord_id for other in live):
            raise Refused(DUPLICATE_ID)
    for value in (order.price, order.trigger, *((order.close.price, order.close.trigger) if order.close else ())):
        if value is not None:
            price(value, rules)
    if limit is not None and sum(other.pair == order.pair for other in live) >= limit:
        raise Refused(ORDER_LIMIT)
    if order.reduce_only:
        raise Refused(NO_POSITION)  # the twin has no spot margin, hence never a position
    if order.leverage is not None:
        raise Refused(MARGIN)


def mode(status: str, *, ordertype: str | None = None, post_only: bool = False) -> None:
    """What a pair's or the system's status lets through: an order of this type, or (None) an amend."""
    if status in ("online", ""):
        return
    if status == "delisted":
        raise Refused(UNKNOWN_PAIR)
    if status not in ("cancel_only", "post_only", "limit_only", "reduce_only"):
        raise Refused(UNAVAILABLE)
    resting = ordertype in (None, LIMIT, ICEBERG)
    if not ((status == "post_only" and resting and (post_only or ordertype is None)) or (status == "limit_only" and resting)):
        raise Refused(f"EService:Market in {status} mode")


def _shape(order: OrderRequest, now_us: int) -> None:
    kind = order.ordertype
    if kind not in TYPES:
        raise invalid("ordertype")
    _prices(order, "price", "price2")
    if order.cash is not None and (kind != MARKET or order.side != BUY):
        raise invalid("viqc")
    if order.display is not None or kind == ICEBERG:
        display(order.display, order.volume, kind)
    if order.timeinforce not in ("GTC", "GTD", *ONCE):
        raise invalid("timeinforce")
    if (order.timeinforce in ONCE and kind != LIMIT) or (order.timeinforce == "GTD" and kind == MARKET):
        raise invalid("timeinforce")
    if (order.timeinforce == "GTD" and not order.expire_us) or (order.expire_us and order.expire_us <= max(now_us, order.start_us)):
        raise invalid("expiretm")
    if order.post_only and (kind not in (LIMIT, ICEBERG) or order.timeinforce in ONCE):
        raise invalid("oflags")
    if order.close is not None:
        if order.close.ordertype not in CLOSING:
            raise invalid("close[ordertype]")
        _prices(order.close, "close[price]", "close[price2]")


def _prices(terms: OrderRequest | Close, first: str, second: str) -> None:
    """Each price the type needs is there once, absolute or relative, and no other is; `first`, `second`: Kraken's names."""
    triggered, limited = terms.ordertype in TRIGGERED, terms.ordertype in LIMITED
    if triggered != _one(terms.trigger, terms.trigger_by, first):
        raise invalid(first)
    if limited != _one(terms.price, terms.price_by, second if triggered else first):
        raise invalid(second if triggered else first)
    if terms.ordertype in TRAILING:
        if terms.trigger_by is None or terms.trigger_by.sign != "+" or terms.trigger_by.amount <= ZERO:
            raise invalid(first)
        if limited and terms.price_by is None:
            raise invalid(second)


def _one(absolute: object | None, relative: object | None, name: str) -> bool:
    """Whether a price is given; given twice is refused."""
    if absolute is not None and relative is not None:
        raise invalid(name)
    return absolute is not None or relative is not None


def display(shown: Decimal | None, total: Decimal, ordertype: str, name: str = "displayvol") -> None:
    """What an iceberg shows: at least a fifteenth of it, at most all of it."""
    if ordertype != ICEBERG or shown is None or not sane(shown) or not ZERO < shown <= total or mul(shown, Decimal(SHOWN)) < total:
        raise invalid(name)


def volume(quantity: Decimal, rules: PairRules) -> None:
    """A finite positive whole number of lots, at least the order minimum."""
    if not sane(quantity) or quantity <= ZERO or quantity % rules.lot:
        raise invalid("volume")
    if quantity < rules.ordermin:
        raise Refused(ORDER_MINIMUM)


def price(value: Decimal, rules: PairRules) -> None:
    """A finite positive price with the pair's digits, on the tick."""
    if not sane(value) or value <= ZERO:
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


def against_market(order: OrderRequest, last: Decimal, rules: PairRules) -> None:
    """What can be judged once relative prices are resolved: they are prices, the cost is enough, no trigger is passed already."""
    if any(value is not None and value <= ZERO for value in (order.price, order.trigger)):
        raise Refused(INVALID_PRICE)
    level = order.price if order.price is not None else order.trigger
    if order.cash is not None:
        if order.cash < rules.costmin:
            raise Refused(COST_MINIMUM)
        volume(order.volume, rules)
    elif level is not None:
        cost(order.volume, level, rules)
    if order.trigger is not None and passed(order.ordertype, order.side, order.trigger, last):
        raise Refused(INVALID_PRICE)


def amendment(order: TwinOrder, change: Amendment, rules: PairRules) -> None:
    """New terms of a live order: something changes, and only what its type has."""
    terms = (change.volume, change.price, change.price_by, change.trigger, change.trigger_by, change.display)
    if all(term is None for term in terms):
        raise invalid("order_qty")
    if _one(change.price, change.price_by, "limit_price") and (not order.limited or (order.trailing and change.price is not None)):
        raise invalid("limit_price")
    if _one(change.trigger, change.trigger_by, "trigger_price") and (
        not order.waiting
        or (order.trailing and (change.trigger is not None or change.trigger_by is None or change.trigger_by.amount <= ZERO))
    ):
        raise invalid("trigger_price")
    if change.volume is not None and not (sane(change.volume) and change.volume > ZERO):
        raise invalid("order_qty")
    for value in (change.price, change.trigger):
        if value is not None:
            price(value, rules)
    if change.volume is not None and change.volume > order.executed:
        volume(change.volume, rules)
    if change.display is not None:
        display(change.display, change.volume or order.volume, order.ordertype, "display_qty")
    if change.post_only and order.ordertype not in (LIMIT, ICEBERG):
        raise invalid("post_only")


def passed(ordertype: str, side: str, trigger: Decimal, last: Decimal) -> bool:
    """Whether the last price is already beyond a trigger."""
    return last <= trigger if waits_below(ordertype, side) else last >= trigger
