"""Items of the executions channel: what happened to an order, as Kraken words it (KRAKEN.md section 3)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.exchange_orders import Event, PairRules, TwinOrder, TwinTrade
from trader.simulation.exchange_terms import LIMITED, TRIGGERED, Close, Offset
from trader.simulation.kraken_server.spot.render import average, iso

_STATUS = {"pending": "pending_new", "open": "new", "closed": "filled", "canceled": "canceled", "expired": "expired"}


def execution(event: Event, rules: PairRules, *, trade_says_filled: bool = False) -> dict[str, Any]:
    """One item of the executions channel, with the fields Kraken sends for this kind of event.

    `trade_says_filled`: the trade that fills an order says so; else it says partially_filled and a `filled` item follows.
    """
    order = event.order
    base: dict[str, Any] = {
        "order_id": order.txid,
        "order_userref": order.userref,
        "exec_type": event.kind,
        "timestamp": iso(event.time_us),
    }
    if event.kind == "pending_new":
        return base | order_fields(order, rules) | {"order_status": "pending_new"}
    if event.kind == "trade" and event.trade is not None:
        filled = trade_says_filled and not order.remaining
        return base | trade_fields(event.trade, order, rules) | {"order_status": "filled" if filled else "partially_filled"}
    if event.kind == "new":
        return base | {"order_status": "new"}
    if event.kind == "status":
        return base | {"triggers": triggers(order), "order_status": live_status(order)} | _limit(order)
    if event.kind in ("amended", "restated", "iceberg_refill"):
        return base | order_fields(order, rules) | totals(order, rules) | {"order_status": live_status(order)}
    ending = {"reason": event.reason, "cancel_reason": event.reason} if event.reason else {}
    return base | totals(order, rules) | {"order_status": _STATUS[order.status]} | ending


def live_status(order: TwinOrder) -> str:
    """`order_status` of the executions channel."""
    return "partially_filled" if order.live and order.executed else _STATUS[order.status]


def order_fields(order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """What describes an order in the executions channel."""
    row: dict[str, Any] = {
        "symbol": rules.symbol,
        "side": order.side,
        "order_type": order.ordertype,
        "order_qty": float(order.volume),
        "limit_price_type": _price_type(order.price_by),
        "time_in_force": order.timeinforce,
        "cum_cost": float(order.cost),
        "stop_price": float(order.trigger or ZERO),
        "fee_usd_equiv": 0.0,
        "fee_ccy_pref": "fciq" if "fciq" in order.oflags else "fcib" if "fcib" in order.oflags else "",
    }
    row |= _limit(order)
    if order.cash is not None:
        row["cash_order_qty"] = float(order.cash)
    if order.display is not None:
        row["display_qty"] = float(order.display)
    if order.cl_ord_id is not None:
        row["cl_ord_id"] = order.cl_ord_id
    if order.refid is not None:
        row["order_ref_id"] = order.refid
    if order.post_only:
        row["post_only"] = True
    if order.ordertype in TRIGGERED:
        row["triggers"] = triggers(order)
    if order.close is not None:
        row["contingent"] = contingent(order.close)
    return row


def _limit(order: TwinOrder) -> dict[str, float]:
    """`limit_price`, where there is one by now."""
    return {} if order.price is None else {"limit_price": float(order.price)}


def _price_type(by: Offset | None) -> str:
    return "static" if by is None else "pct" if by.percent else "quote"


def _asked(price: Decimal | None, by: Offset | None) -> float:
    """A price as it was asked for: a distance keeps its sign."""
    if by is not None:
        return float(-by.amount if by.sign == "-" else by.amount)
    return float(price or ZERO)


def triggers(order: TwinOrder) -> dict[str, Any]:
    """`triggers` of a triggered order: what was asked for, the price it stands for now, and whether it was reached."""
    row: dict[str, Any] = {
        "reference": "last",
        "price": _asked(order.trigger, order.trigger_by),
        "price_type": _price_type(order.trigger_by),
        "status": "triggered" if order.triggered else "untriggered",
    }
    if order.trigger is not None:
        row["actual_price"] = float(order.trigger)
    if order.peak is not None:
        row["peak_price"] = float(order.peak)
    return row


def contingent(close: Close) -> dict[str, Any]:
    """`contingent` of an order that carries a conditional close."""
    row: dict[str, Any] = {"order_type": close.ordertype}
    if close.ordertype in TRIGGERED:
        row |= {"trigger_price": _asked(close.trigger, close.trigger_by), "trigger_price_type": _price_type(close.trigger_by)}
    if close.ordertype in LIMITED:
        row |= {"limit_price": _asked(close.price, close.price_by), "limit_price_type": _price_type(close.price_by)}
    return row


def trade_fields(trade: TwinTrade, order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """What describes a fill in the executions channel; fees are in quote only (KRAKEN.md section 3)."""
    row: dict[str, Any] = {
        "exec_id": trade.trade_id,
        "trade_id": trade.number,
        "symbol": rules.symbol,
        "side": trade.side,
        "order_type": trade.ordertype,
        "last_qty": float(trade.quantity),
        "last_price": float(trade.price),
        "cost": float(trade.cost),
        "liquidity_ind": "m" if trade.maker else "t",
        "fees": [{"asset": rules.quote, "qty": float(trade.fee)}],
    }
    return row | totals(order, rules)


def totals(order: TwinOrder, rules: PairRules) -> dict[str, Any]:
    """Filled so far."""
    return {
        "cum_qty": float(order.executed),
        "cum_cost": float(order.cost),
        "avg_price": float(average(order, rules)),
        "fee_usd_equiv": float(order.fee),
    }
