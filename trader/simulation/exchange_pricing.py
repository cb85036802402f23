"""Relative prices made absolute: orders against the last price, limits against their trigger, trailing stops against their peak.

Kraken's documentation: `+`, `-`, `#` and `%` are offsets from the last traded price; a trailing stop's own distance always runs
against its holder, and its limit is an offset from the trigger. That other second prices count from the trigger too is assumed.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from trader.domain.money import divide, down
from trader.simulation.exchange_orders import Amendment, OrderRequest, PairRules, TwinOrder
from trader.simulation.exchange_terms import MARKET, SELL, TRAILING, TRIGGERED, Close, Offset, automatic_sign, opposite


def resolved(request: OrderRequest, last: Decimal, taken: Decimal, rules: PairRules) -> OrderRequest:
    """`request` with absolute prices and, for a market buy by cost, the volume that its cash buys at the price `taken`."""
    if request.ordertype == MARKET:
        return request if request.cash is None else dataclasses.replace(request, volume=affordable(request.cash, taken, rules))
    trigger, price = request.trigger, request.price
    trigger_by, price_by = request.trigger_by, request.price_by
    if trigger_by is None and price_by is None:
        return request
    if trigger_by is not None:
        trigger_by = trigger_by.signed(automatic_sign(request.ordertype, request.side, second=False))
        distance = against(trigger_by, request.side) if request.ordertype in TRAILING else trigger_by
        trigger = distance.of(last, rules.tick)
    if price_by is not None:
        second = request.ordertype in TRIGGERED
        price_by = price_by.signed(automatic_sign(request.ordertype, request.side, second=second))
        price = price_by.of(trigger if second and trigger is not None else last, rules.tick)
    return dataclasses.replace(request, trigger=trigger, trigger_by=trigger_by, price=price, price_by=price_by)


def signed_close(close: Close | None, side: str) -> Close | None:
    """The close of an entry on `side` with every "#" replaced by the sign it stands for."""
    if close is None or (close.trigger_by is None and close.price_by is None):
        return close
    side, second = opposite(side), close.ordertype in TRIGGERED
    return dataclasses.replace(
        close,
        trigger_by=close.trigger_by and close.trigger_by.signed(automatic_sign(close.ordertype, side, second=False)),
        price_by=close.price_by and close.price_by.signed(automatic_sign(close.ordertype, side, second=second)),
    )


def affordable(cash: Decimal, price: Decimal, rules: PairRules) -> Decimal:
    """Whole lots that `cash` buys at `price`."""
    return down(divide(cash, price, rules.lot, "ROUND_DOWN"), rules.lot)


def against(distance: Offset, side: str) -> Offset:
    """A trailing distance with the sign that runs against the order's holder: below the peak for sells, above it for buys."""
    return dataclasses.replace(distance, sign="-" if side == SELL else "+")


def trail(order: TwinOrder, price: Decimal, rules: PairRules) -> bool:
    """Move a trailing stop's peak to `price` where that is better, its trigger and limit with it. False where nothing moved."""
    if order.trigger_by is None or order.peak is None or not (price > order.peak if order.side == SELL else price < order.peak):
        return False
    order.peak = price
    order.trigger = against(order.trigger_by, order.side).of(price, rules.tick)
    if order.price_by is not None:
        order.price = order.price_by.of(order.trigger, rules.tick)
    return True


def closing(entry: TwinOrder, quantity: Decimal, last: Decimal, rules: PairRules) -> OrderRequest | None:
    """The order that a fill of `quantity` opens; None where the entry asks for none. Relative prices count from `last`."""
    if entry.close is None:
        return None
    request = OrderRequest(
        pair=entry.pair,
        side=opposite(entry.side),
        ordertype=entry.close.ordertype,
        volume=quantity,
        price=entry.close.price,
        price_by=entry.close.price_by,
        trigger=entry.close.trigger,
        trigger_by=entry.close.trigger_by,
        oflags=tuple(flag for flag in entry.oflags if flag != "viqc"),
        userref=entry.userref,
    )
    return resolved(request, last, last, rules)


def terms_of(order: TwinOrder) -> OrderRequest:
    """What an order in the book would be asked for again as; a trigger that was reached is no term any more."""
    return OrderRequest(
        pair=order.pair,
        side=order.side,
        ordertype=order.ordertype,
        volume=order.volume,
        price=order.price,
        price_by=order.price_by,
        trigger=None if order.triggered else order.trigger,
        trigger_by=order.trigger_by,
        cash=order.cash,
    )


def amended(order: TwinOrder, change: Amendment, last: Decimal, rules: PairRules) -> TwinOrder:
    """`order` under its new terms, not yet judged. A trailing stop keeps its peak under a new distance."""
    changed = dataclasses.replace(order, trades=list(order.trades), closes=list(order.closes))
    changed.volume = order.volume if change.volume is None else change.volume
    changed.display = order.display if change.display is None else change.display
    changed.post_only = order.post_only if change.post_only is None else change.post_only
    if change.trigger is not None or change.trigger_by is not None:
        changed.trigger, changed.trigger_by = change.trigger, change.trigger_by
        if change.trigger_by is not None:
            reference = order.peak if order.trailing and order.peak is not None else last
            changed.trigger_by = change.trigger_by.signed(automatic_sign(order.ordertype, order.side, second=False))
            distance = against(changed.trigger_by, order.side) if order.trailing else changed.trigger_by
            changed.trigger = distance.of(reference, rules.tick)
            if order.trailing and order.price_by is not None:
                changed.price = order.price_by.of(changed.trigger, rules.tick)
    if change.price is not None or change.price_by is not None:
        changed.price, changed.price_by = change.price, change.price_by
        if change.price_by is not None:
            changed.price_by = change.price_by.signed(automatic_sign(order.ordertype, order.side, second=order.waiting))
            changed.price = changed.price_by.of(changed.trigger if changed.waiting and changed.trigger is not None else last, rules.tick)
    return changed
